//! TLS under the WebSocket: whom to trust, and what a handshake that failed means.
//!
//! A gateway's own certificate is self-signed and names no host, so no list of roots can vouch for it: it is recognised by its SHA-256.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use super::LinkError;
use super::dial::{ByteStream, Dial};

/// A TLS handshake that takes longer has failed.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How a gateway proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whom to trust.
    pub trust: Trust,
    /// The name that the certificate must carry, where it is not the address's host.
    pub server_name: Option<String>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The machine's own list of roots, or Mozilla's where it has none.
    #[default]
    System,
    /// These roots alone, as PEM.
    Roots(String),
    /// Exactly the certificate with this SHA-256 (of its DER), whatever it says of itself, dates included.
    Pinned([u8; 32]),
}

/// Why a certificate was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// Another one than the pinned one.
    NotPinned,
    /// Its time is over.
    Expired,
    /// It is for another name.
    WrongName,
    /// Nobody we trust vouches for it, or it cannot be read.
    Untrusted,
}

/// Makes the TLS connection to `host` over `stream`.
pub(super) async fn connect(
    stream: Box<dyn ByteStream>,
    host: &str,
    address: &str,
    options: &TlsOptions,
) -> Result<Box<dyn ByteStream>, LinkError> {
    let config = config(&options.trust)?;
    let name = options.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned()).map_err(|_| LinkError::Address {
        url: address.to_owned(),
        reason: format!("{name:?} is no name that a certificate could carry"),
    })?;
    let handshake = TlsConnector::from(config).connect(server_name, stream);
    match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(address, error)),
        Err(_) => Err(failed(address, io::ErrorKind::TimedOut.into())),
    }
}

/// Whether TLS is spoken at `host:port`: asked where plain text was not understood. Nothing is sent but the first message of a
/// handshake, so nobody has to be trusted.
pub(super) async fn is_spoken(dial: &dyn Dial, host: &str, port: u16) -> bool {
    let provider = Arc::new(ring::default_provider());
    let Ok(builder) = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
    else {
        return false;
    };
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let handshake = async {
        let stream = dial.dial(host, port).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    };
    matches!(tokio::time::timeout(HANDSHAKE, handshake).await, Ok(Ok(_)))
}

fn config(trust: &Trust) -> Result<Arc<ClientConfig>, LinkError> {
    let provider = Arc::new(ring::default_provider());
    let settings = |detail: String| LinkError::TlsSettings { detail };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| settings(error.to_string()))?;
    let roots = match trust {
        Trust::Pinned(sha256) => {
            let verifier = Pinned {
                sha256: *sha256,
                provider,
            };
            return Ok(Arc::new(
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_no_client_auth(),
            ));
        }
        Trust::System => system_roots(),
        Trust::Roots(pem) => Arc::new(
            roots(pem).ok_or_else(|| settings("the CA holds no certificate in PEM".to_owned()))?,
        ),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
        .build()
        .map_err(|error| settings(format!("no root certificate to trust: {error}")))?;
    Ok(Arc::new(
        builder.with_webpki_verifier(verifier).with_no_client_auth(),
    ))
}

/// The roots in a PEM text; `None` where it holds none, or something that is none.
fn roots(pem: &str) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

/// The machine's list of roots; in an image that has none, Mozilla's. Read once: they are some hundred certificates.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    }))
}

/// What a failed handshake means.
fn failed(address: &str, source: io::Error) -> LinkError {
    let address = address.to_owned();
    let tls = source
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(error)) => {
            let (problem, detail) = told(error);
            LinkError::Certificate {
                address,
                problem,
                detail,
            }
        }
        Some(rustls::Error::InvalidMessage(_)) => LinkError::NotTls { address },
        Some(error) => LinkError::NotAGateway {
            address,
            status: None,
            detail: error.to_string(),
        },
        None => LinkError::Unreachable { address, source },
    }
}

/// What is wrong with a certificate, in words that stay the same from one try to the next: they stand in a status.
fn told(error: &CertificateError) -> (CertificateProblem, String) {
    let (problem, detail) = match error {
        CertificateError::ExpiredContext { not_after, .. } => (
            CertificateProblem::Expired,
            format!("it expired at {}", date(*not_after)),
        ),
        CertificateError::NotValidYetContext { not_before, .. } => (
            CertificateProblem::Expired,
            format!("it is not valid before {}", date(*not_before)),
        ),
        CertificateError::Expired | CertificateError::NotValidYet => {
            (CertificateProblem::Expired, error.to_string())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (CertificateProblem::WrongName, error.to_string())
        }
        CertificateError::Other(OtherError(other)) if other.is::<NotPinned>() => {
            (CertificateProblem::NotPinned, error.to_string())
        }
        CertificateError::UnknownIssuer => (
            CertificateProblem::Untrusted,
            "nobody who is trusted signed it".to_owned(),
        ),
        _ => (CertificateProblem::Untrusted, error.to_string()),
    };
    (problem, detail)
}

/// A time as people read it.
fn date(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || format!("{} s after 1970", time.as_secs()),
            |time| time.to_string(),
        )
}

/// Takes exactly one certificate.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

/// The gateway showed another certificate than the pinned one.
#[derive(Debug)]
struct NotPinned {
    shown: String,
}

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate's SHA-256 is {}", self.shown)
    }
}

impl std::error::Error for NotPinned {}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown: [u8; 32] = Sha256::digest(end_entity).into();
        if shown == self.sha256 {
            return Ok(ServerCertVerified::assertion());
        }
        let shown = HEXLOWER.encode(&shown);
        Err(CertificateError::Other(OtherError(Arc::new(NotPinned { shown }))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Takes everybody; only for [`is_spoken`].
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_in_words_that_stay_the_same() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = |now| CertificateError::ExpiredContext {
            time: at(now),
            not_after: at(1_609_459_200),
        };
        let (problem, detail) = told(&expired(1_795_222_073));
        assert_eq!(problem, CertificateProblem::Expired);
        assert_eq!(detail, "it expired at 2021-01-01T00:00:00Z");
        assert_eq!(told(&expired(1_795_222_074)).1, detail);
        let early = CertificateError::NotValidYetContext {
            time: at(1),
            not_before: at(1_609_459_200),
        };
        assert_eq!(
            told(&early).1,
            "it is not valid before 2021-01-01T00:00:00Z"
        );
    }

    #[test]
    fn only_certificates_in_pem_are_roots() {
        assert!(roots("").is_none());
        assert!(roots("token").is_none());
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(roots(nonsense).is_none());
    }
}
