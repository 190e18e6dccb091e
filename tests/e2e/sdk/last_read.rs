//! Tests that the broker reads the login file of EarthScope's tools last, right before it sends the refresh token.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use broker_e2e::Sandbox;
use broker_testkit::Rotation;
use serde_json::{Value, json};

use super::{TOKEN, read_login, seismic_with_login, write_login};
use crate::stage::program;
use crate::strace::{calls, need_strace};

#[test]
#[ignore = "needs strace"]
fn everything_slow_happens_before_the_last_read() {
    need_strace();
    let (_service, sandbox) = seismic_with_login(Rotation::Rotate);
    let calls = calls(&sandbox, &TOKEN);
    // The log contains the refresh token.
    std::fs::remove_file(sandbox.home().join("calls")).expect("removed");
    let last = |what: &str| calls.iter().rposition(|(_, line)| line.contains(what)).expect(what);
    let request = last("\"POST /oauth/token");
    let names: Vec<_> = calls[..request].iter().map(|(call, _)| call.name.as_str()).collect();
    let read =
        calls[..request].iter().rposition(|(_, line)| line.contains("/tokens.json\"")).expect("a read");
    assert!(names[..read].contains(&"connect"), "the connection stands");
    let between = &names[read + 1..];
    let quick = ["fstat", "statx", "newfstatat", "read", "close", "lseek", "fcntl", "geteuid"];
    assert!(between.iter().all(|name| quick.contains(name)), "between last read and request: {between:?}");
}

/// A TLS server for EarthScope's token endpoint. During the first handshake, the server replaces the login file as
/// EarthScope's tools do. Prints its port, and after a complete request the bytes of each connection.
const SERVER: &str = r"
import json, os, socket, ssl, subprocess, sys
folder, path, replacement = sys.argv[1:]
os.chdir(folder)
def openssl(words): subprocess.run(['openssl', *words.split()], check=True, stderr=subprocess.DEVNULL)
key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl(f'req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=Company -days 2')
openssl(f'req {key} -keyout host.key -out host.csr -subj /CN=localhost')
open('names', 'w').write('subjectAltName=DNS:localhost\n')
openssl('x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out host.pem -days 2 -extfile names')
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain('host.pem', 'host.key')
seen = []
def replace(*_):
    if not seen:
        open(path + '.new', 'w').write(replacement)
        os.replace(path + '.new', path)
tls.sni_callback = replace
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
while not any('\r\n\r\n' in text for text in seen):
    connection, text = tls.wrap_socket(server.accept()[0], server_side=True), ''
    while '\r\n\r\n' not in text or 'refresh_token=' not in text:
        try: part = connection.recv(4096).decode()
        except OSError: part = ''
        if not part: break
        text += part
    seen.append(text)
    if text:
        body = json.dumps({'access_token': 'KANARIE-a', 'refresh_token': 'KANARIE-r', 'expires_in': 3600})
        connection.sendall(f'HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}'.encode())
    connection.close()
print(json.dumps(seen))
";

#[test]
#[ignore = "needs openssl and python3"]
fn refresh_token_replaced_during_tls_handshake_is_not_sent() {
    let sandbox = Sandbox::new();
    let [certificates, tokens] =
        [sandbox.home().join("certificates"), sandbox.tokens_path()].map(|path| path.display().to_string());
    std::fs::create_dir(&certificates).expect("a folder");
    write_login(&sandbox, &json!({ "refresh_token": "KANARIE-old" }));
    let newer = json!({ "refresh_token": "KANARIE-new" }).to_string();
    let mut server = program(&sandbox, "python3", &["-c", SERVER, &certificates, &tokens, &newer]);
    let mut server = server.stdout(Stdio::piped()).spawn().expect("python3");
    let mut output = BufReader::new(server.stdout.take().expect("stdout"));
    let mut port = String::new();
    output.read_line(&mut port).expect("a port");
    sandbox
        .write_config(&format!("[providers.earthscope]\ndomain = \"https://localhost:{}\"\n", port.trim()));
    let sandbox = sandbox.with_env("SSL_CERT_FILE", &format!("{certificates}/ca.pem"));
    assert_eq!(sandbox.broker(&TOKEN).token(), "KANARIE-a");
    let mut seen = String::new();
    output.read_to_string(&mut seen).expect("the connections");
    assert!(server.wait().expect("ended").success());
    let seen: Vec<String> = serde_json::from_str::<Value>(&seen)
        .and_then(serde_json::from_value)
        .expect("the bytes of each connection");
    assert_eq!((seen.len(), seen[0].as_str()), (2, ""), "the first connection got no byte of the request");
    assert!(seen[1].contains("refresh_token=KANARIE-new"), "{seen:?}");
    assert_eq!(read_login(&sandbox)["refresh_token"], "KANARIE-r");
}
