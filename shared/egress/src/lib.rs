#![doc = include_str!("../README.md")]

mod address;
mod client;
mod error;
#[cfg(feature = "local")]
mod local;
mod resolver;

pub use client::{Answer, Egress, Settings};
pub use error::Failure;
