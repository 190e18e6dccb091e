//! The client's private key and the assertions that it signs: `private_key_jwt` (RFC 7523 section 2.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, ErrorCode, Result, Secret, ServiceUrl};
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::authorization::pkce::random;

const ASSERTION_LIFETIME: TimeDelta = TimeDelta::seconds(60);

const NEW_KEY: &str = "create a key, and register its public key at the service: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY.pem";

/// The signature algorithm of an assertion (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    RS256,
    PS256,
    ES256,
    EdDSA,
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
    /// algorithm. The default `aud` claim of the assertions is the URL of the token endpoint.
    pub(crate) fn parse(
        pem: &Secret,
        algorithm: Option<Algorithm>,
        key_id: Option<String>,
        audience: Option<String>,
    ) -> Result<Self> {
        let pkcs8 = pkcs8(pem)?;
        let pair = pair(pkcs8.secret_pkcs8_der()).ok_or_else(|| {
            wrong("the key is neither RSA of 2048 to 4096 bits, nor P-256, nor Ed25519").with_hint(NEW_KEY)
        })?;
        let algorithm = match (&pair, algorithm) {
            (Pair::Rsa(_), None | Some(Algorithm::RS256)) => Algorithm::RS256,
            (Pair::Rsa(_), Some(Algorithm::PS256)) => Algorithm::PS256,
            (Pair::Ecdsa(_), None | Some(Algorithm::ES256)) => Algorithm::ES256,
            (Pair::Ed25519(_), None | Some(Algorithm::EdDSA)) => Algorithm::EdDSA,
            (pair, Some(other)) => {
                let right = match pair {
                    Pair::Rsa(_) => "RS256 or PS256",
                    Pair::Ecdsa(_) => "ES256",
                    Pair::Ed25519(_) => "EdDSA",
                };
                let message = format!("the key in `private_key` supports algorithm {right}, not {other:?}");
                return Err(Error::new(ErrorCode::ConfigInvalidValue, message)
                    .with_hint("remove `algorithm`, or set another `private_key`"));
            }
        };
        Ok(Self { pair, algorithm, key_id, audience })
    }

    /// Signs an assertion that identifies the client (RFC 7523 section 3). Each assertion is unique and expires in a
    /// minute.
    pub(crate) fn assertion(
        &self,
        client_id: &str,
        token_url: &ServiceUrl,
        now: DateTime<Utc>,
    ) -> Result<Secret> {
        let mut header = json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience.as_deref().unwrap_or(token_url.as_str()),
            "jti": random::<16>()?.expose(),
            "iat": now.timestamp(),
            "exp": broker_core::later(now, ASSERTION_LIFETIME).timestamp(),
        });
        let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?);
        Ok(Secret::new(format!("{signed}.{signature}")))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| Error::new(ErrorCode::Internal, "cannot sign with the key in `private_key`");
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn ring::signature::RsaEncoding =
                    if self.algorithm == Algorithm::PS256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
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
    // OpenSSL writes Ed25519 keys without the public key, so the key file need not contain one.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok().map(|pair| Pair::Ed25519(Box::new(pair)))
}

fn wrong(problem: &str) -> Error {
    Error::new(ErrorCode::ConfigInvalidValue, format!("invalid `private_key`: {problem}"))
        .with_hint("convert the key: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem")
}
