//! What a process takes: CPU of all its threads, and memory.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
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

    /// User and system time so far, threads that have ended included, to the nanosecond: the ticks of /proc/PID/stat are too coarse
    /// for what takes microseconds.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.process.pid()))?;
        Ok(clock_gettime(clock)?.into())
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
