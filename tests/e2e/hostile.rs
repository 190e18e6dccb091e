//! Tests that files, pipes, proxies and programs of other users cannot block the broker or get secrets.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use broker_e2e::{Sandbox, broker_binary, finish, spawn};
use broker_testkit::{EarthDaily, EarthDailyOptions, Fault, Rotation};

use crate::stage::{expired_with, program};
use crate::user::User;

fn imagery() -> (EarthDaily, Sandbox, String) {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
    let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
    (service, sandbox, config)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

#[test]
fn configuration_file_that_is_an_idle_pipe_is_refused() {
    let (_service, sandbox, config) = imagery();
    std::fs::remove_file(sandbox.config_path()).expect("it is there");
    make_pipe(&sandbox.config_path());
    // No process writes to the pipe, so reading would block.
    let words = ["token", "earthdaily"];
    let child = spawn(sandbox.command_under(&["timeout", "60"], &words), &words);
    let _ = finish(child).ends(5).fails_with("config_unreadable");
    let named =
        ["--config", sandbox.config_path().to_str().expect("text"), "token", "earthdaily"].map(str::to_owned);
    let named: Vec<_> = named.iter().map(String::as_str).collect();
    let child = spawn(sandbox.command_under(&["timeout", "60"], &named), &named);
    let _ = finish(child).ends(5).fails_with("config_unreadable");
    // The broker reads a pipe with a writer like a file.
    let file = sandbox.home().join("piped.toml");
    sandbox.write(&file, &config);
    let script = "cat \"$1\" | \"$0\" --config /dev/stdin token earthdaily";
    let (binary, file) = (broker_binary().to_str().expect("text"), file.to_str().expect("text"));
    let _ = finish(spawn(program(&sandbox, "sh", &["-c", script, binary, file]), &words)).token();
}

#[test]
fn world_writable_configuration_is_refused() {
    let (service, sandbox, _) = imagery();
    for mode in [0o666, 0o602, 0o1666] {
        set_mode(&sandbox.config_path(), mode);
        let run = sandbox.broker(&["token", "earthdaily"]).ends(5);
        let _ = run.fails_with("config_unreadable").says("chmod o-w");
    }
    assert_eq!(service.exchanges(), 0);
    for mode in [0o600, 0o644, 0o664] {
        set_mode(&sandbox.config_path(), mode);
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
#[ignore = "needs root"]
fn record_owned_by_another_user_is_refused() {
    let (_service, sandbox, _) = imagery();
    std::fs::copy(broker_binary(), sandbox.home().join("broker")).expect("a copy");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let record = sandbox.record_path("earthdaily");
    let user = User::of(&sandbox);
    assert!(user.is_another(), "run this test as root: only root can create a file of another user");
    std::os::unix::fs::chown(&record, Some(0), Some(0)).expect("owned by root");
    set_mode(&record, 0o644);
    sandbox.write(&record, &std::fs::read_to_string(&record).expect("a record"));
    let words = ["token", "earthdaily"];
    let mut command = program(&sandbox, sandbox.home().join("broker").to_str().expect("text"), &words);
    user.runs(&mut command);
    let _ = finish(spawn(command, &words)).ends(1).fails_with("store_unreadable");
}

#[test]
fn fallback_folder_owned_by_another_user_is_not_used() {
    for mode in [0o755, 0o777, 0o1777] {
        let (service, sandbox) = expired_with(Rotation::RotateDetectReuse, 0, "share = false\n");
        let runtime = sandbox.home().join("run");
        std::fs::create_dir_all(runtime.join("broker")).expect("a folder");
        set_mode(&runtime.join("broker"), mode);
        let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", runtime.to_str().expect("text"));
        service.fault("token", Fault::Delay(Duration::from_millis(300)));
        let child = sandbox.start(&["token", "earthscope"]);
        assert!(service.wait_for("token", 1, Duration::from_secs(30)));
        std::fs::rename(sandbox.state(), sandbox.state().with_extension("away")).expect("moved");
        std::fs::write(sandbox.state(), "").expect("a file instead of the folder");
        let run = finish(child).ends(0).says("WARNING");
        assert_eq!(std::fs::read_dir(runtime.join("broker")).expect("a folder").count(), 0, "{mode:o}");
        // The broker uses the next possible fallback folder, which must be private.
        let mut words = run.err.split([' ', '\n']).map(|word| word.trim_end_matches([':', ';', ',', '.']));
        let fallback = words.find(|word| word.starts_with('/') && word.contains("/earthscope-"));
        std::fs::remove_file(fallback.expect("a path")).expect("the fallback file");
    }
}

#[test]
fn requests_to_loopback_use_no_proxy() {
    let (service, sandbox, _) = imagery();
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("non-blocking");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let sandbox = names.iter().fold(sandbox, |sandbox, name| sandbox.with_env(name, &address));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    assert_eq!(service.exchanges(), 1);
    let connection = proxy.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(connection, Err(std::io::ErrorKind::WouldBlock), "no connection to the proxy");
}

#[test]
fn relative_path_of_a_secret_command_is_refused() {
    let (service, sandbox, config) = imagery();
    std::fs::create_dir(sandbox.home().join("bin")).expect("a folder");
    for name in ["get", "bin/get"] {
        let program = sandbox.home().join(name);
        sandbox.write(&program, "#!/bin/sh\ntouch ran\necho standin-api-token\n");
        set_mode(&program, 0o755);
    }
    for path in ["./get", "bin/get", "../home/get"] {
        sandbox.write_config(&format!("{config}client_secret = {{ command = [\"{path}\"] }}\n"));
        let run = sandbox.broker(&["token", "earthdaily"]).ends(5);
        let _ = run.fails_with("secret_unreadable");
    }
    assert!(!sandbox.home().join("ran").exists());
    assert_eq!(service.exchanges(), 0);
    let full = sandbox.home().join("get");
    sandbox.write_config(&format!("{config}client_secret = {{ command = [\"{}\"] }}\n", full.display()));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}
