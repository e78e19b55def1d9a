//! Commands on keys of any type.

use super::Spec;

pub(super) const SPECS: &[Spec] = &[];
