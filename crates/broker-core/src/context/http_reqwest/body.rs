//! Reads the bodies of responses: bounded, and as far as they arrive. Checks the refresh token in the body of a request
//! before the first byte of the request is sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::{Body, Response};
use serde::de::IgnoredAny;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Arrived, encoding, fault};
use crate::context::{HttpFault, RequestSent, SendCheck};
use crate::error::ErrorCode;

/// How long a connection may be idle after complete JSON. Then the response ends there, whatever its length field says.
const GRACE: Duration = Duration::from_secs(1);

/// Appends the body as it arrives. Returns why the body is incomplete.
pub(super) async fn read(response: &mut Response, arrived: &mut Arrived) -> Option<HttpFault> {
    loop {
        let next = {
            let mut next = std::pin::pin!(response.chunk());
            match timeout(GRACE, &mut next).await {
                Ok(next) => next,
                Err(_) if is_complete(&decoded(arrived, None).0) => return None,
                Err(_) => next.await,
            }
        };
        match next {
            Ok(Some(chunk)) => {
                if !encoding::append(arrived.body_mut(), &chunk) {
                    return Some(unusable("the response is longer than 1 MiB".to_owned()));
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(fault::describe(&error, None)),
        }
    }
}

/// Decodes the body that arrived. Returns it with the reason why it is incomplete: `cut`, or a fault of its encoding.
/// A complete JSON value is never incomplete, even if the length of the body is wrong.
pub(super) fn decoded(arrived: &Arrived, cut: Option<HttpFault>) -> (Zeroizing<Vec<u8>>, Option<HttpFault>) {
    let fields = arrived.headers().get_all("content-encoding").iter().filter_map(|value| value.to_str().ok());
    let names = fields.flat_map(|field| field.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let (body, problem) = encoding::decode(arrived.body(), &names.collect::<Vec<_>>());
    let cut = cut.or_else(|| problem.map(unusable));
    let cut = cut.filter(|_| !is_complete(&body));
    (body, cut)
}

/// Whether the body is a complete JSON object, array or text. All three have a visible end.
fn is_complete(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    matches!(body, [b'{', .., b'}'] | [b'[', .., b']'] | [b'"', .., b'"'])
        && serde_json::from_str::<IgnoredAny>(&String::from_utf8_lossy(body)).is_ok()
}

fn unusable(what: String) -> HttpFault {
    HttpFault::new(RequestSent::Maybe, ErrorCode::BadResponse, what)
}

/// Returns the request with a body that asks the [`SendCheck`] when it is read.
pub(super) fn checked(request: http::Request<Bytes>) -> http::Request<Body> {
    let check = request.extensions().get().cloned();
    request.map(|body| {
        let body = Body::from(body);
        if check.is_none() { body } else { Body::wrap(CheckedBody { check, body }) }
    })
}

/// hyper reads the body after it has connected, and before it writes the request's head. An error therefore means that
/// the service got no byte of the request.
struct CheckedBody {
    check: Option<SendCheck>,
    body: Body,
}

impl http_body::Body for CheckedBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.check.take().is_some_and(|SendCheck(check)| !check()) {
            return Poll::Ready(Some(Err(fault::Superseded.into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
