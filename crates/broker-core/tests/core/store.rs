//! Tests of the file store: copies of a record, replaced folders, and files that cannot be read.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use broker_core::{
    Broker, Envelope, Error, ErrorCode, FallbackStore, FileStore, Loaded, Locked, Locking, Record,
    RecordUpdate, Result, Secret, Store, Token, TokenRequest,
};
use broker_testkit::{TestEnv, World};
use chrono::TimeDelta;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::broker::{Scripted, issue};
use crate::builder;

const NAME: &str = "lab";

type Change = Box<dyn FnOnce() + Send>;

/// Replaces the folder at the first path. The second path is unused.
type Replace = fn(&Path, &Path);

/// Changes files at a path.
type ChangeAt = fn(&Path);

/// A service that accepts each refresh token once, and a home folder with a state folder and a runtime folder.
struct Home {
    root: tempfile::TempDir,
    state: PathBuf,
    world: World,
    service: Arc<Scripted>,
    /// Runs while the service answers the next request.
    meanwhile: Arc<Mutex<Option<Change>>>,
}

impl Home {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let state = root.path().join("state");
        let meanwhile = Arc::<Mutex<Option<Change>>>::default();
        let (change, current) = (meanwhile.clone(), Mutex::<Option<String>>::default());
        let service = Scripted::new(move |number, operation, record, request| {
            let mut current = current.lock().expect("the refresh token");
            let sent = record.usable_grant().map(|grant| grant.secret().expose().to_owned());
            if *current != sent {
                return Err(Error::new(ErrorCode::GrantRefused, format!("{sent:?} is not {current:?}")));
            }
            if let Some(change) = change.lock().expect("the change").take() {
                change();
            }
            let grant = format!("RT-{number}");
            *current = Some(grant.clone());
            let update: RecordUpdate =
                issue(operation, request, &format!("AT-{number}"), TimeDelta::hours(1));
            Ok(update.and_grant(Secret::new(grant), operation.now()))
        });
        Self { root, state, world: World::new(), service, meanwhile }
    }

    fn store_with_runtime(&self, runtime: &str) -> FallbackStore {
        let runtime = self.root.path().join(runtime);
        let env = TestEnv::default().with("XDG_RUNTIME_DIR", &runtime.display().to_string());
        FallbackStore::new(FileStore::new(&self.state), &env)
    }

    fn store(&self) -> FallbackStore {
        self.store_with_runtime("run")
    }

    /// Returns a broker that has nothing cached in memory, like a new process.
    fn broker(&self, store: FallbackStore) -> Broker {
        builder([(NAME, self.service.clone())], Arc::new(store), self.world.context()).build()
    }

    async fn renew(&self) -> Result<Token> {
        self.world.clock.advance(TimeDelta::seconds(1));
        self.broker(self.store()).token(NAME, &TokenRequest::new().force()).await
    }

    async fn renew_while(&self, change: impl FnOnce() + Send + 'static) -> Result<Token> {
        *self.meanwhile.lock().expect("the change") = Some(Box::new(change));
        self.renew().await
    }

    fn fallback_files(&self, runtime: &str) -> Vec<PathBuf> {
        let folder = self.root.path().join(runtime).join("broker");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Puts a file in the place of the state folder, so that saves fail.
    fn block(&self) -> impl FnOnce() + Send + 'static {
        let (state, away) = (self.state.clone(), self.root.path().join("away"));
        move || {
            std::fs::rename(&state, away).expect("moved");
            std::fs::write(&state, "").expect("a file");
        }
    }

    fn unblock(&self) {
        std::fs::remove_file(&self.state).expect("removed");
        std::fs::rename(self.root.path().join("away"), &self.state).expect("moved back");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

async fn lock(store: &FallbackStore) -> Box<dyn Locked> {
    match store.try_lock(NAME).await.expect("a lock") {
        Locking::Taken(locked) => locked,
        Locking::Busy(holder) => panic!("locked by {holder:?}"),
    }
}

fn record(fields: &Value) -> Record {
    let mut record = json!({
        "version": 1, "provider": NAME, "revision": 5, "tokens": {},
        "issuer": { "kind": "test", "flow": "none", "endpoint": "https://example.org" },
        "grant": { "secret": "RT", "issued_at": "2026-01-01T00:00:00Z" },
    });
    for (key, value) in fields.as_object().expect("an object") {
        record[key] = value.clone();
    }
    serde_json::from_value(record).expect("a record")
}

#[tokio::test]
async fn counters_decide_which_copy_of_a_record_is_newer() {
    let late = json!({ "secret": "RT", "issued_at": "2036-01-01T00:00:00Z" });
    let rows = [
        (json!({ "grants": 2, "revision": 99, "grant": late }), json!({ "grants": 3 }), true),
        (json!({ "grants": 3 }), json!({ "grants": 2, "revision": 99, "grant": late }), false),
        (json!({ "logins": 1, "grants": 9 }), json!({ "logins": 2, "grants": 1 }), true),
        (json!({ "logins": 2, "grants": 1 }), json!({ "logins": 1, "grants": 9 }), false),
        (json!({ "origin": "b", "grants": 1 }), json!({ "origin": "a", "grants": 9, "grant": late }), false),
        (json!({ "origin": "a", "grants": 1 }), json!({ "origin": "a", "grants": 2 }), true),
        // Records of older versions.
        (json!({ "revision": 6, "grant": late }), json!({ "revision": 7 }), true),
        (json!({ "revision": 8 }), json!({ "revision": 7, "grant": late }), false),
        (json!({ "revision": 9, "grant": late }), json!({ "grants": 1, "revision": 8 }), true),
    ];
    for (own, other, fallback_wins) in rows {
        let home = Home::new();
        let store = home.store();
        let mut locked = lock(&store).await;
        let _ = locked.save(&record(&own)).await.expect("saved");
        let _ = locked.save_to_fallback(&record(&other)).await.expect("saved");
        let is_fallback = matches!(store.read(NAME, true).expect("a record"), Some(Loaded::FromFallback(_)));
        assert_eq!(is_fallback, fallback_wins, "{own} {other}");
        let loaded = locked.load().await.expect("a record");
        assert_eq!(matches!(loaded, Loaded::FromFallback(_)), fallback_wins, "{own} {other}");
    }
}

#[tokio::test]
async fn newest_refresh_token_is_used_whatever_the_clock_says() {
    for ahead in [-3600, 0, 120, 3600, 400 * 86_400] {
        let home = Home::new();
        home.world.clock.advance(TimeDelta::seconds(ahead));
        home.renew().await.expect("a first token");
        home.world.clock.advance(TimeDelta::seconds(-ahead));
        home.renew_while(home.block()).await.expect("a token in the fallback file");
        home.unblock();
        home.renew().await.unwrap_or_else(|error| panic!("clock {ahead} s ahead: {error}"));
        assert!(home.fallback_files("run").is_empty());
    }
}

#[tokio::test]
async fn failures_noted_later_do_not_make_a_copy_newer() {
    let home = Home::new();
    home.renew().await.expect("a first token");
    home.renew_while(home.block()).await.expect("a token in the fallback file");
    home.unblock();
    // A process with another runtime folder does not see the fallback file, and sends the older refresh token.
    let other = home.broker(home.store_with_runtime("run2"));
    for _ in 0..3 {
        home.world.clock.advance(TimeDelta::seconds(1));
        assert!(other.token(NAME, &TokenRequest::new().force()).await.is_err());
    }
    home.renew().await.expect("a token, with the newer refresh token");
}

#[tokio::test]
async fn older_fallback_copy_that_comes_back_is_not_used() {
    let home = Home::new();
    home.renew().await.expect("a first token");
    home.renew_while(home.block()).await.expect("a token in the fallback file");
    let first = home.fallback_files("run").pop().expect("a fallback file");
    let old = std::fs::read(&first).expect("a record");
    home.unblock();
    home.renew().await.expect("a token");
    // An older copy that came back, such as from a backup, is not used.
    std::fs::write(&first, old).expect("a record");
    home.renew().await.expect("a token");
}

#[tokio::test]
async fn logout_is_not_undone_by_a_copy_in_an_unseen_folder() {
    let home = Home::new();
    home.world.clock.advance(TimeDelta::hours(1));
    home.renew().await.expect("a first token");
    home.renew_while(home.block()).await.expect("a token in the fallback file");
    home.unblock();
    home.world.clock.advance(TimeDelta::hours(-1));
    let store = home.store_with_runtime("run2");
    let _ = lock(&store).await.forget().await.expect("logged out");
    let _ = lock(&store).await.save(&record(&json!({ "logins": 1, "grants": 1, "origin": "new" }))).await;
    assert!(
        matches!(home.store().read(NAME, true), Ok(Some(Loaded::Record(_)))),
        "the copy is of the removed record"
    );
}

#[tokio::test]
async fn renewal_survives_every_replacement_of_the_state_folder() {
    let moved = |state: &Path, away: &Path| std::fs::rename(state, away).expect("moved");
    let changes: [(&str, Replace); 7] = [
        ("moved away", moved),
        ("deleted", |state, _| std::fs::remove_dir_all(state).expect("removed")),
        ("a file in its place", |state, away| {
            std::fs::rename(state, away).expect("moved");
            std::fs::write(state, "").expect("a file");
        }),
        ("an empty folder in its place", |state, away| {
            std::fs::rename(state, away).expect("moved");
            std::fs::create_dir(state).expect("a folder");
        }),
        ("a copy in its place", |state, away| {
            std::fs::rename(state, away).expect("moved");
            copy(away, state);
        }),
        ("a link to a copy in its place", |state, away| {
            std::fs::rename(state, away).expect("moved");
            copy(away, &away.with_extension("copy"));
            symlink(away.with_extension("copy"), state).expect("a link");
        }),
        ("other temporary files", |state, _| {
            for entry in std::fs::read_dir(state).expect("a folder").flatten() {
                if entry.path().extension() == Some("tmp".as_ref()) {
                    std::fs::remove_file(entry.path()).expect("removed");
                    std::fs::write(entry.path(), "zeros").expect("a file");
                }
            }
        }),
    ];
    for (what, change) in changes {
        let home = Home::new();
        home.renew().await.expect("a first token");
        let (state, away) = (home.state.clone(), home.root.path().join("away"));
        home.renew_while(move || change(&state, &away)).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        for folder in ["state", "away", "away.copy"] {
            let Ok(bytes) = std::fs::read(home.root.path().join(folder).join("lab.json")) else { continue };
            assert!(serde_json::from_slice::<Value>(&bytes).is_ok(), "{what}: {folder} has no record");
        }
        if home.state.is_file() {
            std::fs::remove_file(&home.state).expect("removed");
        }
        home.renew().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[tokio::test]
async fn renewal_survives_a_link_that_leads_elsewhere() {
    fn relink(root: &Path, target: &str) {
        let _ = std::fs::remove_file(root.join("link"));
        symlink(root.join(target), root.join("link")).expect("a link");
    }
    let copied = |root: &Path| {
        std::fs::create_dir(root.join("b")).expect("a folder");
        copy(&root.join("a/state"), &root.join("b/state"));
        relink(root, "b");
    };
    let emptied = |root: &Path| {
        std::fs::create_dir(root.join("b")).expect("a folder");
        relink(root, "b");
    };
    let removed = |root: &Path| std::fs::remove_file(root.join("link")).expect("removed");
    let moved = |root: &Path| std::fs::rename(root.join("a"), root.join("b")).expect("moved");
    let changes: [(&str, ChangeAt, &str); 4] = [
        ("a link to a copy", copied, "b"),
        ("a link to an empty folder, then back", emptied, "a"),
        ("no link, then back", removed, "a"),
        ("a broken link, then to the moved folder", moved, "b"),
    ];
    for (what, change, then) in changes {
        let mut home = Home::new();
        let root = home.root.path().to_owned();
        std::fs::create_dir(root.join("a")).expect("a folder");
        relink(&root, "a");
        home.state = root.join("link/state");
        home.renew().await.expect("a first token");
        let during = root.clone();
        home.renew_while(move || change(&during)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        relink(&root, then);
        home.renew().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[tokio::test]
async fn fallback_file_is_found_before_and_after_the_folder_exists() {
    let old_name = |path: &Path| {
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let hash = u64::from_be_bytes(std::array::from_fn(|index| hash[index]));
        format!("{NAME}-{hash:016x}.json")
    };
    for (link, target, by_older_version) in [
        ("home", "", false),
        ("home", "", true),
        ("home/.local", "data/local", false),
        ("home/.local/state/broker", "data/broker", false),
    ] {
        let mut home = Home::new();
        let (link, target) = (home.root.path().join(link), home.root.path().join("data").join(target));
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("a folder");
        std::fs::create_dir_all(home.root.path().join("data")).expect("a folder");
        symlink(target.components().collect::<PathBuf>(), &link).expect("a link");
        home.state = home.root.path().join("home/.local/state/broker");
        let store = home.store();
        assert!(matches!(store.read(NAME, true), Ok(Some(Loaded::Nothing))), "computes the file name");
        std::fs::create_dir_all(&target).expect("the link's target");
        let mut locked = lock(&store).await;
        let saved = PathBuf::from(locked.save_to_fallback(&record(&json!({}))).await.expect("saved"));
        if by_older_version {
            std::fs::rename(&saved, saved.with_file_name(old_name(&home.state))).expect("renamed");
        }
        drop(locked);
        let resolved = home.state.canonicalize().expect("a folder");
        let spelled = std::mem::replace(&mut home.state, resolved);
        let is_found = matches!(home.store().read(NAME, true), Ok(Some(Loaded::FromFallback(_))));
        assert!(is_found || by_older_version, "{}", link.display());
        home.state = spelled;
        assert!(
            matches!(home.store().read(NAME, true), Ok(Some(Loaded::FromFallback(_)))),
            "{}",
            link.display()
        );
        let _ = lock(&home.store()).await.save(&record(&json!({ "revision": 6 }))).await.expect("saved");
        assert!(home.fallback_files("run").is_empty(), "{}", link.display());
    }
}

#[tokio::test]
async fn fallback_file_that_cannot_be_read_is_an_error() {
    let home = Home::new();
    home.renew().await.expect("a first token");
    home.renew_while(home.block()).await.expect("a token in the fallback file");
    home.unblock();
    let file = home.fallback_files("run").pop().expect("a fallback file");
    std::fs::rename(&file, file.with_extension("away")).expect("moved");
    std::fs::create_dir(&file).expect("a folder, which cannot be read as a file");
    let error = home.renew().await.expect_err("the newest record may be there");
    assert_eq!(error.code(), ErrorCode::StoreUnreadable);
    let error = lock(&home.store()).await.forget().await.expect_err("the login would remain");
    assert_eq!(error.code(), ErrorCode::StoreUnreadable);
    std::fs::remove_dir(&file).expect("removed");
    std::fs::rename(file.with_extension("away"), &file).expect("moved back");
    home.renew().await.expect("a token");
}

#[tokio::test]
async fn record_that_cannot_be_read_is_not_replaced_by_a_fallback() {
    const SEALED: &str =
        r#"{ "version": 2, "provider": "lab", "with": "key", "key": "", "nonce": "", "sealed": "" }"#;
    let unreadable = Some(ErrorCode::StoreUnreadable);
    let rows: [(&str, ChangeAt, Option<ErrorCode>); 5] = [
        ("no key", |path| std::fs::write(path, SEALED).expect("a file"), Some(ErrorCode::StoreSealed)),
        ("a folder", |path| std::fs::create_dir(path).expect("a folder"), unreadable),
        ("a link", |path| symlink("elsewhere", path).expect("a link"), unreadable),
        ("incomplete", |path| std::fs::write(path, "{").expect("a file"), None),
        ("removed", |_| {}, None),
    ];
    for (what, damage, expected) in rows {
        let home = Home::new();
        let store = home.store();
        let mut locked = lock(&store).await;
        let _ = locked.save(&record(&json!({}))).await.expect("saved");
        let _ = locked.save_to_fallback(&record(&json!({ "grants": 1 }))).await.expect("saved");
        let path = home.state.join("lab.json");
        std::fs::remove_file(&path).expect("removed");
        damage(&path);
        for loaded in [store.read(NAME, true), locked.load().await.map(Some)] {
            match (loaded, expected) {
                (Ok(Some(Loaded::FromFallback(_))), None) => {}
                (Err(error), Some(code)) => assert_eq!(error.code(), code, "{what}"),
                (loaded, _) => panic!("{what}: {loaded:?}"),
            }
        }
    }
}

#[tokio::test]
async fn record_that_cannot_be_read_again_is_not_saved() {
    let home = Home::new();
    let store = home.store();
    let mut locked = lock(&store).await;
    let _ = locked.save(&record(&json!({}))).await.expect("saved");
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    let long = json!("x".repeat(17 * 1024 * 1024));
    for metadata in [json!({ "a": deep(140) }), json!({ "a": long })] {
        let bad = record(&json!({ "kept": metadata, "revision": 6 }));
        for saved in [locked.save(&bad).await.map(drop), locked.save_to_fallback(&bad).await.map(drop)] {
            assert_eq!(saved.expect_err("too deep, or too long").code(), ErrorCode::StoreUnwritable);
        }
        assert!(matches!(store.read(NAME, true), Ok(Some(Loaded::Record(_)))), "the old record stays");
        assert!(home.fallback_files("run").is_empty());
    }
    let _ = locked.save(&record(&json!({ "kept": { "a": deep(100) } }))).await.expect("saved");
    assert!(matches!(store.read(NAME, true), Ok(Some(Loaded::Record(_)))));
}

#[tokio::test]
async fn unreadable_record_is_quarantined_once_and_never_missing() {
    let home = Home::new();
    let store = home.store();
    std::fs::create_dir(&home.state).expect("a folder");
    let path = home.state.join("lab.json");
    std::fs::write(&path, "half").expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("a mode");
    let mut locked = lock(&store).await;
    assert!(matches!(locked.load().await, Ok(Loaded::Unreadable(_))));
    let quarantine = path.with_extension("json.aside-1");
    // An earlier save was interrupted after it had linked the content to a second name.
    std::fs::hard_link(&path, &quarantine).expect("a link");
    let saved = locked.save(&record(&json!({}))).await.expect("saved");
    assert_eq!(saved, Some(quarantine.display().to_string()));
    assert_eq!(std::fs::read(&quarantine).expect("the content"), b"half");
    assert!(!path.with_extension("json.aside-2").exists());
    let mode = std::fs::metadata(&quarantine).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, if cfg!(portable) { 0o644 } else { 0o600 });
    assert!(matches!(store.read(NAME, true), Ok(Some(Loaded::Record(_)))));
}

#[test]
fn folder_listing_reports_files_that_cannot_be_read() {
    let root = tempfile::tempdir().expect("a folder");
    assert_eq!(Envelope::all_in(&root.path().join("missing")).expect("no folder").count(), 0);
    std::fs::create_dir(root.path().join("lab.json")).expect("a folder, which cannot be read as a file");
    assert!(Envelope::all_in(root.path()).expect("a folder").any(|envelope| envelope.is_err()));
}
