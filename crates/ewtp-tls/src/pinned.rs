//! rustls configurations that ask one question of the other side: is the SHA-256 of your public key pinned?
//!
//! rustls verifiers are synchronous, so nothing is fetched inside a handshake: the caller refreshes its pins and redials.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::identity::{TlsIdentity, spki_sha256};

/// How a refusal of an unknown key reads.
pub const NOT_PINNED: &str = "is not pinned here";

/// Decides by the SHA-256 of the other side's SPKI.
pub trait PinCheck: Send + Sync + 'static {
    /// May a connection with this key be opened?
    fn allows(&self, spki: &[u8; 32]) -> bool;
}

impl<F: Fn(&[u8; 32]) -> bool + Send + Sync + 'static> PinCheck for F {
    fn allows(&self, spki: &[u8; 32]) -> bool {
        self(spki)
    }
}

struct Pinned {
    check: Arc<dyn PinCheck>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

impl Pinned {
    fn new(check: Arc<dyn PinCheck>) -> Arc<Self> {
        Arc::new(Self { check, provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()) })
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let spki = spki_sha256(certificate)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.check.allows(&spki) {
            Ok(())
        } else {
            // The text reaches the log of whoever refused, so that an operator can compare fingerprints.
            Err(Error::General(format!(
                "public key {} {NOT_PINNED}",
                ewtp_log::Hash(spki).to_hex()
            )))
        }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn only_tls13() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        only_tls13()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        only_tls13()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A listener's configuration: TLS 1.3, a client key that `check` allows, HTTP/2, no resumption.
///
/// # Errors
/// If rustls doesn't take the identity's key.
pub fn server_config(
    identity: &TlsIdentity,
    check: Arc<dyn PinCheck>,
) -> Result<ServerConfig, Error> {
    let pinned = Pinned::new(check);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&pinned.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(pinned)
        .with_single_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A dialler's configuration: TLS 1.3, a server key that `check` allows, HTTP/2, no resumption.
///
/// # Errors
/// If rustls doesn't take the identity's key.
pub fn client_config(
    identity: &TlsIdentity,
    check: Arc<dyn PinCheck>,
) -> Result<ClientConfig, Error> {
    let pinned = Pinned::new(check);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&pinned.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_auth_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
