//! The output format of `--template`.

use earthbroker::{Error, Result, Token, sanitize};

use super::{TokenInfo, json};

/// Text with placeholders for the fields of a token.
#[derive(Debug, Default)]
pub(super) struct Template<'a>(Vec<Piece<'a>>);

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    Field(Field),
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Token,
    TokenType,
    Scope,
    ExpiresAt,
    ExpiresIn,
    Provider,
}

const FIELDS: [(&str, Field); 6] = [
    ("{token}", Field::Token),
    ("{token_type}", Field::TokenType),
    ("{scope}", Field::Scope),
    ("{expires_at}", Field::ExpiresAt),
    ("{expires_in}", Field::ExpiresIn),
    ("{provider}", Field::Provider),
];

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
                let field = FIELDS.into_iter().find(|(name, _)| from.starts_with(name));
                let (name, field) = field.ok_or_else(|| unknown(from))?;
                (Piece::Field(field), name.len())
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
                Piece::Field(Field::Token) => text += token.secret().expose(),
                Piece::Field(Field::TokenType) => text += token.token_type(),
                Piece::Field(Field::Scope) => text += &sanitize(json::scope(token, info).unwrap_or_default()),
                Piece::Field(Field::ExpiresAt) => {
                    text += &token.expires_at().map(json::rfc3339).unwrap_or_default();
                }
                Piece::Field(Field::ExpiresIn) => {
                    text += &json::expires_in(token, info).map(|left| left.to_string()).unwrap_or_default();
                }
                Piece::Field(Field::Provider) => text += info.provider,
            }
        }
        text + "\n"
    }
}

fn unknown(from: &str) -> Error {
    let known = FIELDS.map(|(name, _)| name).join(", ");
    let shown = from.split_inclusive('}').next().unwrap_or(from);
    Error::usage(format!("--template: unknown placeholder `{}`", sanitize(shown)))
        .with_hint(format!("use {known}, and for literal braces {{{{ and }}}}"))
}
