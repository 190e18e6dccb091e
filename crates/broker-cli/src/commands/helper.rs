//! `broker helper`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::Helper;

pub(super) fn run(_desk: &Desk<'_>, _args: &Helper) -> Outcome {
    Err(Error::failed("not there yet").into())
}
