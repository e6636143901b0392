#![doc = include_str!("../README.md")]

mod base;
mod body;
mod caller;
mod error;
mod params;
mod shell;
mod trace;

pub use base::PublicBase;
pub use body::{Fields, Json, check_charset, content_type, decoded, json};
pub use caller::{Claims, Verified};
pub use error::ApiError;
pub use params::{Links, Params};
pub use shell::{ErrorBody, MAX_TARGET, shell};
pub use trace::trace;
