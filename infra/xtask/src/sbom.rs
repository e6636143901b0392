//! Bills of materials: what crates a function is made of, as cargo resolves them for the package that is deployed.
//!
//! Edges come from `cargo tree`, which knows the features that this build turns on (`cargo metadata` also follows those of tests
//! and tools); licences and sources come from `cargo metadata`, checksums from `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::build::{FUNCTIONS, cargo};
use crate::process;

/// What one function is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Bill {
    target: String,
    /// What `rustc --version` says; its standard library is in every binary.
    rustc: String,
    /// The function's own package, which is among the components.
    root: Id,
    /// In the order of their ids.
    components: Vec<Component>,
    /// By component, what it uses directly.
    dependencies: BTreeMap<Id, BTreeSet<Id>>,
}

/// `name@version`. No two packages of one graph have both in common: all come from this workspace or from one registry.
type Id = String;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Component {
    id: Id,
    name: String,
    version: String,
    /// SPDX.
    licence: String,
    description: Option<String>,
    repository: Option<String>,
    /// SHA-256 of the registry's archive; none for the workspace's own.
    checksum: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    repository: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The bills of all five functions, built together for `target` as `package` builds them.
pub(crate) fn bills(root: &Path, target: &str) -> Result<BTreeMap<&'static str, Bill>> {
    // No build or development dependencies and no macros: they run when we build, and are in no binary.
    let mut tree = cargo(root);
    tree.args(["tree", "--locked", "--edges=normal,no-proc-macro", "--prefix=depth", "--target", target]);
    tree.args(["--format", "\t{p}"]);
    tree.args(FUNCTIONS.iter().flat_map(|name| ["-p".to_owned(), format!("anzol-{name}")]));
    let edges = edges(&said_by(&mut tree)?)?;
    let mut metadata = cargo(root);
    metadata.args(["metadata", "--format-version=1", "--locked", "--filter-platform", target]);
    let metadata: Metadata =
        serde_json::from_str(&said_by(&mut metadata)?).context("cargo metadata is not as expected")?;
    let lock: Lock = toml::from_str(&std::fs::read_to_string(root.join("Cargo.lock"))?)
        .context("Cargo.lock is not as expected")?;
    let rustc = said_by(Command::new("rustc").arg("--version").current_dir(root))?;
    let about = Catalogue::new(&metadata, &lock);
    FUNCTIONS
        .into_iter()
        .map(|function| {
            let (id, dependencies) = reachable(&edges, &format!("anzol-{function}"))?;
            let components = dependencies.keys().map(|id| about.component(id)).collect::<Result<_>>()?;
            let (target, rustc) = (target.to_owned(), rustc.trim().to_owned());
            Ok((function, Bill { target, rustc, root: id, components, dependencies }))
        })
        .collect()
}

fn said_by(command: &mut Command) -> Result<String> {
    let output = process::run(command.stdout(Stdio::piped()))?;
    if !output.status.success() {
        bail!("{} failed", command.get_program().to_string_lossy());
    }
    String::from_utf8(output.stdout).context("no UTF-8")
}

/// The edges of a tree of lines `<depth>\t<name> v<version> …`. What was shown before is shown without its children again.
fn edges(tree: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let read = || {
            let (depth, package) = line.split_once('\t')?;
            let mut words = package.split(' ');
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            Some((depth.parse::<usize>().ok()?, format!("{name}@{version}")))
        };
        let (depth, id) = read().with_context(|| format!("cargo tree says {line:?}"))?;
        above.truncate(depth);
        if let Some(user) = above.last() {
            edges.entry(user.clone()).or_default().insert(id.clone());
        }
        edges.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(edges)
}

/// The id of the package called `name`, and the part of the graph that it reaches.
fn reachable(edges: &BTreeMap<Id, BTreeSet<Id>>, name: &str) -> Result<(Id, BTreeMap<Id, BTreeSet<Id>>)> {
    let root = edges
        .keys()
        .find(|id| id.split_once('@').is_some_and(|(found, _)| found == name))
        .with_context(|| format!("cargo tree does not show {name}"))?;
    let (mut found, mut open) = (BTreeMap::new(), vec![root]);
    while let Some(id) = open.pop() {
        if found.contains_key(id) {
            continue;
        }
        let used = edges.get(id).with_context(|| format!("cargo tree shows no {id}"))?;
        found.insert(id.clone(), used.clone());
        open.extend(used);
    }
    Ok((root.clone(), found))
}

