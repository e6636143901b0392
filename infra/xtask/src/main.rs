//! `cargo xtask`: runs the whole system on this machine (`up`, `down`), everything that checks it (`test`), and what measures it
//! (`bench`); describes its API (`openapi`).

mod apt;
mod bench;
mod browser;
mod build;
mod demo;
mod down;
mod instructions;
mod interrupt;
mod local_cloud;
mod node;
mod openapi;
mod process;
mod progress;
mod stack;
mod test;
mod up;
mod walls;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Runs and checks Anzol on this machine",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, deploy to a local cloud, deliver one signed event, then keep running until Ctrl-C
    Up(up::Options),
    /// Stop what `up` started
    Down,
    /// Write infra/openapi.json anew, after a change to the API
    Openapi,
    /// Run every check, or only one suite
    Test {
        /// The only suite to run
        suite: Option<test::Suite>,
    },
    /// Measure everything, or one thing, beside floors of the same run
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    let outcome = interrupt::watch().and_then(|()| match arguments.command {
        Command::Up(options) => up::up(root, &options),
        Command::Down => down::down(root),
        Command::Openapi => openapi::openapi(root),
        Command::Test { suite } => test::test(root, suite),
        Command::Bench(options) => bench::bench(root, &options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<interrupt::Interrupted>() => {
            eprintln!("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
