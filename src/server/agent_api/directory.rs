//! Whom the API knows: tokens by their digest, and the objects that its answers are made of. Filled by the controllers.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use ::kube::{Client, runtime::reflector::Store};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    api::{Agent, Board, agent::FileStatus},
    presence::{AgentKey, Presence},
};

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

/// The objects, and the client to change them with.
#[derive(Clone)]
pub struct Objects {
    /// All Agents.
    pub agents: Store<Agent>,
    /// All Boards.
    pub boards: Store<Board>,
    /// The API server.
    pub client: Client,
}

#[derive(Default)]
struct Tokens {
    agents: HashMap<TokenDigest, AgentKey>,
    digests: HashMap<String, HashSet<TokenDigest>>,
}

struct Inner {
    tokens: RwLock<Tokens>,
    /// Agents whose tokens were not read since the start.
    unread: Mutex<Option<HashSet<String>>>,
    all_read: AtomicBool,
    objects: OnceLock<Objects>,
    presence: Presence,
    told: Mutex<HashMap<String, Vec<u64>>>,
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
        *unread = Some(uids.into_iter().collect());
        self.note(unread.as_ref());
    }

    /// Expects no tokens any more of Agents that are gone.
    pub fn expect_only(&self, is_there: impl Fn(&str) -> bool) {
        if self.0.all_read.load(Ordering::Acquire) {
            return;
        }
        let mut unread = self.unread();
        if let Some(unread) = unread.as_mut() {
            unread.retain(|uid| is_there(uid));
        }
        self.note(unread.as_ref());
    }

    fn was_read(&self, uid: &str) {
        if self.0.all_read.load(Ordering::Acquire) {
            return;
        }
        let mut unread = self.unread();
        if let Some(unread) = unread.as_mut() {
            unread.remove(uid);
        }
        self.note(unread.as_ref());
    }

    fn note(&self, unread: Option<&HashSet<String>>) {
        if unread.is_some_and(HashSet::is_empty) {
            self.0.all_read.store(true, Ordering::Release);
        }
    }

    fn unread(&self) -> MutexGuard<'_, Option<HashSet<String>>> {
        self.0.unread.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Which of the agent's files are not as they were when this was asked last; all of them, when it is asked for the first time.
    ///
    /// What was told is remembered, and not when: the status knows of a file after the gateway does, whose clock is another one.
    #[must_use]
    pub fn news(&self, agent: &AgentKey, files: &[FileStatus]) -> Vec<String> {
        let now: Vec<_> = files
            .iter()
            .map(|file| {
                let seen = (&file.name, &file.sha256, file.modified);
                self.0.hasher.hash_one(seen)
            })
            .collect();
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.get(&agent.uid).map_or(&[][..], Vec::as_slice);
        if before == now {
            return Vec::new();
        }
        let changed = files
            .iter()
            .zip(&now)
            .filter(|(_, seen)| !before.contains(seen))
            .map(|(file, _)| file.name.clone())
            .collect();
        told.insert(agent.uid.clone(), now);
        changed
    }

    /// Forgets an agent that is gone.
    pub fn forget(&self, uid: &str) {
        let told = self.0.told.lock();
        told.unwrap_or_else(PoisonError::into_inner).remove(uid);
        let mut tokens = self.tokens();
        for digest in tokens.digests.remove(uid).unwrap_or_default() {
            tokens.agents.remove(&digest);
        }
        drop(tokens);
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
    fn set(&mut self, agent: &AgentKey, valid: HashSet<TokenDigest>) {
        for old in self.digests.remove(&agent.uid).unwrap_or_default() {
            self.agents.remove(&old);
        }
        for digest in &valid {
            self.agents.insert(*digest, agent.clone());
        }
        self.digests.insert(agent.uid.clone(), valid);
    }
}

fn digest(token: &SecretString) -> TokenDigest {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::agent::FileState;

    fn key(uid: &str) -> AgentKey {
        AgentKey {
            namespace: "team".to_owned(),
            name: uid.to_owned(),
            uid: uid.to_owned(),
        }
    }

    #[test]
    fn a_token_is_worth_what_was_said_of_it_last() {
        let directory = Directory::new(Presence::new().0);
        let token = |text: &str| SecretString::from(text.to_owned());
        let (old, new) = (token("old"), token("new"));
        assert_eq!(directory.find("old"), Found::NotReadYet);
        directory.expect_tokens(["a".to_owned()]);
        assert_eq!(directory.find("old"), Found::NotReadYet);
        directory.set_tokens(&key("a"), []);
        assert_eq!(directory.find("old"), Found::Unknown);

        directory.set_tokens(&key("a"), [&old]);
        directory.add_tokens(&key("a"), [&new]);
        assert_eq!(directory.find("old"), Found::Known(key("a")));
        assert_eq!(directory.find("new"), Found::Known(key("a")));
        directory.set_tokens(&key("a"), [&new]);
        assert_eq!(directory.find("old"), Found::Unknown);
        directory.forget("a");
        assert_eq!(directory.find("new"), Found::Unknown);
    }
    #[test]
    fn what_is_new_to_an_agent_is_told_once() {
        let directory = Directory::new(Presence::new().0);
        let file = |name: &str, sha256: &str, modified| FileStatus {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
            size: 1,
            modified: Some(modified),
            state: FileState::Synced,
        };
        let news = |files: &[FileStatus]| directory.news(&key("a"), files);
        let first = [file("AGENTS.md", "1", 10), file("SOUL.md", "1", 10)];
        assert_eq!(news(&first), ["AGENTS.md", "SOUL.md"]);
        assert!(news(&first).is_empty());
        // Put back after somebody changed it: the text is the same again, and was written.
        let put_back = [file("AGENTS.md", "1", 20), file("SOUL.md", "1", 10)];
        assert_eq!(news(&put_back), ["AGENTS.md"]);
        assert_eq!(news(&[file("SOUL.md", "2", 10)]), ["SOUL.md"]);
        assert!(news(&[]).is_empty());
        directory.forget("a");
        assert_eq!(news(&first).len(), 2);
    }
}
