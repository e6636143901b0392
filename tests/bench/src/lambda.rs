//! A function under measurement: invokes it, and reads its CPU and memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use anzol_tests::lambda::Process;
use hyper::body::Bytes;

use crate::usage::Usage;

/// A running function.
#[derive(Debug)]
pub(crate) struct Function {
    process: Process,
    usage: Usage,
    /// The function's state when it asked for its first event.
    pub(crate) ready: Ready,
}

/// State of a function when it asks for its first event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// Time since the start of its process.
    pub(crate) after: Duration,
    /// CPU used so far.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Function {
    /// Starts a function and waits until it asks for an event. Its log goes to `log`.
    pub(crate) async fn start(
        binary: &Path,
        environment: &BTreeMap<String, String>,
        log: &Path,
    ) -> Result<Self> {
        let process = Process::start(binary, environment, log).await?;
        let usage = Usage::of(process.id())?;
        let after = process.ready() - process.started();
        let ready = Ready { after, cpu: usage.cpu()?, memory: usage.memory()? };
        Ok(Self { process, usage, ready })
    }

    /// Returns when the process was started.
    #[must_use]
    pub(crate) fn started(&self) -> Instant {
        self.process.started()
    }

    /// Returns the resource usage of the process.
    #[must_use]
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Invokes the function with an event and returns its response.
    pub(crate) async fn invoke(&self, event: impl Into<Bytes>) -> Result<Bytes> {
        let outcome = self.process.invoke(event).await?;
        ensure!(!outcome.failed, "the function failed: {}", String::from_utf8_lossy(&outcome.payload));
        Ok(outcome.payload)
    }
}
