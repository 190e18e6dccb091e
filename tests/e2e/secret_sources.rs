//! Tests that a secret is read by one rule from each source: files, variables, standard input, commands, and files of
//! the services' own tools.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use broker_e2e::{Run, Sandbox, finish, spawn};
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScopeOptions, Rotation};

use crate::stage::{carbonmapper, earthscope, logged_in, set_mode};

const SECRET: &str = EarthDaily::SECRET;

/// A text before and a text after a secret that are not part of the secret.
const AROUND: [(&str, &str); 4] = [("", "\n"), ("", "\r\n"), ("\u{feff}", ""), ("\u{feff}", "\r\n\n")];

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn write(sandbox: &Sandbox, name: &str, bytes: &[u8]) -> String {
    let path = sandbox.home().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, bytes).expect("written");
    set_mode(&path, 0o600);
    path.display().to_string()
}

/// The ways to give EarthDaily's secret. Each returns a sandbox whose call `broker token earthdaily` uses the secret.
const WAYS: [&str; 8] = ["file", "variable", "command", "EDS_SECRET", "JSON", "INI", "home", "literal"];

fn with_secret(way: &str, url: &str, text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let table = format!("[providers.earthdaily]\nauth_url = \"{url}\"\n");
    let json = |text: &str| serde_json::Value::from(text).to_string();
    match way {
        "file" => {
            write(&sandbox, "secret", text.as_bytes());
            sandbox.with_config(&format!("{table}client_secret = {{ file = \"~/secret\" }}\n"))
        }
        "variable" => {
            let sandbox = sandbox.with_env("A_SECRET", text);
            sandbox.with_config(&format!("{table}client_secret = {{ env = \"A_SECRET\" }}\n"))
        }
        "command" => {
            let path = write(&sandbox, "secret", text.as_bytes());
            sandbox.with_config(&format!("{table}client_secret = {{ command = [\"cat\", \"{path}\"] }}\n"))
        }
        "EDS_SECRET" => sandbox.with_env("EDS_SECRET", text).with_config(&table),
        "JSON" => {
            let text = format!("{{\"EDS_SECRET\": {}, \"EDS_AUTH_URL\": \"{url}\"}}", json(text));
            let path = write(&sandbox, "eds.json", text.as_bytes());
            sandbox.with_env("EDS_JSON_PATH", &path)
        }
        "INI" => {
            let text = format!("[default]\nEDS_AUTH_URL = {url}\nEDS_SECRET = {text}");
            let path = write(&sandbox, "eds.ini", text.as_bytes());
            sandbox.with_env("EDS_INI_PATH", &path)
        }
        "home" => {
            let text = format!("[default]\nEDS_AUTH_URL = \"{url}\"\nEDS_SECRET = {}\n", json(text));
            write(&sandbox, ".earthdaily/credentials", text.as_bytes());
            sandbox
        }
        _ => sandbox.with_config(&format!("{table}client_secret = {}\n", json(text))),
    }
}

#[test]
fn secret_of_each_source_has_no_mark_and_no_line_end() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    for way in WAYS {
        for (before, after) in AROUND {
            let sandbox = with_secret(way, &service.auth_url(), &format!("{before}{SECRET}{after}"));
            let run = sandbox.broker(&["token", "earthdaily"]);
            assert_eq!(run.code, 0, "{way} {before:?} {after:?}: {}", run.err);
            // The fingerprint of the secret is of the same text: the stored token is used.
            let sandbox = sandbox.with_env("UNRELATED", "x");
            let _ = sandbox.broker(&["token", "earthdaily"]).token();
        }
    }
    assert_eq!(service.exchanges(), WAYS.len() * AROUND.len());
}

#[test]
fn secret_with_a_line_break_inside_names_its_source() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let sources =
        ["secret", "A_SECRET", "cat", "EDS_SECRET", "eds.json", "eds.ini", "credentials", "client_secret"];
    for (way, source) in WAYS.iter().zip(sources) {
        for (middle, why) in [("\n  ", "line break"), ("\u{1b}", "control character")] {
            let sandbox = with_secret(way, &service.auth_url(), &format!("KANARIE{middle}KANARIE"));
            let run = sandbox.broker(&["token", "earthdaily"]).ends(5).says(source).says(why);
            assert!(!run.err.contains("KANARIE"), "{way}: {}", run.err);
        }
    }
    assert!(service.seen().is_empty());
}

#[test]
fn secret_from_standard_input_is_cleaned() {
    for (before, after) in AROUND {
        let (service, sandbox) = carbonmapper("email = \"ada@example.org\"\n");
        let input = format!("{before}standin-password{after}");
        let _ = sandbox.broker_reading(&["login", "carbonmapper", "--password-stdin"], &input).ends(0);
        assert_eq!(service.pairs(), 1);
        let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
        let input = format!("{before} {}{after}", service.issue_refresh_token());
        let _ = sandbox.broker_reading(&["login", "earthscope", "--refresh-token-stdin"], &input).ends(0);
    }
    let (service, sandbox) = carbonmapper("email = \"ada@example.org\"\n");
    let login = ["login", "carbonmapper", "--password-stdin"];
    // A password may end with a blank.
    let _ = sandbox.broker_reading(&login, "standin-password \n").ends(6);
    let _ = sandbox.broker_reading(&login, "stand\nin").ends(2).says("line break");
    assert_eq!(service.pairs(), 0);
}

