//! What the fuzzer runs, a function a target: any bytes in, an assertion that fails out. `fuzz/` calls these; the tests here run them over
//! the seeds and over seeds with something else in them, so that a machine without a nightly compiler tries them too.
//!
//! Not part of the program: compiled in tests and with `--cfg fuzzing`, which cargo-fuzz sets. Each target stands with the code it tries.

pub use crate::gateway::fuzzing::{difference, frame};
pub use crate::gateway::link::fuzzing::session;
pub use crate::plan::render::fuzzing::template;

#[cfg(test)]
mod tests;
