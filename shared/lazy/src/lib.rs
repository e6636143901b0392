#![doc = include_str!("../README.md")]

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// A client that is created when it is first used. Clones share it.
pub struct Lazy<C>(Arc<LazyLock<C, Box<dyn FnOnce() -> C + Send>>>);

impl<C> Lazy<C> {
    /// Returns a client that `make` creates when it is first used.
    #[must_use]
    pub fn new(make: impl FnOnce() -> C + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    /// Creates the client now, so that its first use does not wait.
    pub fn prepare(&self) {
        LazyLock::force(&self.0);
    }
}

impl<C> Deref for Lazy<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C> Clone for Lazy<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Does not create the client.
impl<C> fmt::Debug for Lazy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lazy(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn client_is_created_once_at_first_use() {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let client = Lazy::new(|| MADE.fetch_add(1, Ordering::Relaxed) + 7);
        let clone = client.clone();
        assert_eq!((format!("{client:?}"), MADE.load(Ordering::Relaxed)), ("Lazy(…)".to_owned(), 0));
        assert_eq!((*client, *clone, MADE.load(Ordering::Relaxed)), (7, 7, 1));
    }
}
