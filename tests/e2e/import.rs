//! Tests `broker import`, which lists and imports logins and secrets of the services' own tools.

use std::path::Path;

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScopeOptions};
use serde_json::Value;

use crate::stage::{earthscope, mode, set_mode};

const SECRET: &str = EarthDaily::SECRET;

fn service() -> EarthDaily {
    EarthDaily::start(EarthDailyOptions::default())
}

fn env_of(service: &EarthDaily) -> String {
    format!(
        "EDS_CLIENT_ID=EARTHDAILY_API_TOKEN\nEDS_SECRET=\"{SECRET}\"\nEDS_AUTH_URL={}\n",
        service.auth_url()
    )
}

fn file(sandbox: &Sandbox, name: &str, text: &str) -> String {
    let path = sandbox.home().join(name);
    sandbox.write(&path, text);
    path.display().to_string()
}

/// Starts a service, and writes an `.env` file for the service. Returns the path of the file.
fn env_file(sandbox: &Sandbox) -> (EarthDaily, String) {
    let service = service();
    let path = file(sandbox, "EDS.env", &env_of(&service));
    (service, path)
}

#[test]
fn token_works_after_the_imported_env_file_is_deleted() {
    let sandbox = Sandbox::new();
    let (service, path) = env_file(&sandbox);
    let run = sandbox.broker(&["import", &path]).ends(0).says("broker token earthdaily");
    assert_eq!(run.out, "");
    let _ = run.says(&service.auth_url());
    std::fs::remove_file(&path).expect("it is no longer needed");
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthdaily"]).token()));
    let secret = sandbox.home().join(".config/broker/secrets/earthdaily");
    assert_eq!(std::fs::read_to_string(&secret).expect("the secret"), SECRET);
    assert_eq!((mode(&secret), mode(secret.parent().expect("a folder"))), (0o600, 0o700));
    assert_eq!(mode(&sandbox.config_path()), 0o600);
    assert!(!sandbox.config().contains(SECRET));
    let _ = sandbox.broker(&["config", "check"]).ends(0);
}

#[test]
fn import_keeps_the_bytes_and_mode_of_the_configuration() {
    let before = "# mine\n[providers.mine]   # odd\nkind='earthdaily'\ntimeout = \"5s\"";
    let sandbox = Sandbox::new().with_config(before);
    set_mode(&sandbox.config_path(), 0o640);
    let (service, path) = env_file(&sandbox);
    let _ = sandbox.broker(&["import", &path, "--as", "lab"]).ends(0).says("broker token lab");
    let after = sandbox.config();
    assert!(after.starts_with(&format!("{before}\n\n[providers.lab]\nkind = \"earthdaily\"\n")), "{after}");
    assert_eq!(mode(&sandbox.config_path()), 0o640);
    assert!(service.access_is_live(&sandbox.broker(&["token", "lab"]).token()));
}

#[test]
fn concurrent_imports_lose_no_provider() {
    let sandbox = Sandbox::new();
    let (_service, path) = env_file(&sandbox);
    let names: Vec<_> = (0..8).map(|number| format!("account-{number}")).collect();
    let started: Vec<_> = names.iter().map(|name| sandbox.start(&["import", &path, "--as", name])).collect();
    for child in started {
        let _ = broker_e2e::finish(child).ends(0);
    }
    let listed = sandbox.broker(&["config", "show"]).ends(0).out;
    for name in names {
        assert!(listed.contains(&format!("[providers.{name}]")), "{name}: {listed}");
    }
}

