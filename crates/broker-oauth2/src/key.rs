//! The client's private key and the assertions that it signs: `private_key_jwt` (RFC 7523 section 2.2).

mod pem;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, ErrorCode, Result, Secret, ServiceUrl};
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::authorization::pkce::random;

const ASSERTION_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// The signature algorithm of an assertion (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    RS256,
    PS256,
    ES256,
    EdDSA,
}

/// The `aud` claim of the assertions: `issuer` (the configured one), `token_url` (the URL of the token endpoint),
/// `endpoint` (the URL to which the request is sent), or another URL. RFC 7523 section 3 permits the token endpoint,
/// FAPI 2.0 requires the issuer, and Okta accepts only the endpoint that gets the request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Audience(pub(crate) String);

impl TryFrom<String> for Audience {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_valid = matches!(&*text, "issuer" | "token_url" | "endpoint") || Url::parse(&text).is_ok();
        let expected = "expected \"issuer\", \"token_url\", \"endpoint\" or a URL";
        is_valid.then_some(Self(text)).ok_or(expected)
    }
}

/// A client's private key, which signs the client's assertions.
pub struct ClientKey {
    pair: Pair,
    algorithm: Algorithm,
    key_id: Option<String>,
    /// The value of the key `assertion_audience` that this key uses.
    audience: String,
    issuer: Option<String>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl ClientKey {
    /// Parses a private key in PEM: RSA of at least 2048 bits, P-256 or Ed25519. The key type decides the default
    /// algorithm. The default of `audience` is the issuer, or else the URL of the token endpoint.
    pub(crate) fn parse(
        pem: &Secret,
        algorithm: Option<Algorithm>,
        key_id: Option<String>,
        audience: Option<Audience>,
        issuer: Option<String>,
    ) -> Result<Self> {
        let pair = pem::parse(pem)?;
        let (usual, other, names) = match &pair {
            Pair::Rsa(_) => (Algorithm::RS256, Algorithm::PS256, "RS256 or PS256"),
            Pair::Ecdsa(_) => (Algorithm::ES256, Algorithm::ES256, "ES256"),
            Pair::Ed25519(_) => (Algorithm::EdDSA, Algorithm::EdDSA, "EdDSA"),
        };
        let algorithm = algorithm.unwrap_or(usual);
        if algorithm != usual && algorithm != other {
            let message = format!("the key in `private_key` supports algorithm {names}, not {algorithm:?}");
            return Err(Error::new(ErrorCode::ConfigInvalidValue, message)
                .with_hint("remove `algorithm`, or set another `private_key`"));
        }
        let default = || if issuer.is_some() { "issuer" } else { "token_url" }.to_owned();
        let audience = audience.map_or_else(default, |audience| audience.0);
        Ok(Self { pair, algorithm, key_id, audience, issuer })
    }

    /// Returns the value of the key `assertion_audience` that this key uses.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// Signs an assertion that identifies the client (RFC 7523 section 3) in a request to `url`. Each assertion is
    /// unique and expires in a minute.
    pub(crate) fn assertion(
        &self,
        client_id: &str,
        token_url: &ServiceUrl,
        url: &ServiceUrl,
        now: DateTime<Utc>,
    ) -> Result<Secret> {
        let mut header = json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        let audience = match self.audience() {
            "issuer" => self.issuer.as_deref().unwrap_or(token_url.as_str()),
            "token_url" => token_url.as_str(),
            "endpoint" => url.as_str(),
            other => other,
        };
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
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
