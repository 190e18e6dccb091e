//! Writes a cookie as a Netscape cookie file.

use earthbroker::{Result, Secret, Token};
use serde::Deserialize;

use super::unsuitable;

/// A cookie, parsed from the JSON object that the broker stores as the token's secret.
#[derive(Deserialize)]
struct Cookie {
    name: String,
    value: Secret,
    domain: String,
    path: String,
    secure: bool,
    #[serde(default)]
    http_only: bool,
}

/// Returns the cookie file. A domain with a leading dot includes its subdomains.
pub(super) fn file(token: &Token) -> Result<String> {
    // The parser's error is dropped, because the error quotes the secret.
    let cookie: Option<Cookie> = serde_json::from_str(token.secret().expose()).ok().filter(is_valid);
    let cookie =
        cookie.ok_or_else(|| unsuitable("the service's cookie cannot be written to a cookie file"))?;
    let (name, value, domain, path) = (&cookie.name, cookie.value.expose(), &cookie.domain, &cookie.path);
    let flag = |yes| if yes { "TRUE" } else { "FALSE" };
    let prefix = if cookie.http_only { "#HttpOnly_" } else { "" };
    let (subdomains, secure) = (flag(domain.starts_with('.')), flag(cookie.secure));
    // An expiry of 0 marks a session cookie.
    let expires = token.expires_at().map_or(0, |time| time.timestamp());
    Ok(format!(
        "# Netscape HTTP Cookie File\n{prefix}{domain}\t{subdomains}\t{path}\t{secure}\t{expires}\t{name}\t{value}\n"
    ))
}

/// Whether no field contains a separator of cookie files or HTTP headers.
fn is_valid(cookie: &Cookie) -> bool {
    let value = cookie.value.expose();
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != ';';
    let is_plain = |text: &str| !text.is_empty() && text.chars().all(plain);
    is_plain(&cookie.name)
        && !cookie.name.contains('=')
        && is_plain(&cookie.domain)
        && is_plain(&cookie.path)
        && cookie.path.starts_with('/')
        && is_plain(value)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn token(json: &str) -> Token {
        let at = DateTime::from_timestamp(4_000_000_000, 0).expect("a time");
        Token::new(Secret::new(json), at, Some(at))
    }

    #[test]
    fn cookie_is_written_as_one_line_with_tabs() {
        let written = |domain: &str, more: &str| {
            let json = format!(r#"{{"name":"A","value":"x=\"é\"%","domain":"{domain}","path":"/p"{more}}}"#);
            file(&token(&json)).expect("a file")
        };
        let head = "# Netscape HTTP Cookie File\n";
        assert_eq!(
            written(".e.org", r#","secure":true,"http_only":true"#),
            format!("{head}#HttpOnly_.e.org\tTRUE\t/p\tTRUE\t4000000000\tA\tx=\"é\"%\n")
        );
        assert_eq!(
            written("e.org", r#","secure":false"#),
            format!("{head}e.org\tFALSE\t/p\tFALSE\t4000000000\tA\tx=\"é\"%\n")
        );
    }

    #[test]
    fn cookie_with_invalid_fields_is_rejected() {
        for (name, value, domain, path) in [
            ("A", r"x\ty", "e.org", "/"),
            ("A", r"x\n.f.org", "e.org", "/"),
            ("A", "x;y", "e.org", "/"),
            ("A", "", "e.org", "/"),
            ("A=B", "x", "e.org", "/"),
            ("A", "x", "", "/"),
            ("A", "x", "e org", "/"),
            ("A", "x", "e.org", "p"),
        ] {
            let json = format!(
                r#"{{"name":"{name}","value":"{value}","domain":"{domain}","path":"{path}","secure":true}}"#
            );
            assert!(file(&token(&json)).is_err(), "{json}");
        }
        let error = file(&token(r#"{"name":"secret-7"}"#)).expect_err("half a cookie");
        assert!(!format!("{error:?}").contains("secret-7"), "{error:?}");
    }
}
