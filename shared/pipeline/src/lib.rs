#![doc = include_str!("../README.md")]

pub mod deliver;
pub mod dispatch;
pub mod health;
mod notice;
pub mod recover;
mod redact;
pub mod report;
pub mod settle;

pub use deliver::{Deliverer, Names};
pub use dispatch::{Arrival, DispatchError, Dispatcher};
pub use health::{Changes, HealthKeeper, Verdict};
pub use recover::{RecoverError, Recoverer};
pub use report::Attempt;
pub use settle::{Settled, Settler};
