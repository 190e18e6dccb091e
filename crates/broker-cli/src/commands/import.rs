//! `broker import`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Import;

pub(super) fn run(_desk: &Desk<'_>, _args: &Import) -> Outcome {
    Err(Error::failed("not there yet").into())
}
