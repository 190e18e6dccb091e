//! The folder of records: that it is there, ours alone, and can be written.

use std::fs::Metadata;
use std::io::Write;
use std::path::Path;

use broker::{Error, FileStore, LockScope, Store, SystemEnv, platform};
use rustix::fs::statvfs;

use super::files::{is_open, is_ours, mode, quoted};
use super::report::Report;
use crate::commands::CommandContext;
use crate::hints;
use crate::humanize::FOLDER_EACH;

/// Less room than this is little for any record.
const LITTLE: u64 = 1024 * 1024;

/// What names another folder.
const ELSEWHERE: &str = "or name another folder: --state-dir or BROKER_STATE_DIR";

pub(super) fn check(context: &CommandContext<'_>, unread: &[Error], report: &mut Report) {
    let folder = match context.setup().state_folder() {
        Ok(folder) => folder,
        Err(error) => {
            let fix = hints::hint(&error).unwrap_or_else(|| ELSEWHERE.to_owned());
            return report.error("state.folder", None, error.message(), fix);
        }
    };
    match folder.metadata() {
        Ok(meta) if meta.is_dir() && !is_ours(&meta) => {
            let fix = format!("run: sudo chown -R \"$USER\" {}", quoted(&folder));
            report.error("state.owner", None, format!("{} belongs to another user", folder.display()), fix);
            // What is in it is theirs too.
            return filesystem(&folder, report);
        }
        Ok(meta) if meta.is_dir() => {
            permissions(&folder, &meta, report);
            records(&folder, report);
            // What can be written is no good where nothing is kept.
            if !platform::everybody_writes(&meta) {
                writable(&folder, report);
            }
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
        report.error("state.record", error.provider(), error.message(), of_record(&folder, error));
    }
}

/// What mends a record that cannot be opened.
fn of_record(folder: &Path, error: &Error) -> String {
    let path = error.provider().map(|name| folder.join(format!("{name}.json")));
    let there = path.and_then(|path| Some((path.symlink_metadata().ok()?, quoted(&path))));
    match there {
        Some((meta, path)) if meta.is_symlink() => format!("run: rm {path}"),
        Some((meta, path)) if !is_ours(&meta) => format!("run: sudo chown \"$USER\" {path}"),
        _ => hints::hint(error).unwrap_or_else(|| "move the file away, then log in again".to_owned()),
    }
}

/// Only a folder that is made shows that it can be. It is removed again, unless somebody uses it by now.
fn creatable(folder: &Path, report: &mut Report) {
    let missing: Vec<_> = folder.ancestors().take_while(|path| path.symlink_metadata().is_err()).collect();
    let tried = platform::make_folder(folder).and_then(|()| write_in(folder));
    for made in missing {
        let _ = std::fs::remove_dir(made);
    }
    let shown = folder.display();
    match tried {
        Ok(()) => report.fine("state.folder", None, format!("{shown} is not there yet, and can be made")),
        Err(error) => {
            let what = format!("{shown} is not there, and cannot be made: {error}");
            report.error("state.folder", None, what, format!("make it and own it, {ELSEWHERE}"));
        }
    }
}

fn permissions(folder: &Path, meta: &Metadata, report: &mut Report) {
    let (shown, mode) = (folder.display(), mode(meta));
    let fix = format!("run: chmod 700 {}", quoted(folder));
    if platform::everybody_writes(meta) {
        let what = format!("everybody can write to {shown} (mode {mode}): nothing new is kept there");
        report.error("state.permissions", None, what, fix);
    } else if is_open(meta) {
        let what = format!("others can look into {shown} (mode {mode})");
        report.warning("state.permissions", None, what, fix);
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
fn write_in(folder: &Path) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".doctor-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()
}

fn writable(folder: &Path, report: &mut Report) {
    match write_in(folder) {
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
    let own = || format!("where several hosts use one login, {FOLDER_EACH}");
    let on = format!("{} is on {}", about.place, about.on);
    match (about.lock_elsewhere, about.shared, about.reach) {
        (Some(lock), ..) => {
            let what = format!("{on}, which has no locks: the lock is in {lock} and reaches this host only");
            report.warning("state.filesystem", None, what, own());
        }
        (None, true, LockScope::Host) => {
            report.warning(
                "state.filesystem",
                None,
                format!("{on}, where a lock reaches this host only"),
                own(),
            );
        }
        (None, true, LockScope::Unknown) => {
            let what = format!("{on}; whether a lock there reaches other hosts cannot be told");
            report.warning("state.filesystem", None, what, own());
        }
        (None, true, LockScope::Hosts) => {
            report.fine("state.filesystem", None, format!("{on}, where a lock reaches all hosts"));
        }
        (None, false, _) => report.fine("state.filesystem", None, format!("{on}, which is this host's")),
    }
}
