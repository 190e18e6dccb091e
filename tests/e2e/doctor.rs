//! Tests that `broker doctor` reports each problem with its fix, and changes nothing.

mod advice;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Stdio};

use broker_e2e::{Run, Sandbox};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use serde_json::Value;

use crate::stage::{earthscope, expired, logged_in, program, set_mode};

/// The message and fix of each finding. The key is `ID PROVIDER`, or `ID` without a provider.
type Findings = BTreeMap<String, (String, String)>;

/// Parses the output of `broker doctor --json`.
#[track_caller]
fn findings(run: &Run) -> Findings {
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("JSON: {run:?}"));
    assert_eq!(report["version"], 1);
    let found = report["findings"].as_array().expect("findings");
    assert_eq!(run.code, i32::from(!found.is_empty()), "{}", run.out);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    for finding in found {
        assert!(!text(finding, "fix").is_empty(), "no fix: {finding}");
        let failed = report["checks"].as_array().expect("checks").iter().filter(|check| check["ok"] == false);
        assert!(
            failed.into_iter().any(|check| check["id"] == finding["id"]),
            "no failed check has this id: {finding}"
        );
    }
    let entry = |finding| {
        let key = format!("{} {}", text(finding, "id"), text(finding, "provider"));
        (key.trim_end().to_owned(), (text(finding, "message"), text(finding, "fix")))
    };
    found.iter().map(entry).collect()
}

/// Runs `broker doctor` with `words` as arguments, and returns its findings.
#[track_caller]
fn doctor(sandbox: &Sandbox, words: &[&str]) -> Findings {
    findings(&sandbox.broker(&[&["doctor", "--json"], words].concat()))
}

/// Runs `broker doctor` and returns the keys of its findings.
#[track_caller]
fn ids(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    doctor(sandbox, words).into_keys().collect()
}

/// Asserts that `key` is the only finding of `broker doctor`. Returns the finding's message and fix.
#[track_caller]
fn only(mut found: Findings, key: &str) -> (String, String) {
    assert_eq!(found.keys().collect::<Vec<_>>(), [key]);
    found.remove(key).expect("a finding")
}

/// Returns all files of a folder with their content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let content = |path: &Path| std::fs::read(path).unwrap_or_default();
    entries.map(|entry| (entry.file_name().display().to_string(), content(&entry.path()))).collect()
}

#[test]
fn doctor_without_problems_reports_none_and_changes_no_file() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let before = files(&sandbox.state());
    let run = sandbox.broker(&["doctor", "earthscope"]).ends(0).prints("\n  ok       earthscope: ");
    assert!(run.out.ends_with("\nno problems found\n"), "{}", run.out);
    assert_eq!(run.err, "");
    let seen = service.seen();
    assert_eq!(seen.len(), 1, "one request: {seen:?}");
    assert_eq!(seen[0].method, "GET");
    assert!(seen[0].header("authorization").is_none() && seen[0].body.is_empty());
    assert_eq!(files(&sandbox.state()), before);
}

#[test]
fn doctor_offline_sends_no_request() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let run = sandbox.broker(&["doctor", "earthscope", "--offline", "--json"]);
    let skipped = run.json()["checks"].as_array().expect("checks").iter().any(|check| {
        check["id"] == "network.service" && check["ok"].is_null() && check["provider"] == "earthscope"
    });
    assert!(skipped && service.seen().is_empty());
}

#[test]
fn doctor_distinguishes_sign_in_pages_from_outages() {
    let service = EarthScope::start(EarthScopeOptions::default());
    let sandbox = Sandbox::new();
    let url = service.url();
    let ask = |domain: &str| {
        sandbox.write_config(&format!("[providers.earthscope]\ndomain = \"{domain}\"\n"));
        ids(&sandbox, &["earthscope"])
    };
    assert_eq!(ask(url), [""; 0], "status 405 is a response of the service");
    let faults = [
        (Fault::Redirect("http://portal.invalid/".to_owned()), "network.portal earthscope"),
        (Fault::Html(200), "network.portal earthscope"),
        (Fault::Html(511), "network.portal earthscope"),
        (Fault::Status(503), "network.service earthscope"),
        (Fault::CutBefore, "network.service earthscope"),
    ];
    for (fault, id) in faults {
        service.fault("token", fault.clone());
        assert_eq!(ask(url), [id], "{fault:?}");
    }
    service.fault("token", Fault::Status(500));
    assert_eq!(ask(url), [""; 0], "status 500 is a response of the service");
    // A service of another protocol answers.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let other_url = format!("http://{}", other.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in other.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"SSH-2.0-OpenSSH_9.6\r\n");
        }
    });
    sandbox.write_config(&format!("[providers.earthscope]\ndomain = \"{other_url}\"\n"));
    let (message, fix) = only(doctor(&sandbox, &["earthscope"]), "network.service earthscope");
    assert!(!message.contains("no route") && fix.contains("port of the URL"), "{message}: {fix}");
    assert_eq!(ask("https://no-such-host.invalid"), ["network.name earthscope"]);
    assert_eq!(ask("http://127.0.0.1:1"), ["network.refused earthscope"]);
    assert_eq!(ask(&url.replace("http:", "https:")), ["network.tls earthscope"]);
}

