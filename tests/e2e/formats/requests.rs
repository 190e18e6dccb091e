//! Tests programs that read a format of `broker token` and send the token to a service.

use std::process::Command;

use super::{HARD, Stage, need, printed, python};

#[test]
#[ignore = "needs curl and wget"]
fn curl_and_wget_send_the_token_unchanged() {
    let stage = Stage::with(HARD);
    let lines = stage.format("curl");
    let _ = printed(Command::new("curl").args(["-sS", "-K", "-", &stage.url()]), &lines);
    assert_eq!(stage.authorization(), format!("Bearer {HARD}"));

    let _ = stage.token(&["--format", "wget"]).ends(0).says("wget");
    let (file, url) = (stage.file("wget"), stage.url());
    let wget = || {
        let mut wget = Command::new("wget");
        // The fake server rejects the token with 401, but records the `Authorization` header.
        let _ = wget.args(["-q", "-O", "-", "--no-proxy", &url]);
        wget
    };
    stage.service.forget_seen();
    let _ = wget().arg(format!("--config={}", file.display())).output().expect("wget runs");
    assert_eq!(stage.authorization(), format!("Bearer {HARD}"));
    stage.service.forget_seen();
    let _ = wget().env("WGETRC", &file).output().expect("wget runs");
    assert_eq!(stage.authorization(), format!("Bearer {HARD}"));
}

#[test]
#[ignore = "needs curl"]
fn gdal_headers_format_prints_the_authorization_header() {
    let stage = Stage::with(HARD);
    let run = stage.token(&["--format", "gdal-headers"]).ends(0).says("warning: GDAL ");
    assert_eq!(run.out, format!("Authorization: Bearer {HARD}\n"));
    assert_eq!(stage.token(&["--format", "gdal-headers", "-q"]).ends(0).err, "");
    // curl reads the format `gdal-headers` too.
    let file = format!("@{}", stage.file("gdal-headers").display());
    let _ = printed(Command::new("curl").args(["-sS", "-H", &file, &stage.url()]), "");
    assert_eq!(stage.authorization(), format!("Bearer {HARD}"));
}

#[test]
#[ignore = "needs python3 with rasterio"]
fn gdal_sends_tokens_from_header_file_and_environment() {
    need(&["python3", "-c", "import rasterio"]);
    let stage = Stage::with(HARD);
    let (file, lines) = (stage.file("gdal-headers"), stage.format("gdal"));
    let open = "import rasterio, sys\ntry: rasterio.open('/vsicurl/' + sys.argv[1])\nexcept rasterio.RasterioIOError: pass";
    let words = ["-c", open, &stage.url()];
    let mut gdal = Command::new("python3");
    let _ = printed(gdal.args(words).env("GDAL_HTTP_HEADER_FILE", file), "");
    assert_eq!(stage.authorization(), format!("Bearer {HARD}"));
    stage.service.forget_seen();
    let mut gdal = Command::new("sh");
    let _ = printed(gdal.args(["-c", "eval \"$(cat)\"\nexec python3 \"$@\"", "sh"]).args(words), &lines);
    assert_eq!(stage.authorization(), format!("Bearer {HARD}"));
}

#[test]
#[ignore = "needs kubectl, openssl and python3"]
fn kubectl_accepts_the_exec_credential() {
    let stage = Stage::with(HARD);
    let json = stage.token(&["--format", "exec-credential"]).json();
    let stored = stage.token(&["--format", "json"]).json();
    let status = serde_json::json!({ "token": HARD, "expirationTimestamp": stored["expires_at"] });
    let kind = ("client.authentication.k8s.io/v1", "ExecCredential");
    assert_eq!((json["apiVersion"].as_str(), json["kind"].as_str()), (Some(kind.0), Some(kind.1)));
    assert_eq!(json["status"], status);
    need(&["kubectl", "version", "--client"]);
    need(&["openssl", "version"]);
    let file = stage.file("exec-credential");
    let words = [stage.sandbox.home(), file].map(|path| path.display().to_string());
    assert_eq!(python(KUBECTL, &words.each_ref().map(String::as_str)), format!("Bearer {HARD}"));
}

/// A Python script that runs kubectl with a TLS server, and prints the `Authorization` that kubectl sends.
const KUBECTL: &str = r"
import http.server, json, os, ssl, subprocess, sys, threading
os.chdir(sys.argv[1])
subprocess.run('openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key -out cert'.split(),
    check=True, stderr=subprocess.DEVNULL)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sent = self.headers['authorization']
        if self.path == '/asked': sys.stdout.buffer.write(sent.encode('latin-1'))
        self.send_response(200); self.send_header('content-length', '2'); self.end_headers()
        self.wfile.write(b'{}')
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain('cert', 'key')
server.socket = tls.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
run = {'apiVersion': 'client.authentication.k8s.io/v1', 'interactiveMode': 'Never', 'command': 'cat', 'args': sys.argv[2:]}
cluster = {'server': f'https://127.0.0.1:{server.server_port}', 'insecure-skip-tls-verify': True}
json.dump({'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'c',
    'clusters': [{'name': 'c', 'cluster': cluster}], 'users': [{'name': 'u', 'user': {'exec': run}}],
    'contexts': [{'name': 'c', 'context': {'cluster': 'c', 'user': 'u'}}]}, open('config', 'w'))
subprocess.run('kubectl --kubeconfig config get --raw /asked'.split(), check=True, stdout=subprocess.DEVNULL)
";
