//! libFuzzer's entry to the check of reading events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::event(data));