#[test]
fn doctor_reports_a_wrong_system_clock() {
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    service.set_date_skew(45);
    assert_eq!(ids(&sandbox, &["earthscope"]), [""; 0]);
    for (skew, side) in [(600, "behind"), (-600, "ahead of")] {
        service.set_date_skew(skew);
        let (message, _) = &doctor(&sandbox, &["earthscope"])["network.clock earthscope"];
        let rounded = message.contains("10 min") || message.contains("9 min");
        assert!(message.contains(side) && rounded, "{message}");
    }
}

#[test]
fn doctor_reports_all_problems_at_once() {
    let sandbox = Sandbox::new()
        .with_env("BROKER_STATEDIR", "/nowhere")
        .with_env("BROKER_URL", "amqp://another.broker")
        .with_env("HTTPS_PROXY", "socks5://127.0.0.1:1")
        .with_env("SSL_CERT_FILE", "/nowhere.pem")
        .with_config("[[[");
    std::fs::create_dir_all(sandbox.state()).expect("a folder");
    set_mode(&sandbox.state(), 0o755);
    set_mode(&sandbox.config_path(), 0o664);
    std::fs::write(sandbox.record_path("earthscope"), "half").expect("a file");
    std::fs::write(sandbox.state().join("earthscope.json.aside-1"), "half").expect("a file");
    let found = doctor(&sandbox, &[]);
    let ids: Vec<_> = found.keys().map(String::as_str).collect();
    let expected = [
        "configuration.load", "configuration.variables", "configuration.writable", "network.certificates",
        "network.proxy", "state.aside", "state.permissions", "state.record_mode",
    ];
    assert_eq!(ids, expected);
    assert!(found["configuration.load"].0.contains("providers.toml:1:"), "{found:?}");
    assert!(found["configuration.variables"].1.contains("BROKER_STATE_DIR"), "{found:?}");
    // The text output of `broker doctor` has the same findings as the JSON output.
    let run = sandbox.broker(&["doctor"]).ends(1);
    assert_eq!(run.out.matches("fix: ").count(), expected.len(), "{}", run.out);
}

#[test]
fn doctor_reports_configuration_errors_of_each_provider() {
    let sandbox = Sandbox::new()
        .with_config("[providers.earthscope]\ndomian = \"x\"\n[providers.lab]\nkind = \"none\"\n");
    let all = ["configuration.provider earthscope", "configuration.provider lab"];
    assert_eq!(ids(&sandbox, &["--offline"]), all);
    assert_eq!(ids(&sandbox, &["--offline", "lab"]), ["configuration.provider lab"]);
    assert_eq!(ids(&sandbox, &["--offline", "earthdaily"]), [""; 0]);
    let run = sandbox.broker(&["doctor", "--offline", "earthdialy"]);
    let _ = run.ends(2).fails_with("provider_unknown").says("`earthdaily`");
}

#[test]
fn doctor_reports_a_refused_login_but_no_expired_token() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    assert_eq!(ids(&sandbox, &["earthscope"]), [""; 0], "an expired token renews automatically");
    service.fault_always("token", Fault::Status(503));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    service.clear_faults();
    assert_eq!(ids(&sandbox, &["earthscope", "--offline"]), ["login.last_failure earthscope"]);
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    service.forget_seen();
    let (_, fix) = only(doctor(&sandbox, &["earthscope"]), "login.required earthscope");
    assert_eq!(fix, "run: broker login earthscope");
    assert_eq!(service.count("token"), 1, "doctor requested a token");
}

#[test]
fn doctor_reports_a_damaged_record_and_a_symlinked_record() {
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    std::fs::write(sandbox.record_path("earthscope"), "half").expect("a file");
    assert_eq!(ids(&sandbox, &["earthscope", "--offline"]), ["login.required earthscope"]);
    std::fs::remove_file(sandbox.record_path("earthscope")).expect("gone");
    symlink("/etc/passwd", sandbox.record_path("earthscope")).expect("a link");
    let (_, fix) = only(doctor(&sandbox, &["earthscope", "--offline"]), "state.record earthscope");
    assert_eq!(fix, format!("run: rm {}", sandbox.record_path("earthscope").display()));
}

