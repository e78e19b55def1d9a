//! Commands on sessions.

use super::Spec;

pub(super) const SPECS: &[Spec] = &[];
