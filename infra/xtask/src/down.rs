//! `cargo xtask down`: ends what `up` started, whether left running on purpose, still watched over, or orphaned by a kill.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::progress::{say, step};
use crate::stack::Home;

/// How long an `up` in another terminal may take to end its stack itself.
const OWNER_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn down(root: &Path) -> Result<()> {
    let home = Home::local(root);
    let Some(recorded) = home.recorded() else {
        say("No stack is running.");
        return Ok(());
    };
    step("the stack stopped", || {
        if let Some(owner) = &recorded.owner {
            owner.ask_to_end(OWNER_PATIENCE);
        }
        home.clean(&recorded);
        Ok(())
    })
}
