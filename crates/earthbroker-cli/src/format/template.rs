//! The output format of `--template`.

use broker_core::sanitize;
use earthbroker::{Error, Result, Token};

use super::{TokenInfo, json};

/// Text with placeholders for the fields of a token.
#[derive(Default)]
pub(super) struct Template<'a>(Vec<Piece<'a>>);

enum Piece<'a> {
    Text(&'a str),
    Field(Field),
}

/// Returns the value of a field. A field without a value is empty text.
type Field = fn(&Token, &TokenInfo<'_>) -> String;

const FIELDS: [(&str, Field); 6] = [
    ("{token}", |token, _| token.secret().expose().to_owned()),
    ("{token_type}", |token, _| token.token_type().to_owned()),
    ("{scope}", |token, info| sanitize(json::scope(token, info).unwrap_or_default())),
    ("{expires_at}", |token, _| token.expires_at().map(json::rfc3339).unwrap_or_default()),
    ("{expires_in}", |token, _| json::expires_in(token).map(|left| left.to_string()).unwrap_or_default()),
    ("{provider}", |_, info| info.provider.to_owned()),
];

impl<'a> Template<'a> {
    /// Parses a template. `{{` and `}}` are literal braces.
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            pieces.push(Piece::Text(before));
            if from.starts_with("{{") || from.starts_with("}}") {
                pieces.push(Piece::Text(&from[..1]));
                rest = &from[2..];
            } else {
                let field = FIELDS.into_iter().find(|(name, _)| from.starts_with(name));
                let (name, field) = field.ok_or_else(|| unknown(from))?;
                pieces.push(Piece::Field(field));
                rest = &from[name.len()..];
            }
        }
        pieces.push(Piece::Text(rest));
        Ok(Self(pieces))
    }

    /// Replaces each field of the template by its value.
    pub(super) fn fill(&self, token: &Token, info: &TokenInfo<'_>) -> String {
        let text = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Field(value) => value(token, info),
        };
        self.0.iter().map(text).collect::<String>() + "\n"
    }
}

fn unknown(from: &str) -> Error {
    let known = FIELDS.map(|(name, _)| name).join(", ");
    let shown = from.split_inclusive('}').next().unwrap_or(from);
    Error::usage(format!("--template: unknown placeholder `{}`", sanitize(shown)))
        .with_hint(format!("use {known}, and for literal braces {{{{ and }}}}"))
}
