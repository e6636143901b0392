#![doc = include_str!("../README.md")]

mod address;
mod client;
mod error;
#[cfg(feature = "local")]
mod local;
mod resolver;
mod token;

pub use client::{Answer, Egress, Settings};
pub use error::Failure;
#[cfg(feature = "local")]
pub use local::Answers;
pub use token::{AccessToken, ClientCredentials, MAX_TOKEN_ANSWER, Refusal, TokenEndpoint, TokenError};
