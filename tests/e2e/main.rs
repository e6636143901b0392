//! End to end, against a deployed stack: real functions, real queues and tables, real TLS to the receiver.
//!
//! The tests of `engine` need a dedicated stack, see there. For the others start a stack with `cargo xtask up --detach`, or name another
//! one's `stack.json` in `ANZOL_STACK`. Tests run in parallel, so each uses its own webhooks and receiver paths, looks only at its own
//! events, and deletes its webhooks.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "nothing here ships; a failed test panics; indexing a JSON value by a missing member returns null"
)]

mod access;
mod answers;
mod cap;
mod console;
mod contract;
mod delivery;
mod engine;
mod failure;
mod guard;
mod history;
mod kit;
mod observe;
mod payload;
mod platform;
mod recover;
mod secrets;
mod stats;
mod tokens;
mod validation;
mod vault;
