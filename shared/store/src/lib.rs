#![doc = include_str!("../README.md")]

mod backoff;
mod batch;
mod cursor_key;
mod deliveries;
mod delivery_item;
mod error;
mod health;
mod keys;
mod leases;
mod match_log;
mod pace;
mod recoveries;
mod stats;
mod status_order;
mod tables;
mod webhook_item;
mod webhooks;

pub use deliveries::{Deliveries, DeliveryFilter, DeliveryPage, DeliveryQuery};
pub use delivery_item::row_size;
pub use error::StoreError;
pub use leases::{LEASE_TIME, Lease, LeaseError, TENANT_LEASES, USER_LEASES};
pub use match_log::MatchRecords;
pub use recoveries::{Claim, FailurePage, Handled};
pub use stats::{Counts, LastDelivery, Stats};
pub use status_order::{StatusPage, StatusQuery};
pub use tables::TableNames;
pub use webhooks::Webhooks;
