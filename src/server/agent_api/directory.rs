//! Whom the API knows: tokens by their digest, and the objects that its answers are made of. Filled by the controllers.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::kube::{Client, runtime::reflector::Store};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::{
    api::{Agent, Board, Gateway, agent::FileStatus},
    presence::{AgentKey, Presence},
};

/// How long the tokens that there were at the start are waited for. One Secret that cannot be read would otherwise make every unknown
/// token "not read yet" for ever.
const READ_WITHIN: Duration = Duration::from_mins(5);

/// How long a file that was told of as changed is told of again: the answer may not have reached the agent.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// SHA-256 of a token. A token has 256 random bits, so its digest gives nothing away and needs no salt.
type TokenDigest = [u8; 32];

/// What a token is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It is this agent's.
    Known(AgentKey),
    /// It is nobody's.
    Unknown,
    /// Not all tokens were read since the start, so it cannot be told yet.
    NotReadYet,
}

/// The Agents on the Board of this namespace and name, from an index: a call costs what its own Board has, and not the fleet.
pub type AgentsOfBoard = Arc<dyn Fn(&str, &str) -> Vec<Arc<Agent>> + Send + Sync>;

/// The objects, and the client to change them with.
#[derive(Clone)]
pub struct Objects {
    /// All Agents.
    pub agents: Store<Agent>,
    /// All Boards.
    pub boards: Store<Board>,
    /// All Gateways.
    pub gateways: Store<Gateway>,
    /// Who is on a Board.
    pub agents_of_board: AgentsOfBoard,
    /// The API server.
    pub client: Client,
}

#[derive(Default)]
struct Tokens {
    agents: HashMap<TokenDigest, AgentKey>,
    digests: HashMap<String, HashSet<TokenDigest>>,
}

/// Agents whose tokens were not read since the start, by uid, and since when they are waited for.
struct Unread {
    agents: HashSet<String>,
    since: Instant,
}

/// A file as an agent was told of it, and when it was first.
struct ToldOf {
    seen: u64,
    since: Instant,
}

struct Inner {
    tokens: RwLock<Tokens>,
    unread: Mutex<Option<Unread>>,
    all_read: AtomicBool,
    objects: OnceLock<Objects>,
    presence: Presence,
    /// Files by the uid of their agent and their name.
    told: Mutex<HashMap<String, HashMap<String, ToldOf>>>,
    hasher: RandomState,
}

