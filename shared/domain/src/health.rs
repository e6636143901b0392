//! How a webhook's receiver is doing: which lane its deliveries take, and when it has failed for so long that we stop.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// An answer that takes longer than this moves a webhook to the slow lane. Our choice, as is all of this file.
pub const SLOW_AFTER: Duration = Duration::from_secs(2);
/// Quick successes in a row that move a webhook back to the fast lane.
pub const FAST_SUCCESSES: u32 = 10;

/// Messages of one webhook in a batch of the fast lane from which on they are a burst: enough to fill the lane's senders, so that all
/// other webhooks would wait as long as this one's receiver takes.
pub const BURST: usize = 3;
/// An answer to a burst that takes longer than this moves a webhook to the slow lane: what waits behind it is many.
pub const BURST_SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long one batch may probe a receiver before another may: the answer, and some for a sender that died over it.
pub const PROBE: Duration = Duration::from_secs(3);
/// How long a receiver that answered quickly is believed to do so.
pub const FAST_FOR: Duration = Duration::from_mins(1);

/// Which queue a webhook's deliveries wait in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// First attempts to receivers that answer quickly.
    #[default]
    Fast,
    /// Retries, and receivers that are slow or failing: they wait among themselves.
    Slow,
}

impl Lane {
    /// Its name, as it is stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
        }
    }
}

/// What is remembered of a webhook's latest attempts. All zero for one that is well, so that success costs no write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The lane its next deliveries take.
    pub lane: Lane,
    /// Quick successes in a row since it came to the slow lane.
    pub fast_successes: u32,
    /// Failed attempts in a row.
    pub failures: u32,
    /// When the first of them failed.
    pub failing_since: Option<OffsetDateTime>,
    /// Whether it was already said that it is failing.
    pub warned: bool,
}

/// What is known of how quickly a receiver answers bursts. Kept apart from the webhook, and only of those that get bursts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Until when a burst may go out at once, because the last one was answered quickly.
    pub fast_until: Option<OffsetDateTime>,
    /// Until when one batch finds out whether the receiver is quick, and bursts elsewhere wait.
    pub probed_until: Option<OffsetDateTime>,
}

impl Pace {
    /// Whether a burst may go out at `now` without asking further.
    #[must_use]
    pub fn is_known_fast(&self, now: OffsetDateTime) -> bool {
        self.fast_until.is_some_and(|until| now < until)
    }

    /// Whether it is time, at `now`, to write down that the receiver is still quick: well before it is forgotten.
    #[must_use]
    pub fn wants_confirmation(&self, now: OffsetDateTime) -> bool {
        !self.is_known_fast(now + FAST_FOR / 2)
    }

    /// Whether a batch is finding out, at `now`, how quick the receiver is.
    #[must_use]
    pub fn is_probed(&self, now: OffsetDateTime) -> bool {
        self.probed_until.is_some_and(|until| now < until && until <= latest_probe(now))
    }
}

/// The latest that a probe under way at `now` may say it lasts until. One that says more was announced by a clock that is far ahead: not
/// believed, or all bursts would wait until the others' clocks have come so far. Clocks may differ by as long as a probe takes.
#[must_use]
pub fn latest_probe(now: OffsetDateTime) -> OffsetDateTime {
    now + 2 * PROBE
}

/// When we disable a webhook that keeps failing: after so many failed attempts in a row, over so long a time; both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisablePolicy {
    /// Failed attempts in a row, at least 1.
    pub failures: u32,
    /// Time since the first of them.
    pub after: time::Duration,
}

impl DisablePolicy {
    /// Failed attempts in a row, unless the deployment says otherwise.
    pub const FAILURES: u32 = 50;
    /// Hours since the first of them, unless the deployment says otherwise.
    pub const HOURS: u32 = 72;

    /// After so many failed attempts in a row (at least 1), over so many hours.
    #[must_use]
    pub fn new(failures: u32, hours: u32) -> Self {
        Self { failures: failures.max(1), after: time::Duration::hours(hours.into()) }
    }
}

impl Default for DisablePolicy {
    fn default() -> Self {
        Self::new(Self::FAILURES, Self::HOURS)
    }
}

/// How near a webhook is to being disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// The last attempt succeeded, or there was none.
    Healthy,
    /// The last attempt failed.
    Failing,
    /// Half of what it takes to be disabled has come to pass, in failures and in time.
    Warning,
    /// All of it.
    Exhausted,
}

