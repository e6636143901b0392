//! What the suites stand on: a TLS receiver that plays the customer's endpoint, the deployed stack as `stack.json` describes it,
//! small clients for the API, the receiver and the cloud's own endpoints, and Lambda as a function sees it.

#![expect(
    clippy::disallowed_methods,
    reason = "the rules on clock and environment are for what ships; this never does"
)]

pub mod aws;
pub mod client;
pub mod lambda;
pub mod receiver;
pub mod stack;
