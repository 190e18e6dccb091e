//! Tests the storage of records on full disks and network file systems.

use std::path::{Path, PathBuf};
use std::process::Command;

use broker_e2e::{Run, Sandbox, finish, louder, spawn};
use broker_testkit::{EarthScope, Rotation};
use chrono::TimeDelta;

use crate::stage::with_runtime_dir;

fn expired() -> (EarthScope, Sandbox) {
    crate::stage::expired(Rotation::RotateDetectReuse, 0)
}

/// A mounted tmpfs, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&at).expect("a folder");
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        assert!(mounted.is_ok_and(|output| output.status.success()), "run this test as a user who may mount");
        Self(at)
    }

    fn remount(&self, option: &str) {
        let remounted =
            Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0).status();
        assert!(remounted.expect("mount").success(), "{option}");
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        // The copy fails when the disk is full.
        let _ = std::io::copy(&mut std::io::repeat(b'x'), &mut std::fs::File::create(&path).expect("a file"));
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn move_records(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("records").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
#[ignore = "needs root and mount"]
fn full_or_read_only_disk_is_reported_before_requests() {
    let (service, sandbox) = expired();
    let disk = SmallDisk::mount(sandbox.home().join("disk"), "256k");
    move_records(&sandbox.state(), &disk.0);
    let sandbox = sandbox.with_env("BROKER_STATE_DIR", &disk.0.display().to_string());
    let filler = disk.fill();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).fails_with("store_unwritable");
    assert!(service.seen().is_empty(), "no request");
    std::fs::remove_file(filler).expect("free space");
    disk.remount("ro");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).fails_with("store_unwritable");
    assert!(service.seen().is_empty(), "no request");
    disk.remount("rw");
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let left = std::fs::read_dir(&disk.0).expect("a folder").count();
    assert_eq!(left, 2, "the record and its lock");
    // The broker can read a stored token from a full disk.
    let _ = disk.fill();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    disk.remount("ro");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!((service.refreshes(), service.reuse_events()), (2, 0));
}

/// Runs the broker under strace, which injects the faults `inject` into system calls on the paths `of` (empty: all).
fn under_strace(sandbox: &Sandbox, inject: &[&str], of: &[PathBuf], words: &[&str]) -> Run {
    let injections: Vec<_> = inject.iter().map(|each| format!("inject={each}")).collect();
    let mut strace = vec!["strace", "-f", "-qq", "-o", "/dev/null"];
    strace.extend(of.iter().flat_map(|path| ["-P", path.to_str().expect("text")]));
    strace.extend(injections.iter().flat_map(|each| ["-e", each]));
    finish(spawn(sandbox.command_under(&strace, words), words))
}

/// An strace option that makes statfs(2) report NFS, by changing the file system type.
const NFS: &str = "statfs:poke_exit=@arg2=6969000000000000";

/// An strace option that makes flock(2) fail, as on NFS without lockd.
const NO_LOCKS: &str = "flock:error=ENOLCK";

#[test]
#[ignore = "needs strace"]
fn status_reports_nfs_and_the_substitute_lock_file() {
    let (_service, sandbox) = expired();
    let state = sandbox.state().display().to_string();
    let _ = sandbox.broker(&["status", "-v"]).ends(0).says(&state);
    let plain = sandbox.broker(&["status"]).ends(0);
    let reported = plain.err.contains(&state) && louder(&["status"]).is_empty();
    assert!(!reported, "a local file system is not reported: {}", plain.err);
    let _ = under_strace(&sandbox, &[NFS], &[], &["status"]).ends(0).says("nfs");
    let _ = under_strace(&sandbox, &[NFS, NO_LOCKS], &[], &["status"]).ends(0).says("nfs").says(".lock");
}

#[test]
#[ignore = "needs strace"]
fn without_flock_processes_share_one_substitute_lock_per_host() {
    let (service, sandbox) = expired();
    let store = [sandbox.state(), sandbox.state().join("earthscope.lock")];
    let words = ["token", "earthscope"];
    let run = under_strace(&sandbox, &[NO_LOCKS], &store, &words);
    let token = run.token();
    assert!(service.access_is_live(&token));
    // Without flock, all processes of this host use the same substitute lock, so only one renews the token.
    sandbox.age("earthscope", TimeDelta::days(2));
    service.forget_seen();
    let tokens: Vec<_> = std::thread::scope(|scope| {
        let run = || under_strace(&sandbox, &[NFS, NO_LOCKS], &store, &words);
        let all: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|each| each.join().expect("a thread").token()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!((service.count("token"), service.reuse_events()), (1, 0));
}

#[test]
#[ignore = "needs strace"]
fn disk_quota_error_is_reported_before_any_request() {
    let (service, sandbox) = expired();
    let quota = ["fdatasync:error=EDQUOT"];
    let run = under_strace(&sandbox, &quota, &[], &["token", "earthscope"]);
    let _ = run.ends(1).fails_with("store_unwritable");
    assert!(service.seen().is_empty(), "no request");
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
#[ignore = "needs strace"]
fn disk_error_after_the_response_loses_no_login() {
    // The first rename saves the refresh intent, the note that a request follows. The second saves the response. Each
    // rename comes after an fsync of the file and before an fsync of the folder.
    for broken in
        ["renameat,renameat2,rename:error=EIO:when=2", "fsync:error=EIO:when=3", "fsync:error=EIO:when=4"]
    {
        let (service, sandbox) = expired();
        let (sandbox, runtime) = with_runtime_dir(sandbox);
        let run = under_strace(&sandbox, &[broken], &[], &["token", "earthscope"]);
        let token = run.says(&runtime.join("broker").display().to_string()).token();
        assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token, "{broken}");
        sandbox.age("earthscope", TimeDelta::days(2));
        let renewed = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&renewed) && renewed != token, "{broken}");
        assert_eq!((service.refreshes(), service.reuse_events()), (3, 0), "{broken}");
    }
}
