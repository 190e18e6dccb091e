//! `broker inspect`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Inspect;

pub(super) fn run(_desk: &Desk<'_>, _args: &Inspect) -> Outcome {
    Err(Error::failed("not there yet").into())
}
