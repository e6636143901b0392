#![doc = include_str!("../README.md")]

mod body;
mod message;
mod queue;
mod scheduler;
mod settings;

pub use message::{QueueMessage, Unreadable, decode, encode, encode_recovery, sent_at};
pub use queue::{DeliveryQueues, MAX_DELAY, OutgoingDelivery, Queue, QueueError};
pub use scheduler::{Scheduler, SchedulerSettings};
pub use settings::{LaneUrls, events_url_from_env, longest_queue_delay_from_env, slow_lane_url_from_env};
