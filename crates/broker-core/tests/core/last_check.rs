//! Tests that a refresh token that another program has replaced in a login file is not sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Clock, Context, ErrorCode, ErrorKind, FileLogin, Http, HttpFault, HttpRequest, InvalidLoginFile,
    LoginFile, LoginMethod, Operation, Provider, ProviderInfo, Record, RecordUpdate, Repeat, ReqwestHttp,
    Result, Secret, ServiceUrl, Token, TokenRequest,
};
use broker_testkit::{TestEnv, TestPrompt, World};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{builder, files, http_response, info};

/// A server that records the bytes of each connection, and answers complete requests with a new login.
struct RawServer {
    url: ServiceUrl,
    connections: Arc<Mutex<Vec<String>>>,
}

impl RawServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let log = connections.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let nth = log.lock().expect("the log").len();
                let received = answer(connection.expect("a connection"), nth);
                log.lock().expect("the log").push(received);
            }
        });
        Self { url: ServiceUrl::parse(&url).expect("a URL"), connections }
    }

    /// Waits for as many connections as expected, and checks the refresh token of each; `None` for a connection
    /// without a byte.
    async fn saw(&self, expected: &[Option<&str>], what: &str) {
        let count = || self.connections.lock().expect("the log").len();
        let all = async {
            while count() < expected.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("all connections");
        let connections = self.connections.lock().expect("the log");
        let token = |text: &String| text.rsplit_once("refresh_token=").map(|(_, token)| token.to_owned());
        let seen: Vec<_> =
            connections.iter().map(|text| if text.is_empty() { None } else { token(text) }).collect();
        assert_eq!(seen.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{what}");
    }
}

/// Reads a request to its end, or until the client closes the connection. Returns the received text.
fn answer(mut connection: TcpStream, nth: usize) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let count = connection.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return text;
        }
        text += &String::from_utf8_lossy(&buffer[..count]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = format!("content-length: {}\r\n", body.len());
        if head.to_ascii_lowercase().contains(length.trim_end()) {
            let body = format!("{{\"refresh_token\":\"issued {nth}\"}}");
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", body.len());
            connection.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("answered");
            return text;
        }
    }
}

/// A login file in JSON: `refresh_token`, and `access_token` with a lifetime of one hour.
struct JsonFile {
    path: PathBuf,
    now: DateTime<Utc>,
    /// What another program stores while the broker saves a login.
    theirs: Mutex<Option<Value>>,
}

impl JsonFile {
    fn put(&self, login: &Value) {
        std::fs::create_dir_all(self.path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&self.path, login.to_string()).expect("a login file");
    }

    fn login(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.path).expect("a login file")).expect("JSON")
    }
}

impl LoginFile for JsonFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, bytes: &[u8]) -> std::result::Result<FileLogin, InvalidLoginFile> {
        let login: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| InvalidLoginFile::Torn)?;
        let secret = |key| Some(Secret::new(login.get(key)?.as_str()?));
        let token = |secret| Token::new(secret, self.now, Some(self.now + TimeDelta::hours(1)));
        Ok(FileLogin {
            refresh_token: secret("refresh_token"),
            access_token: secret("access_token").map(token),
            ..FileLogin::default()
        })
    }

    fn write(&self, login: &FileLogin, _before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>> {
        if let Some(theirs) = self.theirs.lock().expect("no panic").take() {
            self.put(&theirs);
        }
        let token = login.refresh_token.as_ref()?.expose();
        Some(Zeroizing::new(json!({ "refresh_token": token }).to_string().into_bytes()))
    }

    fn without_login(&self, _before: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        None
    }
}

/// A provider with a login file, which sends refresh tokens to the raw server.
struct Shared {
    info: ProviderInfo,
    url: ServiceUrl,
    file: Arc<JsonFile>,
}

#[async_trait]
impl Provider for Shared {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let grant = record.usable_grant().ok_or_else(|| record.login_missing())?;
        let fields = [("refresh_token", grant.secret().expose())];
        let refresh = HttpRequest::post_form(self.url.clone(), &fields, Repeat::SpendsGrant);
        let response = operation.send(&refresh).await?;
        let json = response.json().expect("the raw server's response");
        let issued = json["refresh_token"].as_str().expect("a refresh token");
        let token =
            Token::new(Secret::new(issued), response.sent_at, Some(response.sent_at + TimeDelta::hours(1)));
        Ok(RecordUpdate::token(request.scopes(), token).and_grant(Secret::new(issued), response.sent_at))
    }
}

type Change = fn(&JsonFile);
type Meddle = Box<dyn Fn(usize) + Send + Sync>;

/// An HTTP client that runs a closure before each request, with the number of the request.
struct Meddling {
    inner: ReqwestHttp,
    sent: AtomicUsize,
    before: Meddle,
}

