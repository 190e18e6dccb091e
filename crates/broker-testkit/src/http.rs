//! The HTTP client of brokers under test.

use std::time::Duration;

use async_trait::async_trait;
use broker_core::{ErrorCode, Http, HttpFault, HttpRequest, HttpResponse, RequestSent, ReqwestHttp};

use crate::fake::HANG_HEADER;

/// The timeout of a request in real time. Even on a busy machine, only a broken test takes this long.
const LONGEST: Duration = Duration::from_mins(2);

/// An HTTP client for tests. If a fake server hangs, the client returns a timeout error without waiting.
#[derive(Debug, Default)]
pub(crate) struct TestHttp(ReqwestHttp);

#[async_trait]
impl Http for TestHttp {
    async fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpFault> {
        let request = request.clone().with_header(HANG_HEADER, "report");
        let response = self.0.send(&request, LONGEST).await?;
        if response.header(HANG_HEADER).is_none() {
            return Ok(response);
        }
        let what = format!("no response within {timeout:?}");
        Err(HttpFault { sent: RequestSent::Maybe, code: ErrorCode::Timeout, what, hint: None })
    }
}
