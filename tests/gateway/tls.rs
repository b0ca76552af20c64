//! Gateways that speak TLS: with the certificate that they make for themselves, with one from a CA, and with what must not be trusted.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use mission_operator::gateway::{
    CertificateProblem, Credential, Endpoint, Link, LinkError, LinkState, TlsOptions, Trust,
};
use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::bed::Bed;
use crate::bed::authority::Authority;
use crate::bed::gateway::{Gateway, GatewayOptions};
use crate::world::{run, shared, until, up};

/// The name in the test CA's certificates.
const NAME: &str = "openclaw.test";

static OWN_CERTIFICATE: OnceCell<Gateway> = OnceCell::const_new();

/// A gateway with the certificate that it makes for itself.
async fn own_certificate() -> &'static Gateway {
    OWN_CERTIFICATE
        .get_or_init(|| async {
            let options = GatewayOptions::new("link-tls").without_plugins().tls(None);
            Bed::from_env().gateway(options).await.unwrap()
        })
        .await
}

fn endpoint(gateway: &Gateway, tls: TlsOptions) -> Endpoint {
    let secret = gateway.secret();
    Endpoint {
        tls,
        ..Endpoint::new(gateway.url(), Credential::Token(secret.into()))
    }
}

fn trust(trust: Trust) -> TlsOptions {
    TlsOptions {
        trust,
        server_name: None,
    }
}

/// Why a link does not come up.
async fn failure(endpoint: Endpoint) -> Arc<LinkError> {
    let link = Link::open(endpoint);
    let failed = |state: &LinkState| {
        matches!(
            state,
            LinkState::Connecting { last: Some(_), .. } | LinkState::Refused { .. }
        )
    };
    match until(&link, failed).await {
        LinkState::Connecting {
            last: Some(error), ..
        }
        | LinkState::Refused { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

async fn problem(endpoint: Endpoint) -> (CertificateProblem, String) {
    let error = failure(endpoint).await;
    match &*error {
        LinkError::Certificate { problem, .. } => (*problem, error.to_string()),
        other => panic!("{other}"),
    }
}

#[test]
fn the_certificate_that_a_gateway_made_for_itself_is_known_by_its_pin_and_by_nothing_else() {
    run(async {
        let gateway = own_certificate().await;
        let path = gateway.state_dir().join("gateway/tls/gateway-cert.pem");
        let certificate = CertificateDer::from_pem_file(path).unwrap();
        let pin: [u8; 32] = Sha256::digest(&certificate).into();

        let link = Link::open(endpoint(gateway, trust(Trust::Pinned(pin))));
        assert_eq!(up(&link).await.scopes, ["operator.admin"]);

        let (why, text) = problem(endpoint(gateway, trust(Trust::Pinned([7; 32])))).await;
        assert_eq!(why, CertificateProblem::NotPinned);
        assert!(
            text.contains(&HEXLOWER.encode(&pin)),
            "what to write: {text}"
        );
        assert!(text.contains("spec.tls.pinnedSha256"), "{text}");

        let (why, text) = problem(endpoint(gateway, TlsOptions::default())).await;
        assert_eq!(why, CertificateProblem::Untrusted);
        assert!(text.contains("spec.tls.caSecretRef"), "{text}");
    });
}

#[test]
fn a_certificate_from_a_ca_is_taken_for_the_name_that_it_carries_and_from_that_ca_alone() {
    run(async {
        let ca = Authority::new().unwrap();
        let files = tempfile::tempdir().unwrap();
        let pair = ca.certificate(NAME, files.path()).unwrap();
        let options = GatewayOptions::new("link-ca")
            .without_plugins()
            .tls(Some(pair));
        let gateway = Bed::from_env().gateway(options).await.unwrap();
        let named = |roots: String| TlsOptions {
            trust: Trust::Roots(roots),
            server_name: Some(NAME.to_owned()),
        };

        let link = Link::open(endpoint(&gateway, named(ca.pem())));
        up(&link).await;
        let (why, text) = problem(endpoint(&gateway, trust(Trust::Roots(ca.pem())))).await;
        assert_eq!(why, CertificateProblem::WrongName);
        assert!(text.contains("spec.tls.serverName"), "{text}");
        let (why, _) = problem(endpoint(&gateway, named(Authority::new().unwrap().pem()))).await;
        assert_eq!(why, CertificateProblem::Untrusted);
        let error = failure(endpoint(&gateway, named("no PEM".to_owned()))).await;
        assert!(matches!(*error, LinkError::TlsSettings { .. }), "{error}");
        gateway.stop().await.unwrap();
    });
}

#[test]
fn a_certificate_whose_time_is_over_is_told_from_one_that_nobody_vouches_for() {
    run(async {
        let ca = Authority::new().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let (leaf, key) = ca.sign(&params).unwrap();
        // A gateway is not needed: the handshake ends before anything is said to one.
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                // It fails: that is the client's refusal.
                acceptor.accept(stream).await.ok();
            }
        });
        let credential = Credential::Token("any".into());
        let (why, text) = problem(Endpoint {
            tls: TlsOptions {
                trust: Trust::Roots(ca.pem()),
                server_name: Some(NAME.to_owned()),
            },
            ..Endpoint::new(format!("wss://{address}"), credential)
        })
        .await;
        assert_eq!(why, CertificateProblem::Expired);
        assert!(text.contains("renew it"), "{text}");
        server.abort();
    });
}

#[test]
fn plain_text_on_a_tls_port_and_tls_on_a_plain_port_are_each_told() {
    run(async {
        let speaks_tls = own_certificate().await;
        let plain_url = speaks_tls.url().replace("wss://", "ws://");
        let credential = || Credential::Token("any".into());
        let error = failure(Endpoint::new(plain_url, credential())).await;
        assert!(matches!(*error, LinkError::TlsExpected { .. }), "{error}");
        assert!(error.to_string().contains("write wss://"), "{error}");

        let plain = &shared().await.gateway;
        let tls_url = plain.url().replace("ws://", "wss://");
        let error = failure(Endpoint::new(tls_url, credential())).await;
        assert!(matches!(*error, LinkError::NotTls { .. }), "{error}");
        assert!(error.to_string().contains("write ws://"), "{error}");
    });
}
