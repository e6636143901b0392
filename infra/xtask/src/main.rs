//! `cargo xtask`: runs the whole system on this machine (`up`, `down`), everything that checks it (`test`), and what measures it
//! (`bench`); describes its API (`openapi`); packages, deploys and operates it on AWS (`package`, `deploy`, `tenant`, `redrive`).

mod apt;
mod bench;
mod browser;
mod build;
mod demo;
mod deploy;
mod down;
mod endpoint;
mod fuzz;
mod instructions;
mod interrupt;
mod local_cloud;
mod node;
mod openapi;
mod package;
mod process;
mod progress;
mod redrive;
mod sbom;
mod stack;
mod tenant;
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
    /// Build the functions for AWS: zips, checksums, bills of materials
    Package(package::Options),
    /// Deploy to AWS what `package` built; `--dry-run` needs neither an account nor the network
    Deploy(deploy::Options),
    /// What is kept of one tenant
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Run every check, or only one suite
    Test {
        /// The only suite to run
        suite: Option<test::Suite>,
    },
    /// Look for input that breaks what should hold for any
    Fuzz(fuzz::Options),
    /// Move what is with the dead letters back to the queues it came from
    Redrive(redrive::Options),
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
        Command::Package(options) => package::package(root, &options),
        Command::Deploy(options) => deploy::deploy(root, &options),
        Command::Tenant(command) => tenant::tenant(root, &command),
        Command::Test { suite } => test::test(root, suite),
        Command::Fuzz(options) => fuzz::fuzz(root, &options),
        Command::Redrive(options) => redrive::redrive(root, &options),
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
