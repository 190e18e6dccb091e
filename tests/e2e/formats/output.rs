//! Tests `broker token --output`, which writes the token to a file.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::Stage;
use crate::stage::mode;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn output_flag_replaces_file_atomically_and_privately() {
    let stage = Stage::with("KANARIE");
    let folder = stage.sandbox.home().join("out");
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("a token");
    std::fs::write(&file, "old content").expect("a file");
    let mut old = std::fs::File::open(&file).expect("a file");
    let run = stage.token(&["--format", "header", "-o", file.to_str().expect("a path")]).ends(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "Authorization: Bearer KANARIE\n");
    assert_eq!(mode(&file), 0o600);
    let mut text = String::new();
    let _ = old.read_to_string(&mut text).expect("a file");
    assert_eq!(text, "old content", "an open file keeps its content");
    assert_eq!(names(&folder), ["a token"], "no temporary file remains");
    // A bare file name is relative to the working folder, here the home folder.
    let _ = stage.token(&["-o", "here"]).ends(0);
    assert_eq!(std::fs::read_to_string(stage.sandbox.home().join("here")).expect("a file"), "KANARIE\n");
    assert_eq!(stage.token(&["-o", "-"]).token(), "KANARIE");
}

#[test]
fn output_flag_refuses_links_folders_and_devices() {
    let stage = Stage::with("KANARIE");
    let home = stage.sandbox.home();
    let victim = home.join("victim");
    std::fs::write(&victim, "mine").expect("a file");
    symlink(&victim, home.join("link")).expect("a link");
    symlink(home.join("nothing"), home.join("dangling")).expect("a link");
    std::fs::create_dir(home.join("folder")).expect("a folder");
    for name in ["link", "dangling", "folder", "folder/", ".", "..", "/dev/null"] {
        let _ = stage.token(&["--output", name]).ends(1).fails_with("write_failed");
    }
    assert_eq!(std::fs::read_to_string(&victim).expect("a file"), "mine");
    assert!(home.join("link").is_symlink() && home.join("dangling").is_symlink());
    assert!(!home.join("nothing").exists());
    assert_eq!(names(&home.join("folder")), [""; 0]);
}

#[test]
fn token_is_stored_if_the_output_file_cannot_be_written() {
    let stage = Stage::with("KANARIE");
    stage.sandbox.write(&stage.sandbox.home().join("file"), "");
    for (path, why) in [
        ("missing/token", "hint: "),
        ("file/token", "not a directory"),
        ("new/", "not a directory"),
        ("/proc/token", "cannot write /proc/token: "),
    ] {
        let _ = stage.token(&["--output", path]).ends(1).fails_with("write_failed").says(path).says(why);
    }
    assert_eq!(stage.sandbox.record("earthdaily")["tokens"][""]["secret"], "KANARIE");
    assert_eq!(stage.token(&[]).token(), "KANARIE");
    assert_eq!(stage.service.exchanges(), 1);
}