#[test]
fn doctor_reports_missing_secrets_and_runs_no_secret_command() {
    let sandbox = Sandbox::new();
    let (ran, secret) = (sandbox.home().join("ran"), sandbox.home().join("secret"));
    let ask = |source: &str| {
        sandbox.write_config(&format!("[providers.earthdaily]\nclient_secret = {source}\n"));
        ids(&sandbox, &["earthdaily", "--offline"])
    };
    let wrong = ["login.secret earthdaily"];
    assert_eq!(ask("{ env = \"NOT_SET\" }"), wrong);
    assert_eq!(ask("{ env = \"HOME\" }"), [""; 0]);
    assert_eq!(ask("{ file = \"~/secret\" }"), wrong);
    std::fs::write(&secret, "hush").expect("a file");
    set_mode(&secret, 0o644);
    assert_eq!(ask("{ file = \"~/secret\" }"), wrong);
    set_mode(&secret, 0o600);
    assert_eq!(ask("{ file = \"~/secret\" }"), [""; 0]);
    assert_eq!(ask("{ command = [\"no-such-program\", \"hush\"] }"), wrong);
    assert_eq!(ask(&format!("{{ command = [\"touch\", \"{}\"] }}", ran.display())), [""; 0]);
    assert!(!ran.exists());
    set_mode(&sandbox.config_path(), 0o644);
    assert_eq!(ask("\"hush\""), ["configuration.secret earthdaily"]);
}

#[test]
fn doctor_warns_about_files_and_variables_of_official_clients() {
    let sandbox = Sandbox::new().with_config(
        "[providers.earthscope]\n[providers.lab]\nkind = \"earthscope\"\nprofile = \"Default\"\n",
    );
    let tokens = |profile: &str| sandbox.home().join(".earthscope").join(profile).join("tokens.json");
    let put = |profile: &str, text: &str, bits: u32| {
        std::fs::create_dir_all(tokens(profile).parent().expect("a folder")).expect("a folder");
        std::fs::write(tokens(profile), text).expect("a file");
        set_mode(&tokens(profile), bits);
    };
    let ask = |sandbox: &Sandbox| ids(sandbox, &["--offline"]);
    let shared = "tools.earthscope_profile";
    put("default", "{\"refresh_token\": \"r\"}", 0o600);
    assert_eq!(ask(&sandbox), [shared]);
    put("default", "{\"refresh_token\": \"r\"}", 0o644);
    assert_eq!(ask(&sandbox), ["tools.earthscope_mode", shared]);
    let (_, fix) = &doctor(&sandbox, &["--offline"])["tools.earthscope_mode"];
    assert_eq!(*fix, format!("run: chmod 600 {}", tokens("default").display()));
    for broken in ["{\"refresh_", ""] {
        put("default", broken, 0o600);
        let logins = ["login.required earthscope", "login.required lab"];
        assert_eq!(
            ask(&sandbox),
            [&logins[..], &[shared]].concat(),
            "not one finding for each provider: {broken}"
        );
    }
    std::fs::remove_file(tokens("default")).expect("gone");
    symlink("/etc/passwd", tokens("default")).expect("a link");
    sandbox.write_config("");
    let (_, fix) = only(doctor(&sandbox, &["--offline"]), "login.required earthscope");
    assert_eq!(fix, "run: broker login earthscope");
    put("unused", "half", 0o600);
    assert_eq!(ask(&sandbox), ["login.required earthscope", "tools.earthscope_file"]);
    std::fs::remove_file(tokens("unused")).expect("gone");
    put("lab", "{\"access_token\": \"a\"}", 0o600);
    std::fs::remove_file(tokens("default")).expect("gone");
    assert_eq!(ask(&sandbox), [""; 0]);
    let sandbox = sandbox
        .with_env("es_oauth2__refresh_token", "r")
        .with_env("EDS_AUTH_URL", "https://tenant.example/oauth2/token")
        .with_env("CARBONMAPPER_PASSWORD", "p");
    let all = ["tools.carbonmapper_variables", "tools.earthdaily_variables", "tools.earthscope_variable"];
    assert_eq!(ask(&sandbox), all);
    let fixed = sandbox.with_env("EDS_SECRET", "s").with_env("CARBONMAPPER_EMAIL", "ada@example.org");
    assert_eq!(ask(&fixed), [all[2]]);
}

