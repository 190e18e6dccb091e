//! `broker add`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Add;

pub(super) fn run(_desk: &Desk<'_>, _args: &Add) -> Outcome {
    Err(Error::failed("not built yet").into())
}
