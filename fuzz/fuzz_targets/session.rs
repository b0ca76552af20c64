//! What happens on a connection, line by line.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mission_operator::fuzzing::session(bytes));
