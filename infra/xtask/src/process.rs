//! Child processes, each in a group of its own: Ctrl-C in the terminal reaches only us, and ending a group ends its children too.

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

use crate::interrupt;

/// How long a process may take to end when asked nicely. The local cloud always takes longer, and keeps nothing worth waiting for.
const GRACE: Duration = Duration::from_secs(2);

/// A process as another run of xtask can find it again: pids are used anew, a pid with its start time is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pid: i32,
    started: String,
}

impl Record {
    pub(crate) fn of_this_process() -> Result<Self> {
        Self::of("xtask", std::process::id())
    }

    fn of(name: &str, pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("a pid beyond all pids")?;
        let started = start_time(pid).with_context(|| format!("{name} ended as soon as it started"))?;
        Ok(Self { name: name.to_owned(), pid, started })
    }

    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Asks only this process, not its group, to end, and waits until it has or `patience` is over.
    pub(crate) fn ask_to_end(&self, patience: Duration) -> bool {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGTERM);
        }
        wait_until(patience, || !self.is_alive())
    }

    /// Ends the process and its group, in case it is still the one we knew.
    pub(crate) fn end(&self) {
        match start_time(self.pid) {
            Some(started) if started != self.started => {} // the pid is someone else's by now
            _ => end_group(self.pid),
        }
    }
}

/// A child that runs beside us, its output in a log file.
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

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn end(&mut self) {
        end_group(self.record.pid);
        let _ = self.child.try_wait();
    }
}

/// Runs a command to its end, or ends it when we are asked to stop. Output goes where the command says.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let group = i32::try_from(child.id()).context("a pid beyond all pids")?;
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    loop {
        match end.recv_timeout(Duration::from_millis(50)) {
            Ok(output) => return output.with_context(|| format!("cannot wait for {name}")),
            Err(RecvTimeoutError::Disconnected) => bail!("lost sight of {name}"),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupted) = interrupt::check() {
                    end_group(group);
                    return Err(interrupted);
                }
            }
        }
    }
}

/// Runs a command to its end and takes failure as an error; the command has said why on its own.
pub(crate) fn run_well(command: &mut Command) -> Result<()> {
    let status = run(command)?.status;
    if !status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("`{} {}` failed", command.get_program().to_string_lossy(), words.join(" "));
    }
    Ok(())
}

/// SIGTERM to the group, SIGKILL to what is left of it after a while.
fn end_group(group: i32) {
    let everyone = Pid::from_raw(-group);
    let _ = kill(everyone, Signal::SIGTERM);
    if !wait_until(GRACE, || !group_is_alive(group)) {
        let _ = kill(everyone, Signal::SIGKILL);
    }
}

fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// What the kernel says of a process: the fields of its stat file from the third, the state, on.
fn stat_of(pid: &str) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in parentheses, may itself hold spaces and parentheses.
    Some(stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn is_running(stat: &[String]) -> bool {
    stat.first().is_some_and(|state| state != "Z" && state != "X")
}

/// When a running process was started, in the words of the system; nothing when it is gone or only waits to be reaped.
fn start_time(pid: i32) -> Option<String> {
    if has_proc() {
        let stat = stat_of(&pid.to_string())?;
        return is_running(&stat).then(|| stat.get(19).cloned())?;
    }
    let said = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Whether anyone in the group still runs. Those that only wait to be reaped do not count: in a container that may take long.
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
    fn ending_a_process_ends_its_children() {
        let mut process = Process::start("sleeper", &mut sleeper(), log()).unwrap();
        let record = process.record().clone();
        assert!(record.is_alive());
        process.end();
        assert!(!record.is_alive());
        assert!(!group_is_alive(record.pid), "a child of the process is left");
    }

    #[test]
    fn a_command_that_fails_is_an_error_with_its_words() {
        let error = run_well(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed");
    }

    #[test]
    fn a_pid_with_another_start_time_is_left_alone() {
        let mut process = Process::start("sleeper", &mut sleeper(), log()).unwrap();
        let stranger = Record { started: "0".to_owned(), ..process.record().clone() };
        assert!(!stranger.is_alive());
        stranger.end();
        assert!(process.record().is_alive());
        process.end();
    }
}
