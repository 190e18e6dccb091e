//! Sends the requests of an operation, and repeats failed ones.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use url::Url;

use super::delivery::superseded;
use super::operation::{Operation, cancelled};
use crate::context::retry::AttemptFailure;
use crate::context::{HttpFault, HttpRequest, HttpResponse, RequestSent, SendCheck, salvage};
use crate::error::{Error, ErrorCode, Hint, Result};

impl Operation {
    /// Sends a request and returns the response, whatever its status. Fails on a redirect, because secrets are sent
    /// only to configured URLs.
    ///
    /// Retries a failed request as its [`crate::context::Repeat`] allows. Termination signals are delayed until the broker has saved
    /// the result, or the provider calls [`Operation::nothing_issued`].
    pub async fn send(&self, request: &HttpRequest) -> Result<HttpResponse> {
        self.check_not_cancelled().await?;
        self.in_flight.begin();
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_factor(4.0)
            .with_max_times(2)
            .with_jitter()
            .build();
        let mut cuts = 0;
        let outcome = loop {
            let failure = match self.attempt(request).await {
                Ok(response) => break Ok(response),
                Err(failure) => failure,
            };
            cuts += usize::from(failure.is_cut());
            match waits.next().and_then(|wait| failure.wait_to_repeat(request.repeat, cuts, wait)) {
                // If the caller stops waiting during the pause, `attempt` fails before it sends the request.
                Some(wait) => drop(self.pause(wait).await),
                None => break Err(failure),
            }
        };
        match outcome {
            Ok(response) if (300..400).contains(&response.status) && !has_salvage(request, &response) => {
                Err(redirected(request, &response))
            }
            Ok(response) | Err(AttemptFailure::Response(response)) => Ok(response),
            Err(AttemptFailure::Cancelled) => Err(cancelled()),
            Err(AttemptFailure::Superseded) => {
                Err(self.delivery.get().superseded.clone().unwrap_or_else(superseded))
            }
            Err(AttemptFailure::Fault(fault)) => {
                let message = format!("cannot reach {}: {fault}", request.url);
                let hint = fault.hint.clone().map_or_else(|| network_hint(&fault), Hint::from);
                Err(Error::new(fault.code, message).with_hint(hint).with_source(fault))
            }
        }
    }

    /// Sends the request once, and records whether the service may have acted on the request.
    async fn attempt(&self, request: &HttpRequest) -> Result<HttpResponse, AttemptFailure> {
        if self.is_cancelled() {
            return Err(AttemptFailure::Cancelled);
        }
        let sent_at = self.now();
        tracing::debug!(?request, "sending");
        let mut sent = request.to_http().map_err(AttemptFailure::Fault)?;
        self.delivery.check(request.repeat).map(|check| sent.extensions_mut().insert(check));
        // Not every HTTP client checks the request itself.
        if !SendCheck::allows(&sent) {
            return Err(AttemptFailure::Superseded);
        }
        let answered = self.context().http().send(sent, self.timeout()).await.and_then(|response| {
            let response = HttpResponse::new(response, sent_at);
            match &response.cut {
                // A transient status and its pause count without the body.
                Some(fault) if !response.is_transient() && !has_salvage(request, &response) => {
                    Err(fault.clone())
                }
                _ => Ok(response),
            }
        });
        let response = match answered {
            Ok(response) => response,
            Err(fault) if fault.sent == RequestSent::No && self.delivery.get().superseded.is_some() => {
                return Err(AttemptFailure::Superseded);
            }
            Err(fault) => {
                tracing::debug!(%fault, "no response");
                if fault.sent == RequestSent::Maybe {
                    self.delivery.get().unanswered = true;
                }
                return Err(AttemptFailure::Fault(fault));
            }
        };
        tracing::debug!(status = response.status, "answered");
        let is_salvaged = !response.is_success() && has_salvage(request, &response);
        if response.is_success() || is_salvaged {
            self.delivery.get().answered = true;
        } else if response.status >= 500 && response.status != 503 {
            // With 503, the service refused to process the request. With another 5xx status, the service may have
            // processed the request before the error.
            self.delivery.get().failed = true;
        }
        if response.is_transient() && !is_salvaged {
            return Err(AttemptFailure::Response(response));
        }
        Ok(response)
    }
}

/// Whether an incomplete response contains the value that must not be lost.
fn has_salvage(request: &HttpRequest, response: &HttpResponse) -> bool {
    request.salvage.as_ref().is_some_and(|path| salvage(response, path).is_some())
}

fn network_hint(fault: &HttpFault) -> Hint {
    match fault.sent {
        RequestSent::No => Hint::from("check the network; behind a proxy set HTTPS_PROXY, then try again"),
        RequestSent::Maybe => Hint::RetryLater,
    }
}

fn redirected(request: &HttpRequest, response: &HttpResponse) -> Error {
    // The target may repeat a secret of the request: the path and query, and even the host.
    let to = response.header("location").and_then(|to| Url::parse(to).ok());
    let to = match to {
        Some(to) if request.is_bare() => to.origin().ascii_serialization(),
        Some(_) => "another address".to_owned(),
        None => "another page".to_owned(),
    };
    Error::new(
        ErrorCode::RedirectRefused,
        format!("{} answered with a redirect to {to}, which is not followed", request.url),
    )
    .with_hint("if the redirect leads to a network's sign-in page, sign in there; if the service has moved, correct its URL in the configuration")
}
