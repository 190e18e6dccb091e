//! Output formats in JSON.

use broker_core::{SystemClock, is_unsafe};
use chrono::{DateTime, SecondsFormat, Utc};
use earthbroker::{Clock, Error, Header, Result, Secret, Token};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{TokenInfo, header, unsuitable};

/// The documented JSON output of `broker token`. Fields may be added, but never removed.
#[derive(Serialize)]
struct Json<'a> {
    version: u8,
    provider: &'a str,
    token: &'a str,
    token_type: &'a str,
    scope: Option<&'a str>,
    expires_at: Option<String>,
    expires_in: Option<u64>,
    /// The name of the HTTP header and the prefix of the header's value. Omitted for `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Value>,
}

pub(super) fn object(token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    let header = token.header();
    line(&Json {
        version: 1,
        provider: info.provider.name(),
        token: token.secret().expose(),
        token_type: token.token_type(),
        scope: scope(token, info),
        expires_at: token.expires_at().map(rfc3339),
        expires_in: expires_in(token),
        header: (*header != Header::default())
            .then(|| json!({ "name": header.name, "prefix": header.prefix_of(token) })),
    })
}

/// Returns the scope that the service reported, or else the requested scope.
pub(super) fn scope<'a>(token: &'a Token, info: &TokenInfo<'a>) -> Option<&'a str> {
    token.scope().or(Some(info.scopes).filter(|scopes| !scopes.is_empty()))
}

pub(super) fn expires_in(token: &Token) -> Option<u64> {
    token.window().left(SystemClock.now()).map(|left| left.as_secs())
}

/// Returns the `ExecCredential` for kubectl, in the given API version.
pub(crate) fn exec_credential(token: &Token, api_version: &str) -> Result<String> {
    let mut status = json!({ "token": header::bearer(token)? });
    if let Some(expires_at) = token.expires_at() {
        status["expirationTimestamp"] = rfc3339(expires_at).into();
    }
    line(&json!({ "apiVersion": api_version, "kind": "ExecCredential", "status": status }))
}

/// AWS keys, parsed from the JSON object that the broker stores as the token's secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Secret,
}

impl Keys {
    pub(super) fn of(token: &Token) -> Result<Self> {
        // The parser's error is dropped, because the error quotes the secret.
        serde_json::from_str(token.secret().expose())
            .ok()
            .filter(|keys: &Self| {
                let all = [&keys.access_key_id, &keys.secret_access_key, &keys.session_token];
                all.iter().all(|key| !key.expose().is_empty() && !key.expose().contains(char::is_control))
            })
            .ok_or_else(|| unsuitable("the service's response has no AWS keys"))
    }

    /// Returns the AWS keys as the environment variables that AWS tools and GDAL read.
    pub(super) fn variables(self) -> Vec<(&'static str, Secret)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key),
            ("AWS_SESSION_TOKEN", self.session_token),
        ]
    }
}

/// Returns the JSON that AWS tools expect from a `credential_process`.
pub(crate) fn aws(token: &Token) -> Result<String> {
    let keys = Keys::of(token)?;
    let mut process = json!({
        "Version": 1,
        "AccessKeyId": keys.access_key_id.expose(),
        "SecretAccessKey": keys.secret_access_key.expose(),
        "SessionToken": keys.session_token.expose(),
    });
    if let Some(expires_at) = token.expires_at() {
        process["Expiration"] = rfc3339(expires_at).into();
    }
    line(&process)
}

/// Returns a value as one line of JSON. Strings escape every character that is unsafe for a terminal.
pub(crate) fn line(value: &impl Serialize) -> Result<String> {
    let failed = |error| Error::failed("cannot write the output as JSON").with_source(error);
    let json = serde_json::to_string(value).map_err(failed)?;
    let mut line = String::with_capacity(json.len() + 1);
    // Only strings contain unsafe characters, because the rest of JSON is ASCII.
    for c in json.chars() {
        if is_unsafe(c) {
            line.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    Ok(line)
}

/// Formats a time for JSON output: `2026-11-22T12:00:00Z`.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    fn token(json: &str) -> Token {
        let at = DateTime::from_timestamp(4_000_000_000, 0).expect("a time");
        Token::new(Secret::new(json), at, Some(at)).with_type("aws")
    }

    #[test]
    fn aws_keys_become_credential_process_json_and_variables() {
        let token = token(r#"{"AccessKeyId":"AK","SecretAccessKey":"s/\"k","SessionToken":"t","other":1}"#);
        let printed: serde_json::Value = serde_json::from_str(&aws(&token).expect("keys")).expect("JSON");
        let expected = json!({ "Version": 1, "AccessKeyId": "AK", "SecretAccessKey": "s/\"k", "SessionToken": "t",
            "Expiration": "2096-10-02T07:06:40Z" });
        assert_eq!(printed, expected);
        let variables = Keys::of(&token).expect("keys").variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.expose())).collect();
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        assert_eq!(variables, names.into_iter().zip(["AK", "s/\"k", "t"]).collect::<Vec<_>>());
    }

    #[test]
    fn incomplete_aws_keys_are_rejected_and_not_shown() {
        for json in [
            "secret-7",
            r#"{"AccessKeyId":"secret-7","SecretAccessKey":7}"#,
            r#"{"AccessKeyId":"secret-7","SecretAccessKey":"","SessionToken":"t"}"#,
            r#"{"AccessKeyId":"secret-7","SecretAccessKey":"a\nb","SessionToken":"t"}"#,
        ] {
            let error = aws(&token(json)).expect_err("no keys");
            assert!(!format!("{error:?}").contains("secret-7"), "{error:?}");
        }
    }
}
