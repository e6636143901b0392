//! Finds the function's process at the other end of a connection, and kills it. Reads /proc, so this suite needs Linux.

use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The process at the other end of a connection on this machine.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The peer's port and ours.
    ports: (u16, u16),
    found: OnceLock<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    pid: i32,
    /// The function's name in AWS.
    function: String,
}

impl Peer {
    /// Returns the peer of a connection between these addresses.
    pub(crate) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        Self { ports: (from.port(), to.port()), found: OnceLock::new() }
    }

    fn process(&self) -> Option<&Process> {
        self.found.get_or_init(|| find(self.ports)).as_ref()
    }

    /// Returns the name of the function that the process runs.
    pub(crate) fn function(&self) -> Option<&str> {
        self.process().map(|process| process.function.as_str())
    }

    /// Kills the process with SIGKILL, like a crash.
    pub(crate) fn kill(&self) -> Result<()> {
        let process = self.process().context("there is no process at the other end")?;
        // The pid may have been reused, so this kills only a process that still holds the connection.
        let still = find(self.ports);
        ensure!(still.is_some_and(|still| still.pid == process.pid), "the caller has exited already");
        kill(Pid::from_raw(process.pid), Signal::SIGKILL)?;
        Ok(())
    }
}

/// Finds the process of a function that has a TCP connection between these ports.
fn find(ports: (u16, u16)) -> Option<Process> {
    let socket = format!("socket:[{}]", inode(ports)?);
    let pids = std::fs::read_dir("/proc").ok()?.flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find_map(|pid| {
        // Checks the program and its environment first: they distinguish functions from all other processes.
        let function = function_of(pid)?;
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let holds = files
            .flatten()
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()));
        holds.then_some(Process { pid, function })
    })
}

fn function_of(pid: i32) -> Option<String> {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    if exe.file_name()? != "bootstrap" {
        return None;
    }
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
    variables.find_map(|one| one.strip_prefix("AWS_LAMBDA_FUNCTION_NAME=")).map(str::to_owned)
}

/// Returns the inode of the socket at the first port's end of a connection, from the kernel's table (proc(5)).
fn inode((from, to): (u16, u16)) -> Option<String> {
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace();
            let (local, remote, inode) = (fields.nth(1)?, fields.next()?, fields.nth(6)?);
            (local.ends_with(&from) && remote.ends_with(&to) && inode != "0").then(|| inode.to_owned())
        })
    })
}
