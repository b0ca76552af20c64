//! Events (events.k8s.io) on transitions, handed to one task so that no reconcile waits for them.
//!
//! Not kube's `Recorder`: it keeps the first note for six minutes whatever is told later, and takes no object whose name is longer
//! than 236 characters.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::annotation::FIELD_MANAGER;

/// Events that may wait for the API server; more are dropped and counted in the log, since an event is a courtesy, not a record.
const QUEUE: usize = 1024;
/// Something that is told again within this time counts up the event that told it. The time is that of client-go.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// Longest note, in bytes; the API server refuses more than 1 kB.
const LONGEST_NOTE: usize = 1000;
/// Longest name of an object, in bytes.
const LONGEST_NAME: usize = 253;

/// What is to be told: two of these that are equal are one event with a count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct News {
    type_: &'static str,
    reason: String,
    note: String,
    uid: Option<String>,
}

/// Handle on the task that publishes events; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<(News, ObjectReference)>,
    /// Events that found no place since it was last said.
    dropped: Arc<AtomicUsize>,
}

impl Events {
    /// Starts the publishing task; it ends when the last handle is dropped.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(News, ObjectReference)>(QUEUE);
        let mut publisher = Publisher {
            client,
            told: HashMap::new(),
            swept: Timestamp::now(),
        };
        let dropped = Arc::new(AtomicUsize::new(0));
        let untold = Arc::clone(&dropped);
        tokio::spawn(async move {
            while let Some((news, object)) = receiver.recv().await {
                let reason = news.reason.clone();
                match publisher.publish(news, object).await {
                    Ok(()) => {}
                    // A terminating namespace takes no new objects; nobody is left to read the event.
                    Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => {
                        tracing::debug!(reason, %status.message, "event not published");
                    }
                    Err(error) => tracing::warn!(reason, %error, "event not published"),
                }
                // Once for all of a rush, not for each.
                if receiver.is_empty() {
                    let count = untold.swap(0, Ordering::Relaxed);
                    if count > 0 {
                        tracing::warn!(count, "events dropped: too many waited for the API server");
                    }
                }
            }
        });
        Self {
            queue: sender,
            dropped,
        }
    }

    /// Publishes that something went as it should.
    pub fn normal(&self, object: &ObjectReference, reason: &str, note: impl Into<String>) {
        self.send("Normal", object, reason, note.into());
    }

    /// Publishes that something needs a person's attention.
    pub fn warning(&self, object: &ObjectReference, reason: &str, note: impl Into<String>) {
        self.send("Warning", object, reason, note.into());
    }

    fn send(&self, type_: &'static str, object: &ObjectReference, reason: &str, note: String) {
        let news = News {
            type_,
            reason: reason.to_owned(),
            note: cut(note),
            uid: object.uid.clone(),
        };
        if self.queue.try_send((news, object.clone())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let at = note.floor_char_boundary(LONGEST_NOTE - '…'.len_utf8());
        note.truncate(at);
        note.push('…');
    }
    note
}

/// One event as it stands on the API server.
#[derive(Debug)]
struct Told {
    name: String,
    count: i32,
    last: Timestamp,
}

struct Publisher {
    client: Client,
    told: HashMap<News, Told>,
    /// When what nobody counts up any more was last thrown away. Not at every event: that would grow with the square of a start.
    swept: Timestamp,
}

impl Publisher {
    async fn publish(&mut self, news: News, object: ObjectReference) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let goes_on = |told: &Told| now.duration_since(told.last) < SERIES;
        if now.duration_since(self.swept) >= SERIES / 2 {
            self.told.retain(|_, told| goes_on(told));
            self.swept = now;
        }
        let namespace = object.namespace.clone().unwrap_or_default();
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        if let Some(told) = self.told.get_mut(&news).filter(|told| goes_on(told)) {
            let count = told.count + 1;
            let series = EventSeries {
                count,
                last_observed_time: MicroTime(now),
            };
            let patch = Patch::Merge(json!({ "series": series }));
            api.patch(&told.name, &PatchParams::default(), &patch)
                .await?;
            (told.count, told.last) = (count, now);
            return Ok(());
        }
        let event = api
            .create(&PostParams::default(), &event(&news, object, now))
            .await?;
        let told = Told {
            name: event.name_any(),
            count: 1,
            last: now,
        };
        self.told.insert(news, told);
        Ok(())
    }
}

fn event(news: &News, object: ObjectReference, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta {
            name: object.name.as_deref().map(|object| name(object, now)),
            namespace: object.namespace.clone(),
            ..ObjectMeta::default()
        },
        type_: Some(news.type_.to_owned()),
        reason: Some(news.reason.clone()),
        note: Some(news.note.clone()),
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(object),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(FIELD_MANAGER.to_owned()),
        ..Event::default()
    }
}

/// The name of an event, as client-go makes it: that of the object, and the time in nanoseconds, in hex.
fn name(object: &str, now: Timestamp) -> String {
    let suffix = format!(".{:x}", now.as_nanosecond());
    let at = object.floor_char_boundary(LONGEST_NAME - suffix.len());
    let object = object[..at].trim_end_matches(['.', '-']);
    format!("{object}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_called_after_its_object_as_far_as_names_may_be_long() {
        let now = Timestamp::from_second(1).unwrap();
        assert_eq!(name("scout", now), "scout.3b9aca00");
        let long = name(&format!("{}.tail", "a".repeat(243)), now);
        assert_eq!(long, format!("{}.3b9aca00", "a".repeat(243)));
        assert!(name(&"a".repeat(253), Timestamp::MAX).len() <= LONGEST_NAME);
    }

    #[test]
    fn a_note_that_is_too_long_is_cut_between_characters() {
        let note = cut("é".repeat(600));
        assert!(note.len() <= LONGEST_NOTE, "{}", note.len());
        assert!(note.ends_with("é…"), "{note}");
        assert_eq!(cut("short".to_owned()), "short");
    }
}
