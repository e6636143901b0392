//! Converts the deadline of an invocation that the Lambda runtime sends.

use std::time::{Duration, SystemTime};

/// Longer than any invocation (Lambda's limit is 15 minutes). A deadline within this time after the start of 1970 is really the time left.
const LONGEST: Duration = Duration::from_hours(1);

/// Returns the deadline in the runtime's header `Lambda-Runtime-Deadline-Ms`. Lambda sends milliseconds since 1970. The emulator of
/// cargo-lambda sends the milliseconds left, always 600,000; as a time in 1970, this deadline would always have passed.
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
