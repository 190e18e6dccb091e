//! Explains why a server's certificate is not trusted, and what the user can do.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, OtherError, RootCertStore};

use crate::context::{HttpFault, RequestSent};
use crate::error::ErrorCode;
use crate::token::{is_utf16, sanitize};

/// Describes why a server's certificate is not trusted.
pub(super) fn untrusted(reason: &CertificateError, certificate: &[u8], host: &str) -> HttpFault {
    let names = Names::read(certificate).unwrap_or_default();
    let (subject, issuer) = (text(names.subject), text(names.issuer));
    let shown = format!("the certificate of {host} (subject: {subject}; issuer: {issuer})");
    // rustls lacks variants for some reasons of webpki.
    let debug = format!("{reason:?}");
    let (why, hint) = match reason {
        CertificateError::ExpiredContext { time, not_after: limit }
        | CertificateError::NotValidYetContext { time, not_before: limit } => {
            let what = if time < limit { "is not valid before" } else { "expired on" };
            let (whose, limit, time) = (whose(names.has_time(*limit)), day(*limit), day(*time));
            let hint = "correct this machine's clock; if it is right, the service has to replace that certificate";
            (format!("{whose}{what} {limit}; this machine's clock says {time}"), hint.to_owned())
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => (
            "names no host, because it has no subjectAltName (the common name does not count)".to_owned(),
            "the service has to replace its certificate by one with a subjectAltName".to_owned(),
        ),
        CertificateError::NotValidForNameContext { expected: ServerName::IpAddress(_), presented }
            if presented.contains(&format!("DnsName(\"{host}\")")) =>
        (
            format!("has {host} as a DNS name, not as an IP address"),
            format!("the service needs a certificate with the subjectAltName IP:{host}"),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => (
            format!("is not for this host, but for {}", presented_names(presented)),
            "correct the host of the URL; if it is right, another server answered, such as a network's sign-in page"
                .to_owned(),
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let (why, missing, advice) = if !names.subject.is_empty() && names.subject == names.issuer {
                let advice = "if you trust it, save it as a PEM file and set SSL_CERT_FILE to that file";
                ("is self-signed", "this certificate".to_owned(), advice.to_owned())
            } else {
                let advice = format!(
                    "if {issuer} is your organization's authority or TLS proxy, set SSL_CERT_FILE to its PEM file"
                );
                ("is from an untrusted authority", format!("the certificate of {issuer}"), advice)
            };
            // A trusted certificate has the name of the issuer, but did not sign this one.
            if matches!(reason, CertificateError::BadSignature) {
                let problem = format!("has another certificate of {issuer}: replace it with the current one");
                (format!("{why} (the trusted one of this name has another or a weak key)"), trust(&problem, &advice))
            } else {
                (why.to_owned(), trust(&format!("lacks {missing}: add it to that file"), &advice))
            }
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id: id, .. } => (
            format!("{}is signed with SHA-1 or another algorithm that is not accepted", whose(names.algorithm == id)),
            REPLACE.to_owned(),
        ),
        _ if debug.starts_with("InvalidPurpose") || debug.contains("EkuError") => (
            "is not for servers (its extended key usage lacks serverAuth)".to_owned(),
            "the service needs a certificate with the extended key usage serverAuth".to_owned(),
        ),
        _ if debug.contains("CaUsedAsEndEntity") => (
            "is the certificate of an authority (CA:TRUE), not of a server".to_owned(),
            "the service needs a server certificate (CA:FALSE); settings of this machine cannot replace it".to_owned(),
        ),
        other => {
            let why = match other {
                CertificateError::Other(OtherError(inner)) => format!("{inner:?}"),
                other => other.to_string(),
            };
            (format!("cannot be used: {}", sanitize(&why)), REPLACE.to_owned())
        }
    };
    fault(format!("{shown} {why}"), hint)
}

/// Describes why this machine trusts no certificate at all.
pub(super) fn without_roots() -> HttpFault {
    let (why, hint) = match cert_file() {
        Some((path, Err(why))) => (format!("SSL_CERT_FILE ({}) {why}", path.display()), CORRECT),
        _ if std::env::var_os("SSL_CERT_DIR").is_some_and(|folders| !folders.is_empty()) => (
            "SSL_CERT_DIR names no folder with certificates (PEM)".to_owned(),
            "correct SSL_CERT_DIR, or run: unset SSL_CERT_DIR",
        ),
        _ => (
            "this machine has no trusted certificates".to_owned(),
            "install the package ca-certificates, or set SSL_CERT_FILE to a PEM file",
        ),
    };
    fault(format!("no certificate is trusted: {why}"), hint)
}

fn fault(what: String, hint: impl Into<String>) -> HttpFault {
    HttpFault::new(RequestSent::No, ErrorCode::TlsUntrusted, what).with_hint(hint)
}

const CORRECT: &str = "correct SSL_CERT_FILE, or run: unset SSL_CERT_FILE";

const REPLACE: &str = "the service has to replace its certificate";

/// Returns the subject of a reason: the server's own certificate, or another one in its chain.
fn whose(is_own: bool) -> &'static str {
    if is_own { "" } else { "depends on another certificate, which " }
}

/// Returns the advice to trust a certificate: `advice`, unless `SSL_CERT_FILE` is set already. `problem` says what is
/// wrong with the certificates in that file.
fn trust(problem: &str, advice: &str) -> String {
    match cert_file() {
        None => advice.to_owned(),
        Some((path, Ok(()))) => {
            format!("SSL_CERT_FILE ({}) {problem}, or run: unset SSL_CERT_FILE", path.display())
        }
        Some((path, Err(why))) => format!("SSL_CERT_FILE ({}) {why}: {CORRECT}", path.display()),
    }
}

/// Returns the PEM text of a file in the form that rustls reads: without byte order marks, which also begin parts of
/// joined files, and without the old label `X509 CERTIFICATE`.
pub(super) fn pem(file: &[u8]) -> String {
    String::from_utf8_lossy(file)
        .replace('\u{feff}', "")
        .replace(" X509 CERTIFICATE-----", " CERTIFICATE-----")
}

/// Returns the certificates in a PEM text that can be trusted.
pub(super) fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    let can_be_trusted =
        |found: &CertificateDer<'_>| RootCertStore::empty().add(found.clone().into_owned()).is_ok();
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).filter(can_be_trusted).collect()
}

