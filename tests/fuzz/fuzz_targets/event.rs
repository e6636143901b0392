//! The cargo-fuzz target for events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::event(data));
