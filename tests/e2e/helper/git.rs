//! Tests `broker helper` as a git credential helper.

use broker_e2e::Sandbox;

use super::web_server::{Answer, WebServer};
use super::{documented, imagery, need, program, texts};

/// Starts a server with an empty repository. `accepts` decides whether the server accepts an `Authorization` header.
fn repository(scheme: &'static str, accepts: impl Fn(&str) -> bool + Send + 'static) -> WebServer {
    WebServer::start(move |path, authorization| {
        if !accepts(authorization) {
            return Answer(401, scheme, String::new());
        }
        assert!(path.contains("/info/refs?service=git-upload-pack"), "{path}");
        let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
        let refs = line(&format!("{} capabilities^{{}}\0agent=standin\n", "0".repeat(40)));
        let body = line("# service=git-upload-pack\n") + "0000" + &refs + "0000";
        Answer(200, "Content-Type: application/x-git-upload-pack-advertisement", body)
    })
}

const BEARER: &str = "WWW-Authenticate: Bearer realm=\"x\"";
const BASIC: &str = "WWW-Authenticate: Basic realm=\"x\"";

/// Runs `git ls-remote` with this configuration, and returns exit code and stderr.
fn git(sandbox: &Sandbox, config: &str, url: &str) -> (Option<i32>, String) {
    sandbox.write(&sandbox.home().join(".gitconfig"), config);
    let mut git = program(sandbox, "git", &["ls-remote", url]);
    let output =
        git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1").output().expect("git runs");
    (output.status.code(), texts(&output).1)
}

/// Returns whether git can send a bearer token. Older versions send the token as a password.
fn knows_bearer(sandbox: &Sandbox) -> bool {
    let output = program(sandbox, "git", &["credential", "capability"]).output().expect("git runs");
    texts(&output).0.contains("capability authtype\n")
}

#[test]
#[ignore = "needs git"]
fn git_sends_token_by_the_scheme_the_server_accepts() {
    need("git");
    let by_command = "[credential \"https://data.example.org\"]\n\thelper = !broker helper git\n";
    for (scheme, config) in
        [(BEARER, by_command), (BASIC, by_command), (BEARER, "[credential]\n\thelper = broker\n")]
    {
        let server = repository(scheme, |authorization| !authorization.is_empty());
        let (_service, sandbox) = imagery(&[&server.host]);
        let url = format!("http://{}/project.git", server.host);
        assert_eq!(git(&sandbox, &documented(config, &server.host), &url), (Some(0), String::new()));
        let sent = server.authorizations().pop().expect("a request");
        let token = sandbox.broker(&["token", "earthdaily"]).token();
        let pair = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("oauth2:{token}"));
        let bearer = scheme == BEARER && knows_bearer(&sandbox);
        let expected = if bearer { format!("Bearer {token}") } else { format!("Basic {pair}") };
        assert_eq!(sent, expected);
    }
}

#[test]
#[ignore = "needs git"]
fn git_asks_the_next_helper_if_broker_has_no_token() {
    need("git");
    let server = repository(BASIC, |authorization| authorization == "Basic eDp5");
    let next = "[credential]\n\thelper = broker\n\thelper = \"!echo username=x; echo password=y; :\"\n";
    let url = format!("http://{}/project.git", server.host);
    let (service, sandbox) = imagery(&["elsewhere.example.org"]);
    assert_eq!(git(&sandbox, next, &url), (Some(0), String::new()));
    assert_eq!(service.exchanges(), 0);
    let (service, sandbox) = imagery(&[&server.host]);
    service.fault_always("token", broker_testkit::Fault::Status(503));
    let (code, err) = git(&sandbox, next, &url);
    assert!(
        code == Some(0) && err.contains("error[service_unavailable]: earthdaily: ") && err.contains("hint: "),
        "{err}"
    );
}

