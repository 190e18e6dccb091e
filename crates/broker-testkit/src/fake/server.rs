//! The HTTP server behind all fake services. It listens on loopback, records requests, and injects faults.

use std::collections::BTreeMap;
use std::future::pending;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::connection::Connection;
use super::fault::{Fault, Faults};
use super::http::{HANG_HEADER, Reply, Seen};
use super::time::{Clock, Now};
use super::tokens::Issuer;

/// The endpoints of one fake service.
pub trait Service: Send + 'static {
    /// The routes of the service. A request uses the first route that matches.
    const ROUTES: &'static [Route];

    fn answer(&mut self, call: &Seen) -> Result<Reply, Reply>;

    /// Returns the issuer of the service's access tokens.
    fn issuer(&self) -> &Issuer;

    /// Whether the service accepts this access token now.
    fn is_live(&self, token: &str) -> bool {
        self.issuer().accepts(token)
    }

    /// Whether the request has a valid bearer token.
    fn is_authorized(&self, call: &Seen) -> bool {
        call.bearer().is_some_and(|token| self.is_live(token))
    }
}

/// A route: its name, HTTP method and path. A final `{id}` matches one segment, and a final `*` matches the rest.
pub(super) type Route = (&'static str, &'static str, &'static str);

fn matches(pattern: &str, path: &str) -> bool {
    if let Some(root) = pattern.strip_suffix("/*") {
        return path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    match pattern.strip_suffix("{id}") {
        Some(root) => path.strip_prefix(root).is_some_and(|id| !id.is_empty() && !id.contains('/')),
        None => path == pattern,
    }
}

/// A running fake server with the state `S` of its service.
pub struct Fake<S> {
    server: Server,
    state: Arc<Mutex<S>>,
}

impl<S: Service> Fake<S> {
    pub(super) fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap()
    }

    /// Returns whether the service accepts this access token now.
    pub fn access_is_live(&self, token: &str) -> bool {
        self.state().is_live(token)
    }
}

impl<S> Deref for Fake<S> {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// A running HTTP server. Tests read its recorded requests and inject faults.
pub struct Server {
    url: String,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts the server for a service. `build` creates the service with the issuer of its access tokens.
    pub(super) fn start<S: Service>(now: Now, build: impl FnOnce(Issuer) -> S) -> Fake<S> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("cannot start the fake server's tokio runtime");
        let (listener, url) = listen(&runtime);
        let clock = Clock::new(now);
        let issuer = Issuer { url: url.clone(), clock: clock.clone(), tokens: BTreeMap::new() };
        let state = Arc::new(Mutex::new(build(issuer)));
        let acting = state.clone();
        let shared = Arc::new(Shared {
            routes: S::ROUTES,
            act: Box::new(move |call| acting.lock().unwrap().answer(call).unwrap_or_else(|refusal| refusal)),
            clock,
            faults: Mutex::default(),
            holds: Mutex::default(),
            log: Mutex::default(),
            logged: Condvar::new(),
        });
        let app = Router::new().fallback(serve).with_state(shared.clone());
        let app = app.into_make_service_with_connect_info::<Connection>();
        runtime.spawn(async { axum::serve(listener, app).await });
        Fake { server: Self { url, shared, runtime: Some(runtime) }, state }
    }

    /// Returns the server's base URL, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns all requests in order, including requests with a fault or an unknown path.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.log.lock().unwrap().clone()
    }

    /// Counts the recorded requests to a route.
    pub fn count(&self, route: &str) -> usize {
        count(&self.shared.log.lock().unwrap(), route)
    }

    /// Clears the recorded requests.
    pub fn forget_seen(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// Queues a fault for the next request to the route (`*`: to any route).
    pub fn fault(&self, route: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().once.entry(route.to_owned()).or_default().push_back(fault);
    }

    /// Applies a fault to every request to the route (`*`: to any route) until [`clear_faults`](Self::clear_faults).
    pub fn fault_always(&self, route: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().always.insert(route.to_owned(), fault);
    }

    /// Delays the route's responses until the returned guard is dropped. The service processes requests without delay.
    pub fn hold(&self, route: &str) -> HoldGuard {
        let (sender, receiver) = watch::channel(());
        self.shared.holds.lock().unwrap().insert(route.to_owned(), receiver);
        HoldGuard(sender)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        *self.shared.faults.lock().unwrap() = Faults::default();
    }

    /// Sets the server's clock ahead of the test's clock. `Date` headers and expiry times use the server's clock.
    pub fn set_date_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Blocks until `n` requests to the route are recorded. Returns `false` if that takes longer than `within`.
    ///
    /// The server records a request after processing, or on arrival if the request gets [`Fault::Delay`].
    ///
    /// # Panics
    /// If a task of the server has panicked.
    pub fn wait_for(&self, route: &str, n: usize, within: Duration) -> bool {
        let log = self.shared.log.lock().unwrap();
        let waited = self.shared.logged.wait_timeout_while(log, within, |log| count(log, route) < n);
        !waited.expect("the fake server panicked").1.timed_out()
    }
}

/// Delays responses until the guard is dropped. See [`Server::hold`].
pub struct HoldGuard(#[expect(dead_code, reason = "the drop matters")] watch::Sender<()>);

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the runtime closes every connection. Tokio allows that only outside of other runtimes.
        let runtime = self.runtime.take();
        let _ = std::thread::spawn(|| drop(runtime)).join();
    }
}

