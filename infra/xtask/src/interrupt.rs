//! Ctrl-C, SIGTERM and SIGHUP as one question that every wait asks, so that whatever was started is always ended in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

static ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);

/// The error a wait ends with once someone asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

pub(crate) fn watch() -> Result<()> {
    ctrlc::set_handler(|| ASKED_TO_STOP.store(true, Ordering::Relaxed)).context("cannot watch for Ctrl-C")
}

pub(crate) fn check() -> Result<()> {
    if ASKED_TO_STOP.load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    Ok(())
}

/// Sleeps a moment; an error when asked to stop meanwhile.
pub(crate) fn pause() -> Result<()> {
    std::thread::sleep(Duration::from_millis(50));
    check()
}
