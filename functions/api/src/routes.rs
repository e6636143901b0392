//! The handlers, one file a resource; each is named after what it does.

pub(crate) mod deliveries;
pub(crate) mod event_types;
pub(crate) mod platform;
pub(crate) mod recoveries;
pub(crate) mod stats;
pub(crate) mod webhooks;
