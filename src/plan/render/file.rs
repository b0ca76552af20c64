//! The workspace files of an agent: which names there are, where a text comes from, and what becomes of it once written.

use std::fmt;

use crate::api::agent::Role;

/// A workspace file that `agents.files.set` takes; the gateway (2026.9.6) refuses every other name.
///
/// The order is the order in which files and their problems are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// `AGENTS.md`: how to work. It ends in the ownership mark.
    Agents,
    /// `SOUL.md`: character and boundaries.
    Soul,
    /// `IDENTITY.md`: who the agent is.
    Identity,
    /// `USER.md`: for whom it works.
    User,
    /// `BOOTSTRAP.md`: what to do in the first conversation.
    Bootstrap,
    /// `MEMORY.md`: what the agent keeps.
    Memory,
}

impl FileName {
    /// Every name, in order.
    pub const ALL: [Self; 6] = [
        Self::Agents,
        Self::Soul,
        Self::Identity,
        Self::User,
        Self::Bootstrap,
        Self::Memory,
    ];

    /// The name as the gateway writes it, `AGENTS.md` for instance.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agents => "AGENTS.md",
            Self::Soul => "SOUL.md",
            Self::Identity => "IDENTITY.md",
            Self::User => "USER.md",
            Self::Bootstrap => "BOOTSTRAP.md",
            Self::Memory => "MEMORY.md",
        }
    }

    /// What becomes of the file where nobody says otherwise. A main agent's USER.md is enforced: it speaks for the gateway, not for
    /// one person who teaches it.
    #[must_use]
    pub const fn default_policy(self, role: Role) -> Policy {
        match (self, role) {
            (Self::Agents | Self::Soul | Self::Identity, _) | (Self::User, Role::Main) => {
                Policy::Enforce
            }
            (Self::User | Self::Bootstrap | Self::Memory, _) => Policy::Seed,
        }
    }

    /// Whether there is a built-in text for this file. BOOTSTRAP.md exists only where a user gives one.
    #[must_use]
    pub const fn has_built_in(self) -> bool {
        !matches!(self, Self::Bootstrap)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a file once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A change on the gateway is put back.
    Enforce,
    /// Written once, then the agent's own.
    Seed,
    /// Not touched.
    Ignore,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Our own template for this file.
    BuiltIn,
    /// A user's text, byte for byte; from the object itself or from a `ConfigMap`.
    Verbatim(String),
    /// A user's template, rendered with the variables of [`Context`](super::Context).
    Template(String),
}

/// A file as it is declared, after all defaults were merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which file.
    pub name: FileName,
    /// Where its text comes from.
    pub source: Source,
    /// What becomes of it.
    pub policy: Policy,
}

impl Wanted {
    /// The files an agent has where nobody says otherwise: every built-in text under its default policy.
    #[must_use]
    pub fn built_ins(role: Role) -> Vec<Self> {
        FileName::ALL
            .into_iter()
            .filter(|name| name.has_built_in())
            .map(|name| Self {
                name,
                source: Source::BuiltIn,
                policy: name.default_policy(role),
            })
            .collect()
    }
}
