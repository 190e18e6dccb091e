//! Fingerprints of the tables `[login]`, `[refresh]` and `[mint]`. A change of a table invalidates stored tokens.

use broker_core::{Secret, Settings, SettingsError, Token, fingerprint};
use serde_json::{Map, Value};

/// The key in [`Token::details`] that stores the fingerprint of the configuration tables.
const FINGERPRINT: &str = "tables";

/// The configuration keys that do not change which token the service returns.
const IGNORED: [&str; 4] = ["account", "error", "error_final", "refused"];

/// The fingerprints of configuration tables: `login` covers `[login]` and `[refresh]`, `mint` also covers `[mint]`.
pub(crate) struct TableFingerprints {
    login: String,
    mint: String,
}

impl TableFingerprints {
    /// Computes the fingerprints. If `is_first` is set, callers get only minted tokens, never the login's token.
    pub(crate) fn of(settings: &Settings<'_>, is_first: bool) -> Result<Self, SettingsError> {
        let tables: Value = settings.parse()?;
        let of_tables = |keys: &[&str]| {
            let table = |key: &&str| {
                let mut table = tables.get(*key).cloned().unwrap_or_default();
                if let Some(table) = table.as_object_mut() {
                    table.retain(|key, _| !IGNORED.contains(&key.as_str()));
                }
                table.to_string()
            };
            // Only 16 bits, so that a fingerprint cannot confirm a guess of a password in the configuration.
            fingerprint(settings.name(), &Secret::new(keys.iter().map(table).collect::<String>()), 16)
        };
        let suffix = if is_first { "-first" } else { "" };
        let login = format!("{}{suffix}", of_tables(&["login", "refresh"]));
        Ok(Self { login, mint: of_tables(&["login", "refresh", "mint"]) })
    }

    /// Stores `details` and the fingerprint of the current configuration tables in the token.
    pub(crate) fn add_to(&self, token: Token, mut details: Map<String, Value>, is_minted: bool) -> Token {
        let fingerprint = if is_minted { &self.mint } else { &self.login };
        details.insert(FINGERPRINT.to_owned(), Value::from(fingerprint.as_str()));
        token.with_details(details)
    }

    /// Whether the configuration tables are unchanged since the token was issued.
    pub(crate) fn accept(&self, token: &Token) -> bool {
        let fingerprint = token.details().and_then(|details| details.get(FINGERPRINT)?.as_str());
        fingerprint.is_none_or(|value| value == self.login || value == self.mint)
    }
}
