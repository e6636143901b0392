//! What a person sees while waiting: one line a step, with how long it took.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Prints a line. A reader that has gone away is no reason to fail.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// Does `work` as a step called `what`.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let terminal = stdout().is_terminal();
    if terminal {
        let _ = write!(stdout(), "  … {what}");
        let _ = stdout().flush();
    }
    let result = work();
    let mark = if result.is_ok() { '✓' } else { '✗' };
    let erase = if terminal { "\r\x1b[K" } else { "" };
    say(format!("{erase}  {mark} {what} ({})", seconds(began.elapsed())));
    result
}

/// The same for work that prints lines of its own.
pub(crate) fn talkative_step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(format!("  … {what}"));
    let began = Instant::now();
    let result = work();
    let mark = if result.is_ok() { '✓' } else { '✗' };
    say(format!("  {mark} {what} ({})", seconds(began.elapsed())));
    result
}

/// `1.2 s`
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
