//! The operator's identity as a device: an ed25519 key that a gateway knows us by, and the token that it issues to that device.
//!
//! A gateway gives rights to a shared secret alone only on its own loopback; from anywhere else it wants a device that somebody has
//! approved. Where the key is kept is not decided here.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer, SigningKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One device. Two are equal when they have the same key: the token is only what the gateway issued to it last.
#[derive(Clone)]
pub struct Device {
    key: SigningKey,
    token: Option<SecretString>,
}

/// A stored key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not an ed25519 key in PKCS#8 PEM.
    #[error("it is not an ed25519 key in PEM (PKCS#8)")]
    Unreadable(#[source] ed25519_dalek::pkcs8::Error),
    /// The key could not be written as PEM.
    #[error("the key could not be written as PEM")]
    Unwritable(#[source] ed25519_dalek::pkcs8::Error),
}

/// What is signed beside the device's own identity, as the gateway has to see it in `connect`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) client_id: &'a str,
    pub(super) client_mode: &'a str,
    pub(super) role: &'a str,
    /// In the order in which they are sent.
    pub(super) scopes: &'a [&'a str],
    pub(super) platform: &'a str,
    /// The challenge's, milliseconds since 1970.
    pub(super) signed_at: u64,
    /// The challenge's.
    pub(super) nonce: &'a str,
    /// The token that is shown in `auth`; empty where a password is.
    pub(super) token: &'a str,
}

impl Device {
    /// A new device, which no gateway knows yet.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            key: SigningKey::from_bytes(&rand::random()),
            token: None,
        }
    }

    /// The device of a stored key (PKCS#8 PEM), with the token that was kept beside it.
    pub fn from_pem(pem: &str, token: Option<SecretString>) -> Result<Self, DeviceError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(DeviceError::Unreadable)?;
        Ok(Self { key, token })
    }

    /// The key as PKCS#8 PEM.
    pub fn to_pem(&self) -> Result<SecretString, DeviceError> {
        let pem = self
            .key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(DeviceError::Unwritable)?;
        Ok(pem.as_str().into())
    }

    /// How gateways name it: the SHA-256 of the public key, in hex.
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.key.verifying_key().as_bytes()))
    }

    /// The same device with a token that the gateway issued to it.
    #[must_use]
    pub fn with_token(self, token: SecretString) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// The token that the gateway issued to it.
    #[must_use]
    pub fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    /// The `device` of `connect`: identity, and the signature (version 3) of `claim`.
    pub(super) fn introduce(&self, claim: &Claim<'_>) -> Value {
        let id = self.id();
        let signature = self.key.sign(claim.text(&id).as_bytes());
        json!({
            "id": id,
            "publicKey": BASE64URL_NOPAD.encode(self.key.verifying_key().as_bytes()),
            "signature": BASE64URL_NOPAD.encode(&signature.to_bytes()),
            "signedAt": claim.signed_at,
            "nonce": claim.nonce,
        })
    }
}

impl Claim<'_> {
    /// The signed text. The last field is the device family, which we have none of.
    fn text(&self, device_id: &str) -> String {
        let scopes = self.scopes.join(",");
        let Self {
            client_id,
            client_mode,
            role,
            signed_at,
            token,
            nonce,
            platform,
            ..
        } = self;
        format!(
            "v3|{device_id}|{client_id}|{client_mode}|{role}|{scopes}|{signed_at}|{token}|{nonce}|{platform}|"
        )
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.key.verifying_key() == other.key.verifying_key()
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.id())
    }
}

/// Whether two tokens are the same, compared by digests, so that the time it takes says nothing about them.
#[must_use]
pub fn same_token(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    let digest = |token: &SecretString| Sha256::digest(token.expose_secret());
    one.map(digest) == other.map(digest)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};

    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    fn claim() -> Claim<'static> {
        Claim {
            client_id: "gateway-client",
            client_mode: "backend",
            role: "operator",
            scopes: &["operator.admin"],
            platform: "linux",
            signed_at: 1_795_222_073_821,
            nonce: "3dd591ed",
            token: "secret",
        }
    }

    #[test]
    fn the_signature_is_over_the_fields_that_the_gateway_checks() {
        // The key of RFC 8032, test 1.
        let device = Device::from_pem(PEM, None).unwrap();
        assert_eq!(
            HEXLOWER.encode(device.key.verifying_key().as_bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let shown = device.introduce(&claim());
        assert_eq!(shown["id"], device.id());
        let bytes = |key: &str| {
            BASE64URL_NOPAD
                .decode(shown[key].as_str().unwrap().as_bytes())
                .unwrap()
        };
        let key = VerifyingKey::try_from(bytes("publicKey").as_slice()).unwrap();
        let signature = Signature::from_slice(&bytes("signature")).unwrap();
        let text = format!(
            "v3|{}|gateway-client|backend|operator|operator.admin|1795222073821|secret|3dd591ed|linux|",
            device.id()
        );
        key.verify(text.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn a_key_is_read_back_as_it_was_written() {
        let device = Device::generate();
        let pem = device.to_pem().unwrap();
        let again = Device::from_pem(pem.expose_secret(), Some("token".into())).unwrap();
        assert_eq!(again, device);
        assert_ne!(again, Device::generate());
        assert!(Device::from_pem("-----BEGIN nothing", None).is_err());
    }

    #[test]
    fn debug_output_hides_key_and_token() {
        let device = Device::from_pem(PEM, Some("s3cret".into())).unwrap();
        assert_eq!(format!("{device:?}"), format!("Device({})", device.id()));
    }
}
