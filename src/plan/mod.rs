//! What should happen: (desired, observed, now) -> plan. Pure: no async, clock, randomness or client.

pub mod admission;
pub mod adoption;
pub mod agent;
pub mod agent_api;
pub mod agent_id;
pub mod desired;
pub mod entry;
pub mod files;
pub mod gateway;
pub mod mark;
pub mod names;
pub mod once;
pub mod orphans;
pub mod owned;
pub mod pause;
pub mod places;
pub mod presence;
pub mod render;
pub mod replacement;
pub mod retry;
pub mod seats;
pub mod team;
pub mod token;
pub mod wake;
