//! Connections kept between the POSTs of an invocation.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// How long a connection is kept. Servers commonly close idle ones after 5 s.
const KEPT_FOR: Duration = Duration::from_secs(4);

/// Most connections kept; the oldest goes first. Our choice: each takes some tens of KB, and a function has at most 1,024 open files.
const MOST_KEPT: usize = 100;

/// Connections that wait for their next request, the newest last.
///
/// A connection is used again for the same name alone, and stays with the address that was vetted when it was made, whatever the name
/// has come to lead to.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Idle>>>);

struct Idle {
    host: String,
    since: Instant,
    connection: Connection,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool(…)")
    }
}

impl Pool {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Idle>) -> T) -> T {
        // A panicking holder leaves the list whole.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the newest connection to that host which can still be used.
    pub(crate) async fn take(&self, host: &str) -> Option<Connection> {
        loop {
            let mut connection = self.with(|idle| {
                idle.retain(|idle| idle.since.elapsed() < KEPT_FOR);
                let place = idle.iter().rposition(|idle| idle.host == host)?;
                Some(idle.remove(place).connection)
            })?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn keep(&self, host: &str, connection: Connection) {
        let (host, since) = (host.to_owned(), Instant::now());
        self.with(|idle| {
            idle.retain(|idle| idle.since.elapsed() < KEPT_FOR);
            if idle.len() >= MOST_KEPT {
                idle.remove(0);
            }
            idle.push(Idle { host, since, connection });
        });
    }
}
