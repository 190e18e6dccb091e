//! `broker doctor`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Doctor;

pub(super) fn run(_desk: &Desk<'_>, _args: &Doctor) -> Outcome {
    Err(Error::failed("not there yet").into())
}
