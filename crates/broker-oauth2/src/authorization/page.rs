//! The pages that the browser shows at the end of a login.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{ErrorCode, ErrorKind, sanitize};
use sha2::{Digest, Sha256};

/// The style of every page. The Content-Security-Policy allows only this style, by its hash.
const STYLE: &str = "\
:root{color-scheme:light dark;--back:#f4f6f8;--card:#fff;--text:#1c2430;--good:#1a7f37;--bad:#c62828;--wait:#57606a}\
@media(prefers-color-scheme:dark){:root{--back:#14181d;--card:#20262e;--text:#e8ecf1;--good:#56d364;--bad:#ff7b72;\
--wait:#a5b0bc}}\
body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;background:var(--back);\
color:var(--text);font:1.0625rem/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;width:30rem;max-width:calc(100% - 2rem);margin:1rem;padding:1.75rem 2rem;\
border-radius:.75rem;border-top:.375rem solid var(--wait);background:var(--card);box-shadow:0 1px 4px #0003}\
main.good{border-color:var(--good)}main.bad{border-color:var(--bad)}\
h1{margin:0 0 .5rem;font-size:1.375rem}.good h1{color:var(--good)}.bad h1{color:var(--bad)}\
p{margin:0;overflow-wrap:anywhere}";

const LONGEST_ACCOUNT: usize = 100;

const GO_BACK: &str = "Go back to the program that started the login";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// The login is saved. Contains the account name, if the token response has one.
    LoggedIn(Option<String>),
    Failed(ErrorCode),
    /// The token request takes longer than the browser tab waits.
    Pending,
    /// The login was cancelled or could not be saved, so the browser gets no result.
    Unknown,
    /// The request is not the authorization response of this login.
    OtherLogin,
    NotFound,
    MethodNotAllowed,
    /// The request has an unexpected `Host` header, perhaps because of DNS rebinding.
    OtherHost,
    TooLong,
    Malformed,
}

impl Page {
    /// Returns the HTTP status, the CSS class, the title, and the text as HTML.
    fn content(&self) -> (&'static str, &'static str, &'static str, String) {
        let (status, text) = match self {
            Self::LoggedIn(account) => {
                let account = account.as_deref().map(escape).filter(|account| !account.is_empty());
                let account = account.map_or_else(String::new, |account| format!(" as {account}"));
                let text = format!("Logged in{account}. You can close this tab.");
                return ("200 OK", "good", "Login complete", text);
            }
            Self::Failed(code) => {
                let (cause, action) = explain(*code);
                let text = format!("Login failed: {cause}. {GO_BACK}{action}.");
                return ("200 OK", "bad", "Not logged in", text);
            }
            Self::Pending => {
                let text = format!("The login is being completed. {GO_BACK} to see the result.");
                return ("200 OK", "wait", "Almost done", text);
            }
            Self::Unknown => {
                let text =
                    format!("This page could not get the result of the login. {GO_BACK} to see the result.");
                return ("200 OK", "wait", "Login ended", text);
            }
            Self::OtherLogin => (
                "400 Bad Request",
                "This address does not belong to the current login, which still waits for you. Open the address that \
                 the program shows.",
            ),
            Self::NotFound => ("404 Not Found", "This server has no page at this address."),
            Self::MethodNotAllowed => ("405 Method Not Allowed", "This server only answers GET requests."),
            Self::OtherHost => {
                ("421 Misdirected Request", "The host name in the request is not a host name of this server.")
            }
            Self::TooLong => ("431 Request Header Fields Too Large", "The request is too long."),
            Self::Malformed => ("400 Bad Request", "The request is not valid HTTP."),
        };
        (status, "bad", "Not a login", text.to_owned())
    }

    /// Returns the HTTP response. The page contains no text of the request and loads no resources.
    pub(super) fn response(&self) -> String {
        let (status, class, title, text) = self.content();
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main class=\"{class}\">\n<h1>{title}</h1>\n<p>{text}</p>\n</main>\n</body>\n</html>\n"
        );
        let length = body.len();
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n\
             Connection: close\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\nAllow: GET\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'\r\n\r\n{body}"
        )
    }
}

