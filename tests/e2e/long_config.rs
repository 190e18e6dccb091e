//! Tests that a long configuration file works like a short one. The broker parses only parts of a long file.

use broker_e2e::Sandbox;
use earthbroker::{ErrorKind, Setup, TokenRequest};

/// Ways to write the provider `lab` in TOML, some with errors.
const SPELLINGS: [&str; 18] = [
    "[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = \"X-Lab\"\n",
    "  [providers.lab] # ours\r\n\tkind = \"static\"\r\ntoken = { env = \"LAB\" }\r\nheader = \"X-Lab\"\r\n",
    "[ providers . lab ]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = \"X-Lab\"\n",
    "[\"providers\".'lab']\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = \"X-Lab\"\n",
    "[providers]\nlab = { kind = \"static\", token = { env = \"LAB\" }, header = \"X-Lab\" }\n",
    "[providers.lab]\nkind = \"static\"\nheader = \"X-Lab\"\n[providers.lab.token]\nenv = \"LAB\"\n",
    "[providers.lab.token]\nenv = \"LAB\"\n[providers.other]\nkind = \"static\"\n\
     [providers.lab]\nkind = \"static\"\nheader = \"X-Lab\"\n",
    "[providers.other]\nkind = \"exec\"\nsource = \"json\"\ncommand = [\n  \"a\",\n  \"[providers.lab]\"\n]\n\
     [providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = \"X-Lab\"\n",
    "[providers.other]\nkind = \"static\"\ntoken = \"\"\"\n[providers.lab]\nheader = \"X-Wrong\"\n\"\"\"\n\
     [providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = \"X-Lab\"\n",
    "[providers.other]\nkind = \"static\"\ntoken = '''\n[providers.lab]\nheader = \"X-Wrong\"\n'''\n\
     [providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = \"X-Lab\"\n",
    "# [providers.NAME]\nstore = \"file\" # below\n[providers.lab] # [lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\n\
     header = \"X-Lab\"\n",
    // An error in a long configuration file has the same message, line and column as in a short file.
    "# one\n[providers.lab]\nkind = \"static\"\ntokn = { env = \"LAB\" }\n",
    "# one\n[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = [1, 2]\n",
    "[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\n[providers.lab]\nheader = \"X-Lab\"\n",
    "providers.lab.kind = \"static\"\nproviders.lab.token = { env = \"NOT_SET\" }\n",
    "colour = \"red\"\n[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\n",
    "store = { key = { env = 1 } }\n[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\n",
    "# one\n[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = = 1\n",
];

/// Returns a configuration of a thousand providers, `p0` to `p999`.
fn thousand() -> String {
    use std::fmt::Write;
    (0..1000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "[providers.p{number}]\nkind = \"static\"\ntoken = {{ env = \"P{number}\" }}");
        text
    })
}

fn output(config: &str, words: &[&str]) -> (String, String) {
    let sandbox = Sandbox::new().with_config(config).with_env("LAB", "lab-KANARIE");
    let run = sandbox.broker(words);
    (run.out, run.err.replace(&sandbox.home().display().to_string(), "~"))
}

#[test]
fn long_config_file_is_parsed_like_a_short_one() {
    for spelling in SPELLINGS {
        let words = ["token", "lab", "--format", "header"];
        let short = output(spelling, &words);
        let is_right = short.0 == "X-Lab: lab-KANARIE\n";
        assert!(is_right || short.1.contains("error["), "{spelling}: {short:?}");
        assert_eq!(output(&format!("{spelling}{}", thousand()), &words), short, "{spelling}");
    }
}

#[test]
fn thousand_variables_change_a_thousand_providers() {
    let mut sandbox = Sandbox::new().with_config(&thousand()).with_env("LAB", "lab-KANARIE");
    for number in 0..1000 {
        sandbox = sandbox.with_env(&format!("BROKER_PROVIDERS__P{number}__TOKEN__ENV"), "LAB");
    }
    assert_eq!(sandbox.broker(&["token", "p999"]).token(), "lab-KANARIE");
}

#[test]
fn only_requested_table_of_a_long_config_file_is_checked() {
    let broken = format!("{}{}[providers.broken]\nkind = = 1\n", SPELLINGS[0], thousand());
    let sandbox = Sandbox::new().with_config(&broken).with_env("LAB", "lab-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "lab-KANARIE");
    let _ = sandbox.broker(&["token", "broken"]).ends(5).says("3006:8");
    let _ = sandbox.broker(&["config", "check"]).ends(5).says("3006:8");
    let _ = sandbox.broker(&["list"]).ends(5).says("3006:8");
    let _ = sandbox.broker(&["token", "p9999"]).ends(2).fails_with("provider_unknown").says("p999`");
    let unclosed = format!("{}{}[providers.broken\n", SPELLINGS[0], thousand());
    sandbox.write_config(&unclosed);
    let _ = sandbox.broker(&["token", "lab"]).ends(5).says("3005:18");
}

#[test]
fn long_config_with_unknown_or_circular_from_key_is_refused() {
    let chain = "[providers.a]\nkind = \"oauth2\"\ntoken_url = \"https://example.org/token\"\nclient_id = \"c\"\n\
                 flow = \"token_exchange\"\nfrom = \"b\"\n";
    let of_b = chain.replace("providers.a", "providers.b").replace("\"b\"", "\"c\"");
    for (more, told) in
        [("", "`c`"), ("[providers.c]\nkind = \"oauth2\"\nfrom = \"a\"\n", "a -> b -> c -> a")]
    {
        let config = format!("{chain}{}{of_b}{more}", thousand());
        let _ = Sandbox::new().with_config(&config).broker(&["token", "a"]).ends(5).says(told);
    }
}

/// The program that `exec` runs may call `broker` for another provider, so `exec` passes the settings of all providers.
#[test]
fn exec_passes_settings_of_all_providers_but_no_secrets() {
    let lab =
        "[providers.lab]\nkind = \"oauth2\"\nclient_id = \"c\"\ntoken_url = \"https://example.org/token\"\n";
    let config = format!("{}{lab}{}", SPELLINGS[0].replace("lab", "own"), thousand());
    let sandbox = Sandbox::new().with_config(&config).with_env("LAB", "lab-KANARIE");
    let sandbox = sandbox
        .with_env("BROKER_PROVIDERS__LAB__TOKEN_URL", "https://example.org/other")
        .with_env("BROKER_PROVIDERS__LAB__CLIENT_SECRET", "lab-KANARIE");
    let run = sandbox.broker(&["exec", "own", "--", "sh", "-c", "env | grep ^BROKER_PROVIDERS__LAB"]);
    assert_eq!(run.ends(0).out, "BROKER_PROVIDERS__LAB__TOKEN_URL=https://example.org/other\n");
}

// `Setup::providers` limits which tables are read. A partly read table could send its secret to the default URL.
#[test]
fn library_refuses_provider_not_named_in_setup_providers() {
    let part = "providers.lab.kind = \"static\"\n";
    let config = format!("{part}{}[providers.lab.token]\nenv = \"LAB\"\n", thousand());
    let sandbox = Sandbox::new().with_config(&config).with_env("LAB", "lab-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "lab-KANARIE");
    let setup = Setup::new().config_file(sandbox.config_path()).state_dir(sandbox.state());
    let broker = setup.providers(["p7"]).open().expect("a broker");
    let error = broker.stored("lab", &TokenRequest::new()).expect_err("it was not read");
    assert_eq!((error.kind(), error.provider()), (ErrorKind::Usage, Some("lab")), "{error}");
}
