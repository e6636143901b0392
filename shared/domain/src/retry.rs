//! The retry schedule of failed deliveries.

use std::str::FromStr;
use std::time::Duration;

use crate::config::Env;
use crate::error::Invalid;
use crate::rule::Rule;

/// Waits after the first, second, … failed attempt, in seconds: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, 12 h. Nine attempts in 21 to 25
/// hours, because jitter makes each wait up to a fifth longer. Our choice; the contract has no schedule.
pub const DEFAULT_WAITS: [u64; 8] = [5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200];

/// Maximum wait that a receiver can request by `Retry-After`.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(6);

/// Maximum number of waits in a schedule, and the longest wait in seconds. Our choice; a schedule of the longest waits exceeds the seven
/// days of history.
const MAX_WAITS: usize = 20;
const MAX_WAIT: u32 = 24 * 60 * 60;

/// Maximum jitter, as a share of the wait. Jitter is added, never subtracted, so a retry is never early.
const JITTER: f64 = 0.2;

/// The waits between the attempts of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Default for Schedule {
    fn default() -> Self {
        Self(DEFAULT_WAITS.map(Duration::from_secs).to_vec())
    }
}

impl Schedule {
    /// Returns the deployment's schedule, from the variable `RETRY_SCHEDULE`.
    pub fn from_env(env: &mut Env) -> Self {
        env.or("RETRY_SCHEDULE", Self::default())
    }

    /// Returns a schedule without retries.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the wait after `attempt` (1 for the first), or `None` if that was the last.
    ///
    /// `fraction` in `0.0..1.0` selects the jitter of 0–20 %. `retry_after` can make the wait longer, up to six hours, but not shorter.
    #[must_use]
    pub fn wait_after(&self, attempt: u32, fraction: f64, retry_after: Option<Duration>) -> Option<Duration> {
        let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
        let wait = self.0.get(index)?.mul_f64(1.0 + JITTER * fraction.clamp(0.0, 1.0));
        Some(retry_after.map_or(wait, |asked| wait.max(asked.min(MAX_RETRY_AFTER))))
    }
}

/// Parses waits in seconds, separated by commas.
impl FromStr for Schedule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || {
            Invalid::one("retrySchedule", Rule::SettingRetrySchedule { max: MAX_WAITS, seconds: MAX_WAIT })
        };
        let read = |part: &str| part.trim().parse().ok().filter(|wait| (1..=MAX_WAIT.into()).contains(wait));
        let waits: Option<Vec<_>> = text.split(',').map(read).collect();
        let waits = waits.filter(|waits| waits.len() <= MAX_WAITS).ok_or_else(rule)?;
        Ok(Self(waits.into_iter().map(Duration::from_secs).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn default_schedule_is_nine_attempts_in_21_to_25_hours() {
        let schedule = Schedule::default();
        let waits: Vec<_> =
            (0..=10).map(|attempt| schedule.wait_after(attempt, 0.0, None).map(|w| w.as_secs())).collect();
        let mut expected = vec![None];
        expected.extend(DEFAULT_WAITS.map(Some));
        expected.extend([None, None]);
        assert_eq!(waits, expected);
        assert_eq!(Schedule::none().wait_after(1, 0.0, Some(Duration::from_mins(1))), None);
        assert_eq!(DEFAULT_WAITS.iter().sum::<u64>(), 74_555, "20.7 hours, and at most 24.9 with jitter");
    }

    #[test]
    fn retry_after_makes_a_wait_longer_up_to_a_maximum() {
        let schedule = Schedule::default();
        let wait =
            |seconds| schedule.wait_after(1, 0.0, Some(Duration::from_secs(seconds))).unwrap().as_secs();
        assert_eq!([wait(0), wait(4), wait(60), wait(1_000_000)], [5, 5, 60, 6 * 3600]);
        assert_eq!(schedule.wait_after(9, 0.0, Some(Duration::from_mins(1))), None);
    }

    #[test]
    fn invalid_schedule_is_refused() {
        let first =
            |text: &str| text.parse::<Schedule>().map(|s| s.wait_after(1, 0.0, None).unwrap().as_secs());
        assert_eq!(first("7"), Ok(7));
        assert_eq!(first(" 1, 2,3 "), Ok(1));
        let spelled: Vec<_> = DEFAULT_WAITS.iter().map(ToString::to_string).collect();
        assert_eq!(spelled.join(",").parse(), Ok(Schedule::default()));
        for bad in ["", "0", "1,,2", "-1", "1.5", "five", "86401", &vec!["1"; 21].join(",")] {
            assert!(first(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn jitter_adds_at_most_a_fifth(attempt in 1..=8_u32, fraction in 0.0..1.0) {
            let schedule = Schedule::default();
            let plain = schedule.wait_after(attempt, 0.0, None).unwrap();
            let wait = schedule.wait_after(attempt, fraction, None).unwrap();
            prop_assert!(wait >= plain && wait <= plain.mul_f64(1.2));
        }
    }
}
