//! Resource usage of a process: CPU of all its threads, and memory.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::process::Process;

/// A process under measurement.
#[derive(Debug)]
pub(crate) struct Usage {
    process: Process,
}

impl Usage {
    /// Opens the process with this id.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Ok(Self { process: Process::new(i32::try_from(pid)?)? })
    }

    /// Returns user and system time, including finished threads, in nanoseconds: the ticks of /proc/PID/stat are too coarse for
    /// microseconds.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.process.pid()))?;
        Ok(clock_gettime(clock)?.into())
    }

    /// Returns the resident memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        Ok(self.process.status()?.vmrss.context("no VmRSS")? * 1024)
    }

    /// Returns the peak resident memory, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        Ok(self.process.status()?.vmhwm.context("no VmHWM")? * 1024)
    }
}
