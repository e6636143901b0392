//! In process: the real store and the real router against DynamoDB's API, the real way out against the TLS receiver.
//!
//! By default each test gets a database of its own, in memory. With `AWS_ENDPOINT_URL` set, tables are made there instead, so the
//! same tests run against any other implementation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it is; indexing a JSON value that lacks the member gives null"
)]

mod answers;
mod api;
mod aws_http;
mod bounds;
mod characters;
mod cloud;
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
mod kms;
mod openapi;
mod paging;
mod platform;
mod queue_rules;
mod queues;
mod recover;
mod roles;
mod stats;
mod store;
mod template;
mod test_event;
mod trace;
mod upgrade;
mod vault;
