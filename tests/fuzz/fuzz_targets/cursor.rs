//! The cargo-fuzz target for page cursors.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::cursor(data));
