//! `cargo xtask down`: stops the stack of `up`, whether `up` still runs, left the stack running, or was killed.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cloud::stack::Home;
use crate::tools::progress::{say, step};

/// Time for an `up` in another terminal to stop its own stack.
const OWNER_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn down(root: &Path) -> Result<()> {
    let home = Home::local(root);
    let Some(recorded) = home.recorded() else {
        say("No stack is running.");
        return Ok(());
    };
    step("the stack stopped", || {
        if let Some(owner) = &recorded.owner {
            owner.terminate(OWNER_TIMEOUT);
        }
        home.clean(&recorded);
        Ok(())
    })
}
