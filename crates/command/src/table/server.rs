//! Commands on the server.

use super::Spec;

pub(super) const SPECS: &[Spec] = &[];