fn count(log: &[Seen], route: &str) -> usize {
    log.iter().filter(|seen| seen.route == route).count()
}

/// Listens on a free port. The backlog is long enough for a thousand concurrent clients.
fn listen(runtime: &Runtime) -> (TcpListener, String) {
    let _guard = runtime.enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    let loopback = "127.0.0.1:0".parse().unwrap();
    socket.bind(loopback).expect("a free port");
    let listener = socket.listen(4096).expect("a listening socket");
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// State shared by the server's tasks and [`Server`].
struct Shared {
    routes: &'static [Route],
    act: Box<dyn Fn(&Seen) -> Reply + Send + Sync>,
    clock: Clock,
    faults: Mutex<Faults>,
    /// Maps delayed routes to channels. Responses wait until the route's `HoldGuard` closes the channel.
    holds: Mutex<BTreeMap<String, watch::Receiver<()>>>,
    log: Mutex<Vec<Seen>>,
    logged: Condvar,
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    // A separate task processes the request, because a client that disconnects must not cancel the request.
    let task = tokio::spawn(async move {
        let reply = shared.reply(&connection, request).await;
        response(reply)
    });
    task.await.expect("the fake server panicked")
}

impl Shared {
    async fn reply(&self, connection: &Connection, request: Request) -> Reply {
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, 1 << 20).await else {
            return Reply::text(400, "incomplete request");
        };
        let (route, refusal) = self.route(head.method.as_str(), head.uri.path());
        let reports_hang = head.headers.contains_key(HANG_HEADER);
        let call = Seen::new(route, &head, &body);
        let act = |call: &Seen| refusal.unwrap_or_else(|| (self.act)(call));
        let fault = self.faults.lock().unwrap().next(route);
        if let Some(Fault::Delay(time)) = fault {
            self.record(call.clone(), |_| Reply::empty(200));
            tokio::time::sleep(time).await;
            return self.dated(act(&call));
        }
        let replacement = fault.as_ref().and_then(Fault::answer);
        let reply = self.record(call, |call| replacement.unwrap_or_else(|| act(call)));
        self.released(route).await;
        let mut reply = self.dated(reply);
        match fault {
            Some(Fault::Hang | Fault::HangAfter) if reports_hang => {
                return Reply::empty(504).with_header(HANG_HEADER, "yes");
            }
            Some(Fault::Hang | Fault::HangAfter) => pending().await,
            Some(Fault::CutBefore | Fault::CutAfter) => connection.replace(&[], false).await,
            Some(Fault::Truncated) => connection.replace(&reply.first_half(), false).await,
            Some(Fault::Raw(write, stays_open)) => {
                connection.replace(&(write.0)(reply.status, &reply.body), stays_open).await;
            }
            Some(Fault::Edit(edit)) => reply.body = (edit.0)(reply.status, &reply.body),
            _ => {}
        }
        reply
    }

    /// Waits while a [`HoldGuard`] delays the route's responses.
    async fn released(&self, route: &str) {
        let hold = self.holds.lock().unwrap().get(route).cloned();
        if let Some(mut hold) = hold {
            // `changed` fails when the test drops the `HoldGuard`, which ends the delay.
            while hold.changed().await.is_ok() {}
        }
    }

    /// Processes and records a request under one lock, because tests must not see a processed, unrecorded request.
    fn record(&self, call: Seen, act: impl FnOnce(&Seen) -> Reply) -> Reply {
        let mut log = self.log.lock().unwrap();
        let reply = act(&call);
        log.push(call);
        self.logged.notify_all();
        reply
    }

    /// Returns the route's name, and a 404 or 405 response if no route matches path and method.
    fn route(&self, method: &str, path: &str) -> (&'static str, Option<Reply>) {
        let matching = || self.routes.iter().filter(|(_, _, pattern)| matches(pattern, path));
        if let Some((name, ..)) = matching().find(|(_, allowed, _)| *allowed == method) {
            return (name, None);
        }
        let Some((other, ..)) = matching().next() else {
            return ("none", Some(Reply::text(404, "Not Found")));
        };
        let allowed: Vec<_> = matching().map(|(_, allowed, _)| *allowed).collect();
        let refusal = Reply::text(405, "Method not allowed").with_header("allow", allowed.join(", "));
        (other, Some(refusal))
    }

    fn dated(&self, reply: Reply) -> Reply {
        if reply.headers.iter().any(|(name, _)| name == "date") {
            return reply;
        }
        reply.with_header("date", self.clock.http_date())
    }
}

fn response(reply: Reply) -> Response {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let body = Body::from(reply.body);
    builder.body(body).expect("valid headers")
}
