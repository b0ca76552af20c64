//! What should happen: (desired, observed, now) -> plan. Pure: no async, clock, randomness or client.
//!
//! - Whether an agent may be there: [`admission`] (references and ids), [`seats`] (who has which place on a Board or Gateway), [`adoption`]
//!   (agents that were there before), [`mark`] (whose one is), [`orphans`] (whose Agent is gone).
//! - What it is to be: [`desired`] (one spec out of three layers), [`replacement`] (texts of Boards and Gateways), [`sources`] (where in ConfigMaps
//!   its texts stand), [`render`] (files),
//!   [`entry`] (its part of the config document), [`agent_id`], [`names`], [`owned`] (leads and mains as Boards and Gateways declare them).
//! - What to do for it: [`agent`] (the plan itself), [`files`], [`places`] (where it is, and moves),
//!   [`leave`] (how long a gateway that is left is waited for),
//!   [`token`], [`wake`], [`once`] (values that act once), [`pause`].
//! - What is said of it: [`presence`], [`gateway`].
//! - What it can do itself: [`agent_api`] (the calls, and how its files tell of them), [`team`] (what a lead's calls bring about).
//! - When to try again: [`retry`].

pub mod admission;
pub mod adoption;
pub mod agent;
pub mod agent_api;
pub mod agent_id;
pub mod desired;
pub mod entry;
pub mod files;
pub mod gateway;
pub mod leave;
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
pub mod sources;
pub mod team;
pub mod token;
pub mod wake;
