//! `broker man`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Man;

pub(super) fn run(_desk: &Desk<'_>, _args: &Man) -> Outcome {
    Err(Error::failed("not there yet").into())
}
