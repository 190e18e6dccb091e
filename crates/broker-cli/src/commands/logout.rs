//! `broker logout`.

use super::{Desk, Outcome};
use crate::args::Logout;
use crate::run::run as run_async;

pub(super) fn run(desk: &Desk<'_>, args: &Logout) -> Outcome {
    let broker = desk.broker(&args.provider)?;
    let done = run_async(&broker, broker.logout(&args.provider, args.local))?;
    let provider = &args.provider;
    desk.say(&match (done.held, done.at_service.revoked) {
        (false, _) => format!("{provider}: nothing is held"),
        (true, true) => format!("{provider}: revoked at the service and forgotten"),
        (true, false) => format!("{provider}: forgotten; nothing was revoked at the service"),
    });
    if done.others_forgotten {
        desk.say(&format!(
            "{provider}: logins of an earlier configuration were forgotten too, and not revoked"
        ));
    }
    if let Some(note) = done.at_service.note {
        desk.say(&format!("{provider}: {note}"));
    }
    Ok(())
}
