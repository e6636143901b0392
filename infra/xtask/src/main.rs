//! `cargo xtask`: runs, tests, measures, packages and deploys Anzol.
//!
//! - `commands` has one module for each subcommand.
//! - `suites` has the checks of `cargo xtask test` and the environment that they share.
//! - `cloud` starts a whole system on this machine: a local cloud, or resources at another endpoint.
//! - `tools` starts the programs that all of these need: cargo, Python, Node, apt.

mod cloud;
mod commands;
mod suites;
mod tools;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{advisories, bench, deploy, docs, down, fuzz, lock, openapi, package, redrive, tenant, up};
use suites::language;
use tools::interrupt;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Runs, tests, measures, packages and deploys Anzol",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build Anzol, deploy it to a local cloud, deliver one signed event, and run until Ctrl-C
    Up(up::Options),
    /// Stop the stack that `up` started
    Down,
    /// Run all checks, or a single suite
    Test {
        /// The suite to run; all of them by default
        suite: Option<suites::Suite>,
    },
    /// Check texts for banned phrases and long test names
    Language(language::Options),
    /// Check dependencies against the RustSec advisories with cargo-deny
    Advisories,
    /// Write infra/openapi.json, after a change to the API
    Openapi,
    /// Write infra/docs/configuration.md again, after a change to the parameters of infra/template.yaml
    Docs,
    /// Lock the Python packages, after a change to a list infra/*/requirements*.in
    Lock(lock::Options),
    /// Search for input that violates the properties in tests/fuzz
    Fuzz(fuzz::Options),
    /// Measure sizes, starts, memory, CPU, calls and cost against baselines of the same run
    Bench(bench::Options),
    /// Build the functions for AWS: zips, checksums and SBOMs
    Package(package::Options),
    /// Deploy the packages to AWS; `--dry-run` needs neither an account nor the network
    Deploy(deploy::Options),
    /// Manage the data of one tenant
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Move messages from the dead-letter queues to their source queues
    Redrive(redrive::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    let outcome = interrupt::watch().and_then(|()| match arguments.command {
        Command::Up(options) => up::up(root, &options),
        Command::Down => down::down(root),
        Command::Test { suite } => suites::test(root, suite),
        Command::Language(options) => language::language(root, &options),
        Command::Advisories => advisories::advisories(root),
        Command::Openapi => openapi::openapi(root),
        Command::Docs => docs::docs(root),
        Command::Lock(options) => lock::lock(root, &options),
        Command::Fuzz(options) => fuzz::fuzz(root, &options),
        Command::Bench(options) => bench::bench(root, &options),
        Command::Package(options) => package::package(root, &options),
        Command::Deploy(options) => deploy::deploy(root, &options),
        Command::Tenant(command) => tenant::tenant(root, &command),
        Command::Redrive(options) => redrive::redrive(root, &options),
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

    /// Collects the Markdown files of the repository.
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

    /// `tests/docs/run.py` runs the commands in code blocks; this test also covers slow commands and commands in sentences.
    #[test]
    fn commands_in_documents_are_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut found = Vec::new();
        documents(root, &mut found);
        let mut count = 0;
        for path in found {
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("cargo xtask ").skip(1) {
                // The command ends at the end of its line or quotation, or at a comment.
                let code = rest.split(['`', '\n', '#', ',', ';', ')']).next().unwrap_or_default();
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
