//! The two clients: one whose reads may last for ever (watches), one whose requests must end.
//!
//! Both try again three times what is answered 429, 503 or 504, after 0.2 to 5 s or what the server asks for, if that is longer. What
//! fails after that is up to the caller: a reconcile or a watch with its own backoff.

use std::time::Duration;

use kube::{
    Client, Config,
    client::{ClientBuilder, retry::RetryPolicy},
    config::InferConfigError,
};
use thiserror::Error;
use tower::{buffer::BufferLayer, retry::RetryLayer};

/// Longest silence of the API server within one request before the request fails.
const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests that may wait for the connection pool; more than all reconcilers together ever have under way.
const REQUEST_QUEUE: usize = 1024;

/// The clients of the process; cheap to clone.
#[derive(Clone)]
pub struct Clients {
    /// For watches: no read timeout.
    pub watch: Client,
    /// For everything else: 30 s read timeout.
    pub request: Client,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients")
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Neither a pod's service account nor a usable kubeconfig.
    #[error(
        "no cluster to talk to: {0}. Run inside a pod with a service account, or point KUBECONFIG at a kubeconfig"
    )]
    Infer(#[source] Box<InferConfigError>),
    /// The configuration could not be turned into a client.
    #[error("the cluster's configuration cannot be used: {0}")]
    Build(#[source] Box<kube::Error>),
    /// The retry parameters are not usable.
    #[error("the retry policy cannot be used: {0}")]
    Retry(#[source] kube::client::retry::InvalidBackoff),
}

/// Connects to the cluster that the process runs in, or to the current context of the kubeconfig.
pub async fn connect() -> Result<Clients, ClientError> {
    let mut config = Config::infer()
        .await
        .map_err(|error| ClientError::Infer(Box::new(error)))?;
    // The default retries a call up to fifteen times within itself, which would hold a reconcile for minutes.
    config.default_retry = false;
    let watch = build(config.clone())?;
    config.read_timeout = Some(REQUEST_READ_TIMEOUT);
    config.reset_reader_on_write = true;
    let request = build(config)?;
    Ok(Clients { watch, request })
}

fn build(config: Config) -> Result<Client, ClientError> {
    let policy = RetryPolicy::new(Duration::from_millis(200), Duration::from_secs(5), 3, true)
        .map_err(ClientError::Retry)?;
    let client = ClientBuilder::try_from(config)
        .map_err(|error| ClientError::Build(Box::new(error)))?
        // A retry sends the request again, so it needs a service that can be cloned: the buffer's handle is.
        .with_layer(&BufferLayer::new(REQUEST_QUEUE))
        .with_layer(&RetryLayer::new(policy))
        .build();
    Ok(client)
}
