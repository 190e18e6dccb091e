//! `credential_process` of Amazon's tools.

use broker::{Derived, TokenRequest};

use crate::commands::token::held_or_new;
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::{aws, plain};

/// What `broker token PROVIDER --format aws --role ROLE` does.
pub(super) fn run(
    context: &CommandContext<'_>,
    provider: &str,
    role: &str,
    params: &[(String, String)],
) -> CommandResult {
    let request = TokenRequest::new().derived(Derived::aws(role, params.to_vec()));
    let keys = held_or_new(&context.broker(provider)?, provider, &request)?;
    plain(&keys)?;
    answer(&aws(&keys)?)
}
