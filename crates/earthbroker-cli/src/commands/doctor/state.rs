//! Checks that the state folder exists, is private and can be written, and the format of its records.

use std::fs::Metadata;
use std::io::Write;
use std::path::Path;

use broker_core::{ProviderRegistry, platform};
use earthbroker::config::Config;
use earthbroker::records::Records;
use earthbroker::{Error, FileStore, Status, Store};
use rustix::fs::statvfs;

use super::mode;
use super::report::Report;
use crate::commands::CommandContext;
use crate::commands::status::describe;
use crate::commands::store::{list, uses_keyring, word};
use crate::format::quoted_path;
use crate::report::hint;

/// The report warns if fewer bytes are free on the disk.
const MIN_SPACE: u64 = 1024 * 1024;

const ELSEWHERE: &str = "name another state folder with --state-dir or BROKER_STATE_DIR";

pub(super) fn check(context: &CommandContext<'_>, unread: &[Error], report: &mut Report) {
    let folder = match context.setup().state_folder() {
        Ok(folder) => folder,
        Err(error) => return report.failed("state.folder", None, &error, ELSEWHERE),
    };
    match folder.metadata() {
        Ok(meta) if meta.is_dir() && !platform::is_own(&meta) => {
            let fix = format!("run: sudo chown -R \"$USER\" {}", quoted_path(&folder));
            report.error("state.owner", None, &format!("{} belongs to another user", folder.display()), &fix);
            // The records are not checked, because the state folder belongs to another user.
            return filesystem(&folder, report);
        }
        Ok(meta) if meta.is_dir() => {
            permissions(&folder, &meta, report);
            records(&folder, report);
            // The broker stores no record in a folder where every user can write.
            if !platform::everybody_writes(&meta) {
                writable(&folder, report);
            }
        }
        Ok(_) => {
            let fix = format!("move {} away, or {ELSEWHERE}", quoted_path(&folder));
            report.error("state.folder", None, &format!("{} is not a folder", folder.display()), &fix);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => creatable(&folder, report),
        Err(error) => {
            let fix = format!("give yourself access to the state folder, or {ELSEWHERE}");
            report.error("state.folder", None, &format!("cannot read {}: {error}", folder.display()), &fix);
        }
    }
    filesystem(&folder, report);
    for error in unread {
        report.error("state.record", error.provider(), error.message(), &fix_record(&folder, error));
    }
}

/// Returns the fix for a record that cannot be opened.
fn fix_record(folder: &Path, error: &Error) -> String {
    let path = error.provider().map(|name| folder.join(format!("{name}.json")));
    match path.and_then(|path| Some((path.symlink_metadata().ok()?, quoted_path(&path)))) {
        Some((meta, path)) if meta.is_symlink() => format!("run: rm {path}"),
        Some((meta, path)) if !platform::is_own(&meta) => format!("run: sudo chown \"$USER\" {path}"),
        _ => hint(error).unwrap_or_else(|| "rename the record's file, then log in again".to_owned()),
    }
}

/// Checks that the state folder can be created. Removes the created folder if it is still empty.
fn creatable(folder: &Path, report: &mut Report) {
    let missing: Vec<_> = folder.ancestors().take_while(|path| path.symlink_metadata().is_err()).collect();
    let tried = platform::make_folder(folder).and_then(|()| write_in(folder));
    for created in missing {
        let _ = std::fs::remove_dir(created);
    }
    let shown = folder.display();
    match tried {
        Ok(()) => report.ok("state.folder", None, format!("the missing state folder {shown} can be created")),
        Err(error) => {
            let what = format!("cannot create the state folder {shown}: {error}");
            report.error("state.folder", None, &what, &format!("create the state folder, or {ELSEWHERE}"));
        }
    }
}

fn permissions(folder: &Path, meta: &Metadata, report: &mut Report) {
    let (shown, mode) = (folder.display(), mode(meta));
    let fix = format!("run: chmod 700 {}", quoted_path(folder));
    if platform::everybody_writes(meta) {
        let what =
            format!("every user can write to {shown} (mode {mode}): the broker stores no new record there");
        report.error("state.permissions", None, &what, &fix);
    } else if platform::others_read(meta) {
        let what = format!("other users can list {shown} (mode {mode})");
        report.warning("state.permissions", None, &what, &fix);
    } else {
        report.ok("state.permissions", None, format!("{shown} is private"));
    }
}

/// Reports records that other users can read, and quarantined files.
fn records(folder: &Path, report: &mut Report) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    for name in names {
        let path = folder.join(&name);
        if name.contains(".json.aside-") {
            let what = format!("{} is a damaged record that was quarantined", path.display());
            let fix = format!("if you do not need the damaged record, run: rm {}", quoted_path(&path));
            report.warning("state.aside", None, &what, &fix);
            continue;
        }
        let is_record = path.extension().is_some_and(|ending| ending == "json");
        if let Ok(meta) = path.symlink_metadata()
            && (is_record && meta.is_file() && platform::others_read(&meta))
        {
            let what = format!("other users can read {} (mode {})", path.display(), mode(&meta));
            report.error("state.record_mode", None, &what, &format!("run: chmod 600 {}", quoted_path(&path)));
        }
    }
}

