//! The requests, in one order, since the later ones stand on what the earlier ones have written.

mod agents;
mod config;
mod connect;
mod files;
mod sessions;
mod trouble;

use crate::wire::{Subject, Transcript};

/// Plays all scenarios on one gateway, which `restart` restarts in its process.
pub(crate) async fn play(subject: Subject, restart: impl AsyncFnOnce()) -> Transcript {
    let mut transcript = Transcript::new();
    connect::handshakes(&subject, &mut transcript).await;
    connect::without_device(&subject, &mut transcript).await;
    connect::forgeries(&subject, &mut transcript).await;
    connect::devices(&subject, &mut transcript).await;
    connect::scopes(&subject, &mut transcript).await;
    connect::lockout(&subject, &mut transcript).await;
    connect::frames(&subject, &mut transcript).await;
    config::reading(&subject, &mut transcript).await;
    config::refusals(&subject, &mut transcript).await;
    config::patches(&subject, &mut transcript).await;
    config::heartbeats(&subject, &mut transcript).await;
    config::sets(&subject, &mut transcript).await;
    config::conflict(&subject, &mut transcript).await;
    config::rate_limit(&subject, &mut transcript).await;
    files::files(&subject, &mut transcript).await;
    files::scratch(&subject, &mut transcript).await;
    sessions::messages(&subject, &mut transcript).await;
    sessions::changes(&subject, &mut transcript).await;
    agents::creation(&subject, &mut transcript).await;
    trouble::lost_answer(&subject, &mut transcript).await;
    agents::deletion(&subject, &mut transcript).await;
    config::first_beat(&subject, &mut transcript).await;
    trouble::restart(&subject, &mut transcript, restart).await;
    transcript
}