/// Returns the path in `SSL_CERT_FILE`, and why the file contains no certificate. An empty variable is unset.
pub fn cert_file() -> Option<(PathBuf, Result<(), String>)> {
    let path = PathBuf::from(std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty())?);
    let has_certificate = match std::fs::read(&path) {
        Ok(text) if !certificates(&pem(&text)).is_empty() => Ok(()),
        Ok(text) if is_utf16(&text) => Err("is UTF-16 text: save it as UTF-8".to_owned()),
        Ok(_) => Err("has no certificate (PEM)".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    Some((path, has_certificate))
}

fn date(time: UnixTime) -> Option<DateTime<Utc>> {
    i64::try_from(time.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

fn day(time: UnixTime) -> String {
    date(time).map_or_else(|| "an unknown date".to_owned(), |time| time.format("%F %T UTC").to_string())
}

/// Returns the names in a certificate. rustls formats each as `DnsName("a.example")`.
fn presented_names(presented: &[String]) -> String {
    let name = |text: &String| text.split('"').nth(1).map_or_else(|| text.clone(), str::to_owned);
    let names: Vec<_> = presented.iter().take(5).map(name).collect();
    sanitize(&names.join(", "))
}

/// The names of the subject and the issuer, and other fields, as encoded (RFC 5280 section 4.1).
#[derive(Default)]
struct Names<'a> {
    subject: &'a [u8],
    issuer: &'a [u8],
    validity: &'a [u8],
    algorithm: &'a [u8],
}

impl<'a> Names<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut fields = Elements(Elements(Elements(certificate).next()?.1).next()?.1).peekable();
        // The version is missing in the oldest certificates.
        fields.next_if(|(tag, _)| *tag == 0xa0);
        // After the serial number follow signature algorithm, issuer, validity and subject.
        let algorithm = fields.nth(1)?.1;
        let mut next = || Some(fields.next()?.1);
        Some(Self { algorithm, issuer: next()?, validity: next()?, subject: next()? })
    }

    /// Whether the certificate's validity begins or ends at `time`.
    fn has_time(&self, time: UnixTime) -> bool {
        // A two-digit year (UTCTime) is the end of the same text with four digits.
        let text = date(time).map(|time| time.format("%Y%m%d%H%M%SZ").to_string()).unwrap_or_default();
        Elements(self.validity).any(|(_, own)| own.len() >= 13 && text.as_bytes().ends_with(own))
    }
}

/// Returns a name's common name and organization, such as `CN=a.example, O=Company`.
fn text(name: &[u8]) -> String {
    let attribute = |(_, set): (u8, &[u8])| {
        let mut parts = Elements(Elements(set).next()?.1);
        let (key, (tag, value)) = (parts.next()?.1, parts.next()?);
        let key = match key {
            [0x55, 4, 3] => "CN",
            [0x55, 4, 10] => "O",
            [0x55, 4, 11] => "OU",
            _ => return None,
        };
        let value = match tag {
            // BMPString (X.680 section 41)
            0x1e => value.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect::<Vec<_>>(),
            _ => String::from_utf8_lossy(value).encode_utf16().collect(),
        };
        let value: String = sanitize(&String::from_utf16_lossy(&value)).chars().take(80).collect();
        Some(format!("{key}={value}"))
    };
    let parts: Vec<_> = Elements(name).filter_map(attribute).take(4).collect();
    if parts.is_empty() { "without a name".to_owned() } else { parts.join(", ") }
}

