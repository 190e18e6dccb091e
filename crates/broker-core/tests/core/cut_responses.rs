//! Tests of responses whose connection ends in the body.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::{Context, HttpRequest, Repeat, ReqwestHttp, ServiceUrl, read_object};
use broker_testkit::{TestClock, TestEnv, TestPrompt};

/// Starts a server that answers each request with `answer` and closes the connection. Returns its URL and the number
/// of requests so far.
fn serve(answer: String) -> (ServiceUrl, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let _ = connection.read(&mut [0; 4096]).expect("a request");
            counter.fetch_add(1, Ordering::SeqCst);
            connection.write_all(answer.as_bytes()).expect("answered");
        }
    });
    (ServiceUrl::parse(&url).expect("a URL"), requests)
}

fn context() -> Context {
    let http = Arc::new(ReqwestHttp::default());
    Context::new(http, Arc::<TestClock>::default(), Arc::<TestEnv>::default(), Arc::<TestPrompt>::default())
}

#[tokio::test]
async fn pause_is_obeyed_although_the_body_is_cut() {
    for (status, body) in [(429, ""), (429, "{\"error\":\"slow"), (503, ""), (503, "<html>")] {
        let head = format!("HTTP/1.1 {status} x\r\nretry-after: 600\r\ncontent-length: 99\r\n\r\n");
        let (url, requests) = serve(format!("{head}{body}"));
        let fields = [("refresh_token", "rt")];
        let request = HttpRequest::post_form(url.clone(), &fields, Repeat::SpendsGrant);
        let response = context().send(&request.with_salvage("refresh_token")).await.expect("a response");
        let error = read_object(&response, &url, &[]).expect_err("no object").error("");
        assert_eq!(error.retry_after(), Some(Duration::from_mins(10)), "{status} {body}: {error}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status} {body}: the request is not repeated");
    }
}
