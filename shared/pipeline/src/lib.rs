#![doc = include_str!("../README.md")]

pub mod deliver;
pub mod dispatch;
mod redact;
pub mod settle;

pub use deliver::Deliverer;
pub use dispatch::{DispatchError, Dispatcher};
pub use settle::Settler;
