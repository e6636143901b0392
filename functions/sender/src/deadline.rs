//! The deadline of an invocation, as the Lambda runtime sends it.

use std::time::{Duration, SystemTime};

/// No function may run that long (Lambda's limit is 15 minutes), so a shorter time since 1970 cannot be a deadline.
const LONGEST: Duration = Duration::from_hours(1);

/// Returns the deadline in the runtime's header `Lambda-Runtime-Deadline-Ms`. Lambda sends milliseconds since 1970. The emulator of cargo-lambda
/// sends the milliseconds left, always 600,000, which as a moment in 1970 would leave no time for anything.
#[must_use]
pub fn deadline(header: SystemTime, now: SystemTime) -> SystemTime {
    match header.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(left) if left <= LONGEST => now + left,
        _ => header,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_in_the_past_stays_in_the_past() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(498_752);
        for header in [now + Duration::from_secs(30), now, now - Duration::from_secs(1)] {
            assert_eq!(deadline(header, now), header);
        }
    }

    #[test]
    fn deadline_of_the_emulator_is_time_left() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(498_752);
        let header = SystemTime::UNIX_EPOCH + Duration::from_mins(10);
        assert_eq!(deadline(header, now), now + Duration::from_mins(10));
    }
}
