//! What should happen: (desired, observed, now) -> plan. Pure: no async, clock, randomness or client.

pub mod mark;
pub mod render;
