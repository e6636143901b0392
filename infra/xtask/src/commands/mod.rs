//! The subcommands of `cargo xtask`, one module each; `test` and `language` are in `suites`.

pub(crate) mod advisories;
pub(crate) mod bench;
mod demo;
pub(crate) mod deploy;
pub(crate) mod docs;
pub(crate) mod down;
pub(crate) mod fuzz;
pub(crate) mod lock;
pub(crate) mod openapi;
pub(crate) mod package;
pub(crate) mod redrive;
pub(crate) mod tenant;
pub(crate) mod up;