#[async_trait]
impl Http for Meddling {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> std::result::Result<http::Response<Bytes>, HttpFault> {
        (self.before)(self.sent.fetch_add(1, Ordering::SeqCst));
        self.inner.send(request, timeout).await
    }
}

struct Scene {
    world: World,
    server: RawServer,
    file: Arc<JsonFile>,
}

impl Scene {
    /// Creates a login file with the refresh token `old`.
    fn new() -> Self {
        let world = World::new();
        let path = world.record_path().with_file_name("tools").join("tokens.json");
        let file = Arc::new(JsonFile { path, now: world.clock.now(), theirs: Mutex::default() });
        file.put(&json!({ "refresh_token": "old" }));
        Self { world, server: RawServer::start(), file }
    }

    /// Returns a broker. After it has loaded the login and before it sends the request with this number, `change` runs.
    fn broker(&self, change: impl Fn(usize, &JsonFile) + Send + Sync + 'static) -> Broker {
        let file = self.file.clone();
        let before: Meddle = Box::new(move |nth| change(nth, &file));
        let http = Meddling { inner: ReqwestHttp::default(), sent: AtomicUsize::new(0), before };
        let provider = Arc::new(self.provider());
        let context = self.context(Arc::new(http));
        builder([(World::NAME, provider)], Arc::new(files(&self.world)), context).build()
    }

    fn provider(&self) -> Shared {
        let mut info = info(&[LoginMethod::Interactive]);
        info.login_file = Some(self.file.clone());
        Shared { info, url: self.server.url.clone(), file: self.file.clone() }
    }

    fn context(&self, http: Arc<dyn Http>) -> Context {
        let clock = Arc::new(self.world.clock.clone());
        Context::new(http, clock, Arc::<TestEnv>::default(), Arc::<TestPrompt>::default())
    }
}

async fn get(broker: &Broker) -> Result<String> {
    let token = broker.token(World::NAME, &TokenRequest::new()).await;
    token.map(|token| token.secret().expose().to_owned())
}

#[tokio::test]
async fn replaced_refresh_token_is_not_sent_but_its_successor() {
    let scene = Scene::new();
    let broker = scene.broker(|nth, file| {
        if nth == 0 {
            file.put(&json!({ "refresh_token": "new" }));
        }
    });
    assert_eq!(get(&broker).await.expect("a token"), "issued 1");
    scene.server.saw(&[None, Some("new")], "the first connection got no byte").await;
    assert_eq!(scene.file.login()["refresh_token"], "issued 1");
    let record = scene.world.record().expect("a record");
    assert_eq!((&record["grant"]["sent_at"], &record["interrupted_at"]), (&Value::Null, &Value::Null));
    assert_eq!(scene.world.clock.slept(), [Duration::ZERO; 0], "an unsent refresh token needs no rest");
}

#[tokio::test]
async fn unchanged_login_file_is_sent_in_one_complete_request() {
    for rewrite in [false, true] {
        let scene = Scene::new();
        let broker = scene.broker(move |_, file| {
            if rewrite {
                file.put(&json!({ "refresh_token": "old" }));
            }
        });
        assert_eq!(get(&broker).await.expect("a token"), "issued 0");
        scene.server.saw(&[Some("old")], if rewrite { "rewritten with equal content" } else { "" }).await;
    }
}

#[tokio::test]
async fn change_of_equal_size_and_time_is_noticed() {
    let scene = Scene::new();
    let broker = scene.broker(|nth, file| {
        if nth == 0 {
            let times = std::fs::metadata(&file.path).and_then(|meta| meta.modified()).expect("a time");
            file.put(&json!({ "refresh_token": "odd" }));
            let opened = std::fs::File::options().write(true).open(&file.path).expect("a file");
            opened.set_modified(times).expect("the old time");
        }
    });
    assert_eq!(get(&broker).await.expect("a token"), "issued 1");
    scene.server.saw(&[None, Some("odd")], "").await;
}

#[tokio::test]
async fn token_that_another_program_got_meanwhile_is_used() {
    let scene = Scene::new();
    let broker =
        scene.broker(|_, file| file.put(&json!({ "refresh_token": "new", "access_token": "theirs" })));
    assert_eq!(get(&broker).await.expect("a token"), "theirs");
    scene.server.saw(&[None], "no request is needed").await;
    assert_eq!(get(&scene.broker(|_, _| {})).await.expect("a token"), "theirs");
}

