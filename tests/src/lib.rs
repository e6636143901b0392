//! The kit that all suites share: a TLS receiver in the role of a customer's endpoint, the deployed stack as `stack.json` describes it,
//! clients for the API, the receiver and AWS, and the Lambda Runtime API for single functions.

#![expect(
    clippy::disallowed_methods,
    reason = "the rules on clock and environment apply to shipped code only"
)]

pub mod aws;
pub mod client;
pub mod context;
pub mod gateway;
pub mod lambda;
pub mod receiver;
pub mod signatures;
pub mod stack;
