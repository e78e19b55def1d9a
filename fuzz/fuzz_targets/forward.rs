//! See `fuzz::forward`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::forward(bytes));