#[tokio::test]
async fn logout_or_half_written_login_file_stops_the_request() {
    let changes: [(&str, Change); 3] = [
        ("removed", |file| std::fs::remove_file(&file.path).expect("removed")),
        ("empty", |file| std::fs::write(&file.path, "").expect("emptied")),
        ("half", |file| std::fs::write(&file.path, "{\"refresh_to").expect("cut")),
    ];
    for (what, change) in changes {
        let scene = Scene::new();
        let error = get(&scene.broker(move |_, file| change(file))).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::LoginRequired, "{what}: {error}");
        scene.server.saw(&[None], what).await;
        scene.file.put(&json!({ "refresh_token": "whole" }));
        assert_eq!(get(&scene.broker(|_, _| {})).await.expect("a token"), "issued 1", "{what}");
    }
}

#[tokio::test]
async fn login_file_that_always_changes_is_a_transient_error() {
    let scene = Scene::new();
    let broker = scene.broker(|nth, file| file.put(&json!({ "refresh_token": format!("new {nth}") })));
    let error = get(&broker).await.expect_err("no request is possible");
    assert!(error.is_transient(), "{error}");
    scene.server.saw(&[None; 6], "the number of attempts is limited").await;
}

/// An HTTP client during whose first requests the login file cannot be read.
struct Hiding {
    inner: ReqwestHttp,
    file: Arc<JsonFile>,
    faults_left: AtomicUsize,
}

#[async_trait]
impl Http for Hiding {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> std::result::Result<http::Response<Bytes>, HttpFault> {
        if self.faults_left.load(Ordering::SeqCst) == 0 {
            return self.inner.send(request, timeout).await;
        }
        self.faults_left.fetch_sub(1, Ordering::SeqCst);
        let (path, away) = (&self.file.path, self.file.path.with_extension("away"));
        std::fs::rename(path, &away).expect("moved");
        std::fs::create_dir(path).expect("a folder, which cannot be read as a file");
        let sent = self.inner.send(request, timeout).await;
        std::fs::remove_dir(path).expect("removed");
        std::fs::rename(&away, path).expect("moved back");
        sent
    }
}

#[tokio::test]
async fn fault_of_the_last_read_stops_the_request() {
    for (faults, expected) in [(1, Ok("issued 1")), (6, Err(ErrorCode::StoreUnreadable))] {
        let scene = Scene::new();
        let faults_left = AtomicUsize::new(faults);
        let http = Hiding { inner: ReqwestHttp::default(), file: scene.file.clone(), faults_left };
        let (provider, context) = (Arc::new(scene.provider()), scene.context(Arc::new(http)));
        let broker = builder([(World::NAME, provider)], Arc::new(files(&scene.world)), context).build();
        let token = get(&broker).await.map_err(|error| error.code());
        assert_eq!(token, expected.map(str::to_owned), "{faults} faults");
        let sent = [vec![None; faults], vec![Some("old"); usize::from(expected.is_ok())]].concat();
        scene.server.saw(&sent, "a request without a check").await;
        let record = scene.world.record().expect("a record");
        assert_eq!(record["grant"]["sent_at"], Value::Null, "{faults} faults");
    }
}

/// An HTTP client that sends each request without checking it, and answers with a new login.
struct Careless;

#[async_trait]
impl Http for Careless {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> std::result::Result<http::Response<Bytes>, HttpFault> {
        let sent = String::from_utf8(request.into_body().to_vec()).expect("a form");
        let body = sent.replace("refresh_token=", "{\"refresh_token\":\"after ") + "\"}";
        Ok(http_response(200, &[], &body))
    }
}

/// A provider during whose work before a request another program replaces the login.
struct Slow(Shared);

#[async_trait]
impl Provider for Slow {
    fn info(&self) -> &ProviderInfo {
        self.0.info()
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if record.usable_grant().is_some_and(|grant| grant.secret().expose() == "old") {
            self.0.file.put(&json!({ "refresh_token": "new" }));
        }
        self.0.exchange(operation, record, request).await
    }
}

#[tokio::test]
async fn broker_checks_login_file_for_clients_that_do_not() {
    let scene = Scene::new();
    let provider = Arc::new(Slow(scene.provider()));
    let context = scene.context(Arc::new(Careless));
    let broker = builder([(World::NAME, provider)], Arc::new(files(&scene.world)), context).build();
    assert_eq!(get(&broker).await.expect("a token"), "after new");
}

#[tokio::test]
async fn login_stored_during_a_save_is_not_overwritten() {
    // Each row: what another program stores, and the refresh token in the login file after the save.
    for (theirs, kept) in [
        (json!({ "refresh_token": "new" }), "new"),
        (json!({ "refresh_token": "old", "access_token": "theirs" }), "issued 0"),
    ] {
        let scene = Scene::new();
        *scene.file.theirs.lock().expect("no panic") = Some(theirs);
        assert_eq!(get(&scene.broker(|_, _| {})).await.expect("a token"), "issued 0");
        assert_eq!(scene.file.login()["refresh_token"], kept);
    }
}
