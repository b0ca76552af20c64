//! Config documents and wishes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mission_operator::fuzzing::difference(bytes));
