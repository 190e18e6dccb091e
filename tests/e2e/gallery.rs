//! Tests each service of `broker add` with the configuration that the command writes. A fake server accepts
//! exactly the requests in `gallery/NAME.json`, which follow the service's documentation.

mod service;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use broker_e2e::{Run, Sandbox, finish};
use chrono::TimeDelta;
use serde_json::Value;
use service::{Service, fields, texts};
use url::form_urlencoded;

use crate::stage::{repository, with_path, write_script};

fn names_in(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = repository().join(folder).read_dir().expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names.filter_map(|name| Some(name.to_str()?.strip_suffix(ending)?.to_owned())).collect()
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect("a file")
}

/// How the test provides the user's password.
#[derive(Clone, Copy, PartialEq)]
enum Password {
    /// The user enters the password on the standard input of `broker login`.
    Stdin,
    /// An environment variable contains the password. The test enables the configuration line that names the variable.
    Variable,
}

/// A sandbox in which `broker add` has added a service and the test has filled in the user's values.
struct Case {
    name: String,
    spec: Value,
    service: Service,
    sandbox: Sandbox,
    /// The standard input of `broker login`.
    typed: Option<String>,
    /// The port of the redirect URI, if the service requires a fixed port.
    port: u16,
}

impl Case {
    fn new(name: &str, spec: &Value, password: Password) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        // Another program may use port 5000, so the test replaces the port.
        let here = |text: &str| text.replace("localhost:5000", &format!("localhost:{port}"));
        let spec: Value = serde_json::from_str(&here(&spec.to_string())).expect("JSON");
        let (service, sandbox) = (Service::start(), Sandbox::new());
        let run = sandbox.broker(&["add", name]).ends(0);
        assert_eq!(run.out, "");
        let mut toml = sandbox.config();
        assert_eq!(toml, text_of(&format!("docs/gallery/{name}.toml")), "the file of the gallery");
        assert!(!toml.contains("http://") || toml.contains("redirect_uri = \"http://localhost"), "{toml}");
        for (key, value) in texts(&spec["blanks"]) {
            assert!(run.err.contains(&format!("fill in `{key}`")), "the step is printed: {}", run.err);
            let _ = sandbox.broker(&["config", "check"]).ends(5).says(&format!("`{key}`"));
            toml = replaced(&toml, &format!("{key} = \"\""), &format!("{key} = \"{value}\""));
        }
        // The test acts as the browser, so `BROWSER` is the program `true`, which opens no page.
        let mut sandbox = sandbox.with_env("DISPLAY", ":0").with_env("BROWSER", "true");
        let mut typed = None;
        for (variable, value) in texts(&spec["password"]) {
            let login = format!("next: broker login {name}");
            let steps: Vec<_> = run.err.lines().filter(|line| line.starts_with("next: ")).collect();
            assert_eq!(steps, [login], "the login asks for the rest");
            if password == Password::Stdin {
                typed = Some(format!("{value}\n"));
            } else {
                let line = format!("password = {{ env = \"{variable}\" }}");
                toml = replaced(&toml, &format!("# {line}"), &line);
                sandbox = sandbox.with_env(&variable, &value);
            }
        }
        sandbox.write_config(&toml);
        let _ = sandbox.broker(&["config", "check"]).ends(0);
        toml = here(&service.in_place(&toml));
        sandbox.write_config(&toml);
        for (variable, value) in texts(&spec["variables"]) {
            assert!(run.err.contains(&format!("set {variable}")), "the variable is named: {}", run.err);
            sandbox = sandbox.with_env(&variable, &value);
        }
        for (key, value) in texts(&spec["keys"]) {
            let variable = format!("BROKER_PROVIDERS__{name}__{key}").to_uppercase().replace('-', "_");
            sandbox = sandbox.with_env(&variable, &value);
        }
        if let Some(program) = spec.get("program") {
            sandbox = with_program(sandbox, program);
        }
        Self { name: name.to_owned(), spec, service, sandbox, typed, port }
    }

    fn run(&self, run: &Value) {
        if let Some(seconds) = run["age"].as_i64() {
            self.sandbox.age(&self.name, TimeDelta::seconds(seconds));
        }
        self.service.expect(run["requests"].as_array().map(Vec::as_slice).unwrap_or_default());
        let words = run["words"].as_array().expect("words").iter();
        let words: Vec<_> = words.filter_map(Value::as_str).collect();
        let ended = match (run.get("browser"), &self.typed) {
            (Some(browser), _) => self.in_browser(&words, browser),
            (None, Some(typed)) if words[0] == "login" => {
                self.sandbox.broker_reading(&[&words[..], &["--password-stdin"]].concat(), typed)
            }
            (None, _) => self.sandbox.broker(&words),
        };
        self.service.verify(&self.name);
        let ends = run["ends"].as_i64().and_then(|code| code.try_into().ok()).unwrap_or(0);
        let ended = ended.ends(ends);
        if let Some(line) = run["prints"].as_str() {
            assert_eq!(ended.out, format!("{line}\n"), "{}", self.name);
        }
        if let Some(moment) = run.get("expires_at") {
            assert_eq!(&ended.clone().json()["expires_at"], moment, "{}", self.name);
        }
        if let Some(life) = run["lives"].as_i64() {
            let left = ended.json()["expires_in"].as_i64().expect("a life");
            assert!(left <= life && left > life - 60, "{}: {left} of {life} s", self.name);
        }
    }

    /// Logs in as the user's browser would: opens the login page and follows the redirect.
    fn in_browser(&self, words: &[&str], browser: &Value) -> Run {
        let mut started = self.sandbox.start(words);
        let stderr = started.stderr.take().expect("its stderr");
        let mut lines = BufReader::new(stderr).lines().map(|line| line.expect("a line"));
        let url = lines.find_map(|line| {
            line.split(' ').find(|word| word.starts_with(self.service.base())).map(str::to_owned)
        });
        let url = url.expect("the page to open");
        let (page, query) = url.split_once('?').expect("a query");
        assert_eq!(page, self.service.url(browser["url"].as_str().expect("a URL")));
        self.service.compare(page, &browser["query"], &fields(query));
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in texts(&browser["back"]["query"]) {
            query.append_pair(&name, &self.service.filled(&value));
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the broker listens");
        let request = format!(
            "GET /?{} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
            query.finish(),
            self.port
        );
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        drop(lines.collect::<Vec<_>>());
        finish(started)
    }
}

