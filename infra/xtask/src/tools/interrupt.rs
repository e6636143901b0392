//! Ctrl-C, SIGTERM and SIGHUP: they set a flag that every wait checks, so that all started processes are stopped in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

static ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);

/// The error of a wait that a signal has interrupted.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Installs the signal handlers.
pub(crate) fn watch() -> Result<()> {
    ctrlc::set_handler(|| ASKED_TO_STOP.store(true, Ordering::Relaxed)).context("cannot watch for Ctrl-C")
}

/// Fails with [`Interrupted`] after a signal.
pub(crate) fn check() -> Result<()> {
    if ASKED_TO_STOP.load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    Ok(())
}

/// Sleeps for 50 ms, then calls [`check`].
pub(crate) fn pause() -> Result<()> {
    std::thread::sleep(Duration::from_millis(50));
    check()
}
