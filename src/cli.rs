//! What a person types: the arguments and the environment variables that stand in for them, unchecked.
//!
//! Checking and resolving is `settings`; nothing else reads these types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Mission Operator: OpenClaw agents as Kubernetes resources, reconciled against live gateways.
#[derive(Debug, Parser)]
#[command(name = "mission-operator", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The operator's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM or Ctrl-C.
    ///
    /// The cluster is the one the pod runs in or, outside of a cluster, the current context of KUBECONFIG.
    Run(RunArgs),
    /// Write the CustomResourceDefinitions as YAML, to standard output or one file a kind into a folder.
    Crd(CrdArgs),
}

/// Arguments of `run`. Durations are written as `90s`, `10m`, `1h 30m`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Address of the probes (/livez, /readyz) and of /metrics.
    #[arg(
        long,
        env = "MISSION_HTTP_ADDRESS",
        default_value = "0.0.0.0:8080",
        value_name = "IP:PORT"
    )]
    pub http_address: String,

    /// Address of the API that agents call.
    #[arg(
        long,
        env = "MISSION_AGENT_API_ADDRESS",
        default_value = "0.0.0.0:8081",
        value_name = "IP:PORT"
    )]
    pub agent_api_address: String,

    /// Where agents reach that API, as seen from their gateways: `http://HOST[:PORT][/PATH]`. A Gateway's spec.agentApiUrl wins. Without
    /// either, agents are not told of the API.
    #[arg(long, env = "MISSION_AGENT_API_URL", value_name = "URL")]
    pub agent_api_url: Option<String>,

    /// How log lines are written.
    #[arg(long, env = "MISSION_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which log lines are written: a level, or directives such as `info,mission_operator::gateway=debug`.
    #[arg(
        long,
        env = "MISSION_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How often every Agent is compared with its gateway even when nothing seems to have changed. At least 1s; jittered by 10 %.
    #[arg(
        long,
        env = "MISSION_RESYNC_INTERVAL",
        default_value = "10m",
        value_name = "DURATION"
    )]
    pub resync_interval: String,

    /// How long a gateway may be away before its Agents say so (Ready=Unknown).
    #[arg(
        long,
        env = "MISSION_UNREACHABLE_AFTER",
        default_value = "2m",
        value_name = "DURATION"
    )]
    pub unreachable_after: String,

    /// How long the deletion of an Agent waits for a gateway that is away before it lets go.
    #[arg(
        long,
        env = "MISSION_DELETION_DEADLINE",
        default_value = "1h",
        value_name = "DURATION"
    )]
    pub deletion_deadline: String,

    /// The same when the Gateway is being deleted too, or the whole namespace.
    #[arg(
        long,
        env = "MISSION_TEARDOWN_DEADLINE",
        default_value = "30s",
        value_name = "DURATION"
    )]
    pub teardown_deadline: String,

    /// Identity of this cluster in the ownership mark that AGENTS.md carries. Default: the uid of namespace kube-system.
    #[arg(long, env = "MISSION_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<String>,

    /// How many objects of one kind are reconciled at the same time (1 to 256). One that waits for a config write is not counted.
    #[arg(
        long,
        env = "MISSION_CONCURRENCY",
        default_value_t = 32,
        value_name = "N"
    )]
    pub concurrency: u16,

    /// How many config writes a minute one gateway gets from us (1 to 30; the gateway itself refuses more than 30).
    #[arg(
        long,
        env = "MISSION_CONFIG_WRITES_PER_MINUTE",
        default_value_t = 30,
        value_name = "N"
    )]
    pub config_writes_per_minute: u32,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Arguments of `crd`.
#[derive(Debug, Clone, Args)]
pub struct CrdArgs {
    /// Folder that gets one file a kind; without it all kinds go to standard output.
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}
