//! Tests `broker helper` as a kubectl credential plugin.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use broker_e2e::{Run, Sandbox, finish, spawn};
use serde_json::json;

use super::{documented, imagery, need, program, texts};

fn ask(sandbox: &Sandbox, info: &str) -> Run {
    let words = ["helper", "kubectl", "earthdaily"];
    let mut command = sandbox.command(&words);
    command.env("KUBERNETES_EXEC_INFO", info);
    finish(spawn(command, &words))
}

#[test]
fn kubectl_helper_echoes_api_version_and_checks_cluster_host() {
    let (service, sandbox) = imagery(&["cluster.example.org", "127.0.0.1:6443"]);
    let info = |version: &str, server: &str| {
        let version = format!("client.authentication.k8s.io/{version}");
        let spec = json!({"interactive": false, "cluster": {"server": server}});
        json!({"apiVersion": version, "kind": "ExecCredential", "spec": spec}).to_string()
    };
    for server in [
        "http://cluster.example.org",
        "https://evil.example",
        "https://cluster.example.org@evil.example",
        "x",
    ] {
        let run = ask(&sandbox, &info("v1", server));
        assert!([2, 5].contains(&run.code) && run.out.is_empty(), "{server}: {}", run.err);
    }
    let _ = ask(&sandbox, &info("v1", "https://evil.example:1")).ends(5).says("hosts = [\"evil.example:1\"]");
    let _ = ask(&sandbox, &info("v1alpha1", "https://cluster.example.org"))
        .ends(2)
        .says("client.authentication.k8s.io/v1");
    let _ = ask(&sandbox, "no JSON").ends(2).fails_with("usage_invalid").says("KUBERNETES_EXEC_INFO");
    assert_eq!(service.exchanges(), 0, "no token was requested");
    let token = sandbox.broker(&["token", "earthdaily", "--format", "json"]).json();
    let status = json!({"token": token["token"], "expirationTimestamp": token["expires_at"]});
    for (version, server) in [("v1", "https://cluster.example.org/x"), ("v1beta1", "http://127.0.0.1:6443")] {
        let version_asked = format!("client.authentication.k8s.io/{version}");
        let expected = json!({"apiVersion": version_asked, "kind": "ExecCredential", "status": status});
        assert_eq!(ask(&sandbox, &info(version, server)).json(), expected);
    }
    let by_hand = sandbox.broker(&["helper", "kubectl", "earthdaily"]).json();
    assert_eq!(by_hand["apiVersion"], "client.authentication.k8s.io/v1");
}

/// A server with TLS, because kubectl calls plugins only for https. Prints its port, then each `Authorization` header.
const SERVER: &str = r#"
import http.server, json, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self):
        given = self.headers.get("Authorization")
        print(given or "nothing", flush=True)
        body = json.dumps({"major": "1", "minor": "32", "gitVersion": "v1.32.0"}).encode()
        self.send_response(200 if given else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
#[ignore = "needs kubectl, openssl and python3"]
fn kubectl_sends_token_only_to_a_configured_host() {
    ["kubectl", "python3", "openssl"].into_iter().for_each(need);
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = "req -x509 -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 \
                       -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem";
    let mut openssl = Command::new("openssl");
    let made = openssl.args(certificate.split(' ')).current_dir(&folder).output();
    let made = made.expect("openssl runs");
    assert!(made.status.success());
    let mut python = Command::new("python3");
    python.args(["-c", SERVER]).current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = python.spawn().expect("python runs");
    let mut lines =
        BufReader::new(server.stdout.take().expect("its stdout")).lines().map(|line| line.expect("a line"));
    let host = format!("127.0.0.1:{}", lines.next().expect("a port"));
    let (_service, sandbox) = imagery(&[&host]);
    let user = "users:\n- name: imagery\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      \
                command: broker\n      args: [helper, kubectl, earthdaily]\n      provideClusterInfo: true\n      \
                interactiveMode: Never\n";
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster:\n    \
        server: https://{host}\n    certificate-authority: {}/cert.pem\ncontexts:\n- name: c\n  context:\n    \
        cluster: c\n    user: imagery\n{}",
        folder.path().display(),
        documented(user, &host)
    );
    sandbox.write(&sandbox.home().join(".kube/config"), &config);
    let output = program(&sandbox, "kubectl", &["get", "--raw", "/version"]).output().expect("kubectl runs");
    let (out, err) = texts(&output);
    let authorization = lines.next();
    let _ = server.kill();
    let _ = server.wait();
    assert!(output.status.success() && out.contains("v1.32.0"), "{out}{err}");
    assert_eq!(authorization, Some(format!("Bearer {}", sandbox.broker(&["token", "earthdaily"]).token())));
}
