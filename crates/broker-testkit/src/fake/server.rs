//! The part every fake server shares: a server on loopback that records requests and applies faults.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

use super::fault::{Fault, Faults};
use super::http::{Reply, Seen};
use super::line::{Door, Line};
use super::locked;
use super::time::{Clock, Now};

/// What a service does with the requests that reach one of its routes.
pub(super) trait Service: Send + 'static {
    /// Every route it has; the first that fits is taken.
    const ROUTES: &'static [Route];

    /// Acts and answers.
    fn answer(&mut self, call: &Seen) -> Reply;
}

/// A method and a path with a name that tests use; `{id}` stands for one segment, `*` at the end for any.
pub(super) struct Route {
    name: &'static str,
    method: &'static str,
    path: &'static str,
}

impl Route {
    pub(super) const fn new(name: &'static str, method: &'static str, path: &'static str) -> Self {
        Self { name, method, path }
    }

    fn fits(&self, path: &str) -> bool {
        if let Some(root) = self.path.strip_suffix("/*") {
            let below = path.strip_prefix(root);
            return below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        }
        let mut given = path.split('/');
        let same = self.path.split('/').all(|wanted| {
            let segment = given.next();
            segment == Some(wanted) || wanted == "{id}" && segment.is_some_and(|id| !id.is_empty())
        });
        same && given.next().is_none()
    }
}

