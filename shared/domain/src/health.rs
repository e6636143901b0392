//! The health of a webhook: the lane of its deliveries, its health state, and the policy that disables it.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::config::Env;

/// A response that takes longer moves the webhook to the slow lane. Our choice, like every number in this file.
pub const SLOW_AFTER: Duration = Duration::from_secs(2);
/// Consecutive fast successes that move a webhook back to the fast lane.
pub const FAST_SUCCESSES: u32 = 10;

/// Minimum number of messages of one webhook in a batch of the fast lane that counts as a burst. A burst for a slow receiver can occupy all
/// senders of the lane, and other webhooks would have to wait.
pub const BURST: usize = 3;
/// If the response to the probe of a burst takes longer, the webhook moves to the slow lane, because many messages wait for the probe.
pub const BURST_SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long a batch can hold the probe of a receiver: long enough for a response and its recording. If the sender stops, another batch can
/// probe afterwards.
pub const PROBE: Duration = Duration::from_secs(3);
/// How long a receiver counts as fast after a fast response to a burst.
pub const FAST_FOR: Duration = Duration::from_mins(1);

/// The queue that a webhook's deliveries wait in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// First attempts to fast receivers.
    #[default]
    Fast,
    /// Retries, and deliveries to slow or failing receivers.
    Slow,
}

impl Lane {
    /// Returns the name, as stored and as shown by the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
        }
    }
}

/// The results of a webhook's latest attempts. The default is a healthy webhook, so a success of a healthy webhook needs no write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The lane of the next deliveries.
    pub lane: Lane,
    /// Consecutive fast successes since the webhook moved to the slow lane.
    pub fast_successes: u32,
    /// Consecutive failed attempts.
    pub failures: u32,
    /// When the first of these attempts failed.
    pub failing_since: Option<OffsetDateTime>,
    /// Whether `anzol.webhook.failing` was published for this run of failures.
    pub warned: bool,
}

/// How fast a receiver responds to bursts. Stored in a separate item, and only for webhooks that get bursts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Until when bursts are sent immediately, because the last one got a fast response.
    pub fast_until: Option<OffsetDateTime>,
    /// Until when a batch holds the probe of the receiver, and other bursts wait.
    pub probed_until: Option<OffsetDateTime>,
}

impl Pace {
    /// Returns whether a burst can be sent at `now` without a probe.
    #[must_use]
    pub fn is_known_fast(&self, now: OffsetDateTime) -> bool {
        self.fast_until.is_some_and(|until| now < until)
    }

    /// Returns whether a fast response at `now` must be recorded, because half of [`FAST_FOR`] or less is left.
    #[must_use]
    pub fn wants_confirmation(&self, now: OffsetDateTime) -> bool {
        !self.is_known_fast(now + FAST_FOR / 2)
    }

    /// Returns whether a batch holds the probe of the receiver at `now`.
    #[must_use]
    pub fn is_probed(&self, now: OffsetDateTime) -> bool {
        self.probed_until.is_some_and(|until| now < until && until <= latest_probe(now))
    }
}

/// Returns the latest plausible end of a probe that is held at `now`, if clocks differ by at most the duration of a probe. A later end
/// comes from a clock that is far ahead and is ignored: otherwise all bursts would wait until the other clocks catch up.
#[must_use]
pub fn latest_probe(now: OffsetDateTime) -> OffsetDateTime {
    now + 2 * PROBE
}

/// The disable threshold: a webhook is disabled after this many consecutive failed attempts over at least this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisablePolicy {
    /// Number of consecutive failed attempts, at least 1.
    pub failures: u32,
    /// Minimum time since the first failed attempt.
    pub after: time::Duration,
}

impl DisablePolicy {
    /// Default number of consecutive failed attempts.
    pub const FAILURES: u32 = 50;
    /// Configurable range of the number of consecutive failed attempts.
    pub const FAILURES_BOUNDS: RangeInclusive<u32> = 1..=1_000_000;
    /// Default number of hours since the first failed attempt.
    pub const HOURS: u32 = 72;
    /// Configurable range of the number of hours.
    pub const HOURS_BOUNDS: RangeInclusive<u32> = 0..=168;

    /// Returns the deployment's policy, from the variables `DISABLE_AFTER_FAILURES` and `DISABLE_AFTER_HOURS`.
    pub fn from_env(env: &mut Env) -> Self {
        Self::new(
            env.within("DISABLE_AFTER_FAILURES", Self::FAILURES, &Self::FAILURES_BOUNDS),
            env.within("DISABLE_AFTER_HOURS", Self::HOURS, &Self::HOURS_BOUNDS),
        )
    }

    /// Returns the policy that disables a webhook after this many consecutive failed attempts (at least 1) over this many hours.
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

/// How close a webhook is to being disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// The last attempt succeeded, or there was none.
    Healthy,
    /// At least one attempt has failed since the last success.
    Failing,
    /// The webhook has reached half of the disable threshold, both in failures and in time. The event `anzol.webhook.failing` announces
    /// this state. A webhook that reaches the whole threshold is disabled; see `enabled` and `disabledReasonCode`.
    Warning,
    /// The webhook has reached its disable threshold. The API shows `warning`.
    #[serde(rename = "warning")]
    #[schemars(skip)]
    Exhausted,
}

impl HealthState {
    /// Returns the name, as shown by the API and in operational events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Warning | Self::Exhausted => "warning",
        }
    }
}

impl Health {
    /// Returns the health state at `now`.
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

/// The results of a batch of attempts of one webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that failed.
    pub failures: u32,
    /// Attempts that succeeded.
    pub successes: u32,
    /// Whether an attempt failed or took longer than [`SLOW_AFTER`].
    pub slow: bool,
}

impl Tally {
    /// Adds one attempt.
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
    fn state_depends_on_both_failures_and_time() {
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
    fn tally_with_a_slow_or_failed_attempt_is_slow() {
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
    fn fast_receiver_is_confirmed_before_it_expires() {
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
        fn state_never_improves_with_more_failures_or_time(failures in 0..200_u32, hours in 0..200_i64) {
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
