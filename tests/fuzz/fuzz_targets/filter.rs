//! The cargo-fuzz target for filters.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::filter(data));
