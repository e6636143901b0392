//! Waits between the tries of a call that collides with other writers or is throttled.

use std::time::Duration;

/// The first wait. It doubles with each try, up to [`MAX_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(20);
const MAX_WAIT: Duration = Duration::from_millis(800);

/// Waits before a try, except before the first (round 0). Up to half of the wait is random, so that colliding writers separate.
pub(crate) async fn pause(round: u32) {
    if round > 0 {
        let full = MAX_WAIT.min(FIRST_WAIT.saturating_mul(1 << (round - 1).min(16)));
        tokio::time::sleep(full.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
    }
}
