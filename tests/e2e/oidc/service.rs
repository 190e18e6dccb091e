//! Runs npm's `oidc-provider`, an independent OpenID server. It is installed once in the target folder.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use broker_e2e::{Run, Sandbox, Started, assert_no_secret, finish, is_log};
use serde_json::{Value, json};

use super::browser::{self, Browser, Page};
use crate::stage::target_folder;

/// The client id that the tests configure for the provider `earthscope`.
pub(super) const CLIENT_ID: &str = "broker-e2e";

/// The files of the Node project that runs the server.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("package.json")),
    ("package-lock.json", include_str!("package-lock.json")),
    ("server.mjs", include_str!("server.mjs")),
];

pub(crate) struct Options {
    /// Whether the server rotates refresh tokens, as RFC 9700 requires for public clients.
    pub(crate) rotate: bool,
    /// The `interval` in device authorization responses, in seconds. `None` omits the field.
    pub(crate) interval: Option<u64>,
    /// The secret of the clients `by-basic` and `by-body`. With `None`, these clients do not exist.
    pub(crate) secret: Option<String>,
    /// The PEM key of the client `by-key`, which authenticates with `private_key_jwt`.
    pub(crate) key: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rotate: true, interval: Some(1), secret: None, key: None }
    }
}

/// A running `oidc-provider`, stopped when dropped.
pub(crate) struct Service {
    child: Child,
    url: String,
}

/// The numbers of requests that the server has received, and of grants that it has revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) token_requests: u64,
    pub(crate) refreshes: u64,
    pub(crate) revocations: u64,
    pub(crate) grants_revoked: u64,
}

impl Service {
    pub(crate) fn start(options: &Options) -> Self {
        let Options { rotate, interval, secret, key } = options;
        let options = json!({ "rotate": rotate, "interval": interval, "secret": secret, "key": key });
        let mut child = Command::new("node")
            .arg(installed().join("server.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is missing: install node and npm");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut line).expect("a line");
        let started: Value = serde_json::from_str(&line).expect("the address of the service");
        let url = started["url"].as_str().expect("a URL").to_owned();
        Self { child, url }
    }

    /// Returns a sandbox whose provider `earthscope` uses this server.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let config =
            format!("[providers.earthscope]\ndomain = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n", self.url);
        Sandbox::new().with_config(&config)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Revokes a refresh token directly at the server, without the broker.
    pub(crate) fn revoke_as(&self, client_id: &str, refresh_token: &str) {
        let fields = [("client_id", client_id), ("token", refresh_token)];
        assert_eq!(browser::post(&format!("{}/oauth/revoke", self.url), &fields).status, 200);
    }

    /// Returns a sandbox whose provider `sea` has this server as issuer. `lines` complete the provider's configuration.
    pub(crate) fn sandbox_of(&self, lines: &str) -> Sandbox {
        let config = format!("[providers.sea]\nkind = \"oauth2\"\nissuer = \"{}\"\n{lines}", self.url);
        Sandbox::new().with_config(&config)
    }

    /// Asks the server for the client and the account of an access token.
    pub(crate) fn owner_of(&self, token: &str) -> (Option<String>, Option<String>) {
        let owner = browser::get(&format!("{}/__whose?token={token}", self.url)).json();
        let text = |name: &str| owner[name].as_str().map(str::to_owned);
        (text("client"), text("account"))
    }

    pub(crate) fn counts(&self) -> Counts {
        let counts = browser::get(&format!("{}/__counts", self.url)).json();
        let count = |name: &str| counts[name].as_u64().expect("a number");
        Counts {
            token_requests: count("token_requests"),
            refreshes: count("refreshes"),
            revocations: count("revocations"),
            grants_revoked: count("grants_revoked"),
        }
    }

    /// Returns whether the token is active, by introspection (RFC 7662).
    pub(crate) fn is_live(&self, token: &str) -> bool {
        let fields = [("client_id", CLIENT_ID), ("token", token)];
        let answer = browser::post(&format!("{}/token/introspection", self.url), &fields);
        answer.json()["active"].as_bool().expect("active or not")
    }

    /// Uses a refresh token outside the broker, as a thief would.
    pub(crate) fn replay(&self, refresh_token: &str) -> Page {
        self.replay_as(CLIENT_ID, refresh_token)
    }

    /// Sends a refresh request to the server directly, with this client id.
    pub(crate) fn replay_as(&self, client_id: &str, refresh_token: &str) -> Page {
        let fields =
            [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", refresh_token)];
        browser::post(&format!("{}/oauth/token", self.url), &fields)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The server may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `broker login` while `user` acts on the login page.
pub(crate) fn login(sandbox: &Sandbox, user: impl FnOnce(&mut Browser, &Page)) -> Run {
    let login = Login::begin(sandbox, &["login", "earthscope", "--no-browser"]);
    let mut browser = Browser::default();
    let page = browser.open(&login.url);
    user(&mut browser, &page);
    login.end()
}

/// A `broker login` that has printed the URL of its login page.
pub(crate) struct Login {
    pub(crate) child: Started,
    pub(crate) url: String,
    lines: Lines<BufReader<ChildStderr>>,
    err: String,
}

impl Login {
    /// Starts `broker` and reads output until the URL of the login page.
    pub(crate) fn begin(sandbox: &Sandbox, words: &[&str]) -> Self {
        let mut child = sandbox.start(words);
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let mut err = String::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("no URL was printed: {err}")).expect("UTF-8");
            let word = line.split(' ').find(|word| word.starts_with("http://"));
            let url = word.filter(|_| !is_log(&line)).map(str::to_owned);
            err += &(line + "\n");
            if let Some(url) = url {
                return Self { child, url, lines, err };
            }
        }
    }

    pub(crate) fn end(self) -> Run {
        let Self { child, lines, mut err, .. } = self;
        for line in lines {
            err += &(line.expect("UTF-8") + "\n");
        }
        assert_no_secret("stderr", &err);
        let (log, err) = err.split_inclusive('\n').partition(|line| is_log(line));
        Run { err, log, ..finish(child) }
    }
}

/// Runs `npm ci` if the Node project has changed, and returns its folder. A lock makes other tests wait.
fn installed() -> PathBuf {
    let folder = target_folder().join("oidc-provider");
    std::fs::create_dir_all(&folder).expect("a folder");
    let lock = File::create(folder.join(".lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let marker = folder.join(".installed");
    let state: String = FILES.iter().map(|(_, text)| *text).collect();
    if std::fs::read_to_string(&marker).is_ok_and(|done| done == state) {
        return folder;
    }
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    let output = Command::new("npm").args(words).current_dir(&folder).output();
    let output = output.expect("npm is missing: install node and npm");
    assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(marker, state).expect("a marker");
    folder
}
