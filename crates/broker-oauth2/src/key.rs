//! The client's private key and the assertions that it signs: `private_key_jwt` (RFC 7523 section 2.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, ErrorCode, Result, Secret, ServiceUrl};
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

const ASSERTION_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// Services accept assertions in spite of smaller clock differences.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

const NEW_KEY: &str = "create a key, and register its public key at the service: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY.pem";

/// The signature algorithm of an assertion (RFC 7518 section 3.1, RFC 8037 section 3.1).
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

/// A client's private key, which signs the client's assertions.
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
    /// Parses a PKCS#8 key in PEM: RSA of at least 2048 bits, P-256 or Ed25519. The key type decides the default
    /// algorithm.
    pub(crate) fn parse(pem: &Secret, algorithm: Option<Algorithm>, key_id: Option<String>) -> Result<Self> {
        let pkcs8 = pkcs8(pem)?;
        let pair = pair(pkcs8.secret_pkcs8_der()).ok_or_else(|| {
            wrong("the key is neither RSA of 2048 to 4096 bits, nor P-256, nor Ed25519").with_hint(NEW_KEY)
        })?;
        let algorithm = match (&pair, algorithm) {
            (Pair::Rsa(_), None | Some(Algorithm::Rs256)) => Algorithm::Rs256,
            (Pair::Rsa(_), Some(Algorithm::Ps256)) => Algorithm::Ps256,
            (Pair::Ecdsa(_), None | Some(Algorithm::Es256)) => Algorithm::Es256,
            (Pair::Ed25519(_), None | Some(Algorithm::EdDsa)) => Algorithm::EdDsa,
            (pair, Some(other)) => {
                let right = pair.algorithms();
                let message = format!("the key in `private_key` can sign {right}, not {}", other.name());
                return Err(Error::new(ErrorCode::ConfigInvalidValue, message)
                    .with_hint("remove `algorithm`, or set another `private_key`"));
            }
        };
        Ok(Self { pair, algorithm, key_id, audience: None })
    }

    /// Sets the `aud` claim of the assertions. The default is the URL of the token endpoint.
    #[must_use]
    pub(crate) fn for_issuer(self, issuer: Option<&str>) -> Self {
        Self { audience: issuer.map(str::to_owned), ..self }
    }

    /// Signs an assertion that identifies the client (RFC 7523 section 3). Each assertion is unique and expires in a
    /// minute.
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
        random.fill(&mut id).map_err(|_| {
            Error::new(ErrorCode::Internal, "cannot get random numbers from the operating system")
        })?;
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience.as_deref().unwrap_or(token_url.as_str()),
            "jti": URL_SAFE_NO_PAD.encode(id),
            "iat": now.timestamp(),
            "exp": (now + ASSERTION_LIFETIME).timestamp(),
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.sign(signed.as_bytes(), &random)?;
        Ok(Secret::new(format!("{signed}.{}", encode(&signature))))
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Result<Vec<u8>> {
        let failed = |_| Error::new(ErrorCode::Internal, "cannot sign with the key in `private_key`");
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

    /// Whether the local clock differs so much from the service's clock that the service may refuse an assertion.
    pub(crate) fn is_clock_wrong(service: DateTime<Utc>, local: DateTime<Utc>) -> bool {
        (service - local).abs() > CLOCK_TOLERANCE
    }
}

impl Algorithm {
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
        return Err(wrong("the key is a public key, but a private key is needed").with_hint(NEW_KEY));
    }
    match PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(key)) => Ok(key),
        Ok(_) => Err(wrong("the key is not in the format PKCS#8 (`BEGIN PRIVATE KEY`)")),
        Err(_) => Err(wrong("the text is not a PEM private key (`BEGIN PRIVATE KEY`) without passphrase")),
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
    // OpenSSL writes Ed25519 keys without the public key.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok().map(|pair| Pair::Ed25519(Box::new(pair)))
}

fn wrong(problem: &str) -> Error {
    Error::new(ErrorCode::ConfigInvalidValue, format!("invalid `private_key`: {problem}"))
        .with_hint("convert the key: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem")
}
