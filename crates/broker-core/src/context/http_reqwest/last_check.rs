//! A request body that checks the refresh token in it before the first byte of the request is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::Body;

use crate::context::SendCheck;

/// Returns the request with a body that asks the [`SendCheck`] when it is read.
pub(super) fn with_checked_body(request: http::Request<Bytes>) -> http::Request<Body> {
    let check = request.extensions().get().cloned();
    request.map(|body| {
        let body = Body::from(body);
        if check.is_none() { body } else { Body::wrap(CheckedBody { check, body }) }
    })
}

/// The request was not sent because of its [`SendCheck`].
#[derive(Debug, thiserror::Error)]
#[error("the refresh token was replaced before it was sent")]
pub(super) struct Superseded;

/// hyper reads the body once the connection stands, and before it writes the request's head. An error therefore means
/// that the service got no byte of the request.
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
            return Poll::Ready(Some(Err(Superseded.into())));
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