impl Health {
    /// How the webhook stands at `now`.
    #[must_use]
    pub fn state(&self, policy: &DisablePolicy, now: OffsetDateTime) -> HealthState {
        let Some(since) = self.failing_since.filter(|_| self.failures > 0) else {
            return HealthState::Healthy;
        };
        let failing_for = now - since;
        if self.failures >= policy.failures && failing_for >= policy.after {
            HealthState::Exhausted
        } else if self.failures.saturating_mul(2) >= policy.failures && failing_for * 2 >= policy.after {
            HealthState::Warning
        } else {
            HealthState::Failing
        }
    }
}

/// What a batch of attempts on one webhook comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that failed.
    pub failures: u32,
    /// Attempts that succeeded.
    pub successes: u32,
    /// Whether any failed or took longer than [`SLOW_AFTER`].
    pub slow: bool,
}

impl Tally {
    /// Counts one attempt.
    pub fn count(&mut self, failed: bool, took: Duration) {
        if failed {
            self.failures += 1;
        } else {
            self.successes += 1;
        }
        self.slow |= failed || took > SLOW_AFTER;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);

    fn state(failures: u32, hours: i64) -> HealthState {
        let failing_since = Some(NOW - time::Duration::hours(hours));
        Health { failures, failing_since, ..Health::default() }.state(&DisablePolicy::default(), NOW)
    }

    #[test]
    fn it_takes_both_many_failures_and_a_long_time() {
        assert_eq!(Health::default().state(&DisablePolicy::default(), NOW), HealthState::Healthy);
        for (failures, hours, expected) in [
            (0, 100, HealthState::Healthy),
            (1, 0, HealthState::Failing),
            (1, 1000, HealthState::Failing),
            (1000, 1, HealthState::Failing),
            (25, 36, HealthState::Warning),
            (24, 100, HealthState::Failing),
            (49, 1000, HealthState::Warning),
            (1000, 71, HealthState::Warning),
            (50, 72, HealthState::Exhausted),
        ] {
            assert_eq!(state(failures, hours), expected, "{failures} failures in {hours} h");
        }
    }

    #[test]
    fn a_tally_is_slow_when_anything_in_it_was() {
        let mut tally = Tally::default();
        tally.count(false, SLOW_AFTER);
        assert!(!tally.slow);
        tally.count(false, SLOW_AFTER + Duration::from_millis(1));
        assert_eq!(tally, Tally { failures: 0, successes: 2, slow: true });
        let mut tally = Tally::default();
        tally.count(true, Duration::ZERO);
        assert!(tally.slow);
    }

    #[test]
    fn what_is_known_of_a_receiver_is_confirmed_before_it_is_forgotten() {
        let pace = Pace { fast_until: Some(NOW + FAST_FOR), probed_until: None };
        let after = |seconds| NOW + time::Duration::seconds(seconds);
        for (seconds, known, confirm) in
            [(0, true, false), (29, true, false), (30, true, true), (60, false, true)]
        {
            let at = after(seconds);
            assert_eq!(
                (pace.is_known_fast(at), pace.wants_confirmation(at)),
                (known, confirm),
                "{seconds} s"
            );
        }
        let unknown = Pace::default();
        assert!(!unknown.is_known_fast(NOW) && unknown.wants_confirmation(NOW) && !unknown.is_probed(NOW));
        let probed = Pace { probed_until: Some(NOW + PROBE), ..unknown };
        assert!(probed.is_probed(NOW) && !probed.is_probed(NOW + PROBE));
        let clock_ahead = Pace { probed_until: Some(NOW + Duration::from_mins(10) + PROBE), ..unknown };
        assert!(!clock_ahead.is_probed(NOW), "all bursts would wait for ten minutes");
    }

    proptest! {
        #[test]
        fn more_failures_or_more_time_never_make_it_look_better(failures in 0..200_u32, hours in 0..200_i64) {
            let rank = |state| match state {
                HealthState::Healthy => 0,
                HealthState::Failing => 1,
                HealthState::Warning => 2,
                HealthState::Exhausted => 3,
            };
            prop_assert!(rank(state(failures + 1, hours)) >= rank(state(failures, hours)));
            prop_assert!(rank(state(failures, hours + 1)) >= rank(state(failures, hours)));
        }
    }
}
