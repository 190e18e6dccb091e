//! The output format of `--template`.

use broker_core::sanitize;
use earthbroker::{Error, Result, Token};

use super::{TokenInfo, json};

/// Returns the value of a field. A field without a value is empty text.
pub(super) type Field = fn(&Token, &TokenInfo<'_>) -> String;

const FIELDS: [(&str, Field); 6] = [
    ("{token}", |token, _| token.secret().expose().to_owned()),
    ("{token_type}", |token, _| token.token_type().to_owned()),
    ("{scope}", |token, info| sanitize(json::scope(token, info).unwrap_or_default())),
    ("{expires_at}", |token, _| token.expires_at().map(json::rfc3339).unwrap_or_default()),
    ("{expires_in}", |token, _| json::expires_in(token).map(|left| left.to_string()).unwrap_or_default()),
    ("{provider}", |_, info| info.provider.name().to_owned()),
];

/// Replaces each placeholder of a template by the value of its field. `{{` and `}}` are literal braces.
pub(super) fn fill(template: &str, value: impl Fn(Field) -> String) -> Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        if from.starts_with("{{") || from.starts_with("}}") {
            filled.push_str(&from[..1]);
            rest = &from[2..];
        } else {
            let field = FIELDS.into_iter().find(|(name, _)| from.starts_with(name));
            let (name, field) = field.ok_or_else(|| unknown_placeholder(from))?;
            filled.push_str(&value(field));
            rest = &from[name.len()..];
        }
    }
    Ok(filled + rest + "\n")
}

fn unknown_placeholder(from: &str) -> Error {
    let known = FIELDS.map(|(name, _)| name).join(", ");
    let shown = from.split_inclusive('}').next().unwrap_or(from);
    Error::usage(format!("--template: unknown placeholder `{}`", sanitize(shown)))
        .with_hint(format!("use {known}, and for literal braces {{{{ and }}}}"))
}
