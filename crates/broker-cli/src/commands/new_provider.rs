//! `broker new-provider`.

use broker::Error;

use super::{Desk, Outcome};
use crate::args::NewProvider;

pub(super) fn run(_desk: &Desk<'_>, _args: &NewProvider) -> Outcome {
    Err(Error::failed("not built yet").into())
}
