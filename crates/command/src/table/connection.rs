//! Commands on the connection.

use super::Spec;

pub(super) const SPECS: &[Spec] = &[];
