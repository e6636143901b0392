//! `cargo xtask lock`: writes the lock files of the Python packages.
//!
//! A list (`requirements….in`) names the packages that are used, with reasons. Its lock (`requirements….txt`) names all packages that
//! these need, each with its version and the hashes of its files, for Python 3.10 and newer on every system. Only locks are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::tools::process::run;
use crate::tools::progress::step;
use crate::tools::python::Environment;

/// Directories with lists and locks.
const DIRECTORIES: [&str; 2] = ["infra/local", "infra/aws"];
/// The oldest Python that the locks have to support.
const OLDEST_PYTHON: &str = "3.10";

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Upgrade to the newest versions that the lists allow; otherwise locked versions stay
    #[arg(long)]
    upgrade: bool,
}

pub(crate) fn lock(root: &Path, options: &Options) -> Result<()> {
    let python = step("Python packages: uv", || Environment::LOCK.prepare(root))?;
    for list in lists(root)? {
        let name = list.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lock = list.with_extension("txt");
        step(&format!("{} from {name}", lock.file_name().unwrap_or_default().display()), || {
            write(&python.program("uv"), &list, &lock, &name, options.upgrade)
        })?;
    }
    Ok(())
}

fn write(uv: &Path, list: &Path, lock: &Path, name: &str, upgrade: bool) -> Result<()> {
    let mut command = Command::new(uv);
    command
        .args([
            "pip",
            "compile",
            "--quiet",
            "--universal",
            "--generate-hashes",
            "--python-version",
            OLDEST_PYTHON,
        ])
        .args(["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"])
        .args(upgrade.then_some("--upgrade"))
        .arg("--output-file")
        .arg(lock)
        .arg(list);
    let output = run(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let locked = fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let heading = format!("# Written by `cargo xtask lock` from {name}, which gives the reasons.\n");
    fs::write(lock, heading + &locked).with_context(|| format!("cannot write {}", lock.display()))
}

/// Returns all lists, sorted by path.
fn lists(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        let directory = root.join(directory);
        for entry in
            fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "in") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
    }

    /// Returns the requirements of a file, without comments and with continuation lines joined.
    fn requirements(text: &str) -> Vec<String> {
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    /// Returns the requirements of a lock that lack an exact version or valid hashes.
    fn faults(lock: &str) -> Vec<String> {
        let pinned = |line: &str| {
            let (package, rest) = line.split_once("==")?;
            let version = rest.split([' ', ';']).next()?;
            let plain = |text: &str, more: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            let hashes: Vec<_> = line.split("--hash=").skip(1).map(str::trim).collect();
            let is_sha256 = |hash: &&str| {
                hash.strip_prefix("sha256:")
                    .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            };
            let name = package.split('[').next()?;
            (plain(name, "-_.")
                && plain(version, ".+!")
                && !hashes.is_empty()
                && hashes.iter().all(is_sha256))
            .then_some(())
        };
        requirements(lock).into_iter().filter(|line| pinned(line).is_none()).collect()
    }

    #[test]
    fn info_locked_packages_have_versions_and_hashes() {
        let mut locks = 0;
        for directory in DIRECTORIES {
            for path in fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if !name.starts_with("requirements") || path.extension() != Some("txt".as_ref()) {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                assert_eq!(faults(&text), Vec::<String>::new(), "{name}");
                assert!(!text.contains("://"), "{name} names a package index");
                locks += 1;
            }
        }
        assert_eq!(locks, lists(root()).unwrap().len());
    }

    #[test]
    fn info_unhashed_requirements_are_found() {
        let hash = "a".repeat(64);
        let good = format!("boto3==1.43.106 \\\n    --hash=sha256:{hash} \\\n    --hash=sha256:{hash}\n");
        assert_eq!(faults(&good), Vec::<String>::new());
        assert_eq!(
            faults(&format!("# why\nx==1 ; python_version < '3.11' --hash=sha256:{hash}")),
            Vec::<String>::new()
        );
        for bad in [
            "boto3==1.43.106",
            &format!("boto3>=1.43 --hash=sha256:{hash}"),
            &format!("boto3==1.* --hash=sha256:{hash}"),
            "boto3==1.43.106 --hash=sha256:abc",
            &format!("boto3==1.43.106 --hash=md5:{hash}"),
            &format!("boto3 @ file:///tmp/boto3.whl --hash=sha256:{hash}"),
            "-r other.txt",
            "--index-url here",
        ] {
            assert_eq!(faults(&format!("{good}{bad}\n")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn info_locks_contain_their_lists() {
        for list in lists(root()).unwrap() {
            let pin = |line: &String| line.split([' ', ';']).next().unwrap_or_default().to_lowercase();
            let wanted: Vec<_> = requirements(&fs::read_to_string(&list).unwrap()).iter().map(pin).collect();
            let lock = fs::read_to_string(list.with_extension("txt")).unwrap_or_default();
            let locked: BTreeSet<_> = requirements(&lock).iter().map(pin).collect();
            assert!(!wanted.is_empty(), "{}", list.display());
            for pin in wanted {
                assert!(pin.contains("=="), "{}: {pin} is not one version", list.display());
                assert!(locked.contains(&pin), "{}: {pin} is not locked; cargo xtask lock", list.display());
            }
        }
    }
}