/// Whom the API knows. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Directory {
    /// Nobody is known.
    #[must_use]
    pub fn new(presence: Presence) -> Self {
        Self(Arc::new(Inner {
            tokens: RwLock::default(),
            unread: Mutex::default(),
            all_read: AtomicBool::new(false),
            objects: OnceLock::new(),
            presence,
            told: Mutex::default(),
            hasher: RandomState::new(),
        }))
    }

    /// Where signs of life go.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.0.presence
    }

    /// Gives the API the objects to answer from; once, when the caches are filled.
    pub fn open(&self, objects: Objects) {
        // A second opening would bring the same caches.
        self.0.objects.set(objects).ok();
    }

    /// The objects; nothing before the caches are filled.
    #[must_use]
    pub fn objects(&self) -> Option<&Objects> {
        self.0.objects.get()
    }

    /// Says which Agents have tokens at the start, by uid. Once those of all of them were read, an unknown token is nobody's.
    pub fn expect_tokens(&self, uids: impl IntoIterator<Item = String>) {
        let mut unread = self.unread();
        let agents = uids.into_iter().collect();
        *unread = Some(Unread {
            agents,
            since: Instant::now(),
        });
        self.note(unread.as_ref());
    }

    /// Whether tokens that there were at the start are waited for.
    #[must_use]
    pub fn awaits_tokens(&self) -> bool {
        !self.0.all_read.load(Ordering::Acquire)
    }

    /// Expects no tokens any more of Agents that are not there, and none of anybody when they were waited for long enough.
    pub fn expect_only(&self, there: &HashSet<String>) {
        let mut unread = self.unread();
        if let Some(unread) = unread.as_mut() {
            unread.agents.retain(|uid| there.contains(uid));
            if unread.since.elapsed() >= READ_WITHIN && !unread.agents.is_empty() {
                let (agents, first) = (unread.agents.len(), unread.agents.iter().next());
                tracing::warn!(
                    agents,
                    first,
                    "tokens of some Agents could not be read since the start; until they are, their calls are answered as those of nobody. The status of these Agents says what is wrong"
                );
                unread.agents.clear();
            }
        }
        self.note(unread.as_ref());
    }

    fn was_read(&self, uid: &str) {
        if !self.awaits_tokens() {
            return;
        }
        let mut unread = self.unread();
        if let Some(unread) = unread.as_mut() {
            unread.agents.remove(uid);
        }
        self.note(unread.as_ref());
    }

    fn note(&self, unread: Option<&Unread>) {
        if unread.is_some_and(|unread| unread.agents.is_empty()) {
            self.0.all_read.store(true, Ordering::Release);
        }
    }

    fn unread(&self) -> MutexGuard<'_, Option<Unread>> {
        self.0.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uids of all Agents of which anything is kept here.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut uids: HashSet<_> = told.keys().cloned().collect();
        drop(told);
        let tokens = self.0.tokens.read().unwrap_or_else(PoisonError::into_inner);
        uids.extend(tokens.digests.keys().cloned());
        uids
    }

    /// From now on exactly these tokens are the agent's.
    pub fn set_tokens<'a>(
        &self,
        agent: &AgentKey,
        valid: impl IntoIterator<Item = &'a SecretString>,
    ) {
        let valid: HashSet<_> = valid.into_iter().map(digest).collect();
        let mut tokens = self.tokens();
        tokens.set(agent, valid);
        drop(tokens);
        self.was_read(&agent.uid);
    }

    /// These tokens are the agent's as well, beside those that are known.
    pub fn add_tokens<'a>(
        &self,
        agent: &AgentKey,
        valid: impl IntoIterator<Item = &'a SecretString>,
    ) {
        let mut tokens = self.tokens();
        let mut all = tokens.digests.get(&agent.uid).cloned().unwrap_or_default();
        all.extend(valid.into_iter().map(digest));
        tokens.set(agent, all);
        drop(tokens);
        self.was_read(&agent.uid);
    }

    /// Which of the agent's files are not as they were when this was asked before; all of them, when it is asked for the first time. Each is
    /// told of for [`TOLD_AGAIN`], because nobody knows whether the answer arrived.
    ///
    /// What was told is remembered, and not when the file was written: the status knows of it after the gateway does, whose clock is another
    /// one.
    #[must_use]
    pub fn news(&self, agent: &AgentKey, files: &[FileStatus]) -> Vec<String> {
        let now = Instant::now();
        let mut all = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(agent.uid.clone()).or_default();
        told.retain(|name, _| files.iter().any(|file| file.name == *name));
        let is_news = |file: &&FileStatus| {
            let seen = (&file.name, &file.sha256, file.modified);
            let seen = self.0.hasher.hash_one(seen);
            match told.get(&file.name) {
                Some(told) if told.seen == seen => now.duration_since(told.since) < TOLD_AGAIN,
                _ => {
                    told.insert(file.name.clone(), ToldOf { seen, since: now });
                    true
                }
            }
        };
        let news = files.iter().filter(is_news);
        news.map(|file| file.name.clone()).collect()
    }

    /// Forgets an agent that is gone.
    pub fn forget(&self, uid: &str) {
        let told = self.0.told.lock();
        told.unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.tokens().remove(uid);
        self.was_read(uid);
    }

    fn tokens(&self) -> RwLockWriteGuard<'_, Tokens> {
        self.0
            .tokens
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token this is. Looked up by digest, and compared in constant time.
    #[must_use]
    pub fn find(&self, token: &str) -> Found {
        let asked: TokenDigest = Sha256::digest(token.as_bytes()).into();
        let tokens = self.0.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let found = tokens
            .agents
            .get_key_value(&asked)
            .filter(|(known, _)| bool::from(known.ct_eq(&asked)));
        match found {
            Some((_, agent)) => Found::Known(agent.clone()),
            None if self.0.all_read.load(Ordering::Acquire) => Found::Unknown,
            None => Found::NotReadYet,
        }
    }
}

impl Tokens {
    /// A token that another agent has already stays that one's: whoever copies it into a Secret of its own gets nothing by it, and takes
    /// nothing away.
    fn set(&mut self, agent: &AgentKey, valid: HashSet<TokenDigest>) {
        self.remove(&agent.uid);
        for digest in &valid {
            let held = self.agents.entry(*digest);
            held.or_insert_with(|| agent.clone());
        }
        self.digests.insert(agent.uid.clone(), valid);
    }

    fn remove(&mut self, uid: &str) {
        for old in self.digests.remove(uid).unwrap_or_default() {
            if self.agents.get(&old).is_some_and(|agent| agent.uid == uid) {
                self.agents.remove(&old);
            }
        }
    }
}

fn digest(token: &SecretString) -> TokenDigest {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests;
