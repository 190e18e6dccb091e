//! A service that answers what a test says, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

type Answer = Box<dyn Fn(&Asked) -> (u16, String) + Send + Sync>;

struct Desk {
    answer: Answer,
    asked: Mutex<Vec<Asked>>,
}

/// The service.
pub(crate) struct Stand {
    pub(crate) url: String,
    desk: Arc<Desk>,
}

impl Stand {
    /// One that answers so: a status and a body.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let desk = Arc::new(Desk { answer: Box::new(answer), asked: Mutex::default() });
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", door.local_addr().expect("an address"));
        let app = Router::new().fallback(serve).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(door, app).await });
        Self { url, desk }
    }

    /// One that answers this, always.
    pub(crate) async fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, body.clone())).await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.desk.asked.lock().expect("a list").clone()
    }

    /// The one request that came.
    pub(crate) fn only(&self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

async fn serve(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.expect("a body");
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (status, body) = (desk.answer)(&asked);
    desk.asked.lock().expect("a list").push(asked);
    let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
    let response = Response::builder().status(status).header("content-type", kind);
    response.body(body.into()).expect("an answer")
}
