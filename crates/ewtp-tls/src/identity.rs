//! A TLS identity: an ECDSA P-256 key and the self-issued certificate over it. P-256 because every platform's TLS stack
//! takes it; log, root and witness keys are Ed25519.

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::FromDer as _;

use crate::keyfile::{KeyFileError, read_private, write_private};

/// Why an identity couldn't be made or read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Generation.
    #[error("no certificate could be made: {0}")]
    Generate(String),
    /// The certificate.
    #[error("certificate {path}: {problem}")]
    Certificate {
        /// File.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

/// A private key and its certificate.
pub struct TlsIdentity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    certificate_pem: String,
    key_pem: zeroize::Zeroizing<String>,
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            certificate_pem: self.certificate_pem.clone(),
            key_pem: self.key_pem.clone(),
        }
    }
}

/// SHA-256 of a certificate's SPKI: all that identifies an end.
#[must_use]
pub fn spki_sha256(certificate_der: &[u8]) -> Option<[u8; 32]> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate_der).ok()?;
    Some(ewtp_log::hash::sha256(&[parsed.tbs_certificate.subject_pki.raw]).0)
}

impl TlsIdentity {
    /// Makes a key and a certificate over it for `names` (DNS names or IP addresses).
    ///
    /// # Errors
    /// [`IdentityError::Generate`].
    pub fn generate(common_name: &str, names: &[String]) -> Result<Self, IdentityError> {
        let fail = |e: rcgen::Error| IdentityError::Generate(e.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fail)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(fail)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, common_name);
        params.distinguished_name = subject;
        let certificate = params.self_signed(&key).map_err(fail)?;
        let key_pem = zeroize::Zeroizing::new(key.serialize_pem());
        Self::from_pem(&certificate.pem(), &key_pem, "generated")
    }

    /// Reads PEM texts.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`].
    pub fn from_pem(
        certificate_pem: &str,
        key_pem: &str,
        path: &str,
    ) -> Result<Self, IdentityError> {
        let fail = |problem: String| IdentityError::Certificate { path: path.to_owned(), problem };
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| fail(e.to_string()))?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| fail(e.to_string()))?;
        if spki_sha256(&certificate).is_none() {
            return Err(fail("not an X.509 certificate".into()));
        }
        Ok(Self {
            certificate: certificate.into_owned(),
            key,
            certificate_pem: certificate_pem.to_owned(),
            key_pem: zeroize::Zeroizing::new(key_pem.to_owned()),
        })
    }

    /// Reads certificate and key files; the key's mode is checked.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let name = certificate.display().to_string();
        let fail = |problem: String| IdentityError::Certificate { path: name.clone(), problem };
        let certificate_pem =
            std::fs::read_to_string(certificate).map_err(|e| fail(e.to_string()))?;
        let key_pem = read_private(key)?;
        let key_pem = std::str::from_utf8(&key_pem).map_err(|e| fail(e.to_string()))?;
        Self::from_pem(&certificate_pem, key_pem, &name)
    }

    /// Writes both files; neither may exist.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), IdentityError> {
        write_private(key, self.key_pem.as_bytes())?;
        std::fs::write(certificate, &self.certificate_pem).map_err(|e| IdentityError::Certificate {
            path: certificate.display().to_string(),
            problem: e.to_string(),
        })
    }

    /// SHA-256 of the SPKI.
    #[must_use]
    pub fn spki(&self) -> [u8; 32] {
        // Checked when the identity was read; an empty digest would match no pin.
        spki_sha256(&self.certificate).unwrap_or_default()
    }

    /// The certificate as PEM, for other tools.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}
