#![doc = include_str!("../README.md")]

mod body;
mod message;
mod queue;
mod scheduler;

pub use message::{QueueMessage, Unreadable, decode, encode, encode_recovery, sent_at};
pub use queue::{DeliveryQueues, MAX_DELAY, OutgoingDelivery, Queue, QueueError};
pub use scheduler::{Scheduler, SchedulerSettings};
