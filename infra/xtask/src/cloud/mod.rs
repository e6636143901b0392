//! A whole system on this machine: the local cloud, resources at another endpoint, and the stack that runs on either.

pub(crate) mod endpoint;
pub(crate) mod local;
pub(crate) mod stack;
