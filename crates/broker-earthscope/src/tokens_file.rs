//! `~/.earthscope/PROFILE/tokens.json`, which EarthScope's SDK and `es` read and write too.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use broker_core::{Claims, FileLogin, InvalidLoginFile, Issuer, LoginFile, Secret, ServiceUrl, Token};
use broker_oauth2::account;
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// As the SDK decodes the payload of a token: the standard alphabet, for what is written in the other.
const AS_THE_SDK: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `es` renews when less is left, the SDK when less than a minute is.
pub(crate) const RENEWED_BY_TOOLS: TimeDelta = TimeDelta::seconds(600);

/// The keys that are a login's.
const KEYS: [&str; 3] = ["access_token", "id_token", "refresh_token"];

/// Who gave a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Giver {
    /// Who the configuration says.
    Issuer,
    /// Another, for which that one stands in.
    Another,
    /// The token does not tell.
    Untold,
}

/// The file of a profile.
pub(crate) struct TokensFile {
    pub(crate) path: PathBuf,
    /// Who the configuration says gives the tokens.
    pub(crate) issuer: Issuer,
    pub(crate) domain: ServiceUrl,
    /// Whether the domain is the person's own choice for this provider, or EarthScope's: a login that does not tell who
    /// gave it goes to no other.
    pub(crate) domain_is_own: bool,
}

impl LoginFile for TokensFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, bytes: &[u8]) -> Result<FileLogin, InvalidLoginFile> {
        let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| InvalidLoginFile::Torn)?;
        let secret = |key: &str| object.get(key)?.as_str().filter(|text| !text.is_empty()).map(Secret::new);
        let [access, id_token, refresh_token] = KEYS.map(secret);
        if access.is_none() && refresh_token.is_none() {
            return Ok(FileLogin::default());
        }
        let claims = access.as_ref().and_then(Claims::read);
        let giver = self.giver(claims.as_ref()).map_err(InvalidLoginFile::Other)?;
        let account = access.as_ref().and_then(|access| account(access, id_token.as_ref()));
        let access_token = access.zip(claims).and_then(|(access, claims)| {
            // Without an end there is no telling whether it still serves.
            let expires_at = claims.expires_at()?;
            let issued_at = claims.issued_at().unwrap_or(expires_at - crate::DEFAULT_LIFE);
            Some(Token::new(access, issued_at, Some(expires_at)).ahead_of(RENEWED_BY_TOOLS))
        });
        let of_another = giver == Giver::Another;
        let unproven = (giver == Giver::Untold && !self.domain_is_own).then(|| {
            let domain = self.domain.as_str();
            format!("does not tell who gave its login, and {domain} is not set for this provider itself")
        });
        Ok(FileLogin { refresh_token, access_token, id_token, account, unproven, of_another })
    }

    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>> {
        let access = login.access_token.as_ref().map(Token::secret).filter(|token| sdk_reads(token));
        if access.is_none() && login.refresh_token.is_none() {
            return None;
        }
        let ours = [access, login.id_token.as_ref(), login.refresh_token.as_ref()];
        let known =
            |(key, secret): (&str, Option<&Secret>)| Some((key.to_owned(), Value::from(secret?.expose())));
        let ours = KEYS.into_iter().zip(ours).filter_map(known);
        Some(pretty(&ours.chain(before.into_iter().flat_map(others)).collect()))
    }

    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let rest: Ordered = others(before).collect();
        (!rest.0.is_empty()).then(|| pretty(&rest))
    }
}

impl TokensFile {
    /// A login goes only to who gave it (RFC 9700 section 4.4), as far as its token tells.
    fn giver(&self, claims: Option<&Claims>) -> Result<Giver, String> {
        let Some(claims) = claims else { return Ok(Giver::Untold) };
        let client = ["client_id", "azp"].into_iter().find_map(|name| claims.text(name));
        if let (Some(theirs), Some(ours)) = (client, &self.issuer.client_id)
            && theirs != ours
        {
            let theirs = broker_core::sanitize(theirs);
            return Err(format!("has the login of another client ({theirs}), ours is {ours}"));
        }
        let ours = self.issuer.audience.as_deref().unwrap_or_default().trim_end_matches('/');
        let audiences: Vec<_> = claims.texts("aud").map(|audience| audience.trim_end_matches('/')).collect();
        if !audiences.is_empty() && !audiences.contains(&ours) {
            return Err(format!("has a token for another audience, ours is {ours}"));
        }
        match claims.text("iss").map(ServiceUrl::parse) {
            Some(Ok(issuer)) if issuer.host() == self.domain.host() => Ok(Giver::Issuer),
            // What runs on this machine may stand in for another.
            Some(Ok(issuer)) if self.domain.is_loopback() && self.domain_is_own && !issuer.is_loopback() => {
                Ok(Giver::Another)
            }
            Some(Ok(issuer)) => {
                let (theirs, ours) = (issuer.as_str(), self.domain.as_str());
                Err(format!("has a login that {theirs} gave, and the configuration names {ours}"))
            }
            Some(Err(_)) | None => Ok(Giver::Untold),
        }
    }
}

/// Whether the SDK can read this token: another in its file makes every command of its tools break.
fn sdk_reads(token: &Secret) -> bool {
    let mut parts = token.expose().splitn(3, '.');
    let (Some(_), Some(payload), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(bytes) = AS_THE_SDK.decode(payload) else { return false };
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(&bytes) else { return false };
    let is_text = |name: &str| claims.get(name).is_some_and(Value::is_string);
    let is_time = |name: &str| claims.get(name).is_some_and(Value::is_number);
    let audience = match claims.get("aud") {
        Some(Value::String(_)) => true,
        Some(Value::Array(all)) => all.iter().all(Value::is_string),
        _ => false,
    };
    // These may be missing, and some null.
    let optional =
        |name: &str, null: bool| claims.get(name).is_none_or(|it| it.is_string() || (null && it.is_null()));
    audience
        && is_text("iss")
        && is_text("sub")
        && (is_text("client_id") || is_text("azp"))
        && is_time("iat")
        && is_time("exp")
        && optional("scope", false)
        && optional("gty", true)
        && optional("jti", true)
}

/// What else is in the file.
fn others(before: &[u8]) -> impl Iterator<Item = (String, Value)> + use<> {
    let object: Map<String, Value> = serde_json::from_slice(before).unwrap_or_default();
    object.into_iter().filter(|(key, _)| !KEYS.contains(&key.as_str()))
}

/// An object whose keys stay in their order.
struct Ordered(Vec<(String, Value)>);

impl FromIterator<(String, Value)> for Ordered {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// As the SDK writes it: indented by 2, without a line end at the end.
fn pretty(object: &Ordered) -> Zeroizing<Vec<u8>> {
    // Text and JSON values only: this cannot fail.
    Zeroizing::new(serde_json::to_vec_pretty(object).unwrap_or_default())
}
