use super::{CommandContext, CommandResult};
use crate::args::Logout;
use crate::run::run as run_async;

pub(super) fn run(context: &CommandContext<'_>, args: &Logout) -> CommandResult {
    let broker = context.broker(&args.provider)?;
    let (provider, handle) = (&args.provider, broker.provider(&args.provider)?);
    let done = match args.local {
        true => run_async(&broker, handle.logout_locally())?,
        false => run_async(&broker, handle.logout())?,
    };
    context.say(&match (done.had_login, done.at_service.revoked) {
        (false, _) => format!("{provider}: not logged in"),
        (true, true) => format!("{provider}: logged out, and revoked at the service"),
        (true, false) => {
            format!("{provider}: deleted the login from this machine; nothing was revoked at the service")
        }
    });
    if done.others_forgotten {
        context.say(&format!(
            "{provider}: logins of an earlier configuration were deleted too, but not revoked"
        ));
    }
    if let Some(note) = done.at_service.note {
        context.say(&format!("{provider}: {note}"));
    }
    Ok(())
}
