//! Keys and certificates of a control plane: one CA, the API server's certificate, a client certificate for each user.
//!
//! All are made anew for each plane and never leave its directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Names the API server's certificate is good for; 10.0.0.1 is the first address of the service range.
const SERVER_NAMES: [&str; 7] = [
    "127.0.0.1",
    "10.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// PEM certificate.
    pub(crate) certificate: PathBuf,
    /// PEM key.
    pub(crate) key: PathBuf,
}

/// The files of one plane.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// PEM certificate of the authority that signed all of them.
    pub(crate) authority: PathBuf,
    /// The API server's.
    pub(crate) server: Pair,
    /// A client of group `system:masters`.
    pub(crate) admin: Pair,
    /// The controller manager.
    pub(crate) controller_manager: Pair,
    /// PEM key that signs ServiceAccount tokens.
    pub(crate) token_signing: PathBuf,
    /// PEM public key that checks them.
    pub(crate) token_checking: PathBuf,
}

impl Keys {
    /// Makes all keys in `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "mission-operator test bed");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority_path = write(dir, "ca.crt", &authority.pem())?;

        let server_names: Vec<String> = SERVER_NAMES.iter().map(ToString::to_string).collect();
        let mut server = CertificateParams::new(server_names)?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let tokens = KeyPair::generate()?;
        Ok(Self {
            server: pair(dir, "server", server, &authority)?,
            admin: pair(
                dir,
                "admin",
                client("bed-admin", Some("system:masters")),
                &authority,
            )?,
            controller_manager: pair(
                dir,
                "controller-manager",
                client("system:kube-controller-manager", None),
                &authority,
            )?,
            token_signing: write(dir, "token-signing.key", &tokens.serialize_pem())?,
            token_checking: write(dir, "token-checking.pub", &tokens.public_key_pem())?,
            authority: authority_path,
        })
    }
}

fn client(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params
}

fn pair(
    dir: &Path,
    name: &str,
    mut params: CertificateParams,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Pair> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok(Pair {
        certificate: write(dir, &format!("{name}.crt"), &certificate.pem())?,
        key: write(dir, &format!("{name}.key"), &key.serialize_pem())?,
    })
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
