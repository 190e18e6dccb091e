//! Tests `broker add`, which searches the gallery and adds a service to the user's configuration.

use broker_e2e::Sandbox;

use crate::stage::{mode, set_mode};

#[test]
fn add_without_a_name_lists_services_with_descriptions() {
    let sandbox = Sandbox::new();
    let run = sandbox.broker(&["add"]).ends(0);
    assert_eq!(run.err, "");
    let line = run.out.lines().find(|line| line.starts_with("eumetsat ")).expect("a line");
    assert!(line.contains("oauth2") && line.ends_with("EUMETSAT Data Store: weather satellites"), "{line}");
    let json = sandbox.broker(&["add", "--json"]).json();
    assert_eq!(json["version"], 1);
    let service = json["services"].as_array().expect("services").iter().find(|one| one["name"] == "eumetsat");
    let wanted = serde_json::json!({
        "name": "eumetsat",
        "about": "EUMETSAT Data Store: weather satellites",
        "kind": "oauth2",
        "variables": ["EUMETSAT_CONSUMER_SECRET"],
    });
    assert_eq!(service, Some(&wanted));
}

#[test]
fn add_prints_provider_and_writes_it_to_a_private_file() {
    let sandbox = Sandbox::new();
    let run = sandbox.broker(&["add", "eumetsat"]).ends(0);
    assert_eq!(run.out, "");
    let toml = sandbox.config();
    let _ = run
        .says(&format!("eumetsat: added to {}", sandbox.config_path().display()))
        .says(toml.trim_end())
        .says("next: fill in `client_id`")
        .says("next: set EUMETSAT_CONSUMER_SECRET")
        .says("next: broker token eumetsat");
    assert_eq!(mode(&sandbox.config_path()), 0o600);
    let list = sandbox.broker(&["list"]).ends(0).out;
    assert!(list.lines().any(|line| line.starts_with("eumetsat") && line.contains("oauth2")), "{list}");
    // With an empty `client_id`, the broker sends no request.
    let run = sandbox.with_env("EUMETSAT_CONSUMER_SECRET", "x-KANARIE").broker(&["token", "eumetsat"]);
    let _ = run.ends(5).says("`client_id`");
    let sandbox = Sandbox::new().with_env("KNMI_API_KEY", "x-KANARIE");
    let _ = sandbox.broker(&["add", "knmi"]).ends(0).says("next: broker token knmi").omits("next: set");
    let run = sandbox.broker(&["add", "cdse"]).ends(0);
    let steps: Vec<_> = run.err.lines().filter(|line| line.starts_with("next: ")).collect();
    assert_eq!(steps, ["next: broker login cdse"], "the login asks for name and password");
}

#[test]
fn add_warns_if_another_provider_reads_the_same_variable() {
    let sandbox = Sandbox::new();
    let _ = sandbox.broker(&["add", "sentinelhub"]).ends(0).omits("note: ");
    let _ = sandbox
        .broker(&["add", "sentinelhub", "--as", "second"])
        .ends(0)
        .says("note: `sentinelhub` reads SH_CLIENT_SECRET too")
        .says("`client_secret` of [providers.second]");
    // `cdse-sentinelhub` reads a variable that no other provider reads, so no note is printed.
    let _ = sandbox.broker(&["add", "cdse-sentinelhub"]).ends(0).omits("note: ");
    // `cdse` configures no password variable: `broker login` prompts for the password.
    let _ = sandbox.broker(&["add", "cdse"]).ends(0);
    let _ = sandbox.broker(&["add", "cdse", "--as", "cdse-2"]).ends(0).omits("note: ");
    assert!(!sandbox.config().contains("\npassword"), "{}", sandbox.config());
}

