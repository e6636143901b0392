#![doc = include_str!("../README.md")]

mod message;
mod queue;

pub use message::{decode, encode};
pub use queue::{DeliveryQueues, Lane, MAX_DELAY, Outgoing, Queue, QueueError};
