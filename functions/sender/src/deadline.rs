//! When an invocation has to be done.

use std::time::{Duration, SystemTime};

/// No function may take that long (Lambda's bound is 15 minutes), so what is less since 1970 is no moment.
const LONGEST: Duration = Duration::from_hours(1);

/// The moment that the runtime's header `Lambda-Runtime-Deadline-Ms` means. Lambda sends milliseconds since 1970; the emulator of
/// cargo-lambda sends how many are left, always 600,000, which taken for a moment would leave no time for anything.
#[must_use]
pub fn deadline(told: SystemTime, now: SystemTime) -> SystemTime {
    match told.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(left) if left <= LONGEST => now + left,
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_kept_even_when_it_has_passed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(498_752);
        for told in [now + Duration::from_secs(30), now, now - Duration::from_secs(1)] {
            assert_eq!(deadline(told, now), told);
        }
    }

    #[test]
    fn what_the_emulator_sends_is_time_left() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(498_752);
        let told = SystemTime::UNIX_EPOCH + Duration::from_mins(10);
        assert_eq!(deadline(told, now), now + Duration::from_mins(10));
    }
}
