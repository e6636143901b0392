//! `cargo xtask`: runs the whole system on this machine (`up`, `down`), everything that checks it (`test`), and what measures it
//! (`bench`); describes its API (`openapi`); packages, deploys and operates it on AWS (`package`, `deploy`, `tenant`, `redrive`).

mod apt;
mod bench;
mod browser;
mod build;
mod demo;
mod deploy;
mod docs;
mod down;
mod endpoint;
mod fuzz;
mod instructions;
mod interrupt;
mod local_cloud;
mod lock;
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
    /// Write infra/docs/configuration.md again, after a change to the parameters of infra/template.yaml
    Docs,
    /// Lock the Python packages anew, after a change to one of the lists infra/*/requirements*.in
    Lock(lock::Options),
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
        Command::Docs => docs::docs(root),
        Command::Lock(options) => lock::lock(root, &options),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// All Markdown of the repository.
    fn documents(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
        for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                documents(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }

    /// `tests/docs/run.py` runs what stands in blocks and is quick; this is about the rest too.
    #[test]
    fn every_command_that_the_documents_name_is_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut found = Vec::new();
        documents(root, &mut found);
        let mut count = 0;
        for path in found {
            let text = std::fs::read_to_string(&path).unwrap();
            for said in text.split("cargo xtask ").skip(1) {
                // As far as the code goes: to the end of its line, of its quotes, or to what is said about it.
                let code = said.split(['`', '\n', '#', ',', ';', ')']).next().unwrap_or_default();
                let words = code.split_whitespace().map(|word| {
                    let word = word.trim_matches(['[', ']', '(', ')', '"', '<', '>', '.', '…']);
                    if word == "target" { "event" } else { word } // of `fuzz`
                });
                let outcome = Arguments::try_parse_from(["xtask"].into_iter().chain(words));
                if let Err(error) = outcome
                    && error.kind() != clap::error::ErrorKind::DisplayHelp
                    && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                {
                    panic!("{}: `cargo xtask {code}`: {error}", path.display());
                }
                count += 1;
            }
        }
        assert!(count > 30, "{count} commands");
    }
}
