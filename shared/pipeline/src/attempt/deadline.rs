//! The deadline of a batch, and the time reserved for its last steps.

use std::time::Duration;

use tokio::time::Instant;

/// Time reserved for recording an attempt. An attempt that could run into it is not started.
pub(super) const SETTLE_RESERVE: Duration = Duration::from_secs(5);

/// Time reserved for returning the batch response.
const RESPONSE_MARGIN: Duration = Duration::from_secs(1);

/// Time reserved for a recovery step: a page of history, a few hundred small reads and writes, and about ten calls to a queue.
const STEP_RESERVE: Duration = Duration::from_secs(10);

/// The time by which a batch must be processed. Uses the monotonic clock, so corrections of the system clock do not move it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns a deadline at this moment.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        Self(at)
    }

    /// Returns whether work that takes up to `longest` finishes in time if it starts now.
    pub(super) fn allows(self, longest: Duration) -> bool {
        self.left(Instant::now()) >= longest
    }

    /// Returns whether a recovery step finishes in time if it starts now.
    pub(crate) fn allows_step(self) -> bool {
        self.allows(STEP_RESERVE)
    }

    /// Returns the time left before the response has to be written.
    pub(super) fn left_before_response(self) -> Duration {
        self.left(Instant::now()).saturating_sub(RESPONSE_MARGIN)
    }

    fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_leaves_no_time_after_it_passed() {
        let now = Instant::now();
        let deadline = Deadline::new(now + Duration::from_secs(12));
        for (later, left) in [(0, 12), (11, 1), (12, 0), (60, 0)] {
            assert_eq!(
                deadline.left(now + Duration::from_secs(later)),
                Duration::from_secs(left),
                "{later} s"
            );
        }
    }

    #[test]
    fn deadline_reserves_time_for_steps_and_the_response() {
        let before = Instant::now();
        let [step, settle, response] = [10, 5, 1].map(Duration::from_secs);
        assert_eq!([STEP_RESERVE, SETTLE_RESERVE, RESPONSE_MARGIN], [step, settle, response]);
        let near = Deadline::new(before + step);
        assert!(!near.allows(step + Duration::from_nanos(1)));
        assert!(near.left_before_response() <= step.saturating_sub(response));
        assert!(!Deadline::new(before + step.saturating_sub(Duration::from_nanos(1))).allows_step());
        assert!(Deadline::new(before + step * 2).allows_step());
        let passed = Deadline::new(before);
        assert!(!passed.allows_step() && passed.left_before_response().is_zero());
    }
}
