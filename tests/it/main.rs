//! In-process tests: the store and the routers against DynamoDB's API, the egress client against the TLS receiver.
//!
//! By default each test gets its own database in memory. With `AWS_ENDPOINT_URL` set, the tables are created there instead, so the same
//! tests run against any implementation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics; indexing a JSON value by a missing member returns null"
)]

mod answers;
mod api;
mod aws_http;
mod bounds;
mod characters;
mod cloudevents;
mod contract;
mod deployable;
mod egress;
mod engine;
mod functions;
mod fuzz;
mod health;
mod history;
mod input;
mod kit;
mod openapi;
mod paging;
mod platform;
mod recover;
mod roles;
mod snapshots;
mod stats;
mod store;
mod template;
mod test_event;
mod trace;
mod upgrade;
mod vault;
