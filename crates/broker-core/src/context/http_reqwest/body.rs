//! Reads the bodies of responses: bounded, and as far as they arrive.

use std::time::Duration;

use reqwest::Response;
use serde::de::IgnoredAny;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Arrived, encoding, fault};
use crate::context::{HttpFault, RequestSent};
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
