#![doc = include_str!("../README.md")]

pub mod attempt;
pub mod deliver;
pub mod dispatch;
pub mod health;
mod match_log;
pub mod recover;
mod redact;
pub mod report;
mod sent_payload;
mod settings;
pub mod settle;

pub use attempt::{AttemptRunner, Batch, Deadline, Message, Sent, SlowAfter, WebhookKey, WebhooksByKey};
pub use deliver::{Deliverer, DeliveryHeaders};
pub use dispatch::{Accepted, DispatchError, Dispatcher};
pub use health::{Changes, HealthTracker, Verdict};
pub use recover::{RecoverError, Recoverer, RecoveryStep};
pub use report::Attempt;
pub use sent_payload::SentPayload;
pub use settings::{DeliverySettings, signature_header_from_env};
pub use settle::{Settled, Settler};