/// What is known of packages.
struct Catalogue<'a> {
    packages: HashMap<Id, &'a Package>,
    checksums: HashMap<Id, &'a str>,
}

impl<'a> Catalogue<'a> {
    fn new(metadata: &'a Metadata, lock: &'a Lock) -> Self {
        let id = |name: &str, version: &str| format!("{name}@{version}");
        let packages = metadata.packages.iter().map(|p| (id(&p.name, &p.version), p)).collect();
        let checksums = lock
            .package
            .iter()
            .filter_map(|p| Some((id(&p.name, &p.version), p.checksum.as_deref()?)))
            .collect();
        Self { packages, checksums }
    }

    fn component(&self, id: &Id) -> Result<Component> {
        let package = self.packages.get(id).with_context(|| format!("cargo metadata does not know {id}"))?;
        let licence = package.license.as_deref().with_context(|| format!("{id} names no licence"))?;
        Ok(Component {
            id: id.clone(),
            name: package.name.clone(),
            version: package.version.clone(),
            licence: licence.replace('/', " OR "), // how crates wrote it before SPDX expressions
            description: package
                .description
                .as_deref()
                .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
            repository: package.repository.clone(),
            checksum: self.checksums.get(id).map(|&sum| sum.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0\tanzol-api v0.1.0 (/w/functions/api)\n1\tserde v1.0.1\n2\tserde_core v1.0.1\n1\turl v2.5.0\n2\tserde v1.0.1 (*)\n\
                        0\tanzol-sender v0.1.0 (/w/functions/sender)\n1\turl v2.5.0 (*)\n1\tring v0.17.9\n";

    #[test]
    fn a_function_gets_what_it_reaches_and_nothing_of_another() {
        let edges = edges(TREE).unwrap();
        let (root, api) = reachable(&edges, "anzol-api").unwrap();
        assert_eq!(root, "anzol-api@0.1.0");
        assert_eq!(
            api.keys().collect::<Vec<_>>(),
            ["anzol-api@0.1.0", "serde@1.0.1", "serde_core@1.0.1", "url@2.5.0"]
        );
        // Shown without its children there, which are known from above.
        let (_, sender) = reachable(&edges, "anzol-sender").unwrap();
        assert_eq!(
            sender.keys().collect::<Vec<_>>(),
            ["anzol-sender@0.1.0", "ring@0.17.9", "serde@1.0.1", "serde_core@1.0.1", "url@2.5.0"]
        );
        assert_eq!(sender["url@2.5.0"], BTreeSet::from(["serde@1.0.1".to_owned()]));
        assert!(reachable(&edges, "anzol-console").is_err());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_no_empty_bill() {
        assert!(edges("anzol-api v0.1.0").is_err());
    }

    #[test]
    fn the_bills_of_this_workspace_hold_what_ships_and_only_that() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let bills = bills(root, "aarch64-unknown-linux-gnu").unwrap();
        let names = |function: &str| -> BTreeSet<&str> {
            bills[function].components.iter().map(|component| component.name.as_str()).collect()
        };
        for function in FUNCTIONS {
            let found = names(function);
            for needed in [&format!("anzol-{function}"), "anzol-domain", "tokio", "serde"] {
                assert!(found.contains(needed), "{function} lacks {needed}");
            }
            // Tests, tools, what runs in the compiler, and what is for other systems.
            for stranger in [
                "anzol-tests",
                "xtask",
                "dynoxide-rs",
                "proptest",
                "rcgen",
                "serde_derive",
                "syn",
                "cc",
                "windows-sys",
                "openssl-sys",
            ] {
                assert!(!found.contains(stranger), "{function} has {stranger}");
            }
        }
        assert!(names("api").contains("lambda_http") && !names("sender").contains("lambda_http"));
        assert!(names("api").contains("json-patch") && !names("console").contains("json-patch"));
        for component in bills.values().flat_map(|bill| &bill.components) {
            let ours = component.name.starts_with("anzol-");
            assert_eq!(component.checksum.is_none(), ours, "{}", component.id);
            assert!(!component.licence.is_empty(), "{}", component.id);
        }
    }
}