#[test]
fn earthscope_variables_are_cleaned() {
    for (before, after) in AROUND {
        let (service, sandbox) =
            earthscope(EarthScopeOptions { rotation: Rotation::Keep, ..Default::default() }, "");
        let token = format!("{before}{}{after}", service.issue_refresh_token());
        let _ = sandbox.with_env("ES_OAUTH2__REFRESH_TOKEN", &token).broker(&["token", "earthscope"]).token();
        let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
        let (id, secret) = ("machine", "KANARIE");
        let sandbox = sandbox
            .with_env("ES_OAUTH2__CLIENT_ID", &format!("{id}{after}"))
            .with_env("ES_OAUTH2__CLIENT_SECRET", &format!("{before}{secret}{after}"));
        let _ = sandbox.broker(&["token", "earthscope"]);
        let sent = service.seen().pop().expect("a request").form();
        assert_eq!((sent["client_id"].as_str(), sent["client_secret"].as_str()), (id, secret));
    }
}

#[test]
fn utf16_file_is_named_as_such() {
    let sandbox = Sandbox::new();
    let env_file = write(&sandbox, "EDS.env", &utf16("EDS_SECRET=KANARIE\r\n"));
    let json = write(&sandbox, "eds.json", &utf16("{\"EDS_SECRET\": \"KANARIE\"}"));
    let secret = write(&sandbox, "secret", &utf16("KANARIE\r\n"));
    let config =
        write(&sandbox, "utf16.toml", &utf16("[providers.x]\nkind = \"static\"\ntoken = \"KANARIE\"\n"));
    let of_json = Sandbox::new().with_env("EDS_JSON_PATH", &json);
    let of_file = Sandbox::new()
        .with_config(&format!("[providers.earthdaily]\nclient_secret = {{ file = \"{secret}\" }}\n"));
    let of_home = Sandbox::new();
    write(&of_home, ".earthdaily/credentials", &utf16("[default]\nEDS_SECRET = \"KANARIE\"\n"));
    let token = ["token", "earthdaily"];
    let runs: [(Run, &str); 6] = [
        (sandbox.broker(&["token", "earthdaily", "--env-file", &env_file]), &env_file),
        (of_json.broker(&token), &json),
        (of_file.broker(&token), &secret),
        (of_home.broker(&token), "credentials"),
        (sandbox.broker(&["list", "--config", &config]), &config),
        (sandbox.broker(&["import", &env_file]), &env_file),
    ];
    for (run, path) in runs {
        let _ = run.ends(5).says("UTF-16").says(path);
    }
    let tokens = Sandbox::new();
    write(&tokens, ".earthscope/default/tokens.json", &utf16("{}")[2..]);
    let _ = tokens.broker(&["token", "earthscope"]).ends(3).says("UTF-16").says("tokens.json");
}

#[test]
fn hint_for_a_file_that_is_not_text_names_the_format() {
    let sandbox = Sandbox::new();
    let latin = write(&sandbox, "latin.toml", b"# caf\xe9\n");
    let utf16 = write(&sandbox, "utf16.toml", &utf16("# a\n"));
    for config in [latin, utf16] {
        let run = sandbox.broker(&["list", "--config", &config]).ends(5);
        let _ = run.fails_with("config_unreadable").says("hint: save the file as UTF-8");
    }
    let ed25519 = b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    for bytes in [&b"\x30\x82\x04\xbe\x02\x01\0"[..], &[&ed25519[..], &[0xfe; 32]].concat()] {
        let key = write(&sandbox, "key.der", bytes);
        sandbox.write_config(&format!(
            "[providers.lab]\nkind = \"oauth2\"\nflow = \"client_credentials\"\nclient_id = \"c\"\n\
             token_url = \"http://127.0.0.1:1/\"\nprivate_key = {{ file = \"{key}\" }}\n"
        ));
        let run = sandbox.broker(&["token", "lab"]).ends(5);
        let _ = run.fails_with("secret_unreadable").says("DER or PKCS#12").says("openssl pkey -inform DER");
    }
}

#[test]
fn login_file_of_earthscope_may_begin_with_a_mark() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let path = sandbox.tokens_path();
    let text = std::fs::read_to_string(&path).expect("a login");
    std::fs::write(&path, format!("\u{feff}{text}")).expect("written");
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthscope", "--force"]).token()));
    assert!(std::fs::read_to_string(&path).expect("a login").starts_with('{'), "the tools can read it");
}

