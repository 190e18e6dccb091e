//! Where records are kept: small disks, and file systems of a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use broker_e2e::{Run, Sandbox, finish, louder, spawn};
use broker_testkit::{EarthScope, Rotation};
use chrono::TimeDelta;

fn expired() -> (EarthScope, Sandbox) {
    crate::stage::expired(Rotation::RotateDetectReuse, 0)
}

/// A file system of its own, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a file system of this size in memory.
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
        // Ends when nothing more fits.
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
fn a_full_or_read_only_disk_is_told_before_anything_is_spent() {
    let (service, sandbox) = expired();
    let disk = SmallDisk::mount(sandbox.home().join("disk"), "256k");
    move_records(&sandbox.state(), &disk.0);
    let sandbox = sandbox.with_env("BROKER_STATE_DIR", &disk.0.display().to_string());
    let filler = disk.fill();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).says("No space left").says("--state-dir");
    assert!(service.seen().is_empty(), "nothing was spent");
    std::fs::remove_file(filler).expect("room again");
    disk.remount("ro");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).says("Read-only");
    assert!(service.seen().is_empty(), "nothing was spent");
    disk.remount("rw");
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let left = std::fs::read_dir(&disk.0).expect("a folder").count();
    assert_eq!(left, 2, "the record and its lock");
    // What is held needs no room.
    let _ = disk.fill();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    disk.remount("ro");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!((service.refreshes(), service.reuse_events()), (2, 0));
}

/// Runs the broker with system calls that end otherwise, as on another file system: those that concern these paths,
/// or all.
fn under_strace(sandbox: &Sandbox, inject: &[&str], of: &[PathBuf], words: &[&str]) -> Run {
    let mut strace: Vec<_> = ["strace", "-f", "-qq", "-o", "/dev/null"].map(str::to_owned).to_vec();
    for path in of {
        strace.extend(["-P".to_owned(), path.display().to_string()]);
    }
    for each in inject {
        strace.extend(["-e".to_owned(), format!("inject={each}")]);
    }
    let strace: Vec<_> = strace.iter().map(String::as_str).collect();
    finish(spawn(sandbox.command_under(&strace, words), words))
}

/// statfs says NFS: the first field of its answer.
const NFS: &str = "statfs:poke_exit=@arg2=6969000000000000";

/// As NFS without lockd.
const NO_LOCKS: &str = "flock:error=ENOLCK";

#[test]
#[ignore = "needs strace"]
fn status_says_on_what_records_are_and_how_far_the_lock_reaches() {
    let (_service, sandbox) = expired();
    let run = sandbox.broker(&["status", "-v"]).ends(0).says("reaches all processes of this host");
    assert!(run.err.contains(&sandbox.state().display().to_string()), "{}", run.err);
    let plain = sandbox.broker(&["status"]).ends(0);
    let told = plain.err.contains("the lock") && louder(&["status"]).is_empty();
    assert!(!told, "nothing to worry about is not told: {}", plain.err);
    let run = under_strace(&sandbox, &[NFS], &[], &["status"]);
    let _ = run.ends(0).says("on nfs;").says("unknown");
    let run = under_strace(&sandbox, &[NFS, NO_LOCKS], &[], &["status"]);
    let _ = run.ends(0).says("has no locks").says("this host only");
}

#[test]
#[ignore = "needs strace"]
fn where_the_file_system_has_no_locks_the_lock_is_elsewhere_on_this_host() {
    let (service, sandbox) = expired();
    let store = [sandbox.state(), sandbox.state().join("earthscope.lock")];
    let words = ["token", "earthscope"];
    let run = under_strace(&sandbox, &[NO_LOCKS], &store, &words);
    let token = run.token();
    assert!(service.access_is_live(&token));
    // Two at once on such a file system: the lock on this host keeps them apart.
    sandbox.age("earthscope", TimeDelta::days(2));
    service.forget_seen();
    let both: Vec<_> = std::thread::scope(|scope| {
        let run = || under_strace(&sandbox, &[NFS, NO_LOCKS], &store, &words);
        let all: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|each| each.join().expect("a thread").token()).collect()
    });
    assert!(both.iter().all(|token| *token == both[0]), "{both:?}");
    assert_eq!((service.count("token"), service.reuse_events()), (1, 0));
}

#[test]
#[ignore = "needs strace"]
fn a_quota_that_shows_late_is_told_before_anything_is_spent() {
    let (service, sandbox) = expired();
    let quota = ["fdatasync:error=EDQUOT"];
    let run = under_strace(&sandbox, &quota, &[], &["token", "earthscope"]);
    let _ = run.ends(1).says("quota").says("--state-dir");
    assert!(service.seen().is_empty(), "nothing was spent");
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
#[ignore = "needs strace"]
fn a_disk_that_breaks_between_the_answer_and_the_save_loses_nothing() {
    // The first rename is the journal's, the second the answer's; each follows an fsync of the file and is followed
    // by one of the folder.
    for broken in
        ["renameat,renameat2,rename:error=EIO:when=2", "fsync:error=EIO:when=3", "fsync:error=EIO:when=4"]
    {
        let (service, sandbox) = expired();
        let runtime = sandbox.home().join("run");
        std::fs::create_dir(&runtime).expect("a folder");
        let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
        let run = under_strace(&sandbox, &[broken], &[], &["token", "earthscope"]);
        let token = run.says("WARNING: earthscope: it is kept in").token();
        assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token, "{broken}");
        sandbox.age("earthscope", TimeDelta::days(2));
        let renewed = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&renewed) && renewed != token, "{broken}");
        assert_eq!((service.refreshes(), service.reuse_events()), (3, 0), "{broken}");
    }
}
