//! End-to-end tests against a deployed stack: its functions, queues and tables, and TLS to the receiver.
//!
//! The tests of `engine` and `secrets` need a dedicated stack, which `cargo xtask test engine` and `cargo xtask test secrets` start. For
//! the others, start a stack with `cargo xtask up --detach`, or set `ANZOL_STACK` to the `stack.json` of another one. Tests run in
//! parallel, so each uses its own webhooks and receiver paths, looks only at its own events, and deletes its webhooks.
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
