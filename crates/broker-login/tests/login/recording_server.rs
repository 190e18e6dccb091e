//! A fake server that records the received requests.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{self, Request};
use axum::response::Response;
use broker_testkit::Seen;

type Respond = dyn Fn(&Seen) -> (u16, String) + Send + Sync;

struct State {
    respond: Box<Respond>,
    requests: Mutex<Vec<Seen>>,
}

pub(crate) struct RecordingServer {
    pub(crate) url: String,
    state: Arc<State>,
}

impl RecordingServer {
    /// Starts a server whose responses have the status and body that `respond` returns.
    pub(crate) async fn start(respond: impl Fn(&Seen) -> (u16, String) + Send + Sync + 'static) -> Self {
        let state = Arc::new(State { respond: Box::new(respond), requests: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(serve).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    /// Starts a server that always returns this response.
    pub(crate) async fn returning(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, body.clone())).await
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.requests.lock().expect("a list").clone()
    }

    /// Returns the only request that the server received.
    pub(crate) fn only(&self) -> Seen {
        let request = self.requests();
        assert_eq!(request.len(), 1, "{request:?}");
        request[0].clone()
    }
}

async fn serve(extract::State(state): extract::State<Arc<State>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.expect("a body");
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let request = Seen {
        route: String::new(),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (status, body) = (state.respond)(&request);
    state.requests.lock().expect("a list").push(request);
    let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
    let response = Response::builder().status(status).header("content-type", kind);
    response.body(body.into()).expect("a response")
}
