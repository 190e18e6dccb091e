//! Texts with placeholders, such as `{username}`, `{secrets.NAME}` or `{expires:MM/DD/YYYY}`. `{{` is a literal
//! brace.

use std::collections::BTreeMap;

use broker_core::{Error, Pattern, Result, Secret};
use chrono::{DateTime, Utc};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

/// A placeholder in a configured text, such as `{username}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placeholder {
    Username,
    Password,
    RefreshToken,
    Token,
    Scope,
    Name,
    Expires(Pattern),
    /// The secret of this name in the table `secrets`.
    Secret(String),
}

/// The placeholders without an argument.
const PLAIN: [(&str, Placeholder); 6] = [
    ("username", Placeholder::Username),
    ("password", Placeholder::Password),
    ("refresh_token", Placeholder::RefreshToken),
    ("token", Placeholder::Token),
    ("scope", Placeholder::Scope),
    ("name", Placeholder::Name),
];

impl Placeholder {
    fn parse(text: &str) -> Result<Self, String> {
        let after = |prefix| text.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        if let Some((_, plain)) = PLAIN.into_iter().find(|(name, _)| *name == text) {
            Ok(plain)
        } else if let Some(pattern) = after("expires:") {
            Pattern::parse(pattern).map(Self::Expires)
        } else if let Some(name) = after("secrets.") {
            Ok(Self::Secret(name.to_owned()))
        } else {
            Err(format!(
                "unknown placeholder {{{text}}}: use {{username}}, {{password}}, {{refresh_token}}, {{token}}, \
                 {{scope}}, {{name}}, {{expires:MM/DD/YYYY}} or {{secrets.NAME}}, and for literal braces {{{{ and }}}}"
            ))
        }
    }

    /// Returns the placeholder as the configuration contains it.
    pub(crate) fn text(&self) -> String {
        match (self, PLAIN.into_iter().find(|(_, plain)| plain == self)) {
            (Self::Expires(pattern), _) => format!("{{expires:{pattern}}}"),
            (Self::Secret(name), _) => format!("{{secrets.{name}}}"),
            (_, plain) => format!("{{{}}}", plain.map_or("", |(name, _)| name)),
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Self::Password | Self::RefreshToken | Self::Token | Self::Secret(_))
    }
}

/// A text with placeholders: plain texts, each with the placeholder after it. Inserted values are not expanded again.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<(String, Option<Placeholder>)>);

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain.push_str(&brace[..1]);
                rest = after;
                continue;
            }
            let inside = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let Some((name, after)) = inside else {
                return Err("unmatched brace: write {{ or }} for a literal brace".to_owned());
            };
            pieces.push((std::mem::take(&mut plain), Some(Placeholder::parse(name)?)));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push((plain, None));
        Ok(Self(pieces))
    }

    /// Returns the text as configured, but with single braces instead of doubled ones.
    pub(crate) fn source(&self) -> String {
        let text = |it: &Option<Placeholder>| it.as_ref().map(Placeholder::text).unwrap_or_default();
        self.0.iter().flat_map(|(plain, placeholder)| [plain.clone(), text(placeholder)]).collect()
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|(_, placeholder)| placeholder.as_ref())
    }

    /// Replaces each placeholder by the result of `replace`.
    pub(crate) fn map(
        &self,
        replace: impl Fn(&Placeholder) -> Result<Zeroizing<String>>,
    ) -> Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::new());
        for (plain, placeholder) in &self.0 {
            text.push_str(plain);
            if let Some(placeholder) = placeholder {
                text.push_str(&replace(placeholder)?);
            }
        }
        Ok(text)
    }

    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<Zeroizing<String>> {
        self.map(|placeholder| values.get(placeholder))
    }
}

#[derive(Default)]
pub(crate) struct Values<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a Secret>,
    pub(crate) refresh_token: Option<&'a Secret>,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) scope: &'a str,
    pub(crate) name: &'a str,
    pub(crate) expires: Option<DateTime<Utc>>,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

impl Values<'_> {
    pub(crate) fn get(&self, placeholder: &Placeholder) -> Result<Zeroizing<String>> {
        let secret = |secret: Option<&Secret>| secret.map(|secret| secret.expose().to_owned());
        let value = match placeholder {
            Placeholder::Username => self.username.map(str::to_owned),
            Placeholder::Password => secret(self.password),
            Placeholder::RefreshToken => secret(self.refresh_token),
            Placeholder::Token => secret(self.token),
            Placeholder::Scope => Some(self.scope.to_owned()),
            Placeholder::Name => Some(self.name.to_owned()),
            Placeholder::Expires(pattern) => self.expires.map(|at| pattern.write(at)),
            Placeholder::Secret(name) => secret(self.secrets.get(name)),
        };
        value
            .map(Zeroizing::new)
            .ok_or_else(|| Error::login_required(format!("no value for placeholder {}", placeholder.text())))
    }

    /// Returns the inserted secrets, which errors must redact because a response may repeat them.
    pub(crate) fn secrets(&self) -> Vec<&Secret> {
        let usual = [self.password, self.refresh_token, self.token].into_iter().flatten();
        usual.chain(self.secrets.values()).collect()
    }
}

/// A JSON body that contains secrets, which are zeroized when dropped.
pub(crate) struct ZeroizingJson(pub(crate) Value);

impl Drop for ZeroizingJson {
    fn drop(&mut self) {
        for (_, text) in texts_in(&mut self.0, "") {
            text.zeroize();
        }
    }
}

/// Returns all texts in a JSON value, always in the same order, each with its configuration key. `key` is the key of the
/// value.
pub(crate) fn texts_in<'a>(value: &'a mut Value, key: &str) -> Vec<(String, &'a mut String)> {
    match value {
        Value::String(text) => vec![(key.to_owned(), text)],
        Value::Array(list) => list.iter_mut().flat_map(|value| texts_in(value, key)).collect(),
        Value::Object(table) => {
            table.iter_mut().flat_map(|(name, value)| texts_in(value, &format!("{key}.{name}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let password = Secret::new("{token}}\"\n&{");
        let values = Values { username: Some("{password}"), password: Some(&password), ..Values::default() };
        Template::parse(text).unwrap().fill(&values).unwrap().to_string()
    }

    #[test]
    fn placeholders_in_values_are_not_expanded() {
        assert_eq!(filled("a{username}b{password}c"), "a{password}b{token}}\"\n&{c");
        assert_eq!(filled("{{username}} {{}} {{{username}}}"), "{username} {} {{password}}");
        assert_eq!(filled("é{{é"), "é{é");
    }

    #[test]
    fn template_with_invalid_placeholder_is_rejected() {
        for text in ["{", "}", "{usrname}", "a}b", "{}", "{secrets.}", "{expires:nothing}", "{user name"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
