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
use broker_testkit::World;

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

/// Returns the SEC1 key (RFC 5915) inside a P-256 key in PKCS#8.
fn sec1(pkcs8: &str) -> Vec<u8> {
    let der =
        STANDARD.decode(pkcs8.lines().filter(|line| !line.starts_with("--")).collect::<String>()).unwrap();
    let at = der.windows(5).position(|five| five == [0x02, 0x01, 0x01, 0x04, 0x20]).expect("a SEC1 key");
    der[at - 2..].to_vec()
}

fn section(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[tokio::test]
async fn private_key_is_read_as_variables_and_files_contain_it() {
    let body: String = RSA.lines().filter(|line| !line.starts_with("--")).collect();
    // The PKCS#1 key (RFC 8017) follows the PKCS#8 header of 26 bytes.
    let pkcs1 = section("RSA PRIVATE KEY", &STANDARD.encode(&STANDARD.decode(&body).unwrap()[26..]));
    let p256 = p256().0;
    let sec1 = section("EC PRIVATE KEY", &STANDARD.encode(sec1(&p256)));
    let ec_parameters = section("EC PARAMETERS", "BggqhkjOPQMBBw==");
    let certificate = section("CERTIFICATE", "MIIB");
    for (key, alg) in [
        (RSA.to_owned(), "RS256"),
        (RSA.replace('\n', "\\n"), "RS256"),
        (RSA.replace('\n', "\\\\n"), "RS256"),
        (RSA.replace('\n', "\\r\\n"), "RS256"),
        (RSA.replace('\n', "\r\n"), "RS256"),
        (RSA.replace('\n', "\r"), "RS256"),
        (RSA.replace('\n', " "), "RS256"),
        (RSA.replace('\n', ""), "RS256"),
        (RSA.replace('\n', "\n    "), "RS256"),
        (format!("\"{}\"", RSA.replace('\n', "\\n")), "RS256"),
        (format!("'{RSA}'"), "RS256"),
        (format!("\u{feff}\n\n{RSA}\n\n"), "RS256"),
        (format!("friendlyName: key\n{RSA}"), "RS256"),
        (STANDARD.encode(RSA), "RS256"),
        (
            STANDARD
                .encode(RSA)
                .as_bytes()
                .chunks(76)
                .map(|line| str::from_utf8(line).unwrap())
                .collect::<Vec<_>>()
                .join("\n"),
            "RS256",
        ),
        (URL_SAFE_NO_PAD.encode(RSA), "RS256"),
        (body.clone(), "RS256"),
        (pkcs1.clone(), "RS256"),
        (pkcs1.replace('\n', "\\n"), "RS256"),
        (format!("{certificate}{RSA}"), "RS256"),
        (format!("{RSA}{certificate}"), "RS256"),
        (sec1.clone(), "ES256"),
        (format!("{ec_parameters}{sec1}"), "ES256"),
        (p256.clone(), "ES256"),
        (ed25519().0, "EdDSA"),
    ] {
        let lab = Lab::new();
        lab.issues_tokens(TOKEN, "token");
        let broker = lab.broker(table(&key));
        assert_eq!(
            token(&broker).await.unwrap_or_else(|error| panic!("{key}: {error}")).secret().expose(),
            "token-1"
        );
        let header = Claims::header(&Secret::new(lab.calls()[0].field("client_assertion").unwrap())).unwrap();
        assert_eq!(header["alg"], json!(alg), "{key}");
    }
}

#[tokio::test]
async fn error_for_unusable_private_key_says_what_it_is() {
    let lab = Lab::new();
    let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB";
    for (key, what, hint) in [
        ("no key at all".to_owned(), "PEM", "first and last line"),
        ("s3cret/with+base64==".to_owned(), "PEM", "first and last line"),
        ("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none".to_owned(), "PEM", "export the key"),
        ("<RSAKeyValue><Modulus>x</Modulus></RSAKeyValue>".to_owned(), "PEM", "export the key"),
        ("ab".repeat(32), "PEM", "export the key"),
        (
            STANDARD.encode(b"\x30\x82\x0a\x09\x02\x01\x03\x30\x82"),
            "PKCS#12",
            "base64 -d FILE | openssl pkcs12",
        ),
        (section("PRIVATE KEY", "not base64!"), "base64", "whole key"),
        (section("EC PRIVATE KEY", "MHcCAQEE"), "P-256", "openssl genpkey"),
        (pem(b"garbage"), "P-256", "openssl genpkey"),
        (section("PUBLIC KEY", "MCow"), "public key", "openssl genpkey"),
        (section("RSA PUBLIC KEY", "MCow"), "public key", "openssl genpkey"),
        ("ssh-ed25519 AAAAC3Nz ada@host".to_owned(), "public key", "openssl genpkey"),
        (section("CERTIFICATE", "MIIB"), "certificate", "`private_key`"),
        (section("CERTIFICATE REQUEST", "MIIB"), "`CERTIFICATE REQUEST`", "openssl genpkey"),
        (section("ENCRYPTED PRIVATE KEY", "MIIB"), "passphrase", "openssl pkcs8 -topk8 -nocrypt"),
        (section("RSA PRIVATE KEY", old), "passphrase", "openssl pkcs8 -topk8 -nocrypt"),
        (section("OPENSSH PRIVATE KEY", "b3Bl"), "OpenSSH", "openssl genpkey"),
        ("{\"kty\": \"RSA\", \"n\": \"x\"}".to_owned(), "JWK", "PEM"),
        ("~/keys/client.pem".to_owned(), "path", "{ file = "),
        (RSA[..RSA.len() / 2].to_owned(), "-----END PRIVATE KEY-----", "whole key"),
    ] {
        let error = token(&lab.broker(table(&key))).await.expect_err("no private key");
        assert_eq!(error.code(), ErrorCode::ConfigInvalidValue, "{error}");
        assert!(error.message().contains(what), "{key}: {error}");
        assert!(error.hint().unwrap().to_string().contains(hint), "{key}: {error:?}");
        assert!(!format!("{error} {:?}", error.hint()).contains("MIIB"), "{error}");
    }
    let table = with(table(RSA), json!({ "algorithm": "ES256" }));
    let error = token(&lab.broker(table)).await.expect_err("another algorithm");
    assert!(lab.calls().is_empty());
    assert!(error.message().contains("RS256 or PS256"), "{error}");
}

#[tokio::test]
async fn assertion_audience_is_configurable() {
    const REVOKE: &str = "https://login.example.org/revoke";
    let issuer = "https://login.example.org/";
    for (configured, at_token, at_revoke) in [
        (Value::Null, issuer, issuer),
        (json!("issuer"), issuer, issuer),
        (json!("token_url"), TOKEN, TOKEN),
        (json!("endpoint"), TOKEN, REVOKE),
        (json!("https://login.example.org"), "https://login.example.org", "https://login.example.org"),
        (json!("urn:lab:login"), "urn:lab:login", "urn:lab:login"),
    ] {
        let lab = Lab::new();
        lab.issues_tokens(TOKEN, "token");
        lab.answers(REVOKE, |_| (200, json!({})));
        let mut table = with(table(&p256().0), json!({ "issuer": issuer, "revocation_url": REVOKE }));
        if !configured.is_null() {
            table["assertion_audience"] = configured.clone();
        }
        let broker = lab.broker(table);
        secret(&broker).await;
        broker.logout(World::NAME).await.expect("a logout");
        let calls = lab.calls();
        let audiences: Vec<_> =
            calls.iter().map(|call| claims(call).text("aud").unwrap().to_owned()).collect();
        assert_eq!(audiences, [at_token, at_revoke], "{configured}");
    }
}

#[tokio::test]
async fn hint_for_refused_audience_names_a_key_that_works() {
    for (code, words) in [
        (
            "invalid_client",
            "The audience claim for client_assertion must be the endpoint invoked for the request.",
        ),
        ("invalid_client", "Invalid token audience"),
        ("invalid_client", "AADSTS700023: Client assertion audience claim does not match Realm issuer."),
        ("invalid_grant", "Invalid audience"),
        ("access_denied", "Invalid audience"),
        ("invalid_client_assertion", "bad aud"),
    ] {
        let lab = Lab::new();
        lab.answers(TOKEN, move |call| {
            if claims(call).text("aud") == Some(TOKEN) {
                return (200, json!({ "access_token": "token-1", "expires_in": 3600 }));
            }
            (401, json!({ "error": code, "error_description": words }))
        });
        let table = with(table(&p256().0), json!({ "issuer": "https://login.example.org" }));
        let error = token(&lab.broker(table.clone())).await.expect_err("another audience");
        let hint = error.hint().unwrap().to_string();
        assert!(hint.contains("`assertion_audience`") && hint.contains("\"token_url\""), "{hint}");
        let table = with(table, json!({ "assertion_audience": "token_url" }));
        assert_eq!(secret(&lab.broker(table)).await, "token-1");
    }
}

#[tokio::test]
async fn long_answer_of_a_gateway_to_an_assertion_is_transient() {
    for status in [401, 403, 404, 503] {
        let lab = Lab::new();
        lab.answers(TOKEN, move |_| (status, json!("page ".repeat(10_000))));
        let error = token(&lab.broker(table(&p256().0))).await.expect_err("no token");
        assert!(error.is_transient(), "{status}: {error}");
    }
}

#[tokio::test]
async fn error_that_repeats_the_assertion_is_withheld() {
    let lab = Lab::new();
    lab.answers(TOKEN, |call| {
        let assertion = call.field("client_assertion").unwrap();
        (401, json!({ "error": "invalid_client", "error_description": format!("no {assertion}") }))
    });
    let error = token(&lab.broker(table(&p256().0))).await.expect_err("a refused client");
    assert_eq!(error.code(), ErrorCode::ClientRefused, "{error}");
    assert!(error.message().contains("withheld") && !error.message().contains("eyJ"), "{error}");
}
