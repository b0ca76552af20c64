//! The frames of the protocol, read and written again.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mission_operator::fuzzing::frame(bytes));
