//! Tests that URLs, hosts and programs which environment variables set get no secret, login or token of another source.

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation};

use crate::stage::{carbonmapper, logged_in};

const CLIENT: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

fn evil() -> EarthScope {
    EarthScope::start(EarthScopeOptions::default())
}

/// Sets `BROKER_PROVIDERS__LAB__KEY`.
fn with_key(sandbox: Sandbox, key: &str, value: &str) -> Sandbox {
    sandbox.with_env(&format!("BROKER_PROVIDERS__LAB__{key}"), value)
}

fn lab(keys: &str) -> Sandbox {
    Sandbox::new().with_config(&format!("[providers.lab]\n{keys}"))
}

#[test]
fn url_in_environment_gets_no_secret_from_a_file() {
    let evil = evil();
    let url = |path: &str| format!("{}{path}", evil.url());
    let oauth2 = |flow: &str, more: &str| {
        format!(
            "kind = \"oauth2\"\nflow = \"{flow}\"\nclient_id = \"c\"\ntoken_url = \"http://127.0.0.1:1/t\"\n{more}"
        )
    };
    let secret = "client_secret = \"KANARIE\"\n";
    let password = "username = \"ada\"\npassword = { command = [\"echo\", \"KANARIE\"] }\n";
    let request = |name: &str| {
        format!(
            "[providers.lab.{name}]\nurl = \"http://127.0.0.1:1/\"\njson = {{ a = \"{{{}}}\" }}\n",
            match name {
                "refresh" | "revoke" => "refresh_token",
                "mint" => "token",
                _ => "password",
            }
        )
    };
    let login = format!(
        "kind = \"login\"\n{password}{}{}{}{}",
        request("login"),
        request("refresh"),
        request("mint"),
        request("revoke")
    );
    let daily = format!("kind = \"earthdaily\"\n{secret}");
    let mapper = "kind = \"carbonmapper\"\nemail = \"a@b.example\"\npassword = { file = \"~/p\" }\n";
    let plugin =
        "kind = \"exec\"\ncommand = [\"true\"]\nsecrets = { a = { env = \"A\" }, b = \"KANARIE\" }\n";
    let program = "kind = \"exec\"\nspeaks = \"text\"\ncommand = [\"echo\", \"KANARIE\"]\n";
    let command = format!("[\"curl\", \"{}\"]", evil.url());
    let cases = [
        (oauth2("client_credentials", secret), "TOKEN_URL", url("/t")),
        (oauth2("client_credentials", secret), "ISSUER", url("")),
        (oauth2("client_credentials", "private_key = { file = \"~/key\" }\n"), "TOKEN_URL", url("/t")),
        (oauth2("device", secret), "DEVICE_URL", url("/d")),
        (oauth2("authorization_code", secret), "AUTHORIZATION_URL", url("/a")),
        (oauth2("refresh_token", secret), "REVOCATION_URL", url("/r")),
        (oauth2("refresh_token", secret), "introspection_url", url("/i")),
        (oauth2("password", password), "TOKEN_URL", url("/t")),
        (oauth2("client_credentials", secret), "HOSTS", "127.0.0.1".to_owned()),
        (login.clone(), "LOGIN__URL", url("/l")),
        (login.clone(), "REFRESH__URL", url("/f")),
        (login.clone(), "MINT__URL", url("/m")),
        (login.clone(), "REVOKE__URL", url("/v")),
        (login, "LOGIN", format!("{{\"json\": {{\"p\": \"{{password}}\"}}, \"url\": \"{}\"}}", url("/l"))),
        (daily.clone(), "AUTH_URL", url("/t")),
        (daily.clone(), "API_URL", url("/")),
        (daily, "HOSTS", "127.0.0.1".to_owned()),
        (mapper.to_owned(), "BASE_URL", url("/")),
        (format!("kind = \"earthscope\"\n{secret}"), "DOMAIN", url("")),
        (format!("kind = \"earthscope\"\n{secret}"), "API_URL", url("")),
        ("kind = \"static\"\ntoken = \"KANARIE\"\n".to_owned(), "HOSTS", "127.0.0.1".to_owned()),
        (plugin.to_owned(), "COMMAND", command),
        (program.to_owned(), "HOSTS", "127.0.0.1".to_owned()),
        (plugin.to_owned(), "SETTINGS__TOKEN_URL", url("/t")),
        (plugin.to_owned(), "SETTINGS", format!("{{\"token_url\": \"{}\"}}", url("/t"))),
    ];
    for (config, key, value) in cases {
        let sandbox = with_key(lab(&config), key, &value).with_env("A", "KANARIE");
        let variable = format!("BROKER_PROVIDERS__LAB__{key}");
        for words in [&["token", "lab"][..], &["login", "lab", "--no-browser"], &["logout", "lab"]] {
            let run = sandbox.broker(words).ends(5).fails_with("config_mixed_sources");
            let _ = run.says(&variable).says(&sandbox.config_path().display().to_string());
        }
        let run = sandbox.broker_reading(&["helper", "git", "get"], "protocol=https\nhost=127.0.0.1\n\n");
        assert_eq!(run.out, "", "{key}");
    }
    assert!(evil.seen().is_empty());
}

