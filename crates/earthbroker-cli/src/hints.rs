//! Hints for errors, with the commands and flags of this command line.

use earthbroker::{Error, ErrorCode, Hint, RequestPart};

use crate::gallery::Service;

/// Returns the hint that is printed below an error.
pub(crate) fn hint(error: &Error) -> Option<String> {
    let provider = error.provider().unwrap_or("PROVIDER");
    if error.code() == ErrorCode::ProviderUnknown
        && let Some(service) = Service::find(provider)
    {
        return Some(format!("run: broker add {}", service.name));
    }
    Some(match error.hint()? {
        Hint::SetOrImport(text) => format!(
            "{text}; or use a downloaded secrets file: broker import FILE (once), or --env-file FILE (each time)"
        ),
        Hint::CorrectConfigPath => "correct the path after --config or in BROKER_CONFIG".to_owned(),
        Hint::ChooseStateFolder => "choose the state folder with --state-dir or BROKER_STATE_DIR".to_owned(),
        Hint::AwaitPause(text) => format!("{text}: `broker status` shows its end"),
        login @ (Hint::LogIn | Hint::LogInWithRefreshToken) => {
            format!("run: {}", login_command(login, provider))
        }
        Hint::LogInWithoutBrowser => format!(
            "run: broker login {provider}; with a browser on another machine: broker login {provider} --no-browser"
        ),
        Hint::CorrectPassword => format!("correct the password, then run: broker login {provider}"),
        Hint::LogOutLocally => format!(
            "to delete the login from this machine without revoking it at the service, run: broker logout {provider} --local"
        ),
        Hint::SetPassword(text) => format!("{text}, or add --password-stdin"),
        Hint::ReadProgramOutput => "add -v to see the error output of the failed program".to_owned(),
        Hint::RequestAwsKeys => "add --format aws".to_owned(),
        Hint::MigrateRecords(text) => format!("{text}, then run: broker store migrate"),
        Hint::LeaveOut(part) => leave_out(*part).to_owned(),
        other => other.to_string(),
    })
}

/// Returns the command that logs in to the provider.
pub(crate) fn login_command(login: &Hint, provider: &str) -> String {
    let flag = if *login == Hint::LogInWithRefreshToken { " --refresh-token-stdin" } else { "" };
    format!("broker login {provider}{flag}")
}

/// Returns the hint to leave out a command-line flag that the provider does not support.
fn leave_out(part: RequestPart) -> &'static str {
    match part {
        RequestPart::Scope => "leave out --scope",
        RequestPart::Lifetime => "leave out --expires; to require a remaining lifetime, use --min-ttl",
        RequestPart::Name => "leave out --name",
        RequestPart::AwsRole => "leave out --role",
        RequestPart::AwsKeys => "leave out --format aws and --role",
        RequestPart::Cookie => "leave out --format cookies",
        RequestPart::Password => "leave out --password-stdin",
        RequestPart::RefreshToken => "leave out --refresh-token-stdin",
        RequestPart::Introspection => "leave out --introspect",
        _ => "leave out the flag that this provider does not support",
    }
}
