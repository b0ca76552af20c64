//! The bed's own HTTP client, for the ports on loopback of the parts that it started.

use anyhow::Result;

/// A client that does not look at certificates: which one a gateway shows is for tests to look at, not for whoever waits for it.
pub(crate) fn client() -> Result<reqwest::Client> {
    // Only the first call installs it; the operator's code names its provider wherever it needs one.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
    Ok(builder.build()?)
}
