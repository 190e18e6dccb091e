//! Tests proxies, TLS, and unusual HTTP between the broker and a service.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_e2e::{Run, Sandbox};
use broker_testkit::Fault;
use serde_json::Value;

use crate::stage::{earthdaily, program};

/// Listens on a port, answers each connection with `reply`, and records what each client sent first.
fn listen(reply: &'static [u8]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let answer = move |mut stream: TcpStream| -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut first = [0; 4096];
        let length = stream.read(&mut first)?;
        if length > 0 {
            record.lock().expect("the list").push(String::from_utf8_lossy(&first[..length]).into_owned());
            stream.write_all(reply)?;
        }
        Ok(())
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The client may close the connection first.
            let _ = answer(stream);
        }
    });
    (port, seen)
}

/// Returns a sandbox with a provider whose token endpoint is at this https host.
fn sandbox_for(host: &str) -> Sandbox {
    Sandbox::new().with_config(&format!(
        "[providers.lab]\nkind = \"oauth2\"\nflow = \"client_credentials\"\ntoken_url = \"https://{host}/token\"\n\
         client_id = \"c\"\nclient_secret = \"KANARIE-secret\"\n"
    ))
}

/// Returns the message and fix of each finding of `broker doctor` about the network.
fn findings(sandbox: &Sandbox) -> Vec<(String, String)> {
    let report: Value =
        serde_json::from_str(&sandbox.broker(&["doctor", "lab", "--json"]).out).expect("JSON");
    let all = report["findings"].as_array().expect("findings").iter();
    let network = all.filter(|finding| finding["id"].as_str().is_some_and(|id| id.starts_with("network.")));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    network.map(|finding| (text(&finding["message"]), text(&finding["fix"]))).collect()
}

fn hint(run: &Run) -> &str {
    run.err.split("hint: ").nth(1).unwrap_or_default().trim()
}

/// Checks that `broker token` fails with this code, and that `broker doctor` gives the same advice. Returns both.
#[track_caller]
fn fails(sandbox: &Sandbox, code: &str) -> (String, String) {
    let run = sandbox.broker(&["token", "lab"]).fails_with(code);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let advice = words(hint(&run));
    let found = findings(sandbox);
    assert!(found.iter().any(|(_, fix)| words(fix) == advice), "{advice}: {found:?}");
    (words(&run.err), advice)
}

#[test]
fn proxy_is_used_with_the_user_and_password_of_its_url() {
    let (port, seen) = listen(b"HTTP/1.1 407 x\r\ncontent-length: 0\r\n\r\n");
    for (value, authorization) in [
        (format!("http://127.0.0.1:{port} "), None),
        (format!("\"http://127.0.0.1:{port}\"\r"), None),
        (format!("127.0.0.1:{port}"), None),
        // base64 of `CORP\ada:KANARIE p@w`
        (format!("http://CORP\\ada:KANARIE p%40w@127.0.0.1:{port}"), Some("Q09SUFxhZGE6S0FOQVJJRSBwQHc=")),
    ] {
        let sandbox = sandbox_for("service.invalid").with_env("HTTPS_PROXY", &value);
        let (error, advice) = fails(&sandbox, "proxy_failed");
        assert!(error.contains("407") && advice.contains("HTTPS_PROXY"), "{error}");
        let requests = std::mem::take(&mut *seen.lock().expect("the list"));
        assert!(requests[0].starts_with("CONNECT service.invalid:443"), "{requests:?}");
        let sent = requests[0].lines().find_map(|line| {
            let (name, value) = line.split_once(": Basic ")?;
            name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
        });
        assert_eq!(sent, authorization, "{value}");
        assert_eq!(requests.len(), 2, "a refused password is not repeated: {requests:?}");
    }
}

#[test]
fn unusable_proxy_setting_is_an_error_and_nothing_is_sent() {
    let (port, seen) = listen(b"");
    for value in ["socks5://127.0.0.1:1", "http://KANARIE pw", "http:127.0.0.1:1", "http://ada:KANARIE@"] {
        let sandbox = sandbox_for(&format!("127.0.0.1:{port}")).with_env("ALL_PROXY", value);
        let run = sandbox.broker(&["token", "lab"]).ends(5);
        let (error, _) = fails(&sandbox, "proxy_invalid");
        assert!(error.contains("ALL_PROXY"), "{run:?}");
        assert_eq!(findings(&sandbox).len(), 1, "the service is not contacted");
    }
    assert_eq!(*seen.lock().expect("the list"), [""; 0]);
    let sandbox = sandbox_for(&format!("127.0.0.1:{port}")).with_env("ALL_PROXY", "socks5://127.0.0.1:1");
    let _ = sandbox.with_env("NO_PROXY", "x, 127.0.0.0/8").broker(&["token", "lab"]).fails_with("tls_failed");
}

