//! When a failed delivery is tried again.

use std::time::Duration;

/// Waits after the first, second, … failed attempt.
///
/// The steps that a queue can wait by itself; the longer ones of the design (30 min to 12 h) come with the scheduler.
pub const SCHEDULE: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(10)];

/// Jitter goes upward only, so a receiver is never asked earlier than promised: at most this share of the wait.
const JITTER: f64 = 0.2;

/// The wait before the attempt after `attempt` (1 for the first), or `None` when that was the last.
///
/// `fraction` in `0.0..1.0` chooses the jitter: whole schedule steps, plus 0–20 %.
#[must_use]
pub fn wait_after(schedule: &[Duration], attempt: u32, fraction: f64) -> Option<Duration> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    schedule.get(index).map(|wait| wait.mul_f64(1.0 + JITTER * fraction.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_schedule_ends() {
        let waits: Vec<_> =
            (0..7).map(|attempt| wait_after(&SCHEDULE, attempt, 0.0).map(|w| w.as_secs())).collect();
        assert_eq!(waits, [None, Some(5), Some(30), Some(120), Some(600), None, None]);
    }

    proptest! {
        #[test]
        fn jitter_never_makes_a_retry_early_nor_more_than_a_fifth_late(attempt in 1..=4_u32, fraction in 0.0..1.0) {
            let plain = wait_after(&SCHEDULE, attempt, 0.0).unwrap();
            let wait = wait_after(&SCHEDULE, attempt, fraction).unwrap();
            prop_assert!(wait >= plain && wait <= plain.mul_f64(1.2));
        }
    }
}
