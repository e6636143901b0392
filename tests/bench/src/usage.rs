//! What a process takes: CPU of all its threads, and memory.

use std::time::Duration;

use anyhow::{Context as _, Result};
use procfs::process::Process;

/// A process to look at.
#[derive(Debug)]
pub(crate) struct Usage {
    process: Process,
}

impl Usage {
    /// The process with that id.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Ok(Self { process: Process::new(i32::try_from(pid)?)? })
    }

    /// User and system time so far, threads that have ended included, to a hundredth of a second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.process.stat()?;
        let ticks = stat.utime + stat.stime;
        Ok(Duration::from_millis(ticks * 1000 / procfs::ticks_per_second()))
    }

    /// Time on a CPU so far, of the threads there are now, to a microsecond.
    pub(crate) fn cpu_exactly(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for task in self.process.tasks()? {
            let file = format!("/proc/{}/task/{}/schedstat", self.process.pid(), task?.tid);
            let text = std::fs::read_to_string(file)?;
            let first = text.split(' ').next().and_then(|text| text.parse().ok()).context("no schedstat")?;
            sum += Duration::from_nanos(first);
        }
        Ok(sum)
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        Ok(self.process.status()?.vmrss.context("no VmRSS")? * 1024)
    }

    /// The most resident memory there was so far, in bytes.
    pub(crate) fn most_memory(&self) -> Result<u64> {
        Ok(self.process.status()?.vmhwm.context("no VmHWM")? * 1024)
    }
}
