//! A configuration of a thousand providers says the same as a short one.

use broker::{ErrorKind, Setup, TokenRequest};
use broker_e2e::Sandbox;

/// What the configuration is about, however it is spelled.
const SPELLINGS: [&str; 14] = [
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
    // Mistakes are told with the same words, line and column.
    "# one\n[providers.lab]\nkind = \"static\"\ntokn = { env = \"LAB\" }\n",
    "# one\n[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\nheader = [1, 2]\n",
    "[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB\" }\n[providers.lab]\nheader = \"X-Lab\"\n",
    "providers.lab.kind = \"static\"\nproviders.lab.token = { env = \"NOT_SET\" }\n",
];

/// Many more providers, in the usual spelling.
fn thousand() -> String {
    use std::fmt::Write;
    (0..1000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "[providers.p{number}]\nkind = \"static\"\ntoken = {{ env = \"P{number}\" }}");
        text
    })
}

fn said(config: &str, words: &[&str]) -> (String, String) {
    let sandbox = Sandbox::new().with_config(config).with_env("LAB", "lab-KANARIE");
    let run = sandbox.broker(words);
    (run.out, run.err.replace(&sandbox.home().display().to_string(), "~"))
}

#[test]
fn a_provider_of_a_long_file_is_read_as_of_a_short_one() {
    for spelling in SPELLINGS {
        let words = ["token", "lab", "--format", "header"];
        let short = said(spelling, &words);
        let is_right = short.0 == "X-Lab: lab-KANARIE\n";
        assert!(is_right || short.1.contains("error: "), "{spelling}: {short:?}");
        assert_eq!(said(&format!("{spelling}{}", thousand()), &words), short, "{spelling}");
    }
}

#[test]
fn of_a_long_file_only_what_is_asked_for_can_be_wrong_but_the_check_finds_all() {
    let broken = format!("{}{}[providers.broken]\nkind = = 1\n", SPELLINGS[0], thousand());
    let sandbox = Sandbox::new().with_config(&broken).with_env("LAB", "lab-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "lab-KANARIE");
    let _ = sandbox.broker(&["token", "broken"]).ends(5).says("3006:8");
    let _ = sandbox.broker(&["config", "check"]).ends(5).says("3006:8");
    let _ = sandbox.broker(&["list"]).ends(5).says("3006:8");
    let _ = sandbox.broker(&["token", "p9999"]).ends(2).says("there is no provider `p9999`").says("p999`");
    let unclosed = format!("{}{}[providers.broken\n", SPELLINGS[0], thousand());
    sandbox.write_config(&unclosed);
    let _ = sandbox.broker(&["token", "lab"]).ends(5).says("3005:18");
}

#[test]
fn where_a_provider_takes_its_token_from_is_read_too() {
    let chain = "[providers.a]\nkind = \"oauth2\"\ntoken_url = \"https://example.org/token\"\nclient_id = \"c\"\n\
                 flow = \"token_exchange\"\nfrom = \"b\"\n";
    let of_b = chain.replace("providers.a", "providers.b").replace("\"b\"", "\"c\"");
    for (more, told) in [
        ("", "there is no provider `c`"),
        ("[providers.c]\nkind = \"oauth2\"\nfrom = \"a\"\n", "a -> b -> c -> a"),
    ] {
        let config = format!("{chain}{}{of_b}{more}", thousand());
        let _ = Sandbox::new().with_config(&config).broker(&["token", "a"]).ends(5).says(told);
    }
}

/// What `exec` runs may ask for another provider.
#[test]
fn what_exec_runs_has_the_settings_of_others_and_not_their_secrets() {
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

/// A table of which only a part was read would send its secret elsewhere than the whole.
#[test]
fn a_provider_that_was_not_named_is_not_there_in_part() {
    let part = "providers.lab.kind = \"static\"\n";
    let config = format!("{part}{}[providers.lab.token]\nenv = \"LAB\"\n", thousand());
    let sandbox = Sandbox::new().with_config(&config).with_env("LAB", "lab-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "lab-KANARIE");
    let setup = Setup::new().config_file(sandbox.config_path()).state_dir(sandbox.state());
    let broker = setup.providers(["p7"]).open().expect("a broker");
    let error = broker.stored("lab", &TokenRequest::new()).expect_err("it was not read");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(
        error.hint().is_some_and(|hint| hint.to_string().contains("`Setup::providers` did not name it")),
        "{error}"
    );
}
