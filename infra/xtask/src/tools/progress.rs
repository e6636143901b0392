//! Progress output: one line for each step, with its duration.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Prints a line. A closed output is not an error.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// Runs `work` and prints one line: `what`, the outcome and the duration.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let terminal = stdout().is_terminal();
    if terminal {
        let _ = write!(stdout(), "  … {what}");
        let _ = stdout().flush();
    }
    let result = work();
    let mark = if result.is_ok() { '✓' } else { '✗' };
    let erase = if terminal { "\r\x1b[K" } else { "" };
    say(format!("{erase}  {mark} {what} ({})", seconds(started.elapsed())));
    result
}

/// Runs `work`, which prints lines itself, and prints `what` on a line before it, and with the outcome and duration after it.
pub(crate) fn talkative_step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(format!("  … {what}"));
    let started = Instant::now();
    let result = work();
    let mark = if result.is_ok() { '✓' } else { '✗' };
    say(format!("  {mark} {what} ({})", seconds(started.elapsed())));
    result
}

/// Formats a duration, such as `1.2 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
