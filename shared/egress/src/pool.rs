//! Open connections that later POSTs reuse.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// How long an idle connection is kept. Servers commonly close idle connections after 5 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Maximum number of idle connections; the oldest is dropped first. Our choice: a connection takes some tens of KB, and a function can have
/// 1,024 open files.
const MAX_IDLE: usize = 100;

/// Idle connections, the newest last.
///
/// A connection is reused for the same host name only. The connection keeps the address that was vetted when it was opened, even if the
/// name resolves to another address by now.
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
        // A panic while the lock is held leaves the list valid.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the newest usable connection to a host.
    pub(crate) async fn take(&self, host: &str) -> Option<Connection> {
        loop {
            let mut connection = self.with(|idle| {
                idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
                let place = idle.iter().rposition(|idle| idle.host == host)?;
                Some(idle.remove(place).connection)
            })?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose response was read completely.
    pub(crate) fn keep(&self, host: &str, connection: Connection) {
        let (host, since) = (host.to_owned(), Instant::now());
        self.with(|idle| {
            idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
            if idle.len() >= MAX_IDLE {
                idle.remove(0);
            }
            idle.push(Idle { host, since, connection });
        });
    }
}
