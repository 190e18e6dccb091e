//! Tests that errors, `Debug` output, status and messages contain no secret.

use broker_core::Secret;

use super::{Subject, expire, grant, refusal, token, with_token};
use crate::World;

pub(super) async fn are_not_shown<S: Subject>(subject: &S) {
    let (broker, stored) = with_token(subject).await;
    let mut secrets = subject.secrets();
    secrets.extend(grant(subject)["secret"].as_str().map(str::to_owned));
    // The fake service's error response repeats all secrets of the renewal request.
    let echo = secrets.join(" ");
    secrets.push(stored.secret().expose().to_owned());
    let status = broker.status(World::NAME).expect("a status");
    let before = format!("{stored:?} {status:?} {:?}", Secret::new(stored.secret().expose()));
    expire(subject, &stored);
    subject.service().fault_always("*", refusal(400, "invalid_request", &echo));
    let error = token(&broker).await.expect_err("refused");
    let failures = subject.world().record().expect("a record")["failures"].to_string();
    let messages = subject.world().person.told();
    let output = format!("{before} {error} {error:?} {failures} {messages:?}");
    for secret in secrets {
        assert!(!output.contains(&secret), "failed test of secrets: the output contains a secret: {output}");
    }
}
