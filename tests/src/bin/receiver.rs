//! The TLS receiver as a standalone process; `cargo xtask up` points the sender at it. See `anzol_tests::receiver`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use anzol_tests::receiver::{Options, Receiver};

const USAGE: &str = "receiver --state-file FILE --ca-file FILE [--tls-port N] [--control-port N]";

struct Arguments {
    state_file: PathBuf,
    ca_file: PathBuf,
    options: Options,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments = arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let receiver = Receiver::start(arguments.options).await?;
        write_atomically(&arguments.ca_file, receiver.ca_pem())?;
        // The state file comes last: when it exists, everything it names is ready.
        let state = serde_json::to_string_pretty(&receiver.state(&arguments.ca_file))?;
        write_atomically(&arguments.state_file, &state)?;
        receiver.run().await
    })
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments> {
    let (mut state_file, mut ca_file, mut options) = (None, None, Options::default());
    while let Some(flag) = words.next() {
        let mut value = || words.next().with_context(|| format!("{flag} needs a value; usage: {USAGE}"));
        match flag.as_str() {
            "--state-file" => state_file = Some(PathBuf::from(value()?)),
            "--ca-file" => ca_file = Some(std::path::absolute(value()?)?),
            "--tls-port" => options.tls_port = port(&flag, &value()?)?,
            "--control-port" => options.control_port = port(&flag, &value()?)?,
            other => bail!("unknown argument {other:?}; usage: {USAGE}"),
        }
    }
    Ok(Arguments {
        state_file: state_file.with_context(|| format!("--state-file is missing; usage: {USAGE}"))?,
        ca_file: ca_file.with_context(|| format!("--ca-file is missing; usage: {USAGE}"))?,
        options,
    })
}

fn port(flag: &str, value: &str) -> Result<u16> {
    value.parse().with_context(|| format!("{flag} {value:?} is not a port"))
}

/// Writes a file by renaming, so that readers never see part of it.
fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
