//! Tests from which files and variables the broker reads EarthDaily and Carbon Mapper secrets. The broker never
//! combines values of two sources.

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthDailyOptions};

use crate::stage::carbonmapper;

const SECRET: &str = "standin-api-token";
const TOKEN: [&str; 2] = ["token", "earthdaily"];

fn service() -> EarthDaily {
    EarthDaily::start(EarthDailyOptions::default())
}

/// Returns lines that set `EDS_SECRET` to `secret` and `EDS_AUTH_URL` to the URL of `service`.
fn variables(secret: &str, service: &EarthDaily) -> String {
    format!("EDS_SECRET={secret}\nEDS_AUTH_URL={}\n", service.auth_url())
}

/// Returns a sandbox with an unreachable proxy, so that no request reaches a real service.
fn sandbox() -> Sandbox {
    Sandbox::new().with_env("HTTPS_PROXY", "http://127.0.0.1:9")
}

fn file(sandbox: &Sandbox, name: &str, text: &str) -> String {
    let path = sandbox.home().join(name);
    sandbox.write(&path, text);
    path.display().to_string()
}

fn credentials(sandbox: &Sandbox, text: &str) {
    file(sandbox, ".earthdaily/credentials", text);
}

#[test]
fn earthdaily_secret_is_read_from_json_toml_and_ini_files() {
    let service = service();
    let url = service.auth_url();
    let json = format!(r#"{{"EDS_SECRET": "{SECRET}", "EDS_AUTH_URL": "{url}", "n": 1}}"#);
    let toml = format!("EDS_SECRET = '{SECRET}'\nEDS_AUTH_URL = \"{url}\"\n");
    let ini = format!("# x\n[default]\neds_secret = {SECRET}\nEDS_AUTH_URL: '{url}'\n");
    let credentials = format!("[default]\nEDS_SECRET=\"{SECRET}\"\nEDS_AUTH_URL=\"{url}\"\n");
    for (name, variable, text) in [
        ("eds.json", "EDS_JSON_PATH", json),
        ("eds.toml", "EDS_TOML_PATH", toml),
        ("eds.ini", "EDS_INI_PATH", ini),
        (".earthdaily/credentials", "NOTHING", credentials),
    ] {
        let sandbox = sandbox();
        let path = file(&sandbox, name, &text);
        let sandbox = sandbox.with_env(variable, &path);
        let token = sandbox.broker(&TOKEN).token();
        assert!(service.access_is_live(&token), "{name}");
    }
    assert_eq!(service.exchanges(), 4);
}

#[test]
fn eds_ini_profile_variable_selects_an_ini_section() {
    let service = service();
    let [default, work] = ["wrong-KANARIE", SECRET].map(|secret| variables(secret, &service));
    let text = format!("[default]\n{default}[work]\n{work}");
    let sandbox = sandbox();
    let path = file(&sandbox, "eds.ini", &text);
    credentials(&sandbox, &text);
    let sandbox = sandbox.with_env("EDS_INI_PROFILE", "work");
    let _ = sandbox.broker(&TOKEN).token();
    let sandbox = sandbox.with_env("EDS_INI_PATH", &path).with_env("EDS_INI_PROFILE", "play");
    let _ = sandbox.broker(&["token", "earthdaily", "--force"]).ends(5).says("[play]").says("EDS_INI_PATH");
}

#[test]
fn invalid_secret_file_named_by_eds_variable_is_an_error() {
    let service = service();
    for (variable, text, says) in [
        ("EDS_JSON_PATH", r#"{"EDS_AUTH_URL": "https://a.example/"}"#, "EDS_SECRET"),
        ("EDS_JSON_PATH", "{\n\"EDS_SECRET\": KANARIE", "line 2"),
        ("EDS_TOML_PATH", "x = 1\nEDS_SECRET = KANARIE\n", "line 2"),
        ("EDS_INI_PATH", "[default]\n\nKANARIE\n", "line 3"),
        ("EDS_INI_PATH", "", "empty"),
    ] {
        let sandbox = sandbox();
        let path = file(&sandbox, "eds", text);
        credentials(&sandbox, &format!("[default]\n{}", variables(SECRET, &service)));
        let run = sandbox.with_env(variable, &path).broker(&TOKEN).ends(5);
        let _ = run.says(variable).says(&path).says(says);
    }
    let _ = sandbox().with_env("EDS_JSON_PATH", "/nowhere.json").broker(&TOKEN).ends(5).says("/nowhere.json");
    assert!(service.seen().is_empty(), "no later source is used");
}

#[test]
fn values_of_two_secret_sources_are_not_combined() {
    let (first, second) = (service(), service());
    let sandbox = sandbox();
    let url = second.auth_url();
    let json =
        format!(r#"{{"EDS_SECRET": "{SECRET}", "EDS_AUTH_URL": "{url}", "EDS_CLIENT_ID": "KANARIE"}}"#);
    let path = file(&sandbox, "eds.json", &json);
    let sandbox = sandbox
        .with_env("EDS_JSON_PATH", &path)
        .with_env("EDS_SECRET", SECRET)
        .with_env("EDS_AUTH_URL", &first.auth_url());
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!((first.exchanges(), second.seen().len()), (1, 0));
}

#[test]
fn secret_from_file_is_not_sent_to_auth_url_in_environment() {
    let (own, evil) = (service(), service());
    let sandbox = sandbox();
    let default = variables(SECRET, &own);
    credentials(&sandbox, &format!("[default]\n{default}[bare]\nEDS_SECRET={SECRET}\n"));
    let sandbox = sandbox.with_env("EDS_AUTH_URL", &evil.auth_url()).with_env("EDS_CLIENT_ID", "evil");
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(own.exchanges(), 1);
    // The file sets a secret but no URL. The secret goes to the default URL, not to the URL in the environment.
    let sandbox = sandbox.with_env("EDS_INI_PROFILE", "bare");
    let _ = sandbox.broker(&TOKEN).ends(4).says("https://api.earthdaily.com/");
    assert!(evil.seen().is_empty());
}

#[test]
fn secret_files_in_working_folder_are_not_read() {
    let evil = service();
    let sandbox = sandbox();
    let text = variables("x-KANARIE", &evil);
    for name in ["EDS.env", ".env", "eds.json", "credentials", "theirs/.earthdaily/credentials"] {
        file(&sandbox, name, &text);
    }
    let mut command = sandbox.command(&TOKEN);
    command.current_dir(sandbox.home().join("theirs"));
    for child in [broker_e2e::spawn(command, &TOKEN), sandbox.start(&TOKEN)] {
        let run = broker_e2e::finish(child).ends(5).fails_with("secret_missing");
        let _ = run.says("EDS_SECRET").says("~/.earthdaily/credentials");
    }
    assert!(evil.seen().is_empty());
}

#[test]
fn env_file_flag_ignores_secrets_from_other_sources() {
    let (own, other) = (service(), service());
    let sandbox = sandbox();
    let url = own.auth_url();
    let text =
        format!("# comment\nexport EDS_SECRET='{SECRET}'\nEDS_AUTH_URL={url}  # comment\nHTTPS_PROXY=x\n");
    let path = file(&sandbox, "EDS.env", &text);
    let bare = file(&sandbox, "bare.env", &format!("EDS_SECRET={SECRET}\nBROKER_STATE_DIR=/nowhere\n"));
    credentials(&sandbox, &format!("[default]\n{}", variables("KANARIE", &other)));
    let sandbox = sandbox
        .with_env("EDS_SECRET", "other-KANARIE")
        .with_env("EDS_AUTH_URL", &other.auth_url())
        .with_env("EDS_CLIENT_ID", "other");
    assert!(own.access_is_live(&sandbox.broker(&["token", "earthdaily", "--env-file", &path]).token()));
    let run = sandbox.broker(&["token", "earthdaily", "--env-file", &bare]);
    let _ = run.ends(4).says("https://api.earthdaily.com/");
    assert!(other.seen().is_empty(), "variables of the environment are ignored");
}

/// Tokens of the secret in the env file and of the configured secret are stored separately.
#[test]
fn env_file_flag_overrides_configured_secret_and_url() {
    let (configured, named) = (service(), service());
    let config =
        |secret: &str| format!("[providers.earthdaily]\nauth_url = \"{}\"\n{secret}", configured.auth_url());
    let sandbox =
        sandbox().with_config(&config("client_secret = { env = \"OWN\" }\n")).with_env("OWN", SECRET);
    let path = file(&sandbox, "EDS.env", &variables(SECRET, &named));
    let with_file = ["token", "earthdaily", "--env-file", &path];
    let first = sandbox.broker(&TOKEN).token();
    let other = sandbox.broker(&with_file).token();
    assert!(configured.access_is_live(&first) && named.access_is_live(&other));
    assert_eq!((sandbox.broker(&TOKEN).token(), sandbox.broker(&with_file).token()), (first, other));
    assert_eq!(
        (configured.exchanges(), named.exchanges()),
        (1, 1),
        "the tokens of the two secrets were not stored separately"
    );
    let bare = file(&sandbox, "bare.env", &format!("EDS_SECRET={SECRET}\n"));
    let with_bare = ["token", "earthdaily", "--env-file", &bare];
    let _ = sandbox.broker(&with_bare).ends(4).says("https://api.earthdaily.com/");
    // If the env file has a secret and no URL, the secret goes to the configured URL.
    sandbox.write_config(&config(""));
    assert!(configured.access_is_live(&sandbox.broker(&with_bare).token()));
}

#[test]
fn invalid_env_file_is_an_error_that_names_file_or_key() {
    let sandbox = sandbox().with_env("EDS_SECRET", SECRET);
    for (name, text, says) in [
        ("words.env", "EDS_SECRET=KANARIE\nKANARIE KANARIE\n", "words.env:2"),
        ("json.env", "{\"EDS_SECRET\": \"KANARIE\"}", "json.env:1"),
        ("none.env", "PATH=KANARIE\n", "none.env"),
        ("half.env", "EDS_AUTH_URL=https://api.earthdaily.com/\n", "EDS_SECRET"),
        ("url.env", "EDS_SECRET=x\nEDS_AUTH_URL=http://evil.example/\n", "EDS_AUTH_URL"),
    ] {
        let path = file(&sandbox, name, text);
        let _ = sandbox.broker(&["token", "earthdaily", "--env-file", &path]).ends(5).says(says);
    }
    let _ = sandbox.broker(&["token", "earthdaily", "--env-file", "nowhere.env"]).ends(5).says("nowhere.env");
}

#[test]
fn two_providers_can_use_separate_env_files() {
    let (first, second) = (service(), service());
    let config = format!(
        "[providers.second]\nkind = \"earthdaily\"\nauth_url = \"{}\"\nclient_secret = {{ env = \"OWN\" }}\n",
        second.auth_url()
    );
    let sandbox = sandbox().with_config(&config).with_env("OWN", SECRET);
    credentials(&sandbox, &format!("[default]\n{}", variables(SECRET, &first)));
    let _ = (sandbox.broker(&TOKEN).token(), sandbox.broker(&["token", "second"]).token());
    assert_eq!((first.exchanges(), second.exchanges()), (1, 1));
}

#[test]
fn secret_file_that_is_a_pipe_is_refused_at_once() {
    let sandbox = sandbox();
    let pipe = |name: &str| {
        let path = sandbox.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        path.display().to_string()
    };
    let path = pipe(".earthdaily/credentials");
    let _ = sandbox.broker(&TOKEN).ends(5).says(&path).fails_with("config_invalid");
    std::fs::remove_file(&path).expect("the pipe is removed");
    let path = pipe("secret");
    for words in [&["token", "earthdaily", "--env-file", &path][..], &["import", &path]] {
        let _ = sandbox.broker(words).ends(5).says(&path);
    }
    for variable in ["EDS_JSON_PATH", "EDS_TOML_PATH", "EDS_INI_PATH"] {
        let mut command = sandbox.command(&TOKEN);
        command.env(variable, &path);
        let _ = broker_e2e::finish(broker_e2e::spawn(command, &TOKEN)).ends(5).says(&path);
    }
    sandbox.write_config(&format!("[providers.earthdaily]\nclient_secret = {{ file = \"{path}\" }}\n"));
    let _ = sandbox.broker(&TOKEN).ends(5).fails_with("secret_unreadable").says(&path);
    // A secret file may be a symbolic link to a regular file.
    let (file, link) = (sandbox.home().join("real"), sandbox.home().join("link"));
    sandbox.write(&file, "KANARIE");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    sandbox.write_config(
        "[providers.earthdaily]\nauth_url = \"http://127.0.0.1:1\"\nclient_secret = { file = \"~/link\" }\n",
    );
    let _ = sandbox.broker(&TOKEN).ends(4);
}

#[test]
fn token_in_environment_is_used_if_no_login_is_stored() {
    let (service, sandbox) = carbonmapper("");
    let env_token = "opaque-KANARIE-token";
    let sandbox = sandbox.with_env("CARBONMAPPER_TOKEN", env_token);
    assert_eq!(sandbox.broker(&["token", "carbonmapper"]).token(), env_token);
    assert_eq!(sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token(), env_token);
    assert!(service.seen().is_empty());
    let json = sandbox.broker(&["token", "carbonmapper", "--format", "json"]).json();
    assert!(json["expires_in"].as_i64().is_some_and(|left| left <= 30), "{json}");
    let sandbox = sandbox.with_env("CARBONMAPPER_TOKEN", "another-KANARIE");
    assert_eq!(sandbox.broker(&["token", "carbonmapper"]).token(), "another-KANARIE");
    // A token from the environment is not stored as a login. A stored login takes precedence over that token.
    assert!(sandbox.record("carbonmapper").get("grant").is_none());
    let sandbox = sandbox.with_env("CARBONMAPPER_EMAIL", "ada@example.org");
    let login = ["login", "carbonmapper", "--password-stdin"];
    let _ = sandbox.broker_reading(&login, "standin-password").ends(0);
    assert!(service.access_is_live(&sandbox.broker(&["token", "carbonmapper"]).token()));
    let stac = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token();
    assert!(stac != env_token && service.mints() == 1, "a scoped token of the stored login");
}

#[test]
fn expired_token_in_environment_is_not_used() {
    // The JWT's claims are {"exp":1500000000}, a time in 2017.
    let sandbox = sandbox().with_env("CARBONMAPPER_TOKEN", "e30.eyJleHAiOjE1MDAwMDAwMDB9.KANARIE");
    let run = sandbox.broker(&["token", "carbonmapper"]).ends(3).fails_with("login_required");
    let _ = run.says("2017-07-14").says("CARBONMAPPER_TOKEN");
}

#[test]
fn token_in_env_is_used_only_by_provider_carbonmapper() {
    let config = "[providers.second]\nkind = \"carbonmapper\"\n";
    let sandbox = sandbox().with_config(config).with_env("CARBONMAPPER_TOKEN", "x-KANARIE");
    let _ = sandbox.broker(&["token", "second"]).ends(3);
}

#[test]
fn password_in_env_file_wins_over_configured_password() {
    let (service, sandbox) = carbonmapper("email = \"else@example.org\"\npassword = { env = \"OWN\" }\n");
    let sandbox = sandbox.with_env("OWN", "wrong-KANARIE");
    let text = "CARBONMAPPER_EMAIL=ada@example.org\nCARBONMAPPER_PASSWORD=\"standin-password\"\n";
    let path = file(&sandbox, "cm.env", text);
    let token = sandbox.broker(&["token", "carbonmapper", "--env-file", &path]).token();
    assert!(service.access_is_live(&token));
    assert_eq!(service.pairs(), 1);
    let only_email = file(&sandbox, "email.env", "CARBONMAPPER_EMAIL=eve@example.org\n");
    let _ = sandbox.broker(&["token", "carbonmapper", "--env-file", &only_email]).ends(3);
    assert_eq!(service.count("pair"), 1, "the configured password belongs to the configured email");
}