#[test]
#[ignore = "needs git"]
fn token_rejected_by_git_server_is_replaced_at_next_request() {
    need("git");
    let good = std::sync::Arc::<std::sync::Mutex<Option<String>>>::default();
    let known = good.clone();
    let server = repository(BEARER, move |authorization| {
        let mut known = known.lock().expect("a token");
        // The server rejects the first token that git sends, and accepts any other token.
        !authorization.is_empty() && *known.get_or_insert_with(|| authorization.to_owned()) != authorization
    });
    let (service, sandbox) = imagery(&[&server.host]);
    let (config, url) = ("[credential]\n\thelper = broker\n", format!("http://{}/project.git", server.host));
    assert_eq!(git(&sandbox, config, &url).0, Some(128));
    assert_eq!(git(&sandbox, config, &url).0, Some(0));
    assert_eq!(service.exchanges(), 2);
}

fn ask(sandbox: &Sandbox, operation: &str, input: &str) -> broker_e2e::Run {
    sandbox.broker_reading(&["helper", "git", operation], input).ends(0)
}

#[test]
fn git_helper_follows_the_credential_protocol() {
    let (service, sandbox) = imagery(&["*.example.org", "127.0.0.1"]);
    let token = sandbox.broker(&["token", "earthdaily", "--format", "json"]).json();
    let (token, expiry) =
        (token["token"].as_str().expect("a token"), token["expires_at"].as_str().expect("a time"));
    let expiry = expiry.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp();
    let get = |input: &str| ask(&sandbox, "get", input).out;
    let basic = |name: &str| format!("username={name}\npassword={token}\npassword_expiry_utc={expiry}\n");
    let bearer = format!(
        "capability[]=authtype\nauthtype=Bearer\ncredential={token}\nephemeral=1\npassword_expiry_utc={expiry}\n"
    );
    let place = "protocol=https\nhost=a.example.org\n";
    assert_eq!(get(place), basic("oauth2"));
    assert_eq!(get(&format!("{place}path=x/y\nusername=ada\n\n")), basic("ada"));
    assert_eq!(get(&format!("capability[]=authtype\ncapability[]=state\n{place}\n")), bearer);
    assert_eq!(
        get(&format!("capability[]=authtype\n{place}wwwauth[]=basic realm=x\nwwwauth[]=bearer x\n")),
        bearer
    );
    assert_eq!(
        get(&format!("capability[]=authtype\n{place}wwwauth[]=Negotiate\nwwwauth[]=basic realm=x\n")),
        basic("oauth2")
    );
    assert_eq!(get("protocol=http\nhost=127.0.0.1:8080\n"), basic("oauth2"));
    for other in [
        "protocol=https\nhost=example.org\n",
        "protocol=https\nhost=a.example.org.evil.example\n",
        "protocol=https\nhost=evil.example/a.example.org\n",
        "protocol=https\nhost=evil.example\\.example.org\n",
        "protocol=https\nhost=a.example.org?.evil.example\n",
        "protocol=https\nhost=a.example.org%2e\n",
        "protocol=smtp\nhost=a.example.org\n",
        "protocol=https://a.example.org/?x=\nhost=evil.example\n",
        "protocol=https\n",
        "host=a.example.org\n",
        "\nprotocol=https\nhost=a.example.org\n",
        "",
    ] {
        let run = ask(&sandbox, "get", other);
        assert_eq!(run.out + &run.err, "", "{other}");
    }
    let run = ask(&sandbox, "get", "protocol=http\nhost=a.example.org\n").says("http://a.example.org/");
    assert_eq!(run.out, "");
    for (operation, input) in [
        ("store", format!("{place}username=oauth2\npassword={token}\n")),
        ("frob", place.to_owned()),
        ("erase", place.to_owned()),
        ("erase", format!("{place}username=oauth2\npassword=another\n")),
        ("erase", format!("protocol=https\nhost=evil.example\npassword={token}\n")),
    ] {
        let run = ask(&sandbox, operation, &input);
        assert_eq!(run.out + &run.err, "", "{operation}");
    }
    assert_eq!(service.exchanges(), 1, "the stored token was not rejected");
    sandbox.age("earthdaily", chrono::TimeDelta::days(1));
    let _ = ask(&sandbox, "erase", &format!("{place}username=oauth2\npassword={token}\n"));
    assert_eq!(service.exchanges(), 1, "it has expired");
}
