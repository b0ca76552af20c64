//! Events (events.k8s.io) on transitions, handed to one task so that no reconcile waits for them.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;

/// Events that may wait for the API server; more are dropped and logged, since an event is a courtesy, not a record.
const QUEUE: usize = 1024;

/// Handle on the task that publishes events; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

impl Events {
    /// Starts the publishing task; it ends when the last handle is dropped.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(Event, ObjectReference)>(QUEUE);
        let recorder = Recorder::new(
            client,
            Reporter::from(crate::api::annotation::FIELD_MANAGER),
        );
        tokio::spawn(async move {
            while let Some((event, object)) = receiver.recv().await {
                match recorder.publish(&event, &object).await {
                    Ok(()) => {}
                    // A terminating namespace takes no new objects; nobody is left to read the event.
                    Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => {
                        tracing::debug!(reason = event.reason, %status.message, "event not published");
                    }
                    Err(error) => {
                        tracing::warn!(reason = event.reason, %error, "event not published");
                    }
                }
            }
        });
        Self(sender)
    }

    /// Publishes that something went as it should.
    pub fn normal(&self, object: &ObjectReference, reason: &str, note: impl Into<String>) {
        self.send(EventType::Normal, object, reason, note.into());
    }

    /// Publishes that something needs a person's attention.
    pub fn warning(&self, object: &ObjectReference, reason: &str, note: impl Into<String>) {
        self.send(EventType::Warning, object, reason, note.into());
    }

    fn send(&self, type_: EventType, object: &ObjectReference, reason: &str, mut note: String) {
        // The API server refuses notes over 1 kB.
        if note.len() > 1000 {
            let cut = note.floor_char_boundary(997);
            note.truncate(cut);
            note.push('…');
        }
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, object.clone())).is_err() {
            tracing::warn!(reason, "event dropped: too many wait for the API server");
        }
    }
}
