//! The cargo-fuzz target for patches.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::patch(data));
