//! A fake server that accepts exactly the requests listed in a file `gallery/NAME.json`, in order.

use std::collections::{BTreeMap, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::form_urlencoded;

use crate::http::{Request, respond};

/// Headers that the HTTP client adds to each request, which the tests do not compare.
const TRANSPORT: [&str; 7] =
    ["host", "user-agent", "accept", "accept-encoding", "content-length", "content-type", "connection"];

/// A fake server for all hosts: `https://HOST/PATH` becomes `http://127.0.0.1:PORT/HOST/PATH`.
pub(super) struct Service {
    base: String,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    expected: VecDeque<Value>,
    wrong: Vec<String>,
    /// The received value for each placeholder `<name>` of the expected requests. Later requests must repeat the value.
    known: BTreeMap<String, String>,
    ends: bool,
}

impl Service {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, own) = (state.clone(), base.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut state = shared.lock().expect("a list");
                if state.ends {
                    return;
                }
                serve(&mut state, &own, stream.expect("a connection"));
            }
        });
        Self { base, state, thread: Some(thread) }
    }

    /// Changes every URL in the configuration text `toml` to this fake server.
    pub(super) fn in_place(&self, toml: &str) -> String {
        let line = |line: &str| match line.split_once(" = ") {
            Some((key, _)) if key == "issuer" || key.ends_with("url") => self.url(line),
            _ => line.to_owned(),
        };
        toml.split_inclusive('\n').map(line).collect()
    }

    pub(super) fn url(&self, url: &str) -> String {
        url.replace("https://", &format!("{}/", self.base))
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn expect(&self, requests: &[Value]) {
        self.state.lock().expect("a list").expected.extend(requests.iter().cloned());
    }

    /// Compares names and values that are not part of a request, such as a program's output.
    pub(super) fn compare(&self, what: &str, wanted: &Value, sent: &BTreeMap<String, String>) {
        let mut state = self.state.lock().expect("a list");
        compare(&mut state, what, &texts(wanted), sent);
    }

    /// If `wanted` is a placeholder `<name>`, returns the value that an earlier request had for it.
    pub(super) fn filled(&self, wanted: &str) -> String {
        let state = self.state.lock().expect("a list");
        placeholder(wanted).map_or(wanted.to_owned(), |name| state.known[name].clone())
    }

    /// Fails if the server did not receive an expected request, or if a received request differs from the expected one.
    #[track_caller]
    pub(super) fn verify(&self, name: &str) {
        let (wrong, left) = {
            let state = self.state.lock().expect("a list");
            (state.wrong.join("\n"), state.expected.clone())
        };
        assert!(wrong.is_empty(), "{name}:\n{wrong}");
        assert!(left.is_empty(), "{name}: these did not come: {left:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.ends = true;
        }
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(state: &mut State, base: &str, stream: TcpStream) {
    let request = Request::read(&stream).expect("a request");
    let (status, body) = if let Some(exchange) = state.expected.pop_front() {
        check(state, &exchange["expect"], &request);
        let answer = &exchange["answer"];
        let body = answer.get("json").map(Value::to_string).unwrap_or_default();
        (answer["status"].as_u64().unwrap_or(200), body.replace("https://", &format!("{base}/")))
    } else {
        state.wrong.push(format!("one request too many: {} {}", request.method, request.target));
        (500, String::new())
    };
    respond(stream, status, "content-type: application/json", &body);
}

/// Parses a query or form into names and values. Joins the values of a repeated name.
pub(super) fn fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let known: &mut String = fields.entry(name.into_owned()).or_default();
        *known = if known.is_empty() { value.into_owned() } else { format!("{known} and {value}") };
    }
    fields
}

fn check(state: &mut State, expect: &Value, sent: &Request) {
    let url = text(&expect["url"]);
    let wanted = format!("{} {}", text(&expect["method"]), url.replacen("https://", "/", 1));
    let (path, query) = sent.target.split_once('?').unwrap_or((&sent.target, ""));
    let got = format!("{} {path}", sent.method);
    if wanted != got {
        state.wrong.push(format!("expected {wanted}, got {got}"));
    }
    compare(state, &format!("{url}: query"), &texts(&expect["query"]), &fields(query));
    let mut headers = texts(&expect["headers"]);
    if let Some(pair) = expect.get("basic") {
        let pair = format!("{}:{}", text(&pair[0]), text(&pair[1]));
        headers.insert("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair)));
    }
    let own = |(name, _): &(&String, &String)| !TRANSPORT.contains(&name.as_str());
    let got = sent.headers.iter().filter(own).map(|(name, value)| (name.clone(), value.clone())).collect();
    compare(state, &format!("{url}: headers"), &headers, &got);
    let kind = sent.headers.get("content-type").map(String::as_str);
    let right = if expect.get("form").is_some() {
        compare(state, &format!("{url}: form"), &texts(&expect["form"]), &fields(&sent.body));
        kind == Some("application/x-www-form-urlencoded")
    } else if let Some(json) = expect.get("json") {
        let body: Value = serde_json::from_str(&sent.body).unwrap_or_default();
        kind == Some("application/json") && body == *json
    } else {
        kind.is_none() && sent.body.is_empty()
    };
    if !right {
        state.wrong.push(format!("{url}: another body: {kind:?} {}", sent.body));
    }
}

fn compare(
    state: &mut State,
    what: &str,
    wanted: &BTreeMap<String, String>,
    sent: &BTreeMap<String, String>,
) {
    let names = |fields: &BTreeMap<String, String>| fields.keys().cloned().collect::<Vec<_>>();
    if names(wanted) != names(sent) {
        state.wrong.push(format!("{what}: expected {:?}, got {:?}", names(wanted), names(sent)));
    }
    for (name, wanted) in wanted {
        let got = sent.get(name).cloned().unwrap_or_default();
        let wanted = match placeholder(wanted) {
            Some(name) if !got.is_empty() => {
                state.known.entry(name.to_owned()).or_insert_with(|| got.clone())
            }
            _ => wanted,
        };
        if *wanted != got {
            state.wrong.push(format!("{what}: `{name}` must be `{wanted}`, but is `{got}`"));
        }
    }
}

/// Returns the members of a JSON object, whose values must be strings. `null` counts as an empty object.
pub(super) fn texts(value: &Value) -> BTreeMap<String, String> {
    let object = value.as_object().cloned().unwrap_or_default();
    object.into_iter().map(|(name, value)| (name, value.as_str().expect("a text").to_owned())).collect()
}

fn placeholder(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
