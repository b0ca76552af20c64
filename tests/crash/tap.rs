//! The tap on fake gateways: writes down what they are asked, and stops everything at a chosen request.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    bed::api_proxy,
    fake::{Call, Fake, Moment, Verdict},
    site::{Side, Site},
};

/// What stands before a token in an agent's file.
const BEFORE_TOKEN: &str = "MISSION_TOKEN='";

#[derive(Debug, Default)]
struct Notes {
    /// When it came, and its method.
    asked: Vec<(Instant, String)>,
    site: Option<Site>,
    /// Calls so far that are of the site's kind and moment.
    met: usize,
    /// The tokens in files that were written, each once in a row.
    tokens: Vec<String>,
    /// The request that everything stopped at, and on which gateway.
    stopped_at: Option<(usize, Call)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    notes: Mutex<Notes>,
    stopped: watch::Sender<bool>,
    /// Requests so far.
    count: watch::Sender<usize>,
}

impl Tap {
    /// Puts a tap on all of `fakes`: they are asked as one.
    pub(crate) fn on<const N: usize>(fakes: [&Fake; N]) -> Arc<Self> {
        let tap = Arc::new(Self::default());
        for (which, fake) in fakes.into_iter().enumerate() {
            let judge = Arc::clone(&tap);
            fake.on_call(move |call| judge.judge(which, call));
        }
        tap
    }

    fn judge(&self, which: usize, call: &Call) -> Verdict {
        let mut notes = self.notes();
        if call.moment == Moment::Before {
            notes.asked.push((Instant::now(), call.method.clone()));
            self.count.send_modify(|count| *count += 1);
        }
        if call.moment == Moment::After
            && call.method == "agents.files.set"
            && let Some(token) = token(call.params["content"].as_str().unwrap_or_default())
            && notes.tokens.last().is_none_or(|last| last != token)
        {
            notes.tokens.push(token.to_owned());
        }
        if *self.stopped.borrow() {
            return Verdict::Hold;
        }
        let is_it = notes.site.as_ref().is_some_and(|site| {
            let moment = match site.moment {
                api_proxy::Moment::Before => Moment::Before,
                api_proxy::Moment::After => Moment::After,
            };
            site.call.name == call.method && moment == call.moment
        });
        notes.met += usize::from(is_it);
        if !is_it || notes.site.as_ref().is_none_or(|site| site.nth != notes.met) {
            return Verdict::Go;
        }
        notes.stopped_at = Some((which, call.clone()));
        drop(notes);
        self.stopped.send_replace(true);
        Verdict::Hold
    }

    /// Stops at `site`.
    pub(crate) fn stop_at(&self, site: &Site) {
        let mut notes = self.notes();
        notes.site = Some(site.clone());
        notes.met = 0;
        notes.stopped_at = None;
    }

    /// Stops now.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Waits until everything has stopped.
    pub(crate) async fn stopped(&self) {
        // The sender is in this very tap.
        self.stopped
            .subscribe()
            .wait_for(|stopped| *stopped)
            .await
            .ok();
    }

    /// The request that everything stopped at, and on which of the fakes.
    pub(crate) fn stopped_at(&self) -> Option<(usize, Call)> {
        self.notes().stopped_at.clone()
    }

    /// Lets requests pass that come from now on. What is held stays held for ever: it never arrived, or nobody waits for its answer.
    pub(crate) fn resume(&self) {
        self.notes().site = None;
        self.stopped.send_replace(false);
    }

    /// The tokens that were written into files so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.notes().tokens.clone()
    }

    /// Number of requests so far.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits for more requests than `known`.
    pub(crate) async fn more_than(&self, known: usize) {
        self.count
            .subscribe()
            .wait_for(|count| *count > known)
            .await
            .ok();
    }

    /// The requests after the first `from`: when they came, and what they asked for.
    pub(crate) fn asked(&self, from: usize) -> Vec<(Instant, Side, String)> {
        let asked = self.notes().asked[from..].to_vec();
        let with_side = |(at, method)| (at, Side::Gateway, method);
        asked.into_iter().map(with_side).collect()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token in the text of an agent's file.
pub(crate) fn token(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEFORE_TOKEN)?;
    rest.split('\'').next()
}

/// Whether what a write asks for is so on the gateway now; none for a request that changes nothing.
pub(crate) fn is_in_effect(call: &Call, fake: &Fake) -> Option<bool> {
    let text = |name: &str| call.params[name].as_str().unwrap_or_default();
    let document = fake.document();
    let entries = &document["agents"]["entries"];
    Some(match call.method.as_str() {
        // Asked of an agent that is there: nothing but its deletion is forgotten.
        "agents.create" if !call.params["workspace"].is_null() => return None,
        "agents.create" => !entries[text("name")].is_null(),
        "agents.delete" => entries[text("agentId")].is_null(),
        "agents.files.set" => {
            fake.file(text("agentId"), text("name")).as_deref() == Some(text("content"))
        }
        "cron.scratch.set" => {
            let mut scratches = fake.scratches().into_values();
            scratches.any(|scratch| scratch.as_deref() == call.params["content"].as_str())
        }
        "config.patch" => {
            let mut patched = document.clone();
            let patch: Value = serde_json::from_str(text("raw")).unwrap();
            json_patch::merge(&mut patched, &patch);
            patched == document
        }
        "chat.send" => {
            let sessions = fake.sessions();
            let session = sessions.get(text("sessionKey"));
            session
                .is_some_and(|session| session.messages.iter().any(|said| said == text("message")))
        }
        // Without a label it asks for nothing but the revision.
        "sessions.patch" if call.params["label"].is_null() => return None,
        "sessions.patch" => {
            let sessions = fake.sessions();
            let session = sessions.get(text("key"));
            session.is_some_and(|session| session.label.as_deref() == call.params["label"].as_str())
        }
        // Each of them is reset once.
        "sessions.reset" => {
            let sessions = fake.sessions();
            sessions
                .get(text("key"))
                .is_some_and(|session| session.resets > 0)
        }
        _ => return None,
    })
}
