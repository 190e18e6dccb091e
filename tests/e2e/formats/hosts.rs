//! Tests the formats with one entry per host: `.netrc` and `DuckDB`.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{HARD, Stage, need, printed, python};

#[test]
#[ignore = "needs python3 with duckdb"]
fn duckdb_format_creates_a_secret_for_each_host() {
    let stage = Stage::with(HARD);
    stage.hosts(r#"["API.example.org", "*.example.org", "127.0.0.1:8080", "[::1]"]"#);
    let run = stage.token(&["--format", "duckdb"]).ends(0).says("*.example.org");
    let secret = HARD.replace('\'', "''");
    let statement = |host: &str, scope: &str| {
        format!(
            "CREATE OR REPLACE SECRET \"earthdaily@{host}\" (TYPE http, BEARER_TOKEN '{secret}', SCOPE '{scope}');\n"
        )
    };
    let expected = [
        statement("API.example.org", "https://api.example.org/"),
        statement("127.0.0.1:8080", "http://127.0.0.1:8080/"),
        statement("[::1]", "http://[::1]/"),
    ];
    assert_eq!(run.out, expected.concat());
    need(&["python3", "-c", "import duckdb"]);
    let script = "import duckdb, sys
db = duckdb.connect(config={'allow_unredacted_secrets': 'true'})
db.execute(open(sys.argv[1]).read())
names = [name for name, in db.execute('select name from duckdb_secrets()').fetchall()]
assert sorted(names) == ['earthdaily@127.0.0.1:8080', 'earthdaily@[::1]', 'earthdaily@api.example.org'], names
for url in sys.argv[2:]:
    for name, *_ in db.execute(f\"from which_secret('{url}', 'http')\").fetchall(): print(url, name)
all = db.execute(\"select secret_string from duckdb_secrets(redact=false) where name like '%example%'\").fetchall()
print(all[0][0].split('bearer_token=')[1], end='')";
    let file = stage.file("duckdb");
    let urls = [
        "https://api.example.org/stac", "https://api.example.org.evil.net/stac",
        "https://api.example.org@evil.net/", "https://api.example.org:444/", "http://api.example.org/stac",
        "https://evil.net/",
    ];
    let words = [&[file.to_str().expect("a path")], &urls[..]].concat();
    let seen = python(script, &words);
    assert_eq!(seen, format!("https://api.example.org/stac earthdaily@api.example.org\n{HARD}"));
}

#[test]
#[ignore = "needs python3 with duckdb"]
fn duckdb_sends_the_token_only_to_its_host() {
    need(&["python3", "-c", "import duckdb, duckdb_extension_httpfs"]);
    let stage = Stage::with("KANARIE'it");
    let host = stage.service.url().strip_prefix("http://").expect("a URL").to_owned();
    stage.hosts(&format!("[\"{host}\"]"));
    let script = "import duckdb, duckdb_extension_httpfs, glob, sys
extension, = glob.glob(duckdb_extension_httpfs.__path__[0] + '/extensions/*/httpfs*')
duckdb.execute(f\"load '{extension}'\")
duckdb.execute(open(sys.argv[1]).read())
try: duckdb.execute(f\"select size from read_text('{sys.argv[2]}')\").fetchall()
except duckdb.Error: pass";
    let file = stage.file("duckdb");
    let file = file.to_str().expect("a path");
    stage.service.forget_seen();
    let _ = python(script, &[file, &stage.url()]);
    assert_eq!(stage.authorization(), "Bearer KANARIE'it");
    stage.service.forget_seen();
    // The token's host is 127.0.0.1. For DuckDB, `localhost` is another host, so DuckDB must not send the token.
    let _ = python(script, &[file, &stage.url().replace("127.0.0.1", "localhost")]);
    let seen = stage.service.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.header("authorization").is_none()), "{seen:?}");
}

#[test]
fn format_omits_unsupported_hosts_or_fails_if_none_is_left() {
    let stage = Stage::with("KANARIE");
    for (hosts, says) in [(r#"["*.example.org"]"#, "*.example.org"), ("[]", "earthdaily: ")] {
        stage.hosts(hosts);
        for format in ["duckdb", "netrc"] {
            let run = stage.token(&["--format", format]).ends(5).fails_with("config_missing_key");
            let _ = run.says(says).says("hosts = [");
        }
    }
    stage.hosts(r#"["a.org", "b.org:8443", "*.c.org", "[::1]", "d.org"]"#);
    let run = stage.token(&["--format", "netrc"]).ends(0).says("b.org:8443, *.c.org, [::1]").says("Basic");
    let line = |host| format!("machine {host} login oauth2 password KANARIE\n");
    assert_eq!(run.out, line("a.org") + &line("d.org"));
}

#[test]
#[ignore = "needs python3, curl and wget"]
fn python_curl_and_wget_read_the_netrc_format() {
    const TOKEN: &str = "KANARIE.#$x`%41{é}=~!;&|<>(*?)machine";
    let stage = Stage::with(TOKEN);
    let file = stage.file("netrc");
    let path = file.to_str().expect("a path");
    let script = "import netrc, sys; print(*netrc.netrc(sys.argv[1]).authenticators('127.0.0.1')[::2])";
    assert_eq!(python(script, &[path]), format!("oauth2 {TOKEN}\n"));
    let basic = format!("Basic {}", STANDARD.encode(format!("oauth2:{TOKEN}")));
    let _ = printed(Command::new("curl").args(["-sS", "--netrc-file", path, &stage.url()]), "");
    assert_eq!(stage.authorization(), basic);
    std::fs::rename(&file, stage.sandbox.home().join(".netrc")).expect("moved to ~/.netrc");
    stage.service.forget_seen();
    let mut wget = Command::new("wget");
    let words = ["-q", "-O", "-", "--no-proxy", "--auth-no-challenge"];
    let wget = wget.env("HOME", stage.sandbox.home()).args(words).arg(stage.url());
    let _ = wget.output().expect("wget runs");
    assert_eq!(stage.authorization(), basic);
}

#[test]
fn token_that_netrc_cannot_quote_is_refused() {
    for token in ["KANARIE x", "KANARIE\"", "KANARIE'", r"KANARIE\x", "#KANARIE", "KANARIE\u{a0}"] {
        let _ = Stage::with(token).token(&["--format", "netrc"]).ends(1).fails_with("format_unsuitable");
    }
}
