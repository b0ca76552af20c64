//! The API that agents call. Answers come from memory; only what a lead changes goes to the API server.

mod directory;

pub use directory::{Directory, Found, Objects};
