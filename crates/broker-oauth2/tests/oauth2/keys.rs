//! Tests of client authentication by `private_key_jwt` (RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use broker_core::{Claims, ErrorCode, Secret};
use chrono::TimeDelta;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::{Value, json};

use crate::lab::{Call, Lab, TOKEN, secret, token, with};

const RSA: &str = include_str!("rsa.pem");

fn pem(pkcs8: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8))
}

fn rsa_public() -> Vec<u8> {
    let der =
        STANDARD.decode(RSA.lines().filter(|line| !line.starts_with("--")).collect::<String>()).unwrap();
    RsaKeyPair::from_pkcs8(&der).unwrap().public_key().as_ref().to_vec()
}

fn p256() -> (String, Vec<u8>) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    (pem(pkcs8.as_ref()), pair.public_key().as_ref().to_vec())
}

fn ed25519() -> (String, Vec<u8>) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    (pem(pkcs8.as_ref()), pair.public_key().as_ref().to_vec())
}

fn table(key: &str) -> Value {
    json!({
        "flow": "client_credentials", "token_url": TOKEN, "client_id": "me", "private_key": key, "key_id": "k1",
    })
}

/// Verifies the signature of an assertion.
fn verify(assertion: &str, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url without padding");
    UnparsedPublicKey::new(algorithm, public)
        .verify(signed.as_bytes(), &signature)
        .expect("a valid signature");
}

/// Returns the claims of the client assertion in a request.
fn claims(call: &Call) -> Claims {
    Claims::read(&Secret::new(call.field("client_assertion").expect("an assertion"))).expect("a JWT")
}

/// A test case: a private key, the configured algorithm, the expected algorithm, and the public key for verification.
type Case<'a> = (&'a str, Option<&'a str>, &'a str, &'static dyn VerificationAlgorithm, Vec<u8>);

#[tokio::test]
async fn each_key_algorithm_signs_valid_client_assertions() {
    let ((p256, of_p256), (ed25519, of_ed25519)) = (p256(), ed25519());
    let cases: [Case<'_>; 4] = [
        (RSA, None, "RS256", &RSA_PKCS1_2048_8192_SHA256, rsa_public()),
        (RSA, Some("PS256"), "PS256", &RSA_PSS_2048_8192_SHA256, rsa_public()),
        (&p256, None, "ES256", &ECDSA_P256_SHA256_FIXED, of_p256),
        (&ed25519, Some("EdDSA"), "EdDSA", &ED25519, of_ed25519),
    ];
    for (key, configured, alg, algorithm, public) in cases {
        let lab = Lab::new();
        lab.issues_tokens(TOKEN, "token");
        let mut table = table(key);
        if let Some(configured) = configured {
            table["algorithm"] = json!(configured);
        }
        assert_eq!(secret(&lab.broker(table)).await, "token-1");
        let call = lab.calls().remove(0);
        let assertion = call.field("client_assertion").expect("an assertion");
        let kind = call.field("client_assertion_type").unwrap();
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert!(
            call.authorization.is_none() && call.field("client_secret").is_none(),
            "{alg}: no other authentication"
        );
        verify(assertion, algorithm, &public);
        let claims = claims(&call);
        let header = Claims::header(&Secret::new(assertion)).unwrap();
        assert_eq!((&header["alg"], &header["kid"]), (&json!(alg), &json!("k1")));
        let text = |name| claims.text(name).unwrap_or_default().to_owned();
        assert_eq!((text("iss"), text("sub"), text("aud")), ("me".into(), "me".into(), TOKEN.into()));
        let life = claims.expires_at().unwrap() - lab.now();
        assert!(life > TimeDelta::zero() && life <= TimeDelta::seconds(60), "{alg}: {life}");
        assert!(text("jti").len() >= 16);
    }
}

#[tokio::test]
async fn client_assertions_have_unique_jti_and_issuer_as_aud() {
    let lab = Lab::new();
    lab.issues_tokens(TOKEN, "token");
    let issuer = json!({ "issuer": "https://login.example.org/" });
    let broker = lab.broker(with(table(&p256().0), issuer));
    secret(&broker).await;
    lab.world.clock.advance(TimeDelta::hours(2));
    secret(&broker).await;
    let claims: Vec<_> = lab.calls().iter().map(claims).collect();
    assert!(claims.iter().all(|claims| claims.text("aud") == Some("https://login.example.org/")));
    assert_eq!(claims.len(), 2);
    assert_ne!(claims[0].text("jti"), claims[1].text("jti"));
}

#[tokio::test]
async fn refused_assertion_is_signed_again_with_the_services_time() {
    let lab = Lab::new();
    let service_time = lab.now() + TimeDelta::minutes(10);
    lab.dated(service_time);
    lab.answers(TOKEN, move |call| {
        if claims(call).expires_at().unwrap() < service_time {
            return (401, json!({ "error": "invalid_client", "error_description": "expired assertion" }));
        }
        (200, json!({ "access_token": "token-1", "expires_in": 3600 }))
    });
    assert_eq!(secret(&lab.broker(table(&p256().0))).await, "token-1");
    assert_eq!(lab.calls().len(), 2);
}

#[tokio::test]
async fn error_for_unusable_private_key_names_openssl_command() {
    let sec1 = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n";
    let lab = Lab::new();
    for (key, command) in [
        ("no key at all", "openssl pkcs8 -topk8"),
        (sec1, "openssl pkcs8 -topk8"),
        (public, "openssl genpkey"),
        (&pem(b"garbage"), "openssl genpkey"),
    ] {
        let error = token(&lab.broker(table(key))).await.expect_err("no private key");
        assert_eq!(error.code(), ErrorCode::ConfigInvalidValue, "{error}");
        assert!(error.hint().unwrap().to_string().contains(command), "{error:?}");
    }
    let table = with(table(RSA), json!({ "algorithm": "ES256" }));
    let error = token(&lab.broker(table)).await.expect_err("another algorithm");
    assert!(lab.calls().is_empty());
    assert!(error.message().contains("RS256 or PS256"), "{error}");
}
