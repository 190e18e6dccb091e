//! A minimal browser that supports cookies, redirects and forms.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

const MOST_REDIRECTS: usize = 10;

/// A received page or redirect.
#[derive(Debug)]
pub(crate) struct Page {
    url: Url,
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Page {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON answer")
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    pub(crate) fn location(&self) -> Option<String> {
        self.headers("location").next().map(|to| self.absolute(to))
    }

    fn link(&self, text: &str) -> String {
        let before = self.body.split(&format!("\">{text}</a>")).next().filter(|part| *part != self.body);
        let before = before.unwrap_or_else(|| panic!("no link `{text}` on {self:?}"));
        self.absolute(&unescaped(before.rsplit("href=\"").next().expect("an address")))
    }

    /// Returns the target of the page's form, and the fields that have a value.
    fn form(&self) -> (String, Vec<(String, String)>) {
        let form = between(&self.body, "<form", "</form>").unwrap_or_else(|| panic!("no form on {self:?}"));
        let fields = form.split("<input").skip(1).filter_map(|input| {
            let input = input.split('>').next()?;
            Some((attribute(input, "name")?, attribute(input, "value")?))
        });
        (self.absolute(&attribute(form, "action").expect("an action")), fields.collect())
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn absolute(&self, address: &str) -> String {
        self.url.join(address).expect("an address").into()
    }
}

struct Cookie {
    name: String,
    path: String,
    value: String,
}

#[derive(Default)]
pub(crate) struct Browser {
    cookies: Vec<Cookie>,
    /// Whether the browser runs on another machine, and so cannot open `localhost` pages of the broker.
    is_remote: bool,
}

impl Browser {
    /// Creates a browser that cannot open `localhost` pages of the broker, as on another machine.
    pub(crate) fn remote() -> Self {
        Self { is_remote: true, ..Self::default() }
    }

    pub(crate) fn open(&mut self, url: &str) -> Page {
        let page = self.visit("GET", url, "");
        self.follow(page)
    }

    pub(crate) fn click(&mut self, page: &Page, text: &str) -> Page {
        self.open(&page.link(text))
    }

    /// Submits the form of a page, with the fields that the user typed.
    pub(crate) fn submit(&mut self, page: &Page, typed: &[(&str, &str)]) -> Page {
        let (action, filled) = page.form();
        let body = Serializer::new(String::new()).extend_pairs(filled).extend_pairs(typed).finish();
        let page = self.visit("POST", &action, &body);
        self.follow(page)
    }

    fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..MOST_REDIRECTS {
            if !(300..400).contains(&page.status) {
                return page;
            }
            let next = page.location().expect("where to go");
            if self.is_remote && parsed(&next).authority() != page.url.authority() {
                return page;
            }
            page = self.visit("GET", &next, "");
        }
        panic!("redirects without end: {page:?}")
    }

    fn visit(&mut self, method: &str, url: &str, body: &str) -> Page {
        let path = parsed(url).path().to_owned();
        let matching = self.cookies.iter().filter(|cookie| path.starts_with(&cookie.path));
        let cookies: Vec<_> = matching.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let page = send(method, url, &format!("Cookie: {}\r\n", cookies.join("; ")), body);
        for set in page.headers("set-cookie") {
            self.set_cookie(set);
        }
        page
    }

    fn set_cookie(&mut self, set: &str) {
        let mut parts = set.split("; ");
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        let path = parts.find_map(|part| part.strip_prefix("path=")).unwrap_or("/");
        self.cookies.retain(|cookie| (cookie.name.as_str(), cookie.path.as_str()) != (name, path));
        // An empty value deletes the cookie.
        if !value.is_empty() {
            self.cookies.push(Cookie { name: name.into(), path: path.into(), value: value.into() });
        }
    }
}

pub(crate) fn get(url: &str) -> Page {
    send("GET", url, "", "")
}

pub(crate) fn post(url: &str, fields: &[(&str, &str)]) -> Page {
    send("POST", url, "", &encoded(fields))
}

/// Sends a request on a new connection, and reads until the server closes the connection.
fn send(method: &str, url: &str, headers: &str, body: &str) -> Page {
    let url = parsed(url);
    let (host, path) = (url.authority(), &url[url::Position::BeforePath..url::Position::AfterQuery]);
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound");
    let form = if body.is_empty() { "" } else { "Content-Type: application/x-www-form-urlencoded\r\n" };
    let length = body.len();
    // With HTTP/1.0, the server closes the connection after the response.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{headers}{form}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("a request sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Page { url, status, head: head.to_owned(), body: body.to_owned() }
}

fn parsed(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{error}: {url}"))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(found, _)| found)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    between(tag, &format!(" {name}=\""), "\"").map(unescaped)
}

fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn encoded(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}
