#![doc = include_str!("../README.md")]

pub mod deliver;
pub mod dispatch;
pub mod health;
mod notice;
pub mod recover;
mod redact;
pub mod settle;

pub use deliver::Deliverer;
pub use dispatch::{DispatchError, Dispatcher};
pub use health::{HealthKeeper, Verdict};
pub use recover::{RecoverError, Recoverer};
pub use settle::Settler;
