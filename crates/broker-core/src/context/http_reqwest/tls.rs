//! TLS with the system's root certificates.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use super::certificate::untrusted;
#[cfg(all(unix, not(target_vendor = "apple")))]
use super::certificate::{certificates, pem};

/// Creates the configuration of TLS connections. Without `roots`, no certificate is trusted.
pub(super) fn config(roots: bool) -> Result<ClientConfig, Box<dyn Error>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    if !roots {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    #[cfg(all(unix, not(target_vendor = "apple")))]
    let verifier = Verifier::new_with_extra_roots(missed_roots(), provider)?;
    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    let verifier = Verifier::new(provider)?;
    let verifier = Arc::new(Explaining(verifier));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Returns the certificates that the verifier does not find: those of a file that it misreads (see [`pem`]), and the
/// system's if `SSL_CERT_FILE` is empty. docker-compose sets a variable without a value to "".
#[cfg(all(unix, not(target_vendor = "apple")))]
fn missed_roots() -> Vec<CertificateDer<'static>> {
    let variable = |name| std::env::var_os(name);
    let file = match variable("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        Some(path) => Some(path.into()),
        // The verifier itself reads these folders, instead of the system's file.
        None if variable("SSL_CERT_DIR").is_some_and(|folders| !folders.is_empty()) => None,
        None => openssl_probe::probe().cert_file,
    };
    let Some(text) = file.and_then(|file| std::fs::read(file).ok()) else { return Vec::new() };
    let pem = pem(&text);
    let is_missed = variable("SSL_CERT_FILE").is_some_and(|path| path.is_empty()) || pem.as_bytes() != text;
    if is_missed { certificates(&pem) } else { Vec::new() }
}

/// A verifier whose errors describe the certificate, see [`untrusted`].
#[derive(Debug)]
struct Explaining(Verifier);

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(reason) => {
                let fault = untrusted(&reason, end_entity, &server_name.to_str());
                CertificateError::Other(OtherError(Arc::new(fault))).into()
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
