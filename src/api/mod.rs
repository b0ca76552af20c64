//! What users write: the resources' types, their schema with CEL rules, conditions and reasons. No async, no I/O.
