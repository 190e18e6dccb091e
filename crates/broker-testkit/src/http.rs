//! The HTTP client of brokers under test.

use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{HeaderValue, Request, Response};
use broker_core::{ErrorCode, Http, HttpFault, RequestSent, ReqwestHttp};

use crate::fake::HANG_HEADER;

/// The timeout of a request in real time. Even on a busy machine, only a broken test takes this long.
const LONGEST: Duration = Duration::from_mins(2);

/// An HTTP client for tests. If a fake server hangs, the client returns a timeout error without waiting.
#[derive(Debug, Default)]
pub(crate) struct TestHttp(ReqwestHttp);

#[async_trait]
impl Http for TestHttp {
    async fn send(
        &self,
        mut request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, HttpFault> {
        request.headers_mut().insert(HANG_HEADER, HeaderValue::from_static("report"));
        let response = self.0.send(request, LONGEST).await?;
        if !response.headers().contains_key(HANG_HEADER) {
            return Ok(response);
        }
        let what = format!("no response within {timeout:?}");
        Err(HttpFault::new(RequestSent::Maybe, ErrorCode::Timeout, what))
    }
}
