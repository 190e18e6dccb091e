//! Fuzzes the parsers of token responses.

use broker_core::{
    Error, HttpResponse, Operation, Phase, Problem, Secret, ServiceUrl, Token, read_object, redact, salvage,
    sanitize,
};
use broker_oauth2::{ClientAuth, TokenEndpoint};
use chrono::TimeDelta;

use super::world::{World, block_on, response, start};

/// The secret that requests contain. Error messages must not contain this secret.
pub(super) const SENT: &str = "s3cret-that-was-sent";

/// The maximum length of a service's error text in messages, including the ellipsis.
const LONGEST_WORDS: usize = 301;

/// Parses a token endpoint's response twice: with [`read_object`], and as the response to a refresh request.
pub fn token_answer(data: &[u8]) {
    let url = ServiceUrl::parse("https://login.example.org/token").unwrap();
    let answer = response(data);
    check_object(&answer, &url);
    let sent = Secret::new(SENT);
    let operation = Operation::new(World::new([data].into_iter()).context);
    let endpoint =
        TokenEndpoint::new(&operation, &url, ClientAuth::Public("me".to_owned()), TimeDelta::hours(1));
    let refreshed = block_on(endpoint.refresh(&sent, &[]));
    let rotated = rotated(&answer);
    match refreshed {
        Ok(Some(granted)) => {
            // A refresh token can be salvaged from an answer of another shape.
            let refresh_token = granted.refresh_token.as_ref().map(Secret::expose);
            assert!(rotated.is_none() || rotated.as_deref() == refresh_token, "the new login is lost");
            assert_ne!(refresh_token, Some(""));
            match &granted.token {
                Some(token) => check_token(token),
                None => assert!(refresh_token.is_some_and(|token| token != SENT)),
            }
            assert_eq!(granted.sent_at, start());
        }
        Ok(None) => {
            assert!(!answer.is_transient());
            let Err(Problem::Refused(refusal)) = read_object(&answer, &url, &[]) else {
                panic!("no refusal")
            };
            assert!(refusal.is("invalid_grant"), "a login is lost without invalid_grant");
        }
        Err(error) => {
            assert!(rotated.is_none(), "the new login is lost: {error}");
            check_error(&error);
        }
    }
}

fn check_object(answer: &HttpResponse, url: &ServiceUrl) {
    match read_object(answer, url, &[&Secret::new(SENT)]) {
        Ok(_) => assert!((200..300).contains(&answer.status)),
        Err(Problem::Refused(refusal)) => {
            assert!(!answer.is_transient(), "a transient fault is not a refusal");
            check_words(&refusal.words);
            assert!(refusal.words.chars().count() <= LONGEST_WORDS);
        }
        Err(Problem::Transient(error)) => {
            assert!(error.is_transient());
            check_error(&error);
        }
    }
}

/// Returns the new refresh token of a successful response, if it differs from the one in the request and is no
/// placeholder.
fn rotated(answer: &HttpResponse) -> Option<String> {
    let object = answer.json().filter(|_| (200..300).contains(&answer.status))?;
    let rotated = object.get("refresh_token")?.as_str()?.to_owned();
    let is_placeholder = ["null", "undefined", "None", "string"].contains(&rotated.as_str());
    let is_token = rotated.contains(char::is_alphanumeric) && rotated.chars().all(|c| c.is_ascii_graphic());
    (is_token && !is_placeholder && rotated != SENT).then_some(rotated)
}

fn check_error(error: &Error) {
    check_words(error.message());
    check_words(&error.hint().map(ToString::to_string).unwrap_or_default());
}

fn check_words(words: &str) {
    assert!(!words.contains(SENT), "the sent secret is in a message: {words}");
    assert_eq!(words, sanitize(words), "control characters in a message");
}

/// Reads the service's explanation of an error, which may contain the sent secret in any spelling.
pub fn reason(data: &[u8]) {
    let url = ServiceUrl::parse("https://login.example.org/token").unwrap();
    let answer = response(&[b"400\n\n", data].concat());
    check_object(&answer, &url);
    let text = String::from_utf8_lossy(data);
    let shown = redact(&text, &[&Secret::new(SENT)]);
    check_words(&shown);
    assert!(shown.chars().count() <= LONGEST_WORDS);
    let hidden = redact(&format!("{text} {SENT}"), &[&Secret::new(SENT)]);
    check_words(&hidden);
    if let Some(salvaged) = salvage(&response(&[b"200\n\n", data].concat()), "refresh_token") {
        let is_bad = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        assert!(!salvaged.expose().is_empty() && !salvaged.expose().contains(is_bad));
    }
}

/// Checks that a token has a secret, a type that is valid in a header, and times within the supported range.
pub(super) fn check_token(token: &Token) {
    assert!(!token.secret().expose().is_empty());
    assert!(!token.token_type().is_empty() && token.token_type().chars().all(|c| c.is_ascii_graphic()));
    let window = token.window();
    for now in [start(), start() + TimeDelta::days(400_000), start() - TimeDelta::days(400_000)] {
        let expired = window.phase(now) == Phase::Expired;
        // The broker treats a token issued more than one minute in the future as expired.
        let ahead = token.issued_at() - now;
        let future = ahead > TimeDelta::seconds(60);
        if ahead <= TimeDelta::zero() || future {
            assert_eq!(expired, token.expires_at().is_some_and(|end| end <= now || future));
        }
        assert!(window.left(now).is_none_or(|left| left.as_secs() < 1 << 50));
        assert!(now.checked_add_signed(window.retry_pause(1.0)).is_some());
    }
    if let (Some(renews), Some(expires)) = (window.renews_at(), token.expires_at()) {
        assert!(renews <= expires);
        assert!(!expires.format("%F %T UTC").to_string().is_empty());
    }
}