#[test]
fn proxy_that_refuses_to_connect_is_not_called_wrong() {
    for (reply, refused) in [
        (b"HTTP/1.1 403 x\r\ncontent-length: 0\r\n\r\n" as &[u8], true),
        (b"HTTP/1.1 503 x\r\ncontent-length: 2\r\n\r\nhi", true),
        (b"HTTP/1.1 302 x\r\nlocation: http://portal/\r\n\r\n", true),
        (b"", false),
    ] {
        let (port, _) = listen(reply);
        let sandbox =
            sandbox_for("service.invalid").with_env("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"));
        let (error, _) = fails(&sandbox, "proxy_failed");
        assert_eq!(error.contains("refused to connect"), refused, "{error}");
    }
}

#[test]
fn refresh_token_login_asks_to_repeat_only_a_request_that_arrived() {
    let reply = |head: &'static str| listen(head.as_bytes()).0;
    let proxy = "http://127.0.0.1:1";
    for (url, proxy, arrived, advice) in [
        ("http://127.0.0.1:1".to_owned(), None, false, "check the network"),
        ("https://service.invalid".to_owned(), None, false, ""),
        ("https://service.invalid".to_owned(), Some(proxy), false, "HTTPS_PROXY"),
        (format!("https://127.0.0.1:{}", reply("no TLS")), None, false, "port"),
        (
            format!("http://127.0.0.1:{}", reply("HTTP/1.1 429 x\r\nretry-after: 60\r\n\r\n{}")),
            None,
            false,
            "pause of 1m",
        ),
        (format!("http://127.0.0.1:{}", reply("HTTP/1.1 503 x\r\n\r\n{}")), None, false, "try again later"),
        (format!("http://127.0.0.1:{}", reply("HTTP/1.1 502 x\r\n\r\n{}")), None, true, ""),
        (format!("http://127.0.0.1:{}", reply("")), None, true, ""),
        (format!("http://127.0.0.1:{}", reply("HTTP/1.1 404 x\r\n\r\n<html>")), None, true, ""),
    ] {
        let config = format!(
            "[providers.lab]\nkind = \"oauth2\"\nflow = \"refresh_token\"\ntoken_url = \"{url}/t\"\nclient_id = \"c\"\n"
        );
        let mut sandbox = Sandbox::new().with_config(&config);
        if let Some(proxy) = proxy {
            sandbox = sandbox.with_env("HTTPS_PROXY", proxy);
        }
        let run = sandbox.broker_reading(&["login", "lab", "--refresh-token-stdin"], "R").ends(4);
        assert_eq!(hint(&run).contains("this token once more"), arrived, "{url}: {run:?}");
        assert!(run.err.contains(advice), "{url}: {run:?}");
    }
}

#[test]
fn https_proxy_that_speaks_http_is_named() {
    let (port, _) = listen(b"HTTP/1.1 400 x\r\ncontent-length: 0\r\n\r\n");
    let sandbox =
        sandbox_for("service.invalid").with_env("HTTPS_PROXY", &format!("https://127.0.0.1:{port}"));
    let (_, advice) = fails(&sandbox, "tls_failed");
    assert!(advice.contains("HTTPS_PROXY") && advice.contains("http://"), "{advice}");
}

