//! Child processes, each in its own process group: Ctrl-C reaches only xtask, and stopping a group also stops its children.
//!
//! The crate process-wrap is not used: it would replace `process_group(0)`, but neither the records that survive this process nor the
//! waits that a signal interrupts.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::interrupt;

/// Time between SIGTERM and SIGKILL. The local cloud always takes longer to stop, but has no state to save.
const GRACE: Duration = Duration::from_secs(2);

/// A process that another run of xtask can find. A pid alone may be reused; a pid with its start time is unique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pid: i32,
    started: String,
}

impl Record {
    /// Returns the record of xtask itself.
    pub(crate) fn of_this_process() -> Result<Self> {
        Self::of("xtask", std::process::id())
    }

    fn of(name: &str, pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("the pid is out of range")?;
        let started = start_time(pid).with_context(|| format!("{name} exited immediately"))?;
        Ok(Self { name: name.to_owned(), pid, started })
    }

    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Sends SIGTERM to the process, not to its group, and waits up to `timeout`. Returns whether the process has exited.
    pub(crate) fn terminate(&self, timeout: Duration) -> bool {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGTERM);
        }
        wait_until(timeout, || !self.is_alive())
    }

    /// Stops the process and its group, unless the pid belongs to another process by now.
    pub(crate) fn stop(&self) {
        match start_time(self.pid) {
            Some(started) if started != self.started => {}
            _ => stop_group(self.pid),
        }
    }
}

/// A child process in the background, with its output in a log file.
#[derive(Debug)]
pub(crate) struct Process {
    record: Record,
    child: Child,
}

impl Process {
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let err = out.try_clone()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        match Record::of(name, child.id()) {
            Ok(record) => Ok(Self { record, child }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn stop(&mut self) {
        stop_group(self.record.pid);
        let _ = self.child.try_wait();
    }
}

/// Runs a command until it exits or a signal interrupts xtask, which stops it. The command decides where its output goes.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let group = i32::try_from(child.id()).context("the pid is out of range")?;
    let (sender, exited) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    loop {
        match exited.recv_timeout(Duration::from_millis(50)) {
            Ok(output) => return output.with_context(|| format!("cannot wait for {name}")),
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that waits for {name} panicked"),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupted) = interrupt::check() {
                    stop_group(group);
                    return Err(interrupted);
                }
            }
        }
    }
}

/// Runs a command and fails if the command fails. The command prints the reason.
pub(crate) fn run_well(command: &mut Command) -> Result<()> {
    let status = run(command)?.status;
    if !status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("`{} {}` failed", command.get_program().to_string_lossy(), words.join(" "));
    }
    Ok(())
}

/// Sends SIGTERM to a group, and SIGKILL to the processes that remain after [`GRACE`].
fn stop_group(group: i32) {
    let pids = Pid::from_raw(-group);
    let _ = kill(pids, Signal::SIGTERM);
    if !wait_until(GRACE, || !group_is_alive(group)) {
        let _ = kill(pids, Signal::SIGKILL);
    }
}

fn wait_until(timeout: Duration, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !done() {
        if started.elapsed() > timeout {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Returns the fields of a process's stat file from the third, the state.
fn stat_of(pid: &str) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in parentheses, may itself contain spaces and parentheses.
    Some(stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn is_running(stat: &[String]) -> bool {
    stat.first().is_some_and(|state| state != "Z" && state != "X")
}

/// Returns the start time of a running process in the system's own format, and nothing for a process that has exited.
fn start_time(pid: i32) -> Option<String> {
    if has_proc() {
        let stat = stat_of(&pid.to_string())?;
        return is_running(&stat).then(|| stat.get(19).cloned())?;
    }
    let output = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Returns whether a process of the group is running. Zombies do not count: in a container they may stay for long.
fn group_is_alive(group: i32) -> bool {
    if !has_proc() {
        return kill(Pid::from_raw(-group), None).is_ok();
    }
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return false;
    };
    let group = group.to_string();
    entries
        .flatten()
        .filter_map(|entry| stat_of(entry.file_name().to_str()?))
        .any(|stat| is_running(&stat) && stat.get(2) == Some(&group))
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]);
        command
    }

    fn log() -> &'static Path {
        Path::new("/dev/null")
    }

    #[test]
    fn stopping_a_process_stops_its_children() {
        let mut process = Process::start("sleeper", &mut sleeper(), log()).unwrap();
        let record = process.record().clone();
        assert!(record.is_alive());
        process.stop();
        assert!(!record.is_alive());
        assert!(!group_is_alive(record.pid), "a child of the process is left");
    }

    #[test]
    fn failed_command_is_an_error_with_its_arguments() {
        let error = run_well(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed");
    }

    #[test]
    fn reused_pid_is_not_stopped() {
        let mut process = Process::start("sleeper", &mut sleeper(), log()).unwrap();
        let stranger = Record { started: "0".to_owned(), ..process.record().clone() };
        assert!(!stranger.is_alive());
        stranger.stop();
        assert!(process.record().is_alive());
        process.stop();
    }
}