#[test]
fn url_in_environment_gets_no_secret_from_tools_files() {
    let evil = evil();
    let base = Sandbox::new().with_env("HTTPS_PROXY", "http://127.0.0.1:9");
    let file = |sandbox: &Sandbox, name: &str, text: &str| {
        let path = sandbox.home().join(name);
        sandbox.write(&path, text);
        path.display().to_string()
    };
    let credentials = file(&base, ".earthdaily/credentials", "[default]\nEDS_SECRET = KANARIE\n");
    let daily = file(&base, "EDS.env", "EDS_SECRET=KANARIE\n");
    let mapper = file(&base, "cm.env", "CARBONMAPPER_EMAIL=a@b.example\nCARBONMAPPER_PASSWORD=KANARIE\n");
    let token = file(&base, "token.env", "CARBONMAPPER_TOKEN=KANARIE\n");
    let seismic = file(&base, "es.env", "ES_OAUTH2__CLIENT_ID=m\nES_OAUTH2__CLIENT_SECRET=KANARIE\n");
    let bootstrap = r#"{"oauth2":{"client_id":"m","client_secret":"KANARIE"}}"#;
    let bootstrap = file(&base, "bootstrap.env", &format!("ES_BOOTSTRAP_SETTINGS='{bootstrap}'\n"));
    let sandbox = [
        ("EARTHDAILY__AUTH_URL", evil.url()),
        ("CARBONMAPPER__BASE_URL", evil.url()),
        ("EARTHSCOPE__DOMAIN", evil.url()),
    ]
    .iter()
    .fold(base, |sandbox, (key, url)| sandbox.with_env(&format!("BROKER_PROVIDERS__{key}"), url));
    let cases: [(&[&str], &str); 6] = [
        (&["token", "earthdaily"], &credentials),
        (&["token", "earthdaily", "--env-file", &daily], &daily),
        (&["token", "carbonmapper", "--env-file", &mapper], &mapper),
        (&["token", "carbonmapper", "--env-file", &token], &token),
        (&["token", "earthscope", "--env-file", &seismic], &seismic),
        (&["token", "earthscope", "--env-file", &bootstrap], &bootstrap),
    ];
    for (words, origin) in cases {
        let run = sandbox.broker(words).ends(5).fails_with("config_mixed_sources");
        let _ = run.says("BROKER_PROVIDERS__").says(origin);
    }
    let settings = sandbox.home().join(".earthscope/config.toml");
    for text in ["client_secret = \"KANARIE\"\n", "refresh_token = \"KANARIE\"\n"] {
        sandbox.write(&settings, &format!("[default.oauth2]\n{text}"));
        let run = sandbox.broker(&["token", "earthscope"]).ends(5).fails_with("config_mixed_sources");
        let _ = run.says(&settings.display().to_string());
    }
    assert!(evil.seen().is_empty());
}

