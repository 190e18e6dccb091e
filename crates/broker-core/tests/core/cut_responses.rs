//! Tests of responses whose connection ends in the body, and of unreadable responses.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::{Context, ErrorCode, HttpRequest, Operation, Repeat, ReqwestHttp, ServiceUrl, read_object};
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
            // The client may close the connection before the end of the answer.
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    (ServiceUrl::parse(&url).expect("a URL"), requests)
}

fn operation() -> Operation {
    let http = Arc::new(ReqwestHttp::default());
    Operation::new(Context::new(
        http,
        Arc::<TestClock>::default(),
        Arc::<TestEnv>::default(),
        Arc::<TestPrompt>::default(),
    ))
}

#[tokio::test]
async fn pause_is_obeyed_although_the_body_is_cut() {
    for (status, body) in [(429, ""), (429, "{\"error\":\"slow"), (503, ""), (503, "<html>")] {
        let head = format!("HTTP/1.1 {status} x\r\nretry-after: 600\r\ncontent-length: 99\r\n\r\n");
        let (url, requests) = serve(format!("{head}{body}"));
        let fields = [("refresh_token", "rt")];
        let request = HttpRequest::post_form(url.clone(), &fields, Repeat::SpendsGrant);
        let response = operation().send(&request.with_salvage("refresh_token")).await.expect("a response");
        let error = read_object(&response, &url, &[]).expect_err("no object").error("");
        assert_eq!(error.retry_after(), Some(Duration::from_mins(10)), "{status} {body}: {error}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status} {body}: the request is not repeated");
    }
}

#[tokio::test]
async fn refresh_token_is_not_sent_again_after_unreadable_response() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let lengths = ["60 bytes", "+60", "60.0", "-1", "", "60, 61", "99999999999999999999999"];
    let heads = lengths.map(|length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{{}}"));
    let others = [
        chunked.replace("1.1", "1.0") + "2\r\n{}\r\n0\r\n\r\n",
        chunked.replace("1.1", "1.2") + "2\r\n{}\r\n0\r\n\r\n",
        format!("{chunked}zzz\r\n{{}}\r\n"),
        format!("{chunked}2\n{{}}\n0\n\n"),
        format!("{chunked}99999999999999999\r\n{{}}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2 << 20)),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n{{}}", "x".repeat(1 << 20)),
        "SSH-2.0-server\r\n".to_owned(),
    ];
    // After a lost connection, the refresh token is sent once more.
    let lost = ["", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", chunked].map(str::to_owned);
    let unreadable = heads.into_iter().chain(others).map(|answer| (answer, ErrorCode::BadResponse, 1));
    for (answer, code, sent) in
        unreadable.chain(lost.map(|answer| (answer, ErrorCode::NetworkUnreachable, 2)))
    {
        let what = answer.get(..answer.len().min(80)).unwrap_or_default().to_owned();
        let (url, requests) = serve(answer);
        let request = HttpRequest::post_form(url, &[("refresh_token", "rt")], Repeat::SpendsGrant);
        let sending = operation().send(&request.with_salvage("refresh_token")).await;
        let error = sending.expect_err(&what);
        assert_eq!((error.code(), requests.load(Ordering::SeqCst)), (code, sent), "{what}: {error}");
    }
}
