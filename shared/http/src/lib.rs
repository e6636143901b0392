#![doc = include_str!("../README.md")]

mod base;
mod body;
mod caller;
mod error;
mod params;
mod shell;
mod trace;

pub use base::PublicBase;
pub use body::{Fields, Json, content_type, json};
pub use caller::{Claims, RoleName, Verified};
pub use error::ApiError;
pub use params::{Links, Params};
pub use shell::{ErrorBody, MAX_TARGET, shell};
pub use trace::trace;
