//! `broker exec`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Exec;

pub(super) fn run(_desk: &Desk<'_>, _args: &Exec) -> Outcome {
    Err(Error::failed("not there yet").into())
}
