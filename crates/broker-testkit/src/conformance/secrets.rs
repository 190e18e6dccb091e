//! No secret is seen.

use broker_core::Secret;
use chrono::TimeDelta;

use super::{Subject, leave, logged_in, refusal, token};
use crate::World;

pub(super) async fn are_not_seen<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    let record = subject.world().record().expect("a record");
    let mut secrets = subject.secrets();
    secrets.extend(record["grant"]["secret"].as_str().map(str::to_owned));
    // A service can only say back what it is told.
    let echo = secrets.join(" ");
    secrets.push(held.secret().expose().to_owned());
    let status = broker.status(World::NAME).expect("a status");
    let before = format!("{held:?} {status:?} {:?}", Secret::new(held.secret().expose()));
    leave(subject, &held, TimeDelta::seconds(-1));
    let echo = refusal(400, "invalid_request", &echo);
    subject.service().fault_always("*", echo);
    let error = token(&broker).await.expect_err("refused");
    let failures = subject.world().record().expect("a record")["failures"].to_string();
    let told = subject.world().person.told();
    let seen = format!("{before} {error} {error:?} {failures} {told:?}");
    for secret in secrets {
        assert!(!seen.contains(&secret), "secrets: one is seen in {seen}");
    }
}
