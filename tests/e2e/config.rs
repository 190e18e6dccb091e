//! Tests the sources of the configuration, and errors with their position and correction.

use std::path::Path;

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthDailyOptions};

use crate::stage::{earthdaily, earthscope, set_mode};

fn two_services() -> [EarthDaily; 2] {
    [(); 2].map(|()| EarthDaily::start(EarthDailyOptions::default()))
}

/// Each `bad-config/NAME.toml` has a mistake, and `NAME.err` contains the expected message. To update the messages, run
/// `UPDATE=1 cargo test -p broker-e2e bad_config` and review the difference.
#[test]
fn bad_config_errors_have_position_and_correction() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/bad-config");
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        cases += 1;
        let sandbox = Sandbox::new();
        let config = sandbox.home().join("providers.toml");
        sandbox.write(&config, &std::fs::read_to_string(&path).expect("a case"));
        let config = config.display().to_string();
        let run = sandbox.broker(&["config", "check", "--config", &config]).ends(5);
        assert_eq!(run.out, "");
        let errors: Vec<_> = run.err.lines().filter(|line| !line.starts_with("warning: ")).collect();
        let message = errors.iter().map(|line| without_kinds(line)).collect::<Vec<_>>();
        let message = message.join("\n").replace(&config, "providers.toml") + "\n";
        let expected = path.with_extension("err");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &message).expect("written");
        }
        assert_eq!(message, std::fs::read_to_string(&expected).unwrap_or_default(), "{}", path.display());
    }
    assert!(cases >= 19, "{cases}");
}

/// Removes the list of provider types, so that a new type does not change the expected messages.
fn without_kinds(line: &str) -> String {
    let list = line.find("one of `carbonmapper`, ").or_else(|| line.find("the kinds are `carbonmapper`, "));
    let list = list.and_then(|at| Some(at + line[at..].find('`')?));
    list.map_or(line.to_owned(), |at| format!("{}…", &line[..at]))
}

#[test]
fn config_mistake_in_unrequested_provider_is_ignored() {
    let (_service, sandbox) = earthdaily("[providers.broken]\nkind = \"nothing\"\n");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let _ = sandbox.broker(&["token", "broken"]).ends(5).fails_with("config_unknown_kind");
    let _ = sandbox.broker(&["config", "check"]).ends(5);
}

#[test]
fn file_named_by_config_flag_must_exist() {
    let sandbox = Sandbox::new();
    let _ = sandbox.broker(&["list", "--config", "nowhere.toml"]).ends(5).fails_with("config_unreadable");
    let sandbox = sandbox.with_env("BROKER_CONFIG", "/nowhere/at/all.toml");
    let _ = sandbox.broker(&["list"]).ends(5).says("BROKER_CONFIG");
}

#[test]
fn environment_variables_override_keys_of_the_config_file() {
    let [in_file, in_env] = two_services();
    let config = format!(
        "[providers.my-imagery]\nkind = \"earthdaily\"\nauth_url = \"{}\"\nclient_secret = {{ file = \"nowhere\" }}\n",
        in_file.auth_url()
    );
    let sandbox = Sandbox::new()
        .with_config(&config)
        .with_env("BROKER_PROVIDERS__MY_IMAGERY__AUTH_URL", &in_env.auth_url())
        .with_env("BROKER_PROVIDERS__MY_IMAGERY__CLIENT_SECRET__ENV", "A_SECRET")
        .with_env("A_SECRET", "standin-api-token");
    let _ = sandbox.broker(&["token", "my-imagery"]).token();
    assert_eq!((in_file.exchanges(), in_env.exchanges()), (0, 1));
    let _ = sandbox
        .broker(&["config", "show"])
        .ends(0)
        .prints("# environment variable BROKER_PROVIDERS__MY_IMAGERY__AUTH_URL")
        .prints("client_secret = { env = \"A_SECRET\" }")
        .prints(&format!("kind = \"earthdaily\"  # {}", sandbox.config_path().display()));
    let wrong = sandbox.with_env("BROKER_PROVIDERS__MY_IMAGERY__CLIENT_AUHT", "body");
    let run = wrong.broker(&["token", "my-imagery"]);
    let _ = run.ends(5).fails_with("config_unknown_key").says("`client_auth`");
}

