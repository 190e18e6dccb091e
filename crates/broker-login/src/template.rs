//! Texts with placeholders, such as `{username}`, `{secrets.NAME}` or `{expires:MM/DD/YYYY}`. `{{` is a literal
//! brace.

use std::collections::BTreeMap;

use broker_core::{Error, Pattern, Result, Secret, SettingsError};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
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

impl Placeholder {
    fn parse(text: &str) -> Result<Self, String> {
        let after = |prefix| text.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        Ok(match text {
            "username" => Self::Username,
            "password" => Self::Password,
            "refresh_token" => Self::RefreshToken,
            "token" => Self::Token,
            "scope" => Self::Scope,
            "name" => Self::Name,
            _ => match (after("expires:"), after("secrets.")) {
                (Some(pattern), _) => Self::Expires(Pattern::parse(pattern)?),
                (_, Some(name)) => Self::Secret(name.to_owned()),
                _ => {
                    return Err(format!(
                        "unknown placeholder {{{text}}}: use {{username}}, {{password}}, \
                         {{refresh_token}}, {{token}}, {{scope}}, {{name}}, {{expires:MM/DD/YYYY}} or \
                         {{secrets.NAME}}, and for literal braces {{{{ and }}}}"
                    ));
                }
            },
        })
    }

    /// Returns the placeholder as the configuration contains it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Username => "{username}".to_owned(),
            Self::Password => "{password}".to_owned(),
            Self::RefreshToken => "{refresh_token}".to_owned(),
            Self::Token => "{token}".to_owned(),
            Self::Scope => "{scope}".to_owned(),
            Self::Name => "{name}".to_owned(),
            Self::Expires(pattern) => format!("{{expires:{pattern}}}"),
            Self::Secret(name) => format!("{{secrets.{name}}}"),
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Self::Password | Self::RefreshToken | Self::Token | Self::Secret(_))
    }
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Placeholder(Placeholder),
}

/// A text with placeholders. Inserted values are not expanded again.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Piece>);

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
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Placeholder(Placeholder::parse(name)?));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    pub(crate) fn literal(text: String) -> Self {
        Self(vec![Piece::Text(text)])
    }

    /// Returns the text as configured, but with single braces instead of doubled ones.
    pub(crate) fn source(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Placeholder(placeholder) => placeholder.text(),
        };
        self.0.iter().map(piece).collect()
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Placeholder(placeholder) => Some(placeholder),
            Piece::Text(_) => None,
        })
    }

    /// Replaces each placeholder by the result of `replace`.
    pub(crate) fn map(
        &self,
        replace: impl Fn(&Placeholder) -> Result<Zeroizing<String>>,
    ) -> Result<Zeroizing<String>> {
        self.0.iter().try_fold(Zeroizing::new(String::new()), |mut text, piece| {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Placeholder(placeholder) => text.push_str(&replace(placeholder)?),
            }
            Ok(text)
        })
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
        zeroize(&mut self.0);
    }
}

fn zeroize(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(zeroize),
        Value::Object(table) => table.values_mut().for_each(zeroize),
        _ => {}
    }
}

/// A JSON body whose texts contain placeholders.
pub(crate) enum Node {
    Text(Template),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    Other(Value),
}

impl Node {
    pub(crate) fn of(value: Value, key: &str) -> Result<Self, SettingsError> {
        Ok(match value {
            Value::String(text) => {
                let error = |message: String| SettingsError::new(key, message);
                Self::Text(Template::parse(&text).map_err(error)?)
            }
            Value::Array(list) => {
                Self::List(list.into_iter().map(|value| Self::of(value, key)).collect::<Result<_, _>>()?)
            }
            Value::Object(table) => {
                let entry = |(name, value)| {
                    let node = Self::of(value, &format!("{key}.{name}"))?;
                    Ok((name, node))
                };
                Self::Table(table.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
            other => Self::Other(other),
        })
    }

    /// Collects each placeholder with the configuration key that contains the placeholder.
    pub(crate) fn placeholders<'a>(&'a self, key: &str, all: &mut Vec<(String, &'a Placeholder)>) {
        match self {
            Self::Text(text) => all.extend(text.placeholders().map(|it| (key.to_owned(), it))),
            Self::List(list) => list.iter().for_each(|node| node.placeholders(key, all)),
            Self::Table(table) => {
                for (name, node) in table {
                    node.placeholders(&format!("{key}.{name}"), all);
                }
            }
            Self::Other(_) => {}
        }
    }

    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<Value> {
        Ok(match self {
            Self::Text(text) => Value::String(std::mem::take(&mut *text.fill(values)?)),
            Self::List(list) => list.iter().map(|node| node.fill(values)).collect::<Result<_>>()?,
            Self::Table(table) => {
                let entry = |(name, node): &(String, Self)| Ok((name.clone(), node.fill(values)?));
                Value::Object(table.iter().map(entry).collect::<Result<Map<_, _>>>()?)
            }
            Self::Other(value) => value.clone(),
        })
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
