//! The login file `~/.earthscope/PROFILE/tokens.json`, which EarthScope's SDK and command `es` also read and write.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use broker_core::{
    Claims, FileLogin, InvalidLoginFile, Issuer, LoginFile, Secret, ServiceUrl, Token, is_utf16, later,
    text_in,
};
use broker_oauth2::account;
use chrono::TimeDelta;
use serde::Serializer;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// How long before expiry `es` refreshes a token. The SDK refreshes in the last minute.
pub(crate) const TOOLS_RENEW_AT: TimeDelta = TimeDelta::seconds(600);

const KEYS: [&str; 3] = ["access_token", "id_token", "refresh_token"];

/// The login file of one EarthScope profile, shared with EarthScope's SDK and `es`.
pub(crate) struct TokensFile {
    pub(crate) path: PathBuf,
    /// The issuer in the provider's settings.
    pub(crate) issuer: Issuer,
    pub(crate) domain: ServiceUrl,
    /// As in `EarthScope`. If false, the broker ignores new tokens without an issuer.
    pub(crate) domain_is_own: bool,
}

impl LoginFile for TokensFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, bytes: &[u8]) -> Result<FileLogin, InvalidLoginFile> {
        if is_utf16(bytes) {
            return Err(InvalidLoginFile::Other("is UTF-16 text: save it as UTF-8".to_owned()));
        }
        let object = object(bytes).ok_or(InvalidLoginFile::Torn)?;
        let secret = |key| text_in(&object, key).map(Secret::new);
        let [access, id_token, refresh_token] = KEYS.map(secret);
        if access.is_none() && refresh_token.is_none() {
            return Ok(FileLogin::default());
        }
        let claims = access.as_ref().and_then(Claims::read);
        let (of_another, unproven) = self.issuer_of(claims.as_ref());
        let account = access.as_ref().and_then(|access| account(access, id_token.as_ref()));
        let access_token = access.zip(claims).and_then(|(access, claims)| {
            // An access token without an expiry is ignored, because the token may have expired.
            let expires_at = claims.expires_at()?;
            let issued_at = claims.issued_at().unwrap_or_else(|| later(expires_at, -crate::DEFAULT_LIFETIME));
            Some(Token::new(access, issued_at, Some(expires_at)).ahead_of(TOOLS_RENEW_AT))
        });
        Ok(FileLogin { refresh_token, access_token, id_token, account, unproven, of_another })
    }

    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>> {
        let access = login.access_token.as_ref().map(Token::secret).filter(|token| sdk_reads(token));
        if access.is_none() && login.refresh_token.is_none() {
            return None;
        }
        let login = [access, login.id_token.as_ref(), login.refresh_token.as_ref()];
        let known =
            |(key, secret): (&str, Option<&Secret>)| Some((key.to_owned(), Value::from(secret?.expose())));
        let entries = KEYS.into_iter().zip(login).filter_map(known);
        Some(pretty(entries.chain(before.into_iter().flat_map(other_entries))))
    }

    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut rest = other_entries(before).peekable();
        rest.peek().is_some().then(|| pretty(rest))
    }
}

impl TokensFile {
    /// Checks the client, audience and issuer of the file's access token (RFC 9700 section 4.4). Returns whether the login
    /// is of another issuer, and why the configured issuer may not have issued the login. A server may name another issuer
    /// than its domain, so the broker's own login may look like another server's.
    fn issuer_of(&self, claims: Option<&Claims>) -> (bool, Option<String>) {
        let (domain, is_own) = (self.domain.as_str(), self.domain_is_own);
        let unknown = || {
            format!(
                "is a login file with a token without an issuer, and `domain` of this provider is not set in the configuration ({domain})"
            )
        };
        let unknown = (false, (!is_own).then(unknown));
        let Some(claims) = claims else { return unknown };
        let client = ["client_id", "azp"].into_iter().find_map(|name| claims.text(name));
        if let (Some(theirs), Some(ours)) = (client, &self.issuer.client_id)
            && theirs != ours
        {
            let theirs = broker_core::sanitize(theirs);
            let why = format!("is a login file of client {theirs}, but the configured client is {ours}");
            return (true, Some(why));
        }
        let ours = self.issuer.audience.as_deref().unwrap_or_default().trim_end_matches('/');
        let audiences: Vec<_> = claims.texts("aud").map(|audience| audience.trim_end_matches('/')).collect();
        if !audiences.is_empty() && !audiences.contains(&ours) {
            let why = format!("is a login file whose access token lacks the configured audience {ours}");
            return (true, Some(why));
        }
        match claims.text("iss").map(ServiceUrl::parse) {
            Some(Ok(issuer)) if issuer.host() == self.domain.host() => (false, None),
            // With a test server on this machine, the login file may still contain a login of the real service.
            Some(Ok(issuer)) if self.domain.is_loopback() && is_own && !issuer.is_loopback() => (true, None),
            Some(Ok(issuer)) => {
                let theirs = issuer.as_str();
                let why =
                    format!("is a login file of server {theirs}, but the configured domain is {domain}");
                (true, Some(why))
            }
            Some(Err(_)) | None => unknown,
        }
    }
}

/// Whether EarthScope's SDK can read the access token. An unreadable token makes every command of the SDK fail.
fn sdk_reads(token: &Secret) -> bool {
    let mut parts = token.expose().splitn(3, '.');
    let (Some(_), Some(payload), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return false };
    // EarthScope's SDK uses the standard base64 alphabet, not the URL-safe alphabet.
    let Ok(bytes) = STANDARD_PAD_INDIFFERENT.decode(payload) else { return false };
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(&bytes) else { return false };
    let is_text = |name: &&str| claims.get(*name).is_some_and(Value::is_string);
    let is_time = |name: &&str| claims.get(*name).is_some_and(Value::is_number);
    let is_list = |list: &Vec<Value>| list.iter().all(Value::is_string);
    let is_absent_or_null = |name: &&str| claims.get(*name).is_none_or(Value::is_null);
    (is_text(&"aud") || claims.get("aud").and_then(Value::as_array).is_some_and(is_list))
        && ["iss", "sub"].iter().all(is_text)
        && ["client_id", "azp"].iter().any(is_text)
        && ["iat", "exp"].iter().all(is_time)
        && claims.get("scope").is_none_or(Value::is_string)
        && ["gty", "jti"].iter().all(|name| is_text(name) || is_absent_or_null(name))
}

/// Parses the login file, which may begin with a byte order mark.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)).ok()
}

/// Returns the entries of the login file that are not part of the login. The broker keeps these entries.
fn other_entries(before: &[u8]) -> impl Iterator<Item = (String, Value)> + use<> {
    object(before).unwrap_or_default().into_iter().filter(|(key, _)| !KEYS.contains(&key.as_str()))
}

/// Formats a JSON object as EarthScope's SDK does: indent of 2 spaces, no final newline, unchanged key order.
fn pretty(entries: impl IntoIterator<Item = (String, Value)>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    // The serialization cannot fail, because the keys are strings and the writer is in memory.
    let _ = serde_json::Serializer::pretty(&mut *bytes).collect_map(entries);
    bytes
}