/// Without these settings, the broker would use another issuer.
#[test]
fn unreadable_settings_of_earthscope_stop_its_provider() {
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    for path in [".earthscope/config.toml", ".config/earthscope-cli/sso_tokens.json"] {
        for bytes in [&utf16("[default.oauth2]\nrefresh_token = \"KANARIE\"\n")[..], b"[default]\n\xff\n"] {
            write(&sandbox, path, bytes);
            for words in [&["token", "earthscope"][..], &["status", "earthscope"]] {
                let _ = sandbox.broker(words).ends(5).says(path).says("UTF-");
            }
        }
        std::fs::remove_file(sandbox.home().join(path)).expect("the file");
        // Like the SDK, ignores a folder in place of the file.
        write(&sandbox, &format!("{path}/x"), b"");
        let _ = sandbox.broker(&["token", "earthscope"]).token();
    }
}

#[test]
fn variable_that_is_not_utf8_is_named_as_such() {
    let bytes = OsStr::from_bytes(b"KANARIE\xff");
    let config = "[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB_TOKEN\" }\n";
    let sandbox = Sandbox::new().with_config(config);
    for (variable, words) in [
        ("LAB_TOKEN", ["token", "lab"]),
        ("BROKER_PROVIDERS__LAB__TIMEOUT", ["token", "lab"]),
        ("BROKER_CONFIG", ["token", "lab"]),
        ("EDS_SECRET", ["token", "earthdaily"]),
        ("EDS_JSON_PATH", ["token", "earthdaily"]),
        ("ES_OAUTH2__REFRESH_TOKEN", ["token", "earthscope"]),
        ("es_oauth2", ["token", "earthscope"]),
        ("CARBONMAPPER_PASSWORD", ["token", "carbonmapper"]),
        ("EDS_AUTH_URL", ["token", "earthdaily"]),
        ("EDS_CLIENT_ID", ["token", "earthdaily"]),
        ("EDS_API_URL", ["status", "earthdaily"]),
        ("es_profile", ["token", "earthscope"]),
        ("ES_BOOTSTRAP_SETTINGS", ["token", "earthscope"]),
        ("CARBONMAPPER_EMAIL", ["token", "carbonmapper"]),
    ] {
        let mut command = sandbox.command(&words);
        if variable.ends_with("_URL") || variable.ends_with("_ID") || variable.ends_with("_EMAIL") {
            command.env("EDS_SECRET", "KANARIE").env("CARBONMAPPER_PASSWORD", "KANARIE");
        }
        command.env(variable, bytes);
        let _ = finish(spawn(command, &words)).ends(5).says(variable).says("not UTF-8");
    }
    // Other providers are not concerned.
    let mut command = sandbox.command(&["token", "lab"]);
    command.env("LAB_TOKEN", "KANARIE").env("EDS_SECRET", bytes).env("BROKER_PROVIDERS__X__KIND", bytes);
    assert_eq!(finish(spawn(command, &["token", "lab"])).token(), "KANARIE");
}

/// EarthDaily's client reads INI with Python's `configparser`.
#[test]
fn earthdaily_ini_is_read_with_defaults_and_references() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let (url, base) = (service.auth_url(), service.url());
    let rest = url.strip_prefix(base).expect("a path");
    for text in [
        format!("[DEFAULT]\nEDS_AUTH_URL = {url}\n[default]\nEDS_SECRET = {SECRET}\n"),
        format!(
            "[DEFAULT]\neds_secret : {SECRET}\nbase = {base}\n[default]\neds_Auth_url = %(BASE)s{rest}\n"
        ),
        format!("[default]\nEDS_SECRET =\n  {SECRET}\n; c\nEDS_AUTH_URL = '{url}'\n"),
    ] {
        let sandbox = Sandbox::new();
        let path = write(&sandbox, "eds.ini", text.as_bytes());
        let sandbox = sandbox.with_env("EDS_INI_PATH", &path);
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
    let sandbox = Sandbox::new();
    let path = write(&sandbox, "eds.ini", b"[default]\nEDS_SECRET = KANARIE%\n");
    let run = sandbox.with_env("EDS_INI_PATH", &path).broker(&["token", "earthdaily"]).ends(5);
    let _ = run.says("eds_secret").omits("KANARIE");
}

#[test]
fn env_file_references_only_its_own_variables() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let sandbox = Sandbox::new().with_env("BASE", "http://127.0.0.1:9");
    let rest = service.auth_url();
    let rest = rest.strip_prefix(service.url()).expect("a path");
    let text = format!("BASE={}\nEDS_SECRET='{SECRET}'\nEDS_AUTH_URL=\"${{BASE}}{rest}\"\n", service.url());
    let path = write(&sandbox, "EDS.env", text.as_bytes());
    let _ = sandbox.broker(&["token", "earthdaily", "--env-file", &path]).token();
    let text = format!("EDS_SECRET={SECRET}\nEDS_AUTH_URL=${{BASE}}{rest}\n");
    let path = write(&sandbox, "EDS.env", text.as_bytes());
    let run = sandbox.broker(&["token", "earthdaily", "--env-file", &path]).ends(5);
    let _ = run.fails_with("config_syntax").says("EDS.env:2");
}
