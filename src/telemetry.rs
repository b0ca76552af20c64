//! The log: where lines go and how they look. What is logged stands with the code that does it.

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::cli::LogFormat;

/// Starts the log on standard error.
///
/// Errors where `filter` is not a list of directives.
pub fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
