//! Formats in JSON.

use broker::{Error, Header, Result, Secret, Token};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{About, header};

/// The promised object; a field more is no break, one less is.
#[derive(Serialize)]
struct Json<'a> {
    version: u8,
    provider: &'a str,
    token: &'a str,
    token_type: &'a str,
    scope: Option<&'a str>,
    expires_at: Option<String>,
    expires_in: Option<u64>,
    /// Only where it is another than usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<SentIn<'a>>,
}

/// The header that the token goes into, and what stands before it there.
#[derive(Serialize)]
struct SentIn<'a> {
    name: &'a str,
    prefix: &'a str,
}

/// As programs read it that know the broker.
pub(super) fn object(token: &Token, about: &About<'_>) -> Result<String> {
    line(&Json {
        version: 1,
        provider: about.provider,
        token: token.secret().expose(),
        token_type: token.token_type(),
        scope: scope(token, about),
        expires_at: token.expires_at().map(rfc3339),
        expires_in: expires_in(token, about),
        header: (*about.header != Header::default())
            .then(|| SentIn { name: &about.header.name, prefix: about.header.prefix_of(token) }),
    })
}

/// What the service says the token has, else what was asked for.
pub(super) fn scope<'a>(token: &'a Token, about: &About<'a>) -> Option<&'a str> {
    token.scope().or(Some(about.asked).filter(|asked| !asked.is_empty()))
}

/// The seconds that are left.
pub(super) fn expires_in(token: &Token, about: &About<'_>) -> Option<u64> {
    token.window().left(about.now).map(|left| left.as_secs())
}

/// As kubectl has it from an exec plugin, in a version.
pub(crate) fn exec_credential(token: &Token, sent_in: &Header, api_version: &str) -> Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ExecCredential<'a> {
        api_version: &'a str,
        kind: &'static str,
        status: Status<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Status<'a> {
        token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_timestamp: Option<String>,
    }
    line(&ExecCredential {
        api_version,
        kind: "ExecCredential",
        status: Status {
            token: header::bearer(token, sent_in)?,
            expiration_timestamp: token.expires_at().map(rfc3339),
        },
    })
}

/// Keys for Amazon's services, as a token of that type holds them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    #[serde(serialize_with = "exposed")]
    access_key_id: Secret,
    #[serde(serialize_with = "exposed")]
    secret_access_key: Secret,
    #[serde(serialize_with = "exposed")]
    session_token: Secret,
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

impl Keys {
    /// Those in the token.
    pub(super) fn of(token: &Token) -> Result<Self> {
        // The parser's error would show what it met.
        serde_json::from_str(token.secret().expose())
            .ok()
            .filter(|keys: &Self| {
                let all = [&keys.access_key_id, &keys.secret_access_key, &keys.session_token];
                all.iter().all(|key| !key.expose().is_empty() && !key.expose().contains(char::is_control))
            })
            .ok_or_else(|| Error::failed("what the service gave holds no AWS keys"))
    }

    /// The environment variables of Amazon's tools and of GDAL.
    pub(super) fn variables(self) -> Vec<(&'static str, Secret)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key),
            ("AWS_SESSION_TOKEN", self.session_token),
        ]
    }
}

/// As Amazon's tools have it from a `credential_process`.
pub(crate) fn aws(token: &Token) -> Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Process {
        version: u8,
        #[serde(flatten)]
        keys: Keys,
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration: Option<String>,
    }
    line(&Process { version: 1, keys: Keys::of(token)?, expiration: token.expires_at().map(rfc3339) })
}

/// Providers, and the store that was looked into, as one line of JSON.
pub(crate) fn json_of_providers(providers: Vec<Value>, store: Option<Value>) -> Result<String> {
    #[derive(Serialize)]
    struct Answer {
        version: u8,
        providers: Vec<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        store: Option<Value>,
    }
    line(&Answer { version: 1, providers, store })
}

pub(crate) fn line(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n")
        .map_err(|error| Error::failed("it cannot be written as JSON").with_source(error))
}

/// A time as JSON has it here: `2026-11-22T12:00:00Z`.
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
    fn keys_are_what_a_credential_process_prints_and_variables() {
        let token = token(r#"{"AccessKeyId":"AK","SecretAccessKey":"s/\"k","SessionToken":"t","other":1}"#);
        let keys = r#""AccessKeyId":"AK","SecretAccessKey":"s/\"k","SessionToken":"t""#;
        let printed = aws(&token).expect("keys");
        assert_eq!(printed, format!("{{\"Version\":1,{keys},\"Expiration\":\"2096-10-02T07:06:40Z\"}}\n"));
        let variables = Keys::of(&token).expect("keys").variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.expose())).collect();
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        assert_eq!(variables, names.into_iter().zip(["AK", "s/\"k", "t"]).collect::<Vec<_>>());
    }

    #[test]
    fn half_keys_are_none_and_are_not_shown() {
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
