//! The log: where lines go and how they look. What is logged stands with the code that does it.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{ParseError, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use crate::cli::LogFormat;

/// Libraries whose lines below `info` show every message of a connection, credentials included.
const TALKATIVE: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Starts the log on standard error.
///
/// Errors where `filter` is not a list of directives.
pub fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    subscriber(format, filter, std::io::stderr)?.init();
    Ok(())
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, ParseError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    Ok(registry()
        .with(EnvFilter::try_new(filter)?)
        .with(filter_fn(may_be_logged))
        .with(lines))
}

/// Whatever the user asks for, no library gets to print a credential.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !TALKATIVE.contains(&library)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "tungstenite::protocol::frame", "a frame");
            tracing::debug!(target: "tokio_tungstenite", "a frame");
            tracing::warn!(target: "tungstenite::protocol", "a warning");
            tracing::trace!(target: "mission_operator::gateway", "ours");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_filter_brings_what_goes_over_a_connection_into_the_log() {
        for filter in [
            "trace",
            "info,tungstenite=trace,tokio_tungstenite=debug,mission_operator=trace",
            "trace,tungstenite::protocol::frame=trace",
        ] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let log = logged(format, filter);
                assert!(!log.contains("a frame"), "{filter}: {log}");
                assert!(log.contains("a warning"), "{filter}: {log}");
                assert!(log.contains("ours"), "{filter}: {log}");
            }
        }
        assert!(subscriber(LogFormat::Text, "==", std::io::sink).is_err());
    }
}