#[test]
fn url_and_secret_both_in_environment_work() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let in_env = with_key(Sandbox::new(), "KIND", "earthdaily");
    let in_env = with_key(in_env, "AUTH_URL", &service.auth_url());
    let _ = with_key(in_env, "CLIENT_SECRET", EarthDaily::SECRET).broker(&["token", "lab"]).token();
    // The file names only the variable; the secret itself is in the environment.
    let named =
        lab("kind = \"earthdaily\"\nclient_secret = { env = \"A\" }\n").with_env("A", EarthDaily::SECRET);
    let _ = with_key(named, "AUTH_URL", &service.auth_url()).broker(&["token", "lab"]).token();
    let own = Sandbox::new().with_env("EDS_SECRET", EarthDaily::SECRET);
    let own = own.with_env("BROKER_PROVIDERS__EARTHDAILY__AUTH_URL", &service.auth_url());
    let _ = own.broker(&["token", "earthdaily"]).token();
    let in_file = format!(
        "kind = \"earthdaily\"\nauth_url = \"{}\"\nclient_secret = \"{}\"\n",
        service.auth_url(),
        EarthDaily::SECRET
    );
    let _ = with_key(lab(&in_file), "TIMEOUT", "20s").broker(&["token", "lab"]).token();
    assert_eq!(service.exchanges(), 4);
}