#[test]
fn import_adds_missing_keys_to_an_existing_table() {
    let (head, tail) = (
        "# mine\n[providers.earthdaily] # [providers.earthdaily]\n",
        "timeout = \"5s\"\r\nhosts = [\"x.example\"]\n\n[providers.mine]\nkind = 'earthdaily'",
    );
    let sandbox = Sandbox::new().with_config(&format!("{head}{tail}"));
    let (service, path) = env_file(&sandbox);
    let _ = sandbox.broker(&["import", &path]).ends(0).says("broker token earthdaily");
    let after = sandbox.config();
    let added =
        after.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail)).expect("the rest is unchanged");
    let keys: Vec<_> = added.lines().filter_map(|line| line.split(" = ").next()).collect();
    assert_eq!(keys, ["auth_url", "client_id", "client_secret"]);
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthdaily"]).token()));
    let _ = sandbox.broker(&["import", &path]).ends(0).says("replaced");
    assert_eq!(sandbox.config(), after);
}

#[test]
fn import_ignores_a_table_header_inside_a_toml_string() {
    let before =
        "[providers.mine]\nkind = \"earthdaily\"\nclient_secret = \"\"\"\n[providers.earthdaily]\n\"\"\"\n";
    for after in ["", "[providers.earthdaily]\ntimeout = \"5s\"\n"] {
        let sandbox = Sandbox::new().with_config(&format!("{before}{after}"));
        let (_service, path) = env_file(&sandbox);
        let _ = sandbox.broker(&["import", &path]).ends(0);
        let text = sandbox.config();
        let added = text.strip_prefix(before).expect("the rest is unchanged").trim_start();
        assert!(added.starts_with("[providers.earthdaily]\nauth_url"), "{added}");
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
fn import_does_not_add_secret_to_table_of_another_client_id() {
    let before = "[providers.earthdaily]\nclient_id = \"else\"\n";
    let sandbox = Sandbox::new().with_config(before);
    let (service, path) = env_file(&sandbox);
    let run = sandbox.broker(&["import", &path]).ends(1).fails_with("already_exists");
    let run = run.says("--as earthdaily-2").says("client_secret = { file").says(&service.auth_url());
    let (_, rest) = run.err.split_once("(umask").expect("a command");
    let (command, _) = rest.split_once(')').expect("the end of the command");
    assert_eq!(sandbox.config(), before);
    assert!(!sandbox.home().join(".config/broker/secrets").exists());
    let _ = sandbox.broker(&["import", &path, "--as", "earthdaily-2"]).ends(0);
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthdaily-2"]).token()));
    let secret = sandbox.home().join(".config/broker/secrets/earthdaily");
    let script = format!("printf x | (umask{command})");
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().expect("sh").success());
    assert_eq!((std::fs::read_to_string(&secret).expect("a secret"), mode(&secret)), ("x".to_owned(), 0o600));
    // `import` cannot add a key to an inline table, so the configuration file stays unchanged.
    let inline = "providers = { earthscope = { timeout = \"5s\" } }\n";
    sandbox.write_config(inline);
    let _ = sandbox.broker(&["import", &path, "--as", "third"]).ends(5).fails_with("config_invalid");
    assert_eq!(sandbox.config(), inline);
    let dotted = "[providers]\nearthdaily.timeout = \"5s\"\n";
    sandbox.write_config(dotted);
    let _ = sandbox.broker(&["import", &path]).ends(5).fails_with("config_invalid").says("umask 077");
    assert_eq!(sandbox.config(), dotted);
}

#[test]
fn import_suggests_removing_an_env_file_others_can_read() {
    let service = service();
    let sandbox = Sandbox::new();
    let path = file(&sandbox, "my EDS.env", &env_of(&service));
    set_mode(Path::new(&path), 0o644);
    let _ = sandbox.broker(&["import", &path]).ends(0).says(&format!("rm '{path}'"));
    assert!(Path::new(&path).is_file());
    set_mode(Path::new(&path), 0o600);
    let run = sandbox.broker(&["import", &path]).ends(0);
    assert!(!run.err.contains("rm "), "{}", run.err);
}

#[test]
fn import_refuses_refresh_token_that_environment_provides() {
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    let token = service.issue_refresh_token();
    let sandbox = sandbox.with_env("ES_OAUTH2__REFRESH_TOKEN", &token);
    let listed = &sandbox.broker(&["import", "--json"]).json()["found"][0];
    assert!(listed["used"] == true && listed["importable"] == false, "{listed}");
    assert!(sandbox.broker(&["import"]).ends(0).out.contains("used automatically"));
    for words in [&["import", "1"][..], &["import", "1", "--as", "lab"]] {
        let _ = sandbox.broker(words).ends(1).fails_with("already_exists");
    }
    // While an environment variable provides the login, `import` refuses other refresh tokens and sends no request.
    let other = service.issue_refresh_token();
    let path = file(&sandbox, "sso_tokens.json", &format!("{{\"refresh_token\": \"{other}\"}}"));
    let _ = sandbox.broker(&["import", &path]).ends(1).fails_with("already_exists");
    assert!(service.is_live(&token) && service.is_live(&other) && service.seen().is_empty());
}

#[test]
fn import_lists_and_uses_the_older_earthscope_clis_login() {
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    let folder = sandbox.home().join("elsewhere");
    let sandbox = sandbox.with_env("APP_DIRECTORY", &folder.display().to_string());
    let tokens = format!("{{\"refresh_token\": \"{}\"}}", service.issue_refresh_token());
    file(&sandbox, "elsewhere/sso_tokens.json", &tokens);
    let listed = &sandbox.broker(&["import", "--json"]).json()["found"][0];
    assert!(listed["used"] == true && listed["importable"] == true, "{listed}");
    assert!(sandbox.broker(&["import"]).ends(0).out.contains("broker import 1"));
    let _ = sandbox.broker(&["import", "1"]).ends(0).says("logged in");
    // The new login file is number 1 in the list of `import`, so the older CLI's file is number 2.
    let _ = sandbox.broker(&["import", "2"]).ends(1).says("broker logout earthscope");
}

#[test]
fn import_replaces_a_secret_from_an_earlier_import() {
    let sandbox = Sandbox::new();
    let (service, path) = env_file(&sandbox);
    let _ = sandbox.broker(&["import", &path]).ends(0);
    let before = sandbox.config();
    service.set_secret("rolled-KANARIE");
    file(&sandbox, "EDS.env", &env_of(&service).replace(SECRET, "rolled-KANARIE"));
    let _ = sandbox.broker(&["import", &path]).ends(0).says("replaced");
    assert_eq!(sandbox.config(), before);
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    // If the file's `EDS_AUTH_URL` differs from the configured URL, `import` does not replace the secret.
    file(&sandbox, "EDS.env", &env_of(&self::service()));
    let _ = sandbox.broker(&["import", &path]).ends(1).says("--as");
}

#[test]
fn import_follows_a_symbolic_link_to_the_configuration() {
    let sandbox = Sandbox::new();
    let real = sandbox.home().join("dotfiles/providers.toml");
    sandbox.write(&real, "");
    std::fs::create_dir_all(sandbox.config_path().parent().expect("a folder")).expect("a folder");
    std::os::unix::fs::symlink(&real, sandbox.config_path()).expect("a link");
    let (_service, path) = env_file(&sandbox);
    let _ = sandbox.broker(&["import", &path]).ends(0);
    assert!(sandbox.config_path().is_symlink() && sandbox.config().contains("[providers.earthdaily]"));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}

#[test]
fn import_lists_secret_names_and_files_without_values() {
    let service = service();
    let sandbox = Sandbox::new();
    let set =
        |name: &str| format!("[{name}]\nEDS_SECRET = '{SECRET}'\nEDS_AUTH_URL = {}\n", service.auth_url());
    file(&sandbox, ".earthdaily/credentials", &(set("default") + &set("work")));
    let json = file(&sandbox, "eds.json", "{\"EDS_AUTH_URL\": \"https://KANARIE.example/\"}");
    file(&sandbox, ".earthscope/default/tokens.json", "{\"refresh_token\": \"KANARIE\"}");
    let both = "{\"access_token\": \"KANARIE\", \"refresh_token\": \"KANARIE\"}";
    file(&sandbox, ".earthscope/lab/tokens.json", both);
    file(&sandbox, ".config/earthscope-cli/sso_tokens.json", "{\"refresh_token\": \"KANARIE\"}");
    let run = sandbox.broker(&["import"]).ends(0).prints(" 1  earthdaily").prints("credentials [work]");
    let _ = run.prints("used automatically").prints("broker import 2");
    let sandbox = sandbox
        .with_env("EDS_JSON_PATH", &json)
        .with_env("ES_OAUTH2__REFRESH_TOKEN", "KANARIE")
        .with_env("CARBONMAPPER_EMAIL", "ada@example.org")
        .with_env("CARBONMAPPER_PASSWORD", "standin-password")
        .with_env("CARBONMAPPER_TOKEN", "KANARIE");
    let listed = sandbox.broker(&["import", "--json"]).json();
    let found = listed["found"].as_array().expect("a list");
    let column = |name: &str| found.iter().map(|found| found[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("number"), (1..=9).map(Value::from).collect::<Vec<_>>());
    let kinds = ["earthdaily"; 3].into_iter().chain(["earthscope"; 4]).chain(["carbonmapper"; 2]);
    assert_eq!(column("kind"), kinds.map(Value::from).collect::<Vec<_>>());
    assert!(found[0]["note"].as_str().is_some_and(|note| note.contains("has no EDS_SECRET")), "{listed}");
    assert_eq!(found[1]["has"], serde_json::json!(["EDS_SECRET", "EDS_AUTH_URL"]));
    assert_eq!([3, 4, 7].map(|nth| found[nth]["used"].as_bool()), [Some(true), Some(false), Some(true)]);
    assert!(service.seen().is_empty());
}

#[test]
fn import_selects_a_listed_secret_by_its_number() {
    let service = service();
    let sandbox = Sandbox::new();
    let url = service.auth_url();
    let text =
        format!("[default]\nEDS_SECRET = KANARIE\n[work]\nEDS_SECRET = {SECRET}\nEDS_AUTH_URL = {url}\n");
    file(&sandbox, ".earthdaily/credentials", &text);
    let imported = sandbox.broker(&["import", "2", "--as", "work", "--json"]).json();
    assert_eq!(imported["imported"][0]["provider"], "work");
    assert!(service.access_is_live(&sandbox.broker(&["token", "work"]).token()));
    for number in ["0", "3", "99999999999999999999999"] {
        let run = sandbox.broker(&["import", number]);
        assert!(run.code == 2 || number.len() > 2 && run.code == 5, "{number}: {}", run.err);
    }
    let _ = sandbox.broker(&["import", "1", "2", "--as", "x"]).ends(2);
    let _ = sandbox.broker(&["import", "--as", "x"]).ends(2);
    for name in ["a/b", "a.b", "x]\n[y", "../x"] {
        let _ = sandbox.broker(&["import", "1", "--as", name]).ends(2);
    }
}

#[test]
fn import_fails_for_files_without_secrets() {
    let sandbox = Sandbox::new();
    for (name, text) in [
        ("no-secret.env", "EDS_AUTH_URL=https://api.earthdaily.com/\n"),
        ("other.env", "PATH=KANARIE\n"),
        ("garbled.env", "EDS_SECRET=KANARIE\nKANARIE\n"),
        ("half.json", "{\"EDS_SECRET\": KANARIE"),
        ("flat.json", "{\"x\": \"KANARIE\"}"),
        ("bad.ini", "[default]\nKANARIE\n"),
        ("url.env", "EDS_SECRET=KANARIE\nEDS_AUTH_URL=http://evil.example/\n"),
        ("empty.env", ""),
    ] {
        let path = file(&sandbox, name, text);
        let run = sandbox.broker(&["import", &path]).ends(5);
        assert!(!sandbox.config_path().exists() && run.out.is_empty(), "{name}: {}", run.err);
    }
    let binary = sandbox.home().join("binary");
    std::fs::write(&binary, [0_u8, 159, 146, 150].repeat(50)).expect("a file");
    let huge = sandbox.home().join("huge");
    std::fs::File::create(&huge).expect("a file").set_len(1 << 30).expect("a hole");
    for path in [&binary, &huge, &sandbox.home(), &sandbox.home().join("nowhere")] {
        let _ = sandbox.broker(&["import", &path.display().to_string()]).ends(5);
    }
    std::fs::remove_file(huge).expect("removed");
    assert!(!sandbox.home().join(".config/broker/secrets").exists());
}

#[test]
fn import_logs_in_with_refresh_token_of_older_earthscope_cli() {
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    let tokens = format!(
        "{{\"access_token\": \"KANARIE\", \"refresh_token\": \"{}\"}}",
        service.issue_refresh_token()
    );
    let path = file(&sandbox, "old/sso_tokens.json", &tokens);
    let _ = sandbox.broker(&["import", &path]).ends(0).says("logged in");
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    // `import` does not replace a stored login.
    let _ = sandbox.broker(&["import", &path]).ends(1).says("broker logout earthscope");
    assert_eq!(std::fs::read_to_string(&path).expect("the source"), tokens, "the source is unchanged");
}

#[test]
fn import_adds_a_provider_for_an_sdk_profile() {
    let sandbox = Sandbox::new();
    let path = file(&sandbox, ".earthscope/field-work/tokens.json", "{\"refresh_token\": \"KANARIE\"}");
    let _ = sandbox.broker(&["import", &path]).ends(0).says("broker token earthscope-field-work");
    assert_eq!(
        sandbox.config(),
        "[providers.earthscope-field-work]\nkind = \"earthscope\"\nprofile = \"field-work\"\n"
    );
    let usual = file(&sandbox, ".earthscope/default/tokens.json", "{\"refresh_token\": \"KANARIE\"}");
    let _ = sandbox.broker(&["import", &usual]).ends(0).says("nothing to import");
    let listed = sandbox.broker(&["import", "--json"]).json();
    assert_eq!((&listed["found"][0]["used"], &listed["found"][1]["used"]), (&true.into(), &true.into()));
}

#[test]
fn import_writes_password_from_environment_to_a_file() {
    let service = CarbonMapper::start(CarbonMapperOptions::default());
    let sandbox = Sandbox::new()
        .with_env("CARBONMAPPER_EMAIL", "ada@example.org")
        .with_env("CARBONMAPPER_PASSWORD", "standin-password");
    let _ = sandbox.broker(&["import", "1", "--as", "methane"]).ends(0).says("broker token methane");
    assert_eq!(mode(&sandbox.home().join(".config/broker/secrets/methane")), 0o600);
    let sandbox = sandbox.with_env("CARBONMAPPER_EMAIL", "").with_env("CARBONMAPPER_PASSWORD", "");
    sandbox.write_config(&format!("{}base_url = \"{}\"\n", sandbox.config(), service.base_url()));
    assert!(service.access_is_live(&sandbox.broker(&["token", "methane"]).token()));
}

#[test]
#[ignore = "needs root: makes a device"]
fn import_refuses_a_device_as_configuration_file() {
    let sandbox = Sandbox::new();
    let (_service, path) = env_file(&sandbox);
    let device = sandbox.home().join("null");
    let made = std::process::Command::new("mknod").arg(&device).args(["c", "1", "3"]).status();
    assert!(made.is_ok_and(|made| made.success()), "only root makes devices");
    let words = ["import", &path, "--config", &device.display().to_string()];
    let _ = sandbox.broker(&words).ends(1).fails_with("write_failed");
    assert!(
        !std::fs::metadata(&device).expect("there").is_file() && !sandbox.home().join("secrets").exists()
    );
}
