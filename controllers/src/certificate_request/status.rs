//! What was decided stands in the request's own conditions; why something waits, decisions tell.

use crate::runtime::{Told, Verdict};

pub(super) fn update(_: Verdict<'_>) -> Told {
    Told::AsBefore
}
