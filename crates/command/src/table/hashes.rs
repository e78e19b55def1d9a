//! Commands on hashes.

use super::Spec;

pub(super) const SPECS: &[Spec] = &[];
