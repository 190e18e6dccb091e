//! The `credential_process` of AWS tools: prints AWS keys as JSON.

use broker::{Derived, TokenRequest};

use crate::commands::token::stored_or_new;
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::{aws, plain};

/// Prints the same JSON as `broker token PROVIDER --format aws --role ROLE`.
pub(super) fn run(
    context: &CommandContext<'_>,
    provider: &str,
    role: &str,
    params: &[(String, String)],
) -> CommandResult {
    let request = TokenRequest::new().derived(Derived::aws(role, params.to_vec()));
    let keys = stored_or_new(&context.broker(provider)?, provider, &request)?;
    plain(&keys)?;
    answer(&aws(&keys)?)
}