/// A running fake server: its address, the requests it saw, the faults it is to have.
pub struct Server {
    url: String,
    desk: Arc<Desk>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the service that `build` makes of its own address and clock.
    pub(super) fn start<S: Service>(now: Now, build: impl FnOnce(&str, Clock) -> S) -> (Self, Arc<Mutex<S>>) {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime for the fake server");
        let (door, url) = listen(&runtime);
        let clock = Clock::new(now);
        let state = Arc::new(Mutex::new(build(&url, clock.clone())));
        let acting = state.clone();
        let desk = Arc::new(Desk {
            routes: S::ROUTES,
            act: Box::new(move |call| locked(&acting).answer(call)),
            clock,
            faults: Mutex::default(),
            held: Mutex::default(),
            log: Mutex::default(),
            news: Condvar::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let app = Router::new().fallback(serve).with_state(desk.clone());
        let thread = std::thread::spawn(move || {
            runtime.spawn(async move {
                let app = app.into_make_service_with_connect_info::<Line>();
                axum::serve(door, app).await
            });
            // Leaving drops the runtime, and with it every connection.
            let _ = runtime.block_on(stopped);
        });
        let server = Self { url, desk, stop: Some(stop), thread: Some(thread) };
        (server, state)
    }

    /// Its address, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request in order, also those that met a fault or no route.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.desk.log).clone()
    }

    /// How many requests reached the route of that name.
    #[must_use]
    pub fn count(&self, route: &str) -> usize {
        count(&locked(&self.desk.log), route)
    }

    /// Forgets the requests seen so far.
    pub fn forget_seen(&self) {
        locked(&self.desk.log).clear();
    }

    /// The next request to the route (`*`: to any) meets this fault; several wait in line.
    pub fn fault(&self, route: &str, fault: Fault) {
        locked(&self.desk.faults).once(route, fault);
    }

    /// Every request to the route (`*`: to any) meets this fault, until [`clear_faults`](Self::clear_faults).
    pub fn fault_always(&self, route: &str, fault: Fault) {
        locked(&self.desk.faults).always(route, fault);
    }

    /// Holds back every answer of the route, what became of it is what it is, until what this gives is dropped.
    #[must_use]
    pub fn hold(&self, route: &str) -> Held {
        let (sender, receiver) = watch::channel(());
        locked(&self.desk.held).insert(route.to_owned(), receiver);
        Held(sender)
    }

    /// No more faults.
    pub fn clear_faults(&self) {
        *locked(&self.desk.faults) = Faults::default();
    }

    /// Sets the service's clock wrong: its `Date` header, and all it issues and checks.
    pub fn set_date_skew(&self, seconds: i64) {
        self.desk.clock.set_skew(seconds);
    }

    /// Blocks until `n` requests have reached the route; `false` when that took longer than `within`.
    ///
    /// A request is seen when its service has acted, except that one which a fault delays is seen when it comes.
    ///
    /// # Panics
    /// When the fake server broke.
    #[must_use]
    pub fn wait_for(&self, route: &str, n: usize, within: Duration) -> bool {
        let log = locked(&self.desk.log);
        let waited = self.desk.news.wait_timeout_while(log, within, |log| count(log, route) < n);
        !waited.expect("the fake server broke").1.timed_out()
    }
}

/// While it is there, answers wait: see [`Server::hold`].
pub struct Held(#[expect(dead_code, reason = "its end is what counts")] watch::Sender<()>);

impl Drop for Server {
    fn drop(&mut self) {
        // Its thread has ended already when the receiver is gone.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn count(log: &[Seen], route: &str) -> usize {
    log.iter().filter(|seen| seen.route == route).count()
}

/// Listens on a free port; with a longer queue than std's, for tests with a thousand callers.
fn listen(runtime: &Runtime) -> (Door, String) {
    let _inside = runtime.enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    let loopback = "127.0.0.1:0".parse().unwrap();
    socket.bind(loopback).expect("a free port");
    let listener = socket.listen(4096).expect("a listening socket");
    let url = format!("http://{}", listener.local_addr().unwrap());
    (Door(listener), url)
}

/// What the server's thread and its owner share.
struct Desk {
    routes: &'static [Route],
    act: Box<dyn Fn(&Seen) -> Reply + Send + Sync>,
    clock: Clock,
    faults: Mutex<Faults>,
    /// By route: whose answers wait until the sender is gone.
    held: Mutex<BTreeMap<String, watch::Receiver<()>>>,
    log: Mutex<Vec<Seen>>,
    news: Condvar,
}

async fn serve(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    // In a task of its own: a caller that hangs up does not undo what it asked for.
    let task = tokio::spawn(async move {
        let reply = desk.reply(&line, request).await;
        response(reply)
    });
    task.await.expect("the fake server broke")
}

impl Desk {
    async fn reply(&self, line: &Line, request: Request) -> Reply {
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, 1 << 20).await else {
            return Reply::text(400, "half a request");
        };
        let (route, refusal) = self.route(head.method.as_str(), head.uri.path());
        let call = Seen::new(route, &head, &body);
        let act = move |call: &Seen| refusal.unwrap_or_else(|| (self.act)(call));
        let fault = locked(&self.faults).next(route);
        let reply = match fault {
            None => {
                let reply = self.note(call, act);
                self.released(route).await;
                reply
            }
            Some(fault) => self.spoil(line, route, fault, call, act).await,
        };
        self.dated(reply)
    }

    /// Applies a fault, before the service acts, after it, or in its place.
    async fn spoil(
        &self,
        line: &Line,
        route: &str,
        fault: Fault,
        call: Seen,
        act: impl FnOnce(&Seen) -> Reply,
    ) -> Reply {
        if let Fault::Delay(time) = fault {
            self.note(call.clone(), |_| Reply::empty(200));
            tokio::time::sleep(time).await;
            return act(&call);
        }
        let instead = fault.answer();
        let reply = if fault.acts() {
            self.note(call, act)
        } else {
            self.note(call, |_| instead.unwrap_or_else(|| Reply::empty(200)))
        };
        self.released(route).await;
        match fault {
            Fault::Hang | Fault::HangAfter => pending().await,
            Fault::CutBefore | Fault::CutAfter => line.end_with(Vec::new()),
            Fault::Truncated => line.end_with(self.dated(reply.clone()).first_half()),
            Fault::Edit(edit) => return reply.edited(&*edit),
            _ => {}
        }
        reply
    }

    /// Waits while the answers of the route are held back.
    async fn released(&self, route: &str) {
        let held = locked(&self.held).get(route).cloned();
        if let Some(mut held) = held {
            // Nothing is ever sent: a change is the sender's end.
            while held.changed().await.is_ok() {}
        }
    }

    /// Records the request and acts on it as one event for those who look from outside.
    fn note(&self, call: Seen, act: impl FnOnce(&Seen) -> Reply) -> Reply {
        let mut log = locked(&self.log);
        let reply = act(&call);
        log.push(call);
        self.news.notify_all();
        reply
    }

    /// The name of the route, and the answer when it is none or does not take the method.
    fn route(&self, method: &str, path: &str) -> (&'static str, Option<Reply>) {
        let fitting = || self.routes.iter().filter(|route| route.fits(path));
        if let Some(route) = fitting().find(|route| route.method == method) {
            return (route.name, None);
        }
        let Some(other) = fitting().next() else {
            return ("none", Some(Reply::text(404, "Not Found")));
        };
        let allowed: Vec<_> = fitting().map(|route| route.method).collect();
        let refusal = Reply::text(405, "Method not allowed").with_header("allow", allowed.join(", "));
        (other.name, Some(refusal))
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
    builder.body(body).expect("headers that can be sent")
}
