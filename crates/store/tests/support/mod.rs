//! What the store's tests share: a disk with faults, a model of what the store promises, and chance.
#![allow(dead_code)]

pub mod disk;
pub mod model;
pub mod random;
