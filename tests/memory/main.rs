//! Tests that no copy of a dropped secret stays in the memory of a program that embeds the broker.
//!
//! The test process searches its own writable memory. It keeps each secret in two pieces, because the search would
//! also find a whole secret of the test itself.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker_testkit::{EarthDaily, EarthDailyOptions, Fault, TestEnv};
use bytes::Bytes;
use earthbroker::{Broker, ErrorCode, Http, HttpFault, RequestSent, Setup, TokenRequest};
use http::{Request, Response};

/// A placeholder in a record, which another process replaces with a secret.
const TOKEN: &str = "token-that-is-to-be-replaced";

/// A secret to search for, in two pieces that this process never joins in memory.
struct Canary(&'static str, &'static str);

/// The secrets to search for: the stored token and the client secret.
const CANARIES: [Canary; 2] =
    [Canary("kanarie-of-the-record-", "q7Zt3mPxW9"), Canary("kanarie-of-the-client-", "Lb4Vn8KsR2")];

impl Canary {
    /// Replaces a text in a file with the secret. `sh` joins the secret's two pieces, so this process never joins them.
    fn write(&self, file: &Path, instead_of: &str) {
        let script = "sed -i \"s/$1/$2$3/\" \"$0\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).arg(file).args([instead_of, self.0, self.1]);
        assert!(sh.status().expect("the program runs").success());
    }

    /// Counts the secret's copies in the memory of this process.
    fn hits(&self) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let memory = File::open("/proc/self/mem").expect("memory");
        // The search must skip `chunk`, which contains copies of the memory that the search has read.
        let mut chunk = vec![0; 1 << 20];
        let own = chunk.as_ptr().addr() as u64;
        let mut hits = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, _) = line.split_once(' ').expect("a range");
            let (from, to) = range.split_once('-').expect("two addresses");
            let [mut at, to] = [from, to].map(|text| u64::from_str_radix(text, 16).expect("an address"));
            while at < to {
                let length = usize::try_from((to - at).min(chunk.len() as u64)).expect("a length");
                let read = memory.read_at(&mut chunk[..length], at).unwrap_or(0);
                let outside = |hit: &usize| !(own..own + (1 << 20)).contains(&(at + *hit as u64));
                hits += self.positions(&chunk[..read]).filter(outside).count();
                // Chunks overlap, because a copy of the secret may cross their border.
                let overlap = if read == chunk.len() { 64 } else { 0 };
                at += length as u64 - overlap;
            }
        }
        chunk.fill(0);
        hits
    }

    fn positions<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let (one, other) = (self.0.as_bytes(), self.1.as_bytes());
        let whole = one.len() + other.len();
        bytes.windows(whole).enumerate().filter_map(move |(at, window)| {
            (window.starts_with(one) && window.ends_with(other)).then_some(at)
        })
    }
}

/// An HTTP client without a network. Counts the requests that contain the client secret.
#[derive(Default)]
struct Down(AtomicUsize);

#[async_trait]
impl Http for Down {
    async fn send(&self, request: Request<Bytes>, _: Duration) -> Result<Response<Bytes>, HttpFault> {
        let [_, client] = CANARIES;
        self.0.fetch_add(client.positions(request.body()).count(), Ordering::SeqCst);
        Err(HttpFault::new(RequestSent::No, ErrorCode::Timeout, "down".to_owned()))
    }
}

fn open(home: &Path, service: &EarthDaily, style: &str, http: Option<Arc<dyn Http>>) -> Broker {
    let config = home.join("providers.toml");
    let secret = home.join("secret");
    let text = format!(
        "[providers.earthdaily]\nauth_url = \"{}\"\nclient_auth = \"{style}\"\nclient_secret = {{ file = \"{}\" }}\n",
        service.auth_url(),
        secret.display()
    );
    std::fs::write(&config, text).expect("a file");
    let env = TestEnv::default().with("HOME", home.to_str().expect("text"));
    let setup = Setup::new().config_file(config).state_dir(home.join("state")).env(Arc::new(env));
    let setup = match http {
        Some(http) => setup.http(http),
        None => setup,
    };
    setup.open().expect("a broker")
}

#[tokio::test]
async fn dropped_secrets_leave_no_copies_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path();
    let service = EarthDaily::start(EarthDailyOptions::default());
    std::fs::write(home.join("secret"), "standin-api-token").expect("a file");
    service.fault("token", Fault::edit(|answer| answer["access_token"] = TOKEN.into()));
    let request = TokenRequest::new();
    let token = open(home, &service, "basic", None).token("earthdaily", &request).await.expect("a token");
    assert_eq!(token.secret().expose(), TOKEN);
    drop(token);
    let [record, client] = CANARIES;
    record.write(&home.join("state/earthdaily.json"), TOKEN);
    for style in ["basic", "body"] {
        // Restores the client secret with which the record was made. The previous round replaced it in this file.
        std::fs::write(home.join("secret"), "standin-api-token").expect("a file");
        let broker = open(home, &service, style, Some(Arc::new(Down::default())));
        let stored = broker.stored("earthdaily", &request).expect("a record").expect("a token");
        assert!(stored.secret().expose().starts_with(record.0));
        assert!(record.hits() > 0, "the stored token is not found");
        // The renewal fails, but the broker copies the stored token while it rewrites the record.
        broker.token("earthdaily", &TokenRequest::new().force()).await.expect_err("the network is down");
        drop((stored, broker));
        assert_eq!(record.hits(), 0, "copies of the record's token, {style}");
        // The allocator overwrites the beginning of freed memory, so padding surrounds the secret.
        let around = ["before-".repeat(99), "-after".repeat(99)];
        std::fs::write(home.join("secret"), around.join("standin-api-token")).expect("a file");
        client.write(&home.join("secret"), "standin-api-token");
        let down = Arc::new(Down::default());
        let broker = open(home, &service, style, Some(down.clone()));
        broker.token("earthdaily", &TokenRequest::new().force()).await.expect_err("the network is down");
        drop(broker);
        let was_sent = down.0.load(Ordering::SeqCst) > 0;
        assert_eq!(was_sent, style == "body", "plain text, except in a Basic header");
        assert_eq!(client.hits(), 0, "copies of the client secret, {style}");
    }
    let saved = Command::new("grep").arg("-q").arg(record.0).arg(home.join("state/earthdaily.json")).status();
    assert!(saved.expect("the program runs").success(), "the record has the secret");
}