#[test]
fn doctor_finds_an_unreachable_proxy_and_hides_its_password() {
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let sandbox = sandbox
        .with_env("HTTPS_PROXY", "http://me:KANARIE-hush@127.0.0.1:1")
        .with_env("NO_PROXY", "http://a.b");
    let found = doctor(&sandbox, &["earthscope"]);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["network.no_proxy", "network.proxy"]);
    assert!(found["network.proxy"].0.contains("127.0.0.1:1 (HTTPS_PROXY)"), "{found:?}");
}

/// A TLS server whose certificate comes from an unknown authority, stopped when dropped.
struct Untrusted(Child);

impl Drop for Untrusted {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
#[ignore = "needs openssl"]
fn doctor_reports_an_untrusted_certificate() {
    let sandbox = Sandbox::new();
    let openssl = |words: &str| program(&sandbox, "openssl", &words.split(' ').collect::<Vec<_>>());
    let run = |words: &str| openssl(words).output().is_ok_and(|output| output.status.success());
    assert!(run("version"), "install openssl");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    assert!(run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=Company -days 2")));
    assert!(run(&format!("req {key} -keyout host.key -out host.csr -subj /CN=localhost")));
    std::fs::write(sandbox.home().join("names"), "subjectAltName=DNS:localhost\n").expect("a file");
    let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial";
    assert!(run(&format!("x509 -req -in host.csr {authority} -out host.pem -days 2 -extfile names")));
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port").port();
    let mut server = openssl(&format!("s_server -accept 127.0.0.1:{port} -key host.key -cert host.pem -www"));
    server.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Untrusted(server.spawn().expect("openssl"));
    // `openssl s_server` prints ACCEPT when it listens.
    let output = std::io::BufReader::new(server.0.stdout.as_mut().expect("the server's stdout"));
    let listens = output.lines().map_while(Result::ok).any(|line| line.contains("ACCEPT"));
    assert!(listens, "openssl exits without listening");
    sandbox.write_config(&format!("[providers.earthscope]\ndomain = \"https://localhost:{port}\"\n"));
    let found = doctor(&sandbox, &["earthscope"]);
    assert!(found["network.issuer earthscope"].1.contains("SSL_CERT_FILE"), "{found:?}");
    let trusting = sandbox.home().join("ca.pem").display().to_string();
    let sandbox = sandbox.with_env("SSL_CERT_FILE", &trusting);
    // The TLS connection succeeds, but `openssl s_server -www` returns a web page: the finding `network.portal`.
    assert_eq!(ids(&sandbox, &["earthscope"]), ["network.portal earthscope"]);
}

#[test]
fn doctor_reports_the_retry_after_time_of_a_service() {
    let (service, sandbox) = expired(Rotation::Keep, 0);
    let headers = vec![("retry-after".to_owned(), "600".to_owned())];
    service.fault("token", Fault::Answer { status: 429, headers, body: String::new() });
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    let both = ["login.last_failure earthscope", "login.not_before earthscope"];
    assert_eq!(ids(&sandbox, &["earthscope", "--offline"]), both);
}

#[test]
fn doctor_finds_a_configured_provider_without_a_secret() {
    let sandbox = Sandbox::new();
    assert_eq!(ids(&sandbox, &["--offline"]), [""; 0], "a built-in provider is not in use");
    sandbox.write_config("[providers.earthdaily]\ntimeout = \"5s\"\n");
    let (_, fix) = only(doctor(&sandbox, &["--offline"]), "login.secret earthdaily");
    assert!(fix.contains("EDS_SECRET"), "{fix}");
    let sandbox = sandbox.with_env("EDS_SECRET", "x-KANARIE");
    assert_eq!(ids(&sandbox, &["--offline"]), [""; 0]);
}

/// Some file names imitate the text of a finding. `doctor` must not recognize findings by their text.
#[test]
fn doctor_reports_config_with_secret_that_others_can_read() {
    let sandbox = Sandbox::new();
    for name in [" holds the secret ", "x holds the secret of y: chmod 600", "tokens.json"] {
        let config = sandbox.home().join(name);
        sandbox.write(&config, "[providers.earthdaily]\nclient_secret = \"hush\"\n");
        set_mode(&config, 0o644);
        let config = config.display().to_string();
        let found = doctor(&sandbox, &["--offline", "--config", &config]);
        let (_, fix) = only(found, "configuration.secret earthdaily");
        assert!(fix.contains(&config), "{fix}");
    }
}
