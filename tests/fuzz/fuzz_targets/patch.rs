//! libFuzzer's entry to the check of JSON Patch on a webhook.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anzol_fuzz::patch(data));
