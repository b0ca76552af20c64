//! What to write: (config document, wishes, beating agents) to one merge patch. Pure.
