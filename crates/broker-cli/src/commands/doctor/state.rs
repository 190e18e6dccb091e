//! The folder of records: that it is there, ours alone, and can be written.

use std::fs::Metadata;
use std::io::Write;
use std::path::Path;

use broker::{Error, FileStore, Reach, Store, SystemEnv};
use rustix::fs::{Access, access, statvfs};

use super::files::{is_open, is_ours, mode, quoted};
use super::report::Report;
use crate::commands::Desk;

/// Less room than this is little for any record.
const LITTLE: u64 = 1024 * 1024;

/// What names another folder.
const ELSEWHERE: &str = "or name another folder: --state-dir or BROKER_STATE_DIR";

pub(super) fn check(desk: &Desk<'_>, unread: &[Error], report: &mut Report) {
    let folder = match desk.setup().state_folder() {
        Ok(folder) => folder,
        Err(error) => {
            return report.error("state.folder", None, error.message(), error.hint().unwrap_or(ELSEWHERE));
        }
    };
    match folder.metadata() {
        Ok(meta) if meta.is_dir() => {
            owner(&folder, &meta, report);
            records(&folder, report);
            writable(&folder, report);
        }
        Ok(_) => {
            let fix = format!("move {} away, {ELSEWHERE}", quoted(&folder));
            report.error("state.folder", None, format!("{} is not a folder", folder.display()), fix);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => creatable(&folder, report),
        Err(error) => {
            let fix = format!("give yourself access to it, {ELSEWHERE}");
            report.error("state.folder", None, format!("cannot look at {}: {error}", folder.display()), fix);
        }
    }
    filesystem(&folder, report);
    for error in unread {
        let fix = error.hint().unwrap_or("move the file away, then log in again");
        report.error("state.record", error.provider(), error.message(), fix);
    }
}

fn creatable(folder: &Path, report: &mut Report) {
    let above = folder.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    let shown = folder.display();
    if above.is_dir() && access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        report.fine("state.folder", None, format!("{shown} is not there yet, and can be made"));
    } else {
        let what = format!("{shown} is not there, and cannot be made: {} cannot be written", above.display());
        report.error("state.folder", None, what, format!("make it and own it, {ELSEWHERE}"));
    }
}

fn owner(folder: &Path, meta: &Metadata, report: &mut Report) {
    let (shown, path) = (folder.display(), quoted(folder));
    if !is_ours(meta) {
        let fix = format!("run: chown -R \"$USER\" {path}, {ELSEWHERE}");
        report.error("state.owner", None, format!("{shown} belongs to another user"), fix);
    } else if is_open(meta) {
        let what = format!("others can look into {shown} (mode {})", mode(meta));
        report.warning("state.permissions", None, what, format!("run: chmod 700 {path}"));
    } else {
        report.fine("state.permissions", None, format!("{shown} is yours alone"));
    }
}

/// Records that others can read, and what was set aside because it could not be read.
fn records(folder: &Path, report: &mut Report) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    for name in names {
        let path = folder.join(&name);
        if name.contains(".json.aside-") {
            let what = format!("{} could not be read as a record and was set aside", path.display());
            let fix = format!("if nothing in it is needed, run: rm {}", quoted(&path));
            report.warning("state.aside", None, what, fix);
            continue;
        }
        let record = path.extension().is_some_and(|ending| ending == "json");
        let open = path.symlink_metadata().ok().filter(|meta| record && meta.is_file() && is_open(meta));
        if let Some(meta) = open {
            let what = format!("others may read {} (mode {})", path.display(), mode(&meta));
            report.error("state.record_mode", None, what, format!("run: chmod 600 {}", quoted(&path)));
        }
    }
}

/// Only a file that is written shows that one can be.
fn writable(folder: &Path, report: &mut Report) {
    let tried = tempfile::Builder::new().prefix(".doctor-").suffix(".tmp").tempfile_in(folder).and_then(
        |mut file| {
            file.write_all(&[0; 4096])?;
            file.as_file().sync_all()
        },
    );
    match tried {
        Ok(()) => room(folder, report),
        Err(error) => {
            let what = format!("{} cannot be written: {error}", folder.display());
            report.error(
                "state.writable",
                None,
                what,
                format!("make room or give yourself access, {ELSEWHERE}"),
            );
        }
    }
}

fn room(folder: &Path, report: &mut Report) {
    let free = statvfs(folder).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    match free {
        Ok(free) if free < LITTLE => {
            let what = format!("only {} KiB are free for {}", free / 1024, folder.display());
            report.warning("state.space", None, what, format!("make room, {ELSEWHERE}"));
        }
        _ => report.fine("state.writable", None, "a file can be written there"),
    }
}

fn filesystem(folder: &Path, report: &mut Report) {
    let about = FileStore::new(folder).with_runtime_folder(&SystemEnv).about();
    let own = "where several hosts use one login, give each host a state folder of its own: BROKER_STATE_DIR";
    let on = format!("{} is on {}", about.place, about.on);
    match (about.lock_elsewhere, about.shared, about.reach) {
        (Some(lock), ..) => {
            let what = format!("{on}, which has no locks: the lock is in {lock} and reaches this host only");
            report.warning("state.filesystem", None, what, own);
        }
        (None, true, Reach::Host) => {
            report.warning(
                "state.filesystem",
                None,
                format!("{on}, where a lock reaches this host only"),
                own,
            );
        }
        (None, true, Reach::Unknown) => {
            let what = format!("{on}; whether a lock there reaches other hosts cannot be told");
            report.warning("state.filesystem", None, what, own);
        }
        (None, true, Reach::Hosts) => {
            report.fine("state.filesystem", None, format!("{on}, where a lock reaches all hosts"));
        }
        (None, false, _) => report.fine("state.filesystem", None, format!("{on}, which is this host's")),
    }
}
