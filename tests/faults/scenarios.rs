//! The scenarios, in the order they run.

use std::time::Duration;

use anyhow::Result;

use crate::proxy::{Fault, What};
use crate::world::Trial;

type Scenario = fn(&mut Trial<'_>) -> Result<()>;

pub(crate) const SCENARIOS: [(&str, Scenario); 2] =
    [("burst", burst), ("kill-before-write", kill_before_write)];

const LONG: Duration = Duration::from_secs(60);

/// Ten thousand events of one tenant at once, while another's few keep arriving.
fn burst(trial: &mut Trial<'_>) -> Result<()> {
    trial.world.hide_for(60)?;
    let noisy = trial.hook("acme")?;
    trial.publish(noisy, 10_000)?;
    trial.settle(LONG)
}

/// A sender dies after its POSTs, before it has written the history.
fn kill_before_write(trial: &mut Trial<'_>) -> Result<()> {
    trial.world.hide_for(10)?;
    let hook = trial.hook("acme")?;
    trial.publish(hook, 500)?;
    trial.inject(Fault::on("dynamodb.BatchWriteItem", What::KillBefore).by("sender").chance(0.1).times(5));
    trial.publish(hook, 2_500)?;
    trial.settle(LONG)
}
