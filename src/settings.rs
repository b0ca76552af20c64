//! Arguments resolved into settings that the rest of the program can rely on.
//!
//! The only place that judges what a person typed; every refusal names the flag and says what to write instead.

use std::{net::SocketAddr, time::Duration};

use jiff::SignedDuration;
use thiserror::Error;

use crate::{
    cli::{LogFormat, RunArgs},
    plan::mark::{ClusterId, InvalidClusterId},
};

/// Validated settings of `run`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where probes and metrics are served.
    pub http_address: SocketAddr,
    /// Where the API that agents call is served.
    pub agent_api_address: SocketAddr,
    /// Where agents reach it, where their Gateway does not say otherwise.
    pub agent_api_url: Option<String>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Filter directives of the log.
    pub log: String,
    /// What the reconcilers go by.
    pub reconcile: ReconcileSettings,
    /// Cluster id for the ownership mark, where one was given.
    pub cluster_id: Option<ClusterId>,
    /// Reconciles of one kind that may run at the same time.
    pub concurrency: u16,
    /// Config writes a minute and gateway process.
    pub config_writes_per_minute: u32,
}

/// The waiting times that the reconcilers go by.
#[derive(Debug, Clone, Copy)]
pub struct ReconcileSettings {
    /// Time between two comparisons of an Agent with its gateway.
    pub resync_interval: Duration,
    /// Time a link may be down before its Agents say so.
    pub unreachable_after: Duration,
    /// Time a deletion waits for a gateway that is away.
    pub deletion_deadline: Duration,
    /// The same when the Gateway or the namespace goes too.
    pub teardown_deadline: Duration,
}

/// An argument that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// Not a duration, or outside of its bounds.
    #[error(
        "{flag} is {value:?}: {detail}. Write a duration such as 30s, 10m or 1h, at least {least}"
    )]
    Duration {
        /// The flag at fault.
        flag: &'static str,
        /// What was given.
        value: String,
        /// Why it cannot be used.
        detail: String,
        /// The least that is accepted.
        least: &'static str,
    },
    /// Not a socket address.
    #[error(
        "{flag} is {value:?}: {source}. Write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080"
    )]
    Address {
        /// The flag at fault.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What the parser said.
        #[source]
        source: std::net::AddrParseError,
    },
    /// Not a URL that agents could call.
    #[error(
        "--agent-api-url is {0:?}: write http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user, query or fragment"
    )]
    AgentApiUrl(String),
    /// A number outside of its bounds.
    #[error("{flag} is {value}: write a number from {least} to {most}")]
    Number {
        /// The flag at fault.
        flag: &'static str,
        /// What was given.
        value: u32,
        /// The least that is accepted.
        least: u32,
        /// The most that is accepted.
        most: u32,
    },
    /// A cluster id that the mark cannot carry.
    #[error("--cluster-id: {0}")]
    ClusterId(#[from] InvalidClusterId),
}

impl TryFrom<RunArgs> for Settings {
    type Error = SettingsError;

    fn try_from(args: RunArgs) -> Result<Self, Self::Error> {
        // Taken apart without `..`: a new flag that nobody reads does not compile.
        let RunArgs {
            http_address,
            agent_api_address,
            agent_api_url,
            log_format,
            log,
            resync_interval,
            unreachable_after,
            deletion_deadline,
            teardown_deadline,
            cluster_id,
            concurrency,
            config_writes_per_minute,
        } = args;
        let http_address = address("--http-address", http_address)?;
        let agent_api_address = address("--agent-api-address", agent_api_address)?;
        if let Some(url) = &agent_api_url {
            check_url(url)?;
        }
        let cluster_id = cluster_id.as_deref().map(str::parse).transpose()?;
        Ok(Self {
            http_address,
            agent_api_address,
            agent_api_url,
            log_format,
            log,
            reconcile: ReconcileSettings {
                resync_interval: duration("--resync-interval", resync_interval, "1s")?,
                unreachable_after: duration("--unreachable-after", unreachable_after, "0s")?,
                deletion_deadline: duration("--deletion-deadline", deletion_deadline, "0s")?,
                teardown_deadline: duration("--teardown-deadline", teardown_deadline, "0s")?,
            },
            cluster_id,
            concurrency: u16::try_from(number("--concurrency", concurrency.into(), 1, 256)?)
                .unwrap_or(u16::MAX),
            config_writes_per_minute: number(
                "--config-writes-per-minute",
                config_writes_per_minute,
                1,
                30,
            )?,
        })
    }
}

fn address(flag: &'static str, value: String) -> Result<SocketAddr, SettingsError> {
    value.parse().map_err(|source| SettingsError::Address {
        flag,
        value,
        source,
    })
}

/// The same that the schema asks of a Gateway's `agentApiUrl`: the URL stands in a line for a shell.
fn check_url(url: &str) -> Result<(), SettingsError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~/-:[]".contains(&byte);
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let is_url = rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(is_plain)
    });
    if is_url {
        Ok(())
    } else {
        Err(SettingsError::AgentApiUrl(url.to_owned()))
    }
}

fn number(flag: &'static str, value: u32, least: u32, most: u32) -> Result<u32, SettingsError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(SettingsError::Number {
            flag,
            value,
            least,
            most,
        })
    }
}

fn duration(
    flag: &'static str,
    value: String,
    least: &'static str,
) -> Result<Duration, SettingsError> {
    let parse = |text: &str| {
        text.parse::<SignedDuration>()
            .map_err(|error| error.to_string())
    };
    let read = parse(&value).and_then(|given| {
        if given < parse(least)? {
            return Err("it is too short".to_owned());
        }
        Duration::try_from(given).map_err(|error| error.to_string())
    });
    read.map_err(|detail| SettingsError::Duration {
        flag,
        value,
        detail,
        least,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn settings(args: &[&str]) -> Result<Settings, SettingsError> {
        let line = ["mission-operator", "run"].iter().chain(args);
        match Cli::try_parse_from(line).expect("clap accepts it").command {
            Command::Run(args) => Settings::try_from(args),
            Command::Crd(_) => unreachable!("the line says run"),
        }
    }

    #[test]
    fn without_arguments_the_documented_defaults_hold() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.reconcile.resync_interval, Duration::from_mins(10));
        assert_eq!(settings.reconcile.unreachable_after, Duration::from_mins(2));
        assert_eq!(
            settings.reconcile.deletion_deadline,
            Duration::from_hours(1)
        );
        assert_eq!(
            settings.reconcile.teardown_deadline,
            Duration::from_secs(30)
        );
        assert_eq!(settings.http_address.port(), 8080);
    }

    #[test]
    fn a_refusal_names_the_flag_and_what_to_write() {
        for (args, flag) in [
            (["--resync-interval", "soon"], "--resync-interval"),
            (["--resync-interval", "0s"], "--resync-interval"),
            (["--unreachable-after", "-5m"], "--unreachable-after"),
            (["--http-address", "localhost"], "--http-address"),
            (["--agent-api-address", "8081"], "--agent-api-address"),
            (["--agent-api-url", "http://a b"], "--agent-api-url"),
            (["--concurrency", "0"], "--concurrency"),
            (
                ["--config-writes-per-minute", "31"],
                "--config-writes-per-minute",
            ),
            (["--cluster-id", "a b"], "--cluster-id"),
        ] {
            let joined = format!("{}={}", args[0], args[1]);
            let message = settings(&[&joined]).unwrap_err().to_string();
            assert!(
                message.starts_with(flag) && message.to_lowercase().contains("write"),
                "{message}"
            );
        }
    }
}