/// Tests a service once for each way to provide the password.
fn test(name: &str) {
    let spec: Value =
        serde_json::from_str(&text_of(&format!("tests/e2e/gallery/{name}.json"))).expect("JSON");
    let asks = spec["password"].is_object();
    for way in
        [Password::Stdin, Password::Variable].into_iter().filter(|way| asks || *way == Password::Variable)
    {
        let case = Case::new(name, &spec, way);
        // Runs with `"known_password": false` expect an error, because no password is configured.
        let fits = |run: &&Value| run["known_password"] != false || way == Password::Stdin;
        for run in case.spec["runs"].as_array().expect("runs").iter().filter(fits) {
            case.run(run);
        }
    }
}

/// Replaces `old`, which must occur exactly once.
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old} in {text}");
    text.replace(old, new)
}

/// Adds a program to PATH that prints the listed output for the listed arguments, and fails for other arguments.
fn with_program(sandbox: Sandbox, program: &Value) -> Sandbox {
    let folder = sandbox.home().join("bin");
    let path = folder.join(program["name"].as_str().expect("a name"));
    let words: Vec<_> = program["words"].as_array().expect("words").iter().map(Value::to_string).collect();
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = \"$(echo {})\" ] && [ $# = {} ] || {{ echo \"other arguments: $*\" >&2; exit 9; }}\ncat <<'END'\n{}\nEND\n",
        words.join(" "),
        words.len(),
        program["prints"]
    );
    write_script(&sandbox, &path, &script);
    with_path(sandbox, &folder)
}

#[test]
fn broker_add_configurations_send_the_expected_requests() {
    let mut names = names_in("docs/gallery", ".toml");
    names.retain(|name| std::panic::catch_unwind(|| test(name)).is_err());
    assert!(names.is_empty(), "failed services: {names:?}");
}

#[test]
fn every_broker_add_configuration_is_listed_and_tested() {
    let files = names_in("docs/gallery", ".toml");
    assert!(files.len() >= 15, "{files:?}");
    assert_eq!(names_in("tests/e2e/gallery", ".json"), files, "a case for each file");
    let list = Sandbox::new().broker(&["add", "--json"]).json();
    let listed = list["services"].as_array().expect("services").iter();
    let listed: BTreeSet<_> =
        listed.filter_map(|service| Some(service["name"].as_str()?.to_owned())).collect();
    assert_eq!(listed, files);
}

#[test]
fn every_broker_add_configuration_cites_documentation() {
    for name in names_in("docs/gallery", ".toml") {
        let text = text_of(&format!("docs/gallery/{name}.toml"));
        let comments: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let comments = comments.join(" ").replace(" # ", " ");
        assert!(comments.contains("Not run against the live service."), "{name}: {comments}");
        assert!(comments.contains("Read: "), "{name}: {comments}");
        let table: toml::Table = text.parse().expect("TOML");
        let provider = &table["providers"][&name];
        assert!(provider.get("kind").is_some() && provider.get("hosts").is_some(), "{name}: {provider}");
        for (at, _) in text.match_indices("url = \"") {
            assert!(text[at..].starts_with("url = \"https://"), "{name}: {}", &text[at..]);
        }
    }
}
