//! Marks of the tables that tokens were had with: a corrected one must not go on serving what the wrong one gave.

use broker_core::{Secret, Settings, SettingsError, Token, fingerprint};
use serde_json::{Map, Value};

/// What a token's record has the mark in.
const NOTE: &str = "tables";

/// Keys that change nothing of what is given.
const INDIFFERENT: [&str; 4] = ["account", "error", "error_final", "refused"];

/// The marks of this configuration's tables.
pub(crate) struct Marks {
    login: String,
    mint: String,
}

impl Marks {
    /// `first`: whether the login's token is only the first of two.
    pub(crate) fn of(settings: &Settings<'_>, first: bool) -> Result<Self, SettingsError> {
        let tables: Value = settings.parse()?;
        let written = |keys: &[&str]| {
            let table = |key: &&str| {
                let mut table = tables.get(*key).cloned().unwrap_or_default();
                if let Some(table) = table.as_object_mut() {
                    table.retain(|key, _| !INDIFFERENT.contains(&key.as_str()));
                }
                table.to_string()
            };
            // Few bits: there may be a password in a table.
            fingerprint(settings.name(), &Secret::new(keys.iter().map(table).collect::<String>()), 16)
        };
        let login = format!("{}{}", written(&["login", "refresh"]), if first { "-first" } else { "" });
        Ok(Self { login, mint: written(&["login", "refresh", "mint"]) })
    }

    /// The token with these details and its mark.
    pub(crate) fn noted(&self, token: Token, mut details: Map<String, Value>, minted: bool) -> Token {
        let mark = if minted { &self.mint } else { &self.login };
        details.insert(NOTE.to_owned(), Value::from(mark.as_str()));
        token.with_details(details)
    }

    /// Whether a token is of these tables.
    pub(crate) fn accept(&self, token: &Token) -> bool {
        let noted = token.details().and_then(|details| details.get(NOTE)?.as_str());
        noted.is_none_or(|mark| mark == self.login || mark == self.mint)
    }
}