/// Iterates over the tags and contents of DER elements (X.690 section 8.1), until the first malformed one.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match *first {
            short @ ..0x80 => (usize::from(short), rest),
            long => {
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(long & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rustls::pki_types::ServerName;

    use super::*;

    /// A certificate for `CN=localhost, O=Lab` from `CN=Root, O=Firm`.
    const LEAF: &str = "\
        MIIBPDCB4wIUa0yTmFXxFHTQEyb2NaoOE8UoAtcwCgYIKoZIzj0EAwIwHjENMAsGA1UEAwwEUm9vdDENMAsGA1UECgwERmlybTAgFw0yNjExMz\
        AxNDEwNDhaGA8yMTI2MTEwNjE0MTA0OFowIjESMBAGA1UEAwwJbG9jYWxob3N0MQwwCgYDVQQKDANMYWIwWTATBgcqhkjOPQIBBggqhkjOPQMB\
        BwNCAAS94hhFBdY+2TygRbao+ULOg90oQVoNhaDHTx9EzZDjMY8CgzN0IAzAmFzPe9Zq5xWi6Lhx2rN3TFbDNDyTrBiSMAoGCCqGSM49BAMCA0\
        gAMEUCIDkz0KXJvFL17pJQbd4uszAqs4WL2GVTkkw5ADn+I52bAiEAlaqU85BsgkcrHsUdXgBBsCHEi3bfIiU2WS0E0PGdELc=";

    #[derive(Debug, thiserror::Error)]
    #[error("")]
    struct CaUsedAsEndEntity;

    #[derive(Debug, thiserror::Error)]
    #[error("")]
    struct EkuError;

    fn leaf() -> Vec<u8> {
        STANDARD.decode(LEAF).expect("base64")
    }

    fn explained(reason: &CertificateError) -> String {
        let HttpFault { what, hint, .. } = untrusted(reason, &leaf(), "a.example");
        format!("{what} | {}", hint.unwrap_or_default())
    }

    #[test]
    fn untrusted_certificate_is_named_with_its_reason() {
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let expected = ServerName::try_from("a.example").expect("a name");
        for (reason, words) in [
            (CertificateError::UnknownIssuer, "authority"),
            (CertificateError::ExpiredContext { time: time(86_400), not_after: time(0) }, "1970-01-01"),
            (CertificateError::NotValidYetContext { time: time(0), not_before: time(86_400) }, "1970-01-02"),
            (
                CertificateError::NotValidForNameContext {
                    expected,
                    presented: vec!["DnsName(\"b.example\")".into()],
                },
                "for b.example",
            ),
            (CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity))), "CA:TRUE"),
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("a.example").expect("a name"),
                    presented: Vec::new(),
                },
                "subjectAltName",
            ),
            (CertificateError::BadSignature, "set SSL_CERT_FILE"),
            (
                CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: vec![6, 9],
                    supported_algorithms: Vec::new(),
                },
                "SHA-1",
            ),
            (CertificateError::Other(OtherError(Arc::new(EkuError))), "serverAuth"),
            (CertificateError::InvalidPurpose, "serverAuth"),
            (CertificateError::BadEncoding, "cannot be used"),
        ] {
            let text = explained(&reason);
            for part in ["a.example", "CN=localhost, O=Lab", "CN=Root, O=Firm", words] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn fault_of_another_certificate_in_the_chain_is_not_the_servers() {
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        // The leaf is valid from 2026-11-30 14:10:48 (UTCTime) to 2126-11-06 14:10:48 (GeneralizedTime).
        let (from, to) = (1_796_047_848, 4_949_647_848);
        let leaf = leaf();
        let algorithm = |id: &[u8]| CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: id.to_vec(),
            supported_algorithms: Vec::new(),
        };
        for (reason, is_own) in [
            (CertificateError::ExpiredContext { time: time(to + 1), not_after: time(to) }, true),
            (CertificateError::ExpiredContext { time: time(to + 1), not_after: time(to - 1) }, false),
            (CertificateError::NotValidYetContext { time: time(0), not_before: time(from) }, true),
            (CertificateError::NotValidYetContext { time: time(0), not_before: time(from + 1) }, false),
            (algorithm(Names::read(&leaf).unwrap_or_default().algorithm), true),
            (algorithm(&[6, 9]), false),
        ] {
            let text = explained(&reason);
            assert_eq!(text.contains("another certificate"), !is_own, "{text}");
        }
    }

    #[test]
    fn damaged_certificate_has_no_name() {
        let leaf = leaf();
        for length in 0..leaf.len() {
            Names::read(&leaf[..length]).map(|names| text(names.subject));
            let mut changed = leaf.clone();
            changed[length] ^= 0xff;
            Names::read(&changed).map(|names| text(names.issuer));
        }
        assert_eq!(text(Names::read(&leaf[..9]).unwrap_or_default().subject), "without a name");
    }
}
