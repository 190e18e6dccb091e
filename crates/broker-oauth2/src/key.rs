//! A client's key, and what is signed with it: `private_key_jwt` (RFC 7523 section 2.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, Result, Secret, ServiceUrl};
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use serde_json::json;

/// How long an assertion can be used.
const ASSERTION_LIFE: TimeDelta = TimeDelta::seconds(60);

/// A clock that is wrong by less does not make an assertion wrong.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// What mends a key that no other form makes fit.
const ANOTHER: &str = "make one, and give the service its public key: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY.pem";

/// How an assertion is signed (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A client's private key, and what is said with it.
pub struct ClientKey {
    pair: Pair,
    algorithm: Algorithm,
    key_id: Option<String>,
    audience: Option<String>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({:?})", self.algorithm)
    }
}

impl ClientKey {
    /// A key in PEM (PKCS#8): RSA of 2048 bits or more, P-256 or Ed25519. Without `algorithm` that is by the key:
    /// RS256, ES256 or `EdDSA`. An [`broker_core::ErrorKind::Configuration`] error where it is none of them.
    pub(crate) fn parse(pem: &Secret, algorithm: Option<Algorithm>, key_id: Option<String>) -> Result<Self> {
        let pkcs8 = pkcs8(pem)?;
        let pair = pair(pkcs8.secret_pkcs8_der()).ok_or_else(|| {
            wrong("is neither an RSA key of 2048 to 4096 bits nor a P-256 nor an Ed25519 key")
                .with_hint(ANOTHER)
        })?;
        let algorithm = match (&pair, algorithm) {
            (Pair::Rsa(_), None | Some(Algorithm::Rs256)) => Algorithm::Rs256,
            (Pair::Rsa(_), Some(Algorithm::Ps256)) => Algorithm::Ps256,
            (Pair::Ecdsa(_), None | Some(Algorithm::Es256)) => Algorithm::Es256,
            (Pair::Ed25519(_), None | Some(Algorithm::EdDsa)) => Algorithm::EdDsa,
            (pair, Some(other)) => {
                let right = pair.algorithms();
                return Err(Error::configuration(format!(
                    "`algorithm` does not go with the key in `private_key`: that signs {right}, not {}",
                    other.name()
                ))
                .with_hint("leave `algorithm` out, or give another key"));
            }
        };
        Ok(Self { pair, algorithm, key_id, audience: None })
    }

    /// For an issuer, which is whom its assertions are for; else they are for the token endpoint.
    #[must_use]
    pub(crate) fn for_issuer(self, issuer: Option<&str>) -> Self {
        Self { audience: issuer.map(str::to_owned), ..self }
    }

    /// A signed statement of who asks (RFC 7523 section 3), good for a minute and one use.
    pub(crate) fn assertion(
        &self,
        client_id: &str,
        token_url: &ServiceUrl,
        now: DateTime<Utc>,
    ) -> Result<Secret> {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).map_err(|_| Error::failed("this machine gives no random bytes"))?;
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience.as_deref().unwrap_or(token_url.as_str()),
            "jti": URL_SAFE_NO_PAD.encode(id),
            "iat": now.timestamp(),
            "exp": (now + ASSERTION_LIFE).timestamp(),
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.sign(signed.as_bytes(), &random)?;
        Ok(Secret::new(format!("{signed}.{}", encode(&signature))))
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Result<Vec<u8>> {
        let failed = |_| Error::failed("the key in `private_key` could not sign");
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn ring::signature::RsaEncoding =
                    if self.algorithm == Algorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair.sign(random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Whether an assertion of that time may be refused because the clocks differ.
    pub(crate) fn is_out_of_time(services: DateTime<Utc>, ours: DateTime<Utc>) -> bool {
        (services - ours).abs() > CLOCK_TOLERANCE
    }
}

impl Algorithm {
    /// As `alg` has it.
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl Pair {
    /// What it can sign.
    fn algorithms(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256 or PS256",
            Self::Ecdsa(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }
}

fn pkcs8(pem: &Secret) -> Result<PrivatePkcs8KeyDer<'static>> {
    if pem.expose().contains("BEGIN PUBLIC KEY") {
        return Err(wrong("is a public key: that is for the service, and the private one for the broker")
            .with_hint(ANOTHER));
    }
    match PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(key)) => Ok(key),
        Ok(_) => Err(wrong("is in an older form than PKCS#8 (`BEGIN PRIVATE KEY`)")),
        Err(_) => Err(wrong("is no private key in PEM (`BEGIN PRIVATE KEY`), or has a passphrase")),
    }
}

fn pair(pkcs8: &[u8]) -> Option<Pair> {
    if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
        return Some(Pair::Rsa(Box::new(pair)));
    }
    if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
    {
        return Some(Pair::Ecdsa(Box::new(pair)));
    }
    // OpenSSL writes Ed25519 keys without the public one.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok().map(|pair| Pair::Ed25519(Box::new(pair)))
}

fn wrong(what: &str) -> Error {
    Error::configuration(format!("the key in `private_key` {what}"))
        .with_hint("make it one: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem")
}
