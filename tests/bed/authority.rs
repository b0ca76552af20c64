//! A certificate authority of a test's own, and the certificates that it gives to gateways.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::keys::Pair;

/// An authority; nobody trusts it who was not told to.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// Its own certificate as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate.
    pub(crate) fn sign(&self, params: &CertificateParams) -> Result<(Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?, key))
    }

    /// A certificate for `name`, as files in `dir`.
    pub(crate) fn certificate(&self, name: &str, dir: &Path) -> Result<Pair> {
        let params = CertificateParams::new([name.to_owned()])?;
        let (certificate, key) = self.sign(&params)?;
        let pair = Pair {
            certificate: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        };
        let write = |path: &Path, text: String| {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        };
        write(&pair.certificate, certificate.pem())?;
        write(&pair.key, key.serialize_pem())?;
        Ok(pair)
    }
}