/// The keys and values that an attacker may add, and the command that would use them.
fn attacks(url: &str) -> [(&'static str, String, &'static [&'static str]); 4] {
    [
        ("REVOCATION_URL", format!("{url}/r?key=KANARIE"), &["logout", "lab"]),
        ("INTROSPECTION_URL", format!("{url}/i"), &["inspect", "lab", "--introspect"]),
        ("TOKEN_URL", format!("{url}/t"), &["token", "lab", "--force"]),
        ("HOSTS", "127.0.0.1".to_owned(), &["token", "lab"]),
    ]
}

#[test]
fn stored_login_is_not_used_with_urls_of_environment() {
    let evil = evil();
    for (key, value, words) in attacks(evil.url()) {
        let service = EarthScope::start(EarthScopeOptions::default());
        let config = format!(
            "kind = \"oauth2\"\nflow = \"refresh_token\"\nclient_id = \"{CLIENT}\"\ntoken_url = \"{}/oauth/token\"\n",
            service.url()
        );
        let sandbox = lab(&config);
        let login = ["login", "lab", "--refresh-token-stdin"];
        let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
        let attacked = with_key(sandbox, key, &value);
        let git = |sandbox: &Sandbox| {
            sandbox.broker_reading(&["helper", "git", "get"], "protocol=http\nhost=127.0.0.1\n\n").out
        };
        assert_eq!(git(&attacked), "");
        let run = attacked.broker(words);
        assert!(!run.err.contains("KANARIE"), "{}", run.err);
        if words[0] == "token" {
            let _ = run.ends(3).fails_with("login_required");
        }
        assert!(evil.seen().is_empty(), "{key}");
    }
}

#[test]
fn login_made_with_urls_of_environment_stays_usable() {
    let service = EarthScope::start(EarthScopeOptions::default());
    let keys = [("KIND", "oauth2"), ("FLOW", "refresh_token"), ("CLIENT_ID", CLIENT)];
    let sandbox = keys.iter().fold(Sandbox::new(), |sandbox, (key, value)| with_key(sandbox, key, value));
    let sandbox = with_key(sandbox, "TOKEN_URL", &format!("{}/oauth/token", service.url()));
    let sandbox = with_key(sandbox, "HOSTS", "data.example.org");
    let login = ["login", "lab", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    let _ = sandbox.broker(&["token", "lab", "--force"]).token();
    let git = |sandbox: &Sandbox, host: &str| {
        let asked = format!("capability[]=authtype\nprotocol=https\nhost={host}\n\n");
        sandbox.broker_reading(&["helper", "git", "get"], &asked).out
    };
    assert!(git(&sandbox, "data.example.org").contains("Bearer"));
    // Other hosts do not get the token, until the user logs in again.
    let sandbox = with_key(sandbox, "HOSTS", "other.example.org");
    assert_eq!(git(&sandbox, "other.example.org"), "");
    let _ = sandbox.broker(&["token", "lab"]).ends(3).says("environment");
    let sandbox = with_key(sandbox, "HOSTS", "data.example.org");
    let _ = sandbox.broker(&["token", "lab"]).token();
}

#[test]
fn record_of_older_version_is_bound_at_its_next_save() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    let edit = |set: bool| {
        let mut record = sandbox.record("earthscope");
        let issuer = record["issuer"].as_object_mut().expect("an issuer");
        assert_eq!(issuer.remove("from_environment").is_some(), set);
        sandbox.write(&sandbox.record_path("earthscope"), &record.to_string());
    };
    edit(true);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    edit(false);
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    edit(true);
    assert_eq!(service.reuse_events(), 0);
}

#[test]
fn shared_login_is_not_sent_to_hosts_or_api_url_of_environment() {
    let evil = evil();
    let (_service, sandbox) =
        logged_in(EarthScopeOptions { rotation: Rotation::Keep, ..Default::default() }, "");
    let sandbox = sandbox.with_env("BROKER_PROVIDERS__EARTHSCOPE__API_URL", evil.url());
    let _ = sandbox.broker(&["token", "earthscope", "--role", "r"]).ends(5).fails_with("host_not_allowed");
    let sandbox = sandbox.with_env("BROKER_PROVIDERS__EARTHSCOPE__HOSTS", "127.0.0.1");
    let run = sandbox.broker(&["token", "earthscope"]).ends(5).fails_with("config_mixed_sources");
    let _ = run.says("tokens.json");
    assert!(evil.seen().is_empty());
}

#[test]
fn token_of_another_provider_is_not_sent_to_env_url() {
    let evil = evil();
    let (_mapper, sandbox) = carbonmapper("");
    let sandbox = sandbox.with_env("CARBONMAPPER_TOKEN", "KANARIE");
    let keys = [("KIND", "oauth2"), ("FROM", "carbonmapper"), ("TOKEN_URL", evil.url())];
    let sandbox = keys.iter().fold(sandbox, |sandbox, (key, value)| with_key(sandbox, key, value));
    let run = sandbox.broker(&["token", "lab"]).ends(5).fails_with("config_mixed_sources");
    let _ = run.says("`carbonmapper`");
    assert!(evil.seen().is_empty());
    // The source's only secret is in the environment too.
    let daily = EarthDaily::start(EarthDailyOptions::default());
    let sandbox = with_key(sandbox, "FROM", "source");
    let source =
        [("KIND", "earthdaily"), ("AUTH_URL", &daily.auth_url()), ("CLIENT_SECRET", EarthDaily::SECRET)];
    let sandbox = source.iter().fold(sandbox, |sandbox, (key, value)| {
        sandbox.with_env(&format!("BROKER_PROVIDERS__SOURCE__{key}"), value)
    });
    let _ = sandbox.broker(&["token", "lab"]);
    assert_eq!((daily.exchanges(), evil.seen().is_empty()), (1, false));
}

#[test]
fn hint_of_mixed_sources_names_settings_that_work() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let config = format!("kind = \"earthdaily\"\nclient_secret = \"{}\"\n", EarthDaily::SECRET);
    let sandbox = with_key(lab(&config), "AUTH_URL", &service.auth_url());
    let run = sandbox.broker(&["token", "lab"]).ends(5).says("BROKER_PROVIDERS__LAB__CLIENT_SECRET");
    let _ = run.says("unset BROKER_PROVIDERS__LAB__AUTH_URL");
    let _ = with_key(sandbox, "CLIENT_SECRET", EarthDaily::SECRET).broker(&["token", "lab"]).token();
    let in_file = format!("[providers.lab]\n{config}auth_url = \"{}\"\n", service.auth_url());
    let _ = Sandbox::new().with_config(&in_file).broker(&["token", "lab"]).token();
}