#[test]
fn environment_variables_add_and_replace_config_keys() {
    let sandbox = Sandbox::new()
        .with_config(
            "[providers.my-lab]\nkind = \"login\"\nsecrets = { a = { file = \"nowhere\" }, b = { env = \"B\" } }\n\
             [providers.my-lab.login]\nurl = \"https://lab.example.org/in\"\ntoken = \"there\"\n\
             json = { a = \"{secrets.a}\", deep = { b = \"{secrets.b}\" } }\n",
        )
        .with_env("BROKER_PROVIDERS__MY_LAB__LOGIN__TOKEN", "here")
        .with_env("BROKER_PROVIDERS__MY_LAB__LOGIN__REFUSED", "400")
        .with_env("BROKER_PROVIDERS__MY_LAB__REVOKE", r#"{ "url": "https://lab.example.org/out" }"#)
        .with_env("BROKER_PROVIDERS__MY_LAB__LOGIN__JSON__DEEP__C", "more")
        .with_env("BROKER_PROVIDERS__MY_LAB__SECRETS__A__ENV", "A")
        .with_env("BROKER_PROVIDERS__MY_LAB__SECRETS__D", "KANARIE");
    let _ = sandbox.broker(&["config", "check"]).ends(0);
    let shown = sandbox.broker(&["config", "show"]).ends(0).out;
    for kept in [
        "https://lab.example.org/in", "https://lab.example.org/out", "token = \"here\"", "refused = \"400\"",
        ", c = ", "{secrets.b}",
    ] {
        assert!(shown.contains(kept), "{kept}: {shown}");
    }
    assert!(shown.contains("env = \"A\"") && shown.contains("env = \"B\""), "{shown}");
    for gone in ["there", "nowhere", "KANARIE"] {
        assert!(!shown.contains(gone), "{gone}: {shown}");
    }
    let wrong = sandbox.with_env("BROKER_PROVIDERS__MY_LAB__LOGIN__URL__A__B", "x");
    let _ = wrong.broker(&["config", "check"]).ends(5).says("login");
}

#[test]
fn url_in_environment_never_gets_secret_from_config_file() {
    let [own, other] = two_services();
    let config = format!(
        "[providers.earthdaily]\nauth_url = \"{}\"\nclient_secret = \"standin-api-token\"\n[providers.second]\n\
         kind = \"earthdaily\"\nclient_secret = \"KANARIE of its own\"\ntimeout = \"1s\"\n",
        own.auth_url()
    );
    // The proxy is unreachable, so that no request reaches a real service.
    let sandbox = Sandbox::new()
        .with_config(&config)
        .with_env("EDS_AUTH_URL", &other.auth_url())
        .with_env("HTTPS_PROXY", "http://127.0.0.1:9");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    assert_eq!(own.exchanges(), 1);
    let _ = sandbox.broker(&["token", "second"]).ends(4).says("https://api.earthdaily.com/");
    assert!(other.seen().is_empty(), "the variable and the secret of the file are not joined");
}

#[test]
fn configuration_in_working_folder_is_not_read() {
    let trap = EarthDaily::start(EarthDailyOptions::default());
    let sandbox = Sandbox::new();
    let url = trap.auth_url();
    let config = format!("[providers.earthdaily]\nauth_url = \"{url}\"\nclient_secret = \"x-KANARIE\"\n");
    for name in ["providers.toml", "broker.toml", "EDS.env", ".env"] {
        sandbox.write(&sandbox.home().join(name), &config);
    }
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(5).fails_with("secret_missing").says("EDS_SECRET");
    assert!(trap.seen().is_empty());
}

#[test]
fn config_secrets_are_read_from_files_and_commands() {
    let (service, sandbox) = earthdaily("");
    let sandbox = sandbox.with_env("EDS_SECRET", "wrong-KANARIE");
    let config = sandbox.config();
    let file = sandbox.home().join("secret");
    sandbox.write(&file, "standin-api-token\n");
    for (source, code) in [
        ("{ file = \"~/secret\" }".to_owned(), 0),
        (format!("{{ file = \"{}\" }}", file.display()), 0),
        (format!("{{ command = [\"cat\", \"{}\"] }}", file.display()), 0),
        ("{ file = \"~/nowhere\" }".to_owned(), 5),
        ("{ command = [\"false\"] }".to_owned(), 5),
        ("{ command = [\"no-such-program-at-all\"] }".to_owned(), 5),
        ("{ command = [] }".to_owned(), 5),
        ("{ env = \"NOT_SET\" }".to_owned(), 5),
    ] {
        sandbox.write_config(&format!("{config}client_secret = {source}\n"));
        let run = sandbox.broker(&["token", "earthdaily", "--force"]).ends(code);
        assert!(code == 0 || run.err.contains("client_secret"), "{source}: {}", run.err);
    }
    assert_eq!(service.exchanges(), 3);
}

#[test]
fn config_path_prints_path_of_the_user_configuration_file() {
    let sandbox = Sandbox::new();
    let run = sandbox.broker(&["config", "path"]).ends(0);
    assert_eq!(run.out, format!("{}\n", sandbox.config_path().display()));
    let xdg = sandbox.home().join("xdg");
    let sandbox = sandbox.with_env("XDG_CONFIG_HOME", &xdg.display().to_string());
    let run = sandbox.broker(&["config", "path"]).ends(0);
    assert_eq!(run.out, format!("{}\n", xdg.join("broker/providers.toml").display()));
    let run = sandbox.broker(&["config", "path", "--config", "mine.toml"]).ends(0);
    assert_eq!(run.out, "mine.toml\n");
}

/// The comments in the built-in configuration show the defaults, so removing the comment signs must change nothing.
#[test]
fn comments_in_built_in_configuration_show_the_defaults() {
    let built_in = include_str!("../../providers.toml");
    let mut text = String::new();
    for line in built_in.lines() {
        let setting = line.strip_prefix("# ").unwrap_or_default();
        let is_default = setting.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
            && !setting.contains("no default")
            && !setting.contains("password");
        if is_default || line.starts_with('[') {
            text += if is_default { setting } else { line };
            text.push('\n');
        }
    }
    assert!(text.matches(" = ").count() >= 12, "{text}");
    let sandbox = Sandbox::new().with_env("EDS_SECRET", "x-KANARIE");
    let issuers = |sandbox: &Sandbox| {
        let status = sandbox.broker(&["status", "--json"]).json();
        let all = status["providers"].as_array().expect("providers").iter();
        all.map(|provider| provider["issuer"].as_str().expect("an issuer").to_owned()).collect::<Vec<_>>()
    };
    let before = issuers(&sandbox);
    sandbox.write_config(&text);
    let _ = sandbox.broker(&["config", "check"]).ends(0);
    assert_eq!(issuers(&sandbox), before);
}

#[test]
fn config_show_redacts_secrets_with_mistyped_keys() {
    let sandbox = Sandbox::new().with_config(
        "[providers.carbonmapper]\npasword = \"hunter1\"\npassword = \"hunter2\"\nemail = \"ada@example.org\"\n\
         [providers.earthdaily]\nclient_secret = { text = \"hunter3\" }\nauth_url = \"https://u:hunter4@x.example\"\n\
         [providers.second]\nkind = \"earthdaily\"\nclient_secret = { command = [\"echo\", \"hunter5\"] }\n",
    );
    let run = sandbox.broker(&["config", "show"]).ends(0);
    let run = run.prints("email = \"ada@example.org\"").prints("command = [\"echo\", …]");
    assert!(!run.out.contains("hunter"), "{}", run.out);
}

#[test]
fn environment_variable_for_an_unknown_key_is_an_error() {
    let sandbox = Sandbox::new().with_env("BROKER_PROVIDERS__EARTHDAILY", "x");
    let _ = sandbox.broker(&["config", "check"]).ends(5).says("BROKER_PROVIDERS__EARTHDAILY");
}

#[test]
fn status_lists_valid_providers_beside_an_invalid_one() {
    let sandbox = Sandbox::new().with_config("[providers.carbonmapper]\ncolour = \"red\"\n");
    let _ = sandbox.broker(&["status"]).ends(5).says("colour").prints("earthdaily").prints("earthscope");
}

#[test]
fn refresh_token_in_env_is_used_only_by_provider_earthscope() {
    let (service, sandbox) =
        earthscope(broker_testkit::EarthScopeOptions::default(), "kind = \"earthscope\"\n");
    sandbox.write_config(&sandbox.config().replace("providers.earthscope", "providers.second"));
    let sandbox = sandbox.with_env("ES_OAUTH2__REFRESH_TOKEN", &service.issue_refresh_token());
    let _ = sandbox.broker(&["token", "second"]).ends(3);
    assert!(service.seen().is_empty());
}

#[test]
fn deprecated_config_key_works_and_config_check_reports_it() {
    let (service, sandbox) = earthdaily("auth_style = \"body\"\n");
    let run = sandbox.broker(&["token", "earthdaily"]).ends(0);
    assert_eq!(run.err, "", "only `config check` names the deprecated key");
    assert_eq!(service.seen()[0].header("authorization"), None, "the secret is in the body");
    let _ = sandbox.broker(&["config", "check"]).ends(0).says("`auth_style`").says("`client_auth`");
    sandbox.write_config(&sandbox.config().replace("auth_style", "client_auth"));
    assert_eq!(sandbox.broker(&["config", "check"]).ends(0).err, "");
    let sandbox = sandbox.with_env("BROKER_PROVIDERS__EARTHDAILY__AUTH_STYLE", "basic");
    let _ = sandbox.broker(&["config", "show"]).ends(0).prints("client_auth = \"basic\"");
}

#[test]
fn mistyped_key_in_a_secret_source_is_an_unknown_key_error() {
    let sandbox =
        Sandbox::new().with_config("[providers.earthdaily]\nclient_secret = { enviroment = \"NOPE\" }\n");
    set_mode(&sandbox.config_path(), 0o644);
    let run = sandbox.broker(&["token", "earthdaily"]).ends(5).fails_with("config_unknown_key");
    let _ = run.says("`enviroment`").says("`env`").omits("warning");
    sandbox.write_config("[providers.earthdaily]\nclient_secret = \"x-KANARIE\"\n");
    set_mode(&sandbox.config_path(), 0o644);
    let _ = sandbox.broker(&["config", "check"]).ends(0).says("warning: ").says("`client_secret`");
}

#[test]
fn unknown_provider_error_suggests_a_command_or_name() {
    let sandbox = Sandbox::new();
    for (name, says) in [("sentinelhub", "broker add sentinelhub"), ("EarthScope", "`earthscope`")] {
        let _ = sandbox.broker(&["token", name]).ends(2).fails_with("provider_unknown").says(says);
    }
}
