//! The cargo-fuzz target for webhook URLs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::url(data));
