//! SBOMs: the crates in each deployed function, as cargo resolves them.
//!
//! Edges come from `cargo tree`, which resolves the features of exactly this build (`cargo metadata` adds those of tests and tools).
//! Licenses and sources come from `cargo metadata`, checksums from `Cargo.lock`.
//!
//! cargo-cyclonedx is not used: it describes each package with the features of the whole workspace, and includes procedural macros and
//! build dependencies, which are not in the binaries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::tools::cargo::{FUNCTIONS, cargo};
use crate::tools::process;

/// The crates of one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Sbom {
    target: String,
    /// Output of `rustc --version`; its standard library is in every binary.
    rustc: String,
    /// The function's package, which is also in `components`.
    root: Id,
    /// Sorted by id.
    components: Vec<Component>,
    /// Direct dependencies, by component.
    dependencies: BTreeMap<Id, BTreeSet<Id>>,
}

/// `name@version`. It is unique, because all packages come from this workspace or from one registry.
type Id = String;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Component {
    id: Id,
    name: String,
    version: String,
    /// An SPDX expression.
    license: String,
    description: Option<String>,
    repository: Option<String>,
    /// SHA-256 of the registry's archive; none for crates of this workspace.
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

/// Returns the SBOMs of all five functions, as `package` builds them for `target`.
pub(super) fn sboms(root: &Path, target: &str) -> Result<BTreeMap<&'static str, Sbom>> {
    // Build dependencies, dev-dependencies and procedural macros are not in the binaries.
    let mut tree = cargo(root);
    tree.args(["tree", "--locked", "--edges=normal,no-proc-macro", "--prefix=depth", "--target", target]);
    tree.args(["--format", "\t{p}"]);
    tree.args(FUNCTIONS.iter().flat_map(|name| ["-p".to_owned(), format!("anzol-{name}")]));
    let edges = edges(&output_of(&mut tree)?)?;
    let mut metadata = cargo(root);
    metadata.args(["metadata", "--format-version=1", "--locked", "--filter-platform", target]);
    let metadata: Metadata =
        serde_json::from_str(&output_of(&mut metadata)?).context("cargo metadata is not as expected")?;
    let lock: Lock = toml::from_str(&std::fs::read_to_string(root.join("Cargo.lock"))?)
        .context("Cargo.lock is not as expected")?;
    let rustc = output_of(Command::new("rustc").arg("--version").current_dir(root))?;
    let catalog = Catalog::new(&metadata, &lock);
    FUNCTIONS
        .into_iter()
        .map(|function| {
            let (id, dependencies) = reachable(&edges, &format!("anzol-{function}"))?;
            let components = dependencies.keys().map(|id| catalog.component(id)).collect::<Result<_>>()?;
            let (target, rustc) = (target.to_owned(), rustc.trim().to_owned());
            Ok((function, Sbom { target, rustc, root: id, components, dependencies }))
        })
        .collect()
}

fn output_of(command: &mut Command) -> Result<String> {
    let output = process::run(command.stdout(Stdio::piped()))?;
    if !output.status.success() {
        bail!("{} failed", command.get_program().to_string_lossy());
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// Parses the edges of a tree with lines `<depth>\t<name> v<version> …`. cargo prints the children of a package only once.
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
        let (depth, id) = read().with_context(|| format!("cargo tree printed {line:?}"))?;
        above.truncate(depth);
        if let Some(user) = above.last() {
            edges.entry(user.clone()).or_default().insert(id.clone());
        }
        edges.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(edges)
}

/// Returns the id of the package `name`, and the part of the graph that is reachable from it.
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

/// Properties of packages, by id.
struct Catalog<'a> {
    packages: HashMap<Id, &'a Package>,
    checksums: HashMap<Id, &'a str>,
}

impl<'a> Catalog<'a> {
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
        let license = package.license.as_deref().with_context(|| format!("{id} has no license"))?;
        Ok(Component {
            id: id.clone(),
            name: package.name.clone(),
            version: package.version.clone(),
            license: license.replace('/', " OR "), // the form before SPDX expressions
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
    fn sbom_has_only_reachable_crates() {
        let edges = edges(TREE).unwrap();
        let (root, api) = reachable(&edges, "anzol-api").unwrap();
        assert_eq!(root, "anzol-api@0.1.0");
        assert_eq!(
            api.keys().collect::<Vec<_>>(),
            ["anzol-api@0.1.0", "serde@1.0.1", "serde_core@1.0.1", "url@2.5.0"]
        );
        // cargo prints its children only at its first place.
        let (_, sender) = reachable(&edges, "anzol-sender").unwrap();
        assert_eq!(
            sender.keys().collect::<Vec<_>>(),
            ["anzol-sender@0.1.0", "ring@0.17.9", "serde@1.0.1", "serde_core@1.0.1", "url@2.5.0"]
        );
        assert_eq!(sender["url@2.5.0"], BTreeSet::from(["serde@1.0.1".to_owned()]));
        assert!(reachable(&edges, "anzol-console").is_err());
    }

    #[test]
    fn unparsable_line_is_an_error() {
        assert!(edges("anzol-api v0.1.0").is_err());
    }

    #[test]
    fn sboms_contain_exactly_the_deployed_crates() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let sboms = sboms(root, "aarch64-unknown-linux-gnu").unwrap();
        let names = |function: &str| -> BTreeSet<&str> {
            sboms[function].components.iter().map(|component| component.name.as_str()).collect()
        };
        for function in FUNCTIONS {
            let found = names(function);
            for needed in [&format!("anzol-{function}"), "anzol-domain", "tokio", "serde"] {
                assert!(found.contains(needed), "{function} lacks {needed}");
            }
            // Tests, tools, procedural macros, and crates for other systems.
            for unwanted in [
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
                assert!(!found.contains(unwanted), "{function} has {unwanted}");
            }
        }
        assert!(names("api").contains("lambda_http") && !names("sender").contains("lambda_http"));
        assert!(names("api").contains("json-patch") && !names("console").contains("json-patch"));
        for component in sboms.values().flat_map(|sbom| &sbom.components) {
            let ours = component.name.starts_with("anzol-");
            assert_eq!(component.checksum.is_none(), ours, "{}", component.id);
            assert!(!component.license.is_empty(), "{}", component.id);
        }
    }
}
