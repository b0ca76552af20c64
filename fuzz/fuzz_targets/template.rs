//! Users' templates and the facts they may speak of.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mission_operator::fuzzing::template(bytes));