#[test]
fn add_keeps_the_rest_of_the_configuration_file() {
    let before = "# mine\n[providers.mine]   # odd\nkind='earthdaily'\ntimeout = \"5s\"";
    let sandbox = Sandbox::new().with_config(before);
    set_mode(&sandbox.config_path(), 0o640);
    let _ = sandbox.broker(&["add", "appeears", "--as", "lab"]).ends(0).says("lab: added to");
    let after = sandbox.config();
    assert!(after.starts_with(&format!("{before}\n\n# NASA AppEEARS")), "{after}");
    for header in
        ["[providers.lab]\nkind = \"login\"\n", "[providers.lab.login]\n", "[providers.lab.revoke]\n"]
    {
        assert!(after.contains(header), "{header} in {after}");
    }
    assert!(!after.contains("[providers.appeears"), "{after}");
    assert_eq!(mode(&sandbox.config_path()), 0o640);
    let _ = sandbox.broker(&["config", "check"]).ends(0);
}

#[test]
fn add_does_not_change_an_existing_provider_table() {
    let sandbox = Sandbox::new();
    let _ = sandbox.broker(&["add", "knmi"]).ends(0);
    let before = sandbox.config();
    let second = "broker add knmi --as knmi-2";
    let _ = sandbox.broker(&["add", "knmi"]).ends(1).fails_with("already_exists").says(second);
    let _ = sandbox.broker(&["add", "knmi", "--dry-run"]).ends(1).fails_with("already_exists");
    let _ = sandbox.broker(&["add", "knmi", "--as", "earthdaily"]).ends(1).fails_with("already_exists");
    assert_eq!(sandbox.config(), before);
    let _ = sandbox.broker(&["add", "knmi", "--as", "knmi-2"]).ends(0);
    assert!(sandbox.config().starts_with(&before));
}

#[test]
fn add_suggests_services_similar_to_an_unknown_name() {
    let sandbox = Sandbox::new();
    let services = |word: &str| {
        let run = sandbox.broker(&["add", word]).ends(2).fails_with("provider_unknown");
        let lines = run.err.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let nasa = services("NASA");
    assert_eq!(nasa, services("nasa"));
    assert!(nasa.contains(&"earthdata".to_owned()) && nasa.contains(&"appeears".to_owned()), "{nasa:?}");
    assert_eq!(services("eumetsta"), ["eumetsat"], "a similar name");
    assert_eq!(services("services.sentinel-hub.com")[0], "sentinelhub", "a host");
    assert!(services("no such service").is_empty());
    let _ = sandbox.broker(&["add", "eumetsat", "--as", "a.b"]).ends(2).fails_with("usage_invalid");
    let _ = sandbox.broker(&["add", "--dry-run"]).ends(2);
    assert!(!sandbox.config_path().exists());
}

#[test]
fn add_dry_run_prints_the_table_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let run = sandbox.broker(&["add", "usgs", "--as", "eros", "--dry-run"]).ends(0);
    assert_eq!(run.err, "");
    assert!(!sandbox.config_path().exists());
    let _ = sandbox.broker(&["add", "usgs", "--as", "eros"]).ends(0);
    assert_eq!(sandbox.config(), run.out);
}

#[test]
fn add_writes_the_file_named_by_config_flag() {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("other.toml");
    sandbox.write(&file, "");
    let _ = sandbox.broker(&["add", "knmi", "--config", &file.display().to_string()]).ends(0);
    assert!(!sandbox.config_path().exists());
    assert!(std::fs::read_to_string(&file).expect("a file").contains("[providers.knmi]"));
    let sandbox = sandbox.with_env("BROKER_CONFIG", &file.display().to_string());
    let _ = sandbox.broker(&["add", "cds"]).ends(0);
    let _ = sandbox.broker(&["config", "check"]).ends(0).prints("5 providers");
}

#[test]
fn add_does_not_change_an_invalid_toml_file() {
    let before = "[providers.mine\n";
    let sandbox = Sandbox::new().with_config(before);
    let _ = sandbox.broker(&["add", "knmi"]).ends(5);
    assert_eq!(sandbox.config(), before);
}

#[test]
fn concurrent_broker_add_commands_lose_no_service() {
    let sandbox = Sandbox::new();
    let names = ["knmi", "cds", "met-office", "planet-key", "global-fishing-watch"];
    for add in names.map(|name| sandbox.start(&["add", name])) {
        let _ = broker_e2e::finish(add).ends(0);
    }
    for name in names {
        assert!(sandbox.config().contains(&format!("[providers.{name}]")), "{name}");
    }
}
