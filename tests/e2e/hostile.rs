//! Tests that files, pipes, proxies and programs of other users cannot block the broker or get secrets.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use broker_e2e::{broker_binary, finish, spawn};
use broker_testkit::{Fault, Rotation};

use crate::stage::{block_state, earthdaily, expired_with, program, set_mode, start_request, write_script};
use crate::user::User;

#[test]
fn configuration_file_that_is_an_idle_pipe_is_refused() {
    let (_service, sandbox) = earthdaily("");
    let (path, config) = (sandbox.config_path(), sandbox.config());
    std::fs::remove_file(&path).expect("removed");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let words = ["token", "earthdaily"];
    let named = ["--config", path.to_str().expect("text"), "token", "earthdaily"];
    for words in [&words[..], &named] {
        let child = spawn(sandbox.command_under(&["timeout", "60"], words), words);
        let _ = finish(child).ends(5).fails_with("config_unreadable");
    }
    // If another process writes to the pipe, the broker reads the configuration from the pipe.
    let file = sandbox.home().join("piped.toml");
    sandbox.write(&file, &config);
    let script = "cat \"$1\" | \"$0\" --config /dev/stdin token earthdaily";
    let (binary, file) = (broker_binary().to_str().expect("text"), file.to_str().expect("text"));
    let _ = finish(spawn(program(&sandbox, "sh", &["-c", script, binary, file]), &words)).token();
}

#[test]
fn world_writable_configuration_is_refused() {
    let (service, sandbox) = earthdaily("");
    for mode in [0o666, 0o602, 0o1666] {
        set_mode(&sandbox.config_path(), mode);
        let run = sandbox.broker(&["token", "earthdaily"]).ends(5);
        let _ = run.fails_with("config_unreadable").says("run: chmod o-w");
    }
    assert_eq!(service.exchanges(), 0);
    for mode in [0o600, 0o644, 0o664] {
        set_mode(&sandbox.config_path(), mode);
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
    let odd = sandbox.home().join("it's a folder/providers.toml");
    sandbox.write(&odd, &sandbox.config());
    set_mode(&odd, 0o666);
    let named = ["token", "earthdaily", "--config", odd.to_str().expect("text")];
    let run = sandbox.broker(&named).ends(5);
    let command = run.err.split("run: ").nth(1).expect("a command").to_owned();
    let _ = finish(spawn(program(&sandbox, "sh", &["-c", &command]), &named)).ends(0);
    let _ = sandbox.broker(&named).token();
}

#[test]
#[ignore = "needs root"]
fn record_owned_by_another_user_is_refused() {
    let (_service, sandbox) = earthdaily("");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let record = sandbox.record_path("earthdaily");
    let user = User::of(&sandbox);
    assert!(user.is_another(), "run this test as root: only root can create a file of another user");
    std::os::unix::fs::chown(&record, Some(0), Some(0)).expect("owned by root");
    set_mode(&record, 0o644);
    sandbox.write(&record, &std::fs::read_to_string(&record).expect("a record"));
    let words = ["token", "earthdaily"];
    let _ = finish(spawn(user.broker(&sandbox, &words), &words)).ends(1).fails_with("store_unreadable");
}

#[test]
fn fallback_folder_accessible_to_other_users_is_not_used() {
    for mode in [0o755, 0o777, 0o1777] {
        let (service, sandbox) = expired_with(Rotation::RotateDetectReuse, 0, "share = false\n");
        let runtime = sandbox.home().join("run");
        std::fs::create_dir_all(runtime.join("broker")).expect("a folder");
        set_mode(&runtime.join("broker"), mode);
        let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", runtime.to_str().expect("text"));
        service.fault("token", Fault::Delay(Duration::from_millis(300)));
        let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
        block_state(&sandbox);
        let run = finish(child).ends(0).says("WARNING");
        assert_eq!(std::fs::read_dir(runtime.join("broker")).expect("a folder").count(), 0, "{mode:o}");
        // The warning contains the path of the fallback file, which is not in `$XDG_RUNTIME_DIR`.
        let mut words = run.err.split([' ', '\n']).map(|word| word.trim_end_matches([':', ';', ',', '.']));
        let fallback = words.find(|word| word.starts_with('/') && word.contains("/earthscope-"));
        std::fs::remove_file(fallback.expect("a path")).expect("the fallback file");
    }
}

#[test]
fn requests_to_loopback_use_no_proxy() {
    let (service, sandbox) = earthdaily("");
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
fn secret_command_with_a_relative_path_is_refused() {
    let (service, sandbox) = earthdaily("");
    let config = sandbox.config();
    for name in ["get", "bin/get"] {
        let script = "#!/bin/sh\ntouch ran\necho standin-api-token\n";
        write_script(&sandbox, &sandbox.home().join(name), script);
    }
    for path in ["./get", "bin/get", "../home/get"] {
        sandbox.write_config(&format!("{config}client_secret = {{ command = [\"{path}\"] }}\n"));
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(5).fails_with("secret_unreadable");
    }
    assert!(!sandbox.home().join("ran").exists());
    assert_eq!(service.exchanges(), 0);
    let full = sandbox.home().join("get");
    sandbox.write_config(&format!("{config}client_secret = {{ command = [\"{}\"] }}\n", full.display()));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}
