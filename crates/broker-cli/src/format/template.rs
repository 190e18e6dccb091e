//! The output format of `--template`.

use broker::{Error, Result, Token, sanitize};

use super::{TokenInfo, json};

/// Text with placeholders for the fields of a token.
#[derive(Debug, Default)]
pub(super) struct Template<'a>(Vec<Piece<'a>>);

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    /// A placeholder from the list [`FIELDS`], such as `{token}`.
    Field(&'static str),
}

const FIELDS: [&str; 6] =
    ["{token}", "{token_type}", "{scope}", "{expires_at}", "{expires_in}", "{provider}"];

impl<'a> Template<'a> {
    /// Parses a template. `{{` and `}}` are literal braces.
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            pieces.push(Piece::Text(before));
            let (piece, length) = if from.starts_with("{{") || from.starts_with("}}") {
                (Piece::Text(&from[..1]), 2)
            } else {
                let field = FIELDS.into_iter().find(|field| from.starts_with(field));
                let field = field.ok_or_else(|| unknown(from))?;
                (Piece::Field(field), field.len())
            };
            pieces.push(piece);
            rest = &from[length..];
        }
        pieces.push(Piece::Text(rest));
        Ok(Self(pieces))
    }

    /// Replaces each field of the template by its value. A field without a value becomes empty text.
    pub(super) fn fill(&self, token: &Token, info: &TokenInfo<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text += piece,
                Piece::Field("{token}") => text += token.secret().expose(),
                Piece::Field("{token_type}") => text += token.token_type(),
                Piece::Field("{scope}") => text += &sanitize(json::scope(token, info).unwrap_or_default()),
                Piece::Field("{expires_at}") => {
                    text += &token.expires_at().map(json::rfc3339).unwrap_or_default();
                }
                Piece::Field("{expires_in}") => {
                    text += &json::expires_in(token, info).map(|left| left.to_string()).unwrap_or_default();
                }
                Piece::Field(_) => text += info.provider,
            }
        }
        text + "\n"
    }
}

fn unknown(from: &str) -> Error {
    let known = FIELDS.join(", ");
    let shown = from.split_inclusive('}').next().unwrap_or(from);
    Error::usage(format!("--template: unknown placeholder `{}`", sanitize(shown)))
        .with_hint(format!("use {known}, and for literal braces {{{{ and }}}}"))
}