#[test]
fn tls_faults_are_named_as_what_they_are() {
    let faults: [(&'static [u8], &str); 5] = [
        (b"HTTP/1.1 400 x\r\ncontent-length: 0\r\n\r\n", "does not speak TLS"),
        (b"SSH-2.0-x\r\n", "does not speak TLS"),
        // Fatal alerts (RFC 8446 section 6): protocol_version, handshake_failure.
        (&[21, 3, 3, 0, 2, 2, 70], "older than 1.2"),
        (&[21, 3, 3, 0, 2, 2, 40], "cipher suite"),
        (b"", "closed the connection"),
    ];
    for (reply, words) in faults {
        let (port, _) = listen(reply);
        let (error, _) = fails(&sandbox_for(&format!("127.0.0.1:{port}")), "tls_failed");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn missing_certificates_are_named() {
    for (variable, value) in [
        ("SSL_CERT_FILE", "/nowhere.pem"),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/proc/self/task"),
    ] {
        let sandbox = sandbox_for("127.0.0.1:1").with_env(variable, value);
        let (error, advice) = fails(&sandbox, "tls_untrusted");
        assert!(error.contains(variable) && advice.contains(&format!("unset {variable}")), "{error}");
    }
}

/// A TLS server that is stopped when dropped.
struct TlsServer(Child);

impl TlsServer {
    /// Starts a server with this key and certificate. Returns it with its port.
    fn of(openssl: impl Fn(&str) -> Command, key: &str, certificate: &str) -> (Self, u16) {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port").port();
        let files = format!("-key {key}.key -cert {certificate}.pem -cipher DEFAULT:@SECLEVEL=0");
        (Self::start(openssl(&format!("s_server -accept 127.0.0.1:{port} {files} -www"))), port)
    }

    fn start(mut openssl: Command) -> Self {
        openssl.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Self(openssl.spawn().expect("openssl"));
        // `openssl s_server` prints ACCEPT when it listens.
        let output = BufReader::new(server.0.stdout.as_mut().expect("the server's stdout"));
        assert!(output.lines().map_while(Result::ok).any(|line| line.contains("ACCEPT")), "no server");
        server
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
#[ignore = "needs openssl"]
fn advice_on_an_untrusted_certificate_fits_its_reason() {
    let home = Sandbox::new();
    let openssl = |words: &str| program(&home, "openssl", &words.split(' ').collect::<Vec<_>>());
    let run =
        |words: &str| assert!(openssl(words).output().is_ok_and(|output| output.status.success()), "{words}");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let name = "-addext subjectAltName=DNS:localhost";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=Firm -days 2"));
    run(&format!(
        "req -x509 {key} -keyout own.key -out own.pem -subj /CN=own -days 2 {name} -addext basicConstraints=critical,CA:FALSE"
    ));
    run(&format!("req -x509 {key} -keyout root.key -out root.pem -subj /CN=own -days 2 {name}"));
    run(&format!("req {key} -keyout host.key -out host.csr -subj /CN=localhost"));
    run(&format!("req -x509 {key} -keyout old.key -out old.pem -subj /CN=Firm -days 2"));
    let utf16: Vec<_> = "-----BEGIN".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let names = "subjectAltName=DNS:localhost\n";
    for (file, content) in [
        ("names", names.as_bytes()),
        ("bare", b"basicConstraints=CA:FALSE\n"),
        ("ip", b"subjectAltName=DNS:127.0.0.1\n"),
        ("client", format!("{names}extendedKeyUsage=clientAuth\n").as_bytes()),
        ("utf16.pem", &utf16),
        ("frame.pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    ] {
        std::fs::write(home.home().join(file), content).expect("a file");
    }
    let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial";
    for (name, more) in [
        ("host", "-extfile names"),
        ("bare", "-extfile bare"),
        ("ip", "-extfile ip"),
        ("client", "-extfile client"),
        ("sha1", "-extfile names -sha1"),
    ] {
        run(&format!("x509 -req -in host.csr {authority} -out {name}.pem -days 2 {more}"));
    }
    let path = |name: &str| home.home().join(name).display().to_string();
    for (certificate, issuer, trusted, words, advice) in [
        ("own", "CN=own", None, "self-signed", "set SSL_CERT_FILE"),
        ("own", "CN=own", Some(""), "self-signed", "set SSL_CERT_FILE"),
        ("own", "CN=own", Some("ca"), "self-signed", "lacks this certificate"),
        ("root", "CN=own", None, "CA:TRUE", "CA:FALSE"),
        ("root", "CN=own", Some("root"), "CA:TRUE", "CA:FALSE"),
        ("host", "CN=Firm", None, "untrusted authority", "set SSL_CERT_FILE"),
        ("host", "CN=Firm", Some(""), "untrusted authority", "set SSL_CERT_FILE"),
        ("host", "CN=Firm", Some("own"), "untrusted authority", "lacks the certificate of CN=Firm"),
        ("host", "CN=Firm", Some("old"), "untrusted authority", "another certificate of CN=Firm"),
        ("own", "CN=own", Some("root"), "self-signed", "another certificate of CN=own"),
        ("bare", "CN=Firm", Some("ca"), "subjectAltName", "subjectAltName"),
        ("client", "CN=Firm", Some("ca"), "serverAuth", "serverAuth"),
        ("sha1", "CN=Firm", Some("ca"), ") is signed with SHA-1", "replace"),
        ("ip", "CN=Firm", Some("ca"), "not as an IP address", "IP:127.0.0.1"),
        ("host", "", Some("utf16"), "UTF-16", "correct SSL_CERT_FILE"),
        ("host", "", Some("frame"), "has no certificate", "correct SSL_CERT_FILE"),
    ] {
        let key = if issuer == "CN=own" { certificate } else { "host" };
        let (_server, port) = TlsServer::of(openssl, key, certificate);
        let host = if certificate == "ip" { "127.0.0.1" } else { "localhost" };
        let sandbox = sandbox_for(&format!("{host}:{port}"));
        let sandbox = match trusted {
            Some("") => sandbox.with_env("SSL_CERT_FILE", ""),
            Some(name) => sandbox.with_env("SSL_CERT_FILE", &path(&format!("{name}.pem"))),
            None => sandbox,
        };
        let (error, hint) = fails(&sandbox, "tls_untrusted");
        assert!(error.contains(words) && error.contains(issuer), "{error}");
        assert!(hint.contains(advice), "{hint}");
        assert!(trusted.unwrap_or_default().is_empty() || !hint.contains("set SSL_CERT_FILE to"), "{hint}");
    }
    let pem = |name: &str| std::fs::read_to_string(path(name)).expect("a file");
    let (own, ca) = (pem("own.pem"), pem("ca.pem"));
    let (_server, port) = TlsServer::of(openssl, "host", "host");
    for (name, content) in [
        ("mark.pem", format!("\u{feff}{ca}{own}")),
        ("mark inside.pem", format!("{own}\u{feff}{ca}")),
        ("label.pem", ca.replace(" CERTIFICATE", " X509 CERTIFICATE")),
    ] {
        std::fs::write(path(name), content).expect("a file");
        let sandbox = sandbox_for(&format!("localhost:{port}")).with_env("SSL_CERT_FILE", &path(name));
        let run = sandbox.broker(&["token", "lab"]);
        assert!(!run.err.contains("tls_untrusted"), "{name}: {run:?}");
        assert!(run.err.contains("error["), "{run:?}");
    }
}

#[test]
fn unusual_heads_of_responses_are_read() {
    type Head = fn(usize) -> String;
    let heads: [(&str, Head); 14] = [
        ("blank before the colon", |length| {
            format!("HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("folded line", |length| {
            format!("HTTP/1.1 200 OK\r\nX-A: b;\r\n\tc\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("blank in a name", |length| {
            format!("HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("no name", |length| format!("HTTP/1.1 200 OK\r\n: b\r\nx\r\nContent-Length: {length}\r\n\r\n")),
        ("control character", |length| {
            format!("HTTP/1.1 200 OK\r\nX: \u{1}\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("line feeds only", |length| format!("HTTP/1.1 200 OK\nContent-Length: {length}\n\n")),
        ("no reason", |length| format!("HTTP/1.1 200\r\nContent-Length: {length}\r\n\r\n")),
        ("no ASCII", |length| format!("HTTP/1.1 200 très\r\nServer: é\r\nContent-Length: {length}\r\n\r\n")),
        ("two equal lengths", |length| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("interim response 100", |length| {
            format!("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("interim response 103", |length| {
            format!("HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
        }),
        ("HTTP/1.0", |_| "HTTP/1.0 200 OK\r\n\r\n".to_owned()),
        ("no length", |_| "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned()),
        ("many headers", |length| {
            let many = "X-A: b\r\n".repeat(500);
            format!("HTTP/1.1 200 OK\r\n{many}Content-Length: {length}\r\n\r\n")
        }),
    ];
    let (service, sandbox) = earthdaily("");
    for (name, head) in heads {
        service.fault("token", Fault::raw(move |body| [head(body.len()).as_bytes(), body].concat()));
        let run = sandbox.broker(&["token", "earthdaily", "--force"]);
        assert_eq!(run.code, 0, "{name}: {run:?}");
    }
    service.fault_always("token", Fault::raw(|_| b"ICY 200 OK\r\n\r\n".to_vec()));
    let _ = sandbox.broker(&["token", "earthdaily", "--force"]).ends(4).fails_with("bad_response");
}