/// Returns the cause of the failure and the user's next step. Omits the service's text, which may repeat secrets.
fn explain(code: ErrorCode) -> (&'static str, &'static str) {
    const AGAIN: &str = " and log in again";
    const LATER: &str = " and try again later";
    const SETTINGS: &str = " and correct the setting that the error message names";
    match (code, code.kind()) {
        (ErrorCode::AccessDenied, _) => {
            ("the service denied the login", " and log in again if you denied access by mistake")
        }
        (ErrorCode::ClientRefused, _) => ("the service does not accept the configured client", SETTINGS),
        (_, ErrorKind::Configuration) => ("a setting in the configuration is wrong", SETTINGS),
        (_, ErrorKind::LoginRequired) => {
            ("the service no longer accepts this login; perhaps it took too long", AGAIN)
        }
        (ErrorCode::ServiceUnavailable | ErrorCode::RateLimited, _) => {
            ("the service is not available now", LATER)
        }
        (ErrorCode::BadResponse, _) => ("the service sent an unexpected response", LATER),
        (ErrorCode::TlsUntrusted, _) => {
            ("the certificate of the service is not trusted", " to see what to do")
        }
        (_, ErrorKind::Unavailable) => ("the program could not reach the service", LATER),
        (_, ErrorKind::Refused) => ("the service refused the login", " to see why"),
        (_, ErrorKind::Cancelled) => ("the login was cancelled", AGAIN),
        _ => ("an error occurred on this computer", " to see why"),
    }
}

/// Shortens an account name and escapes it for HTML.
fn escape(account: &str) -> String {
    let mut text: String = sanitize(account).trim().chars().take(LONGEST_ACCOUNT).collect();
    // `&` comes first, because the other replacements contain it.
    for (c, escaped) in [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")] {
        text = text.replace(c, escaped);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        text.split_once(start).unwrap().1.split_once(end).unwrap().0
    }

    fn pages() -> Vec<Page> {
        let own = [
            Page::LoggedIn(None),
            Page::LoggedIn(Some("ada@example.org".to_owned())),
            Page::Pending,
            Page::Unknown,
            Page::OtherLogin,
            Page::NotFound,
            Page::MethodNotAllowed,
            Page::OtherHost,
            Page::TooLong,
            Page::Malformed,
        ];
        own.into_iter().chain(ErrorCode::ALL.iter().map(|code| Page::Failed(*code))).collect()
    }

    #[test]
    fn result_page_headers_forbid_scripts_and_caching() {
        for page in pages() {
            let response = page.response();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            let hash = STANDARD.encode(Sha256::digest(between(body, "<style>", "</style>")));
            let policy = format!(
                "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            );
            for header in [
                "Content-Type: text/html; charset=utf-8",
                "Connection: close",
                "Cache-Control: no-store",
                "Referrer-Policy: no-referrer",
                "X-Content-Type-Options: nosniff",
                &format!("Content-Length: {}", body.len()),
                &format!("Content-Security-Policy: {policy}"),
            ] {
                assert!(head.lines().any(|line| line == header), "{header}: {head}");
            }
            assert_eq!(body.matches("<style").count(), 1);
            for part in ["<script", "src=", "href=", "url(", "@import", "style=", "<form"] {
                assert!(!body.contains(part), "{part}: {body}");
            }
        }
    }

    #[test]
    fn login_result_page_supports_dark_mode_and_small_screens() {
        let page = Page::LoggedIn(None).response();
        for part in [
            "color-scheme:light dark",
            "prefers-color-scheme:dark",
            "name=\"viewport\" content=\"width=device-width",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn account_on_the_result_page_is_escaped_and_shortened() {
        let account = format!("<b>&\"'\u{202e}\u{1b}[2J{}", "x".repeat(500));
        let page = Page::LoggedIn(Some(account)).response();
        let account = between(&page, "<p>Logged in as ", ". You can close this tab.</p>");
        assert!(account.starts_with("&lt;b&gt;&amp;&quot;&#39;  [2Jxxx") && account.len() < 162, "{account}");
        assert!(account.ends_with('x'), "{account}");
        for (account, text) in [
            (Some("ada@example.org"), "Logged in as ada@example.org. You can close this tab."),
            (Some("\u{1b}"), "Logged in. You can close this tab."),
            (None, "Logged in. You can close this tab."),
        ] {
            let page = Page::LoggedIn(account.map(str::to_owned)).response();
            assert_eq!(between(&page, "<p>", "</p>"), text);
        }
    }

    #[test]
    fn failure_page_says_the_cause_and_the_next_step() {
        for code in ErrorCode::ALL {
            let page = Page::Failed(*code).response();
            let text = between(&page, "<p>", "</p>");
            assert!(text.starts_with("Login failed: the ") || text.starts_with("Login failed: a"), "{text}");
            assert!(text.contains(". Go back to the program that started the login "), "{text}");
        }
    }
}
