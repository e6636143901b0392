#![doc = include_str!("../README.md")]

pub mod access;
pub mod attributes;
mod characters;
pub mod config;
pub mod delivery;
pub mod error;
pub mod event;
pub mod event_type;
pub mod filter;
pub mod headers;
pub mod health;
pub mod hops;
pub mod id;
mod level;
pub mod match_log;
mod members;
pub mod metric;
pub mod operational;
pub mod page;
pub mod payload;
pub mod published;
pub mod recovery;
pub mod retry;
pub mod rule;
pub mod schema;
pub mod secret;
pub mod secrets;
pub mod test_event;
pub mod text;
pub mod trace;
pub mod url;
pub mod webhook;

pub use access::Caller;
pub use delivery::{Delivery, DeliveryTask, FailureKind, Status, Trigger};
pub use error::{FieldProblem, Invalid};
pub use event::Event;
pub use filter::Filter;
pub use headers::{EncryptedHeaders, Headers};
pub use health::{Health, Lane};
pub use id::{DeliveryId, RecoveryId, TenantId, UserId, WebhookId};
pub use level::Level;
pub use members::check_unique_members;
pub use recovery::Recovery;
pub use rule::Rule;
pub use secret::Secret;
pub use secrets::{RetiredSecret, Sealed, Secrets};
pub use trace::TraceContext;
pub use url::WebhookUrl;
pub use webhook::{DisableReason, Disabled, MatchOutcome, Origin, Webhook, WebhookSpec};

/// Returns the current time. A plain function, so that tests can pass their own.
pub type Clock = fn() -> time::OffsetDateTime;