/// Writes a temporary file to check that the folder is writable.
fn write_in(folder: &Path) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".doctor-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()
}

fn writable(folder: &Path, report: &mut Report) {
    match (write_in(folder), statvfs(folder).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))) {
        (Err(error), _) => {
            let what = format!("cannot write to {}: {error}", folder.display());
            let fix = format!("free disk space, make the state folder writable, or {ELSEWHERE}");
            report.error("state.writable", None, &what, &fix);
        }
        (Ok(()), Ok(free)) if free < MIN_SPACE => {
            let what = format!("only {} KiB are free on the disk of {}", free / 1024, folder.display());
            report.warning("state.space", None, &what, &format!("free disk space, or {ELSEWHERE}"));
        }
        _ => report.ok("state.writable", None, "the state folder is writable"),
    }
}

fn filesystem(folder: &Path, report: &mut Report) {
    match describe(&FileStore::new(folder).about()) {
        (what, None) => report.ok("state.filesystem", None, what),
        (what, Some(fix)) => report.warning("state.filesystem", None, &what, &fix),
    }
}

/// Checks that the encryption key of records is available, and that all records have the configured format.
pub(super) fn sealed(records: &Records, config: &Config, statuses: &[Status], report: &mut Report) {
    let configured_names = config.names();
    let (list, errors) = list(records);
    for error in &errors {
        let fix = match error.provider() {
            None => "check the permissions of the state folder",
            // `state::check` has already reported the errors of configured providers.
            Some(name) if configured_names.iter().any(|known| known == name) => continue,
            Some(_) => "rename the record's file",
        };
        report.error("state.sealed", error.provider(), error.message(), fix);
    }
    let configured = config.store().name();
    let sealed = configured != "file" || list.iter().any(|(_, format)| word(format) != "file");
    if uses_keyring(configured, &list) {
        match records.keyring() {
            "unlocked" => report.ok("state.keyring", None, "the OS keyring responds"),
            state => {
                let what = format!("the OS keyring is {state}, but the encrypted records need a key in it");
                let fix = "unlock the keyring; on a machine without a keyring, \
                           set store = { key = { file = \"PATH\" } } and run: broker store migrate";
                report.error("state.keyring", None, &what, fix);
            }
        }
    }
    let others = list.iter().filter(|(_, format)| word(format) != configured);
    let others: Vec<_> = others.map(|(name, format)| format!("{name} ({})", word(format))).collect();
    if !others.is_empty() {
        let others = others.join(", ");
        let what = format!("`store` is \"{configured}\", but some records have another format: {others}");
        report.warning("state.sealed", None, &what, "run: broker store migrate");
    } else if sealed && errors.is_empty() && !list.is_empty() {
        report.ok("state.sealed", None, format!("all records are encrypted (store: {configured})"));
    }
    for status in statuses.iter().filter(|_| sealed) {
        if let Some(file) = status.login_file.as_ref().filter(|file| file.exists()) {
            let what = format!(
                "the login in {} is not encrypted, because the service's own tools read it; \
                 `share = false` moves the login to the encrypted record",
                file.display()
            );
            report.ok("state.shared", Some(&status.name), what);
        }
    }
}
