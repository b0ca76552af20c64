//! Where a gateway is and what we show it. The secret never appears in Debug output; equality is by digest.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{Device, TlsOptions};

/// One gateway's address and the credential for it. Two endpoints are equal when a connection to one serves for the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `ws://host[:port][/path]`, or `wss://` with TLS.
    pub url: String,
    /// The shared secret.
    pub credential: Credential,
    /// How the gateway proves who it is; only with `wss://`.
    pub tls: TlsOptions,
    /// Who we are. Without it rights come only from the gateway's own loopback.
    pub device: Option<Device>,
    /// Who approves our device.
    pub pairing: Pairing,
}

/// Who approves our device at a gateway that does not know it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairing {
    /// We do, where the gateway's admin-http-rpc plugin answers; a person where it does not.
    Auto,
    /// A person.
    #[default]
    Manual,
}

impl Endpoint {
    /// A gateway that needs nothing but the shared secret: one that sees us on its own loopback.
    #[must_use]
    pub fn new(url: impl Into<String>, credential: Credential) -> Self {
        Self {
            url: url.into(),
            credential,
            tls: TlsOptions::default(),
            device: None,
            pairing: Pairing::default(),
        }
    }
}

/// The gateway's shared secret, under the name its auth mode gives it.
#[derive(Clone)]
pub enum Credential {
    /// `gateway.auth.token`.
    Token(SecretString),
    /// `gateway.auth.password`.
    Password(SecretString),
}

impl Credential {
    pub(super) fn secret(&self) -> &SecretString {
        match self {
            Self::Token(secret) | Self::Password(secret) => secret,
        }
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.secret().expose_secret()).into()
    }
}

impl PartialEq for Credential {
    /// Compares digests, so that the time it takes says nothing about the secret.
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.digest() == other.digest()
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::Password(_) => "Password(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(credential: Credential) -> Endpoint {
        Endpoint::new("ws://gateway:18789", credential)
    }

    #[test]
    fn endpoints_are_equal_by_content_and_kind_of_secret() {
        let token = |text: &str| endpoint(Credential::Token(text.into()));
        assert_eq!(token("one"), token("one"));
        assert_ne!(token("one"), token("two"));
        assert_ne!(
            token("one"),
            endpoint(Credential::Password(SecretString::from("one")))
        );
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let text = format!("{:?}", endpoint(Credential::Token("s3cret".into())));
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains("ws://gateway:18789"), "{text}");
    }
}
