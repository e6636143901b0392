#![doc = include_str!("../README.md")]

mod address;
mod body;
mod client;
mod connection;
mod error;
#[cfg(feature = "local")]
mod local;
mod pool;
mod resolver;
mod tap;
mod tls;
mod token;
mod unusual;

pub use client::{Answer, Egress, HttpResponse, Reuse, Settings};
pub use error::{Failure, SetupError};
#[cfg(feature = "local")]
pub use local::Answers;
pub use token::{AccessToken, ClientCredentials, MAX_TOKEN_ANSWER, Refusal, TokenEndpoint, TokenError};
