//! The suite `dependencies`: checks which of our crates depend on each other, that their modules form no cycles, and the bans, licenses and
//! sources of `.deny.toml`.
//!
//! If cargo-deny is installed, it checks `.deny.toml`. Otherwise this module checks the part of the policy that the file uses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use super::modules;
use crate::tools::cargo::cargo;
use crate::tools::progress::say;
use crate::tools::{deny, process};

/// The crates that each of our crates uses. Functions may use all of these, but not each other; xtask and tests may use anything.
///
/// The list is exact: an edge that is listed but not used is an error as well.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("anzol-domain", &[]),
    ("anzol-signing", &["anzol-domain"]),
    ("anzol-lazy", &[]),
    ("anzol-store", &["anzol-domain", "anzol-lazy"]),
    ("anzol-queue", &["anzol-domain", "anzol-lazy"]),
    ("anzol-egress", &["anzol-domain"]),
    ("anzol-vault", &["anzol-domain", "anzol-lazy"]),
    (
        "anzol-pipeline",
        &["anzol-domain", "anzol-signing", "anzol-store", "anzol-queue", "anzol-egress", "anzol-vault"],
    ),
    ("anzol-http", &["anzol-domain"]),
    ("anzol-runtime", &["anzol-domain"]),
];
const UNRESTRICTED: [&str; 4] = ["anzol-bench", "anzol-baselines", "anzol-tests", "xtask"];

/// The part of `.deny.toml` that is checked here.
#[derive(Debug, Deserialize)]
struct Policy {
    bans: Bans,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// The only crates that may use it directly.
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// The part of cargo's metadata that is needed here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: HashSet<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    license: Option<String>,
    source: Option<String>,
    #[serde(default)]
    manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    /// Direct dependencies of every kind: normal, build and dev.
    dependencies: Vec<String>,
}

pub(crate) fn check(root: &Path) -> Result<()> {
    let file = root.join(".deny.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let policy: Policy = toml::from_str(&text).with_context(|| format!("cannot parse {}", file.display()))?;
    let metadata = metadata(root)?;
    let mut found = wrong_edges(&metadata);
    for package in metadata.packages.iter().filter(|p| metadata.workspace_members.contains(&p.id)) {
        let directory = package.manifest_path.parent().context("cargo printed no path of a manifest")?;
        found.extend(modules::cycles(&package.name, directory)?);
    }
    let installed = deny::is_installed();
    if installed {
        say("cargo-deny checks .deny.toml");
        deny::check(root, &["bans", "licenses", "sources"])?;
    } else {
        say("cargo-deny is not installed: xtask checks .deny.toml");
        found.extend(violations(&policy, &metadata));
    }
    if !found.is_empty() {
        bail!("{} violations\n  {}", found.len(), found.join("\n  "));
    }
    Ok(())
}

/// Returns the graph for this platform. For all platforms, cargo would download crates that are never built here.
fn metadata(root: &Path) -> Result<Metadata> {
    let about = process::run(Command::new("rustc").arg("-vV").stdout(Stdio::piped()))?;
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    let host =
        about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc did not print its host")?;
    let output = process::run(
        cargo(root)
            .args(["metadata", "--format-version=1", "--locked", "--all-features", "--filter-platform", host])
            .stdout(Stdio::piped()),
    )?;
    if !output.status.success() {
        bail!("cargo metadata failed");
    }
    serde_json::from_slice(&output.stdout).context("cannot parse the output of cargo metadata")
}

/// Returns the violations of `.deny.toml`.
fn violations(policy: &Policy, metadata: &Metadata) -> Vec<String> {
    let packages: HashMap<&str, &Package> = metadata.packages.iter().map(|p| (p.id.as_str(), p)).collect();
    let mut found = Vec::new();
    for node in &metadata.resolve.nodes {
        let Some(user) = packages.get(node.id.as_str()) else {
            continue;
        };
        if !metadata.workspace_members.contains(&user.id) {
            found.extend(third_party(policy, user));
        }
        for used in node.dependencies.iter().filter_map(|id| packages.get(id.as_str())) {
            found.extend(banned(&policy.bans, user, used));
        }
    }
    found.sort();
    found
}

/// Returns violations by the license and the source of a third-party crate.
fn third_party(policy: &Policy, package: &Package) -> Vec<String> {
    let mut found = Vec::new();
    let allowed = package.license.as_deref().is_some_and(|text| is_allowed(&policy.licenses.allow, text));
    if !allowed {
        let license = package.license.as_deref().unwrap_or("none");
        found.push(format!("{}: the license {license} is not allowed", package.name));
    }
    let source = package.source.as_deref().unwrap_or("a path");
    let registry = source.strip_prefix("registry+").unwrap_or(source);
    if !policy.sources.allow_registry.iter().any(|allowed| allowed == registry) {
        found.push(format!("{}: the source {source} is not allowed", package.name));
    }
    found
}

fn is_allowed(allow: &[String], license: &str) -> bool {
    Expression::parse_mode(license, ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|wanted| allow.contains(&wanted.to_string())))
}

fn banned(bans: &Bans, user: &Package, library: &Package) -> Option<String> {
    let ban = bans.deny.iter().find(|ban| ban.name == library.name)?;
    (!ban.wrappers.contains(&user.name))
        .then(|| format!("{} must not use {}: {}", user.name, library.name, ban.reason))
}

/// Returns edges between our crates that are not allowed, and allowed ones that are not used.
fn wrong_edges(metadata: &Metadata) -> Vec<String> {
    let packages: HashMap<&str, &Package> = metadata.packages.iter().map(|p| (p.id.as_str(), p)).collect();
    let ours = |id: &str| {
        packages
            .get(id)
            .filter(|package| metadata.workspace_members.contains(&package.id))
            .map(|p| p.name.as_str())
    };
    let mut edges = HashSet::new();
    for node in &metadata.resolve.nodes {
        let Some(user) = ours(&node.id) else {
            continue;
        };
        edges.extend(node.dependencies.iter().filter_map(|id| Some((user, ours(id)?))));
    }
    let mut found: Vec<_> = edges
        .iter()
        .filter(|(user, library)| !may_use(user, library))
        .map(|(user, library)| {
            format!("{user} must not use {library}: see ALLOWED in infra/xtask/src/suites/dependencies.rs")
        })
        .collect();
    let allowed =
        ALLOWED.iter().flat_map(|(user, libraries)| libraries.iter().map(|library| (*user, *library)));
    let unused = allowed.filter(|edge| !edges.contains(edge));
    found.extend(unused.map(|(user, library)| {
        format!("{user} may use {library}, but does not: remove the edge from the list of allowed ones")
    }));
    found.sort();
    found
}

fn may_use(user: &str, library: &str) -> bool {
    let allowed = BTreeMap::from(ALLOWED);
    UNRESTRICTED.contains(&user)
        || user == library // a dev-dependency on itself, to be tested with a feature
        || allowed.get(user).map_or(allowed.contains_key(library), |libraries| libraries.contains(&library))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> Policy {
        toml::from_str(
            r#"
            [bans]
            deny = [
                { crate = "reqwest", wrappers = ["anzol-egress"], reason = "only egress opens connections" },
                { crate = "openssl", reason = "one TLS" },
            ]
            [licenses]
            allow = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]
            [sources]
            allow-registry = ["https://github.com/rust-lang/crates.io-index"]
            "#,
        )
        .unwrap()
    }

    /// Returns a graph with these edges. Crates `anzol-…` are in the workspace; all others come from crates.io under MIT.
    fn graph(edges: &[(&str, &str)]) -> Metadata {
        let names: HashSet<_> = edges.iter().flat_map(|(user, used)| [*user, *used]).collect();
        let ours = |name: &str| name.starts_with("anzol-");
        let packages: Vec<_> = names
            .iter()
            .map(|name| {
                let source = (!ours(name)).then_some("registry+https://github.com/rust-lang/crates.io-index");
                json!({ "id": name, "name": name, "license": "MIT", "source": source })
            })
            .collect();
        let nodes: Vec<_> = names
            .iter()
            .map(|name| {
                let used: Vec<_> =
                    edges.iter().filter(|(user, _)| user == name).map(|(_, used)| used).collect();
                json!({ "id": name, "dependencies": used })
            })
            .collect();
        let members: Vec<_> = names.iter().filter(|name| ours(name)).collect();
        serde_json::from_value(json!({
            "packages": packages, "workspace_members": members, "resolve": { "nodes": nodes },
        }))
        .unwrap()
    }

    /// Returns all edges that the lists allow.
    fn allowed() -> Vec<(&'static str, &'static str)> {
        let edges =
            ALLOWED.iter().flat_map(|(user, libraries)| libraries.iter().map(|library| (*user, *library)));
        edges.collect()
    }

    #[test]
    fn allowed_graph_passes() {
        let mut edges = allowed();
        edges.extend([
            ("anzol-api", "anzol-http"),
            ("anzol-api", "anzol-store"),
            ("anzol-egress", "reqwest"),
            ("anzol-tests", "anzol-api"),
        ]);
        let graph = graph(&edges);
        assert_eq!(violations(&policy(), &graph), Vec::<String>::new());
        assert_eq!(wrong_edges(&graph), Vec::<String>::new());
    }

    #[test]
    fn banned_crates_are_found() {
        for (edge, expected) in [
            (("anzol-store", "reqwest"), "anzol-store must not use reqwest: only egress opens connections"),
            (("reqwest", "openssl"), "reqwest must not use openssl: one TLS"),
        ] {
            assert_eq!(violations(&policy(), &graph(&[edge])), [expected]);
        }
    }

    #[test]
    fn wrong_edges_between_our_crates_are_found() {
        for (user, library) in [
            ("anzol-api", "anzol-sender"),
            ("anzol-domain", "anzol-store"),
            ("anzol-store", "anzol-queue"),
            ("anzol-queue", "anzol-signing"),
        ] {
            let mut edges = allowed();
            edges.push((user, library));
            let found = wrong_edges(&graph(&edges));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{user} must not use {library}: ")), "{found:?}");
        }
    }

    #[test]
    fn unused_permissions_are_found() {
        let edges: Vec<_> =
            allowed().into_iter().filter(|edge| *edge != ("anzol-vault", "anzol-domain")).collect();
        let found = wrong_edges(&graph(&edges));
        assert_eq!(
            found,
            ["anzol-vault may use anzol-domain, but does not: remove the edge from the list of allowed ones"]
        );
    }

    #[test]
    fn bad_licenses_and_sources_are_found() {
        let mut graph = graph(&[("anzol-api", "stranger")]);
        for package in graph.packages.iter_mut().filter(|package| package.name == "stranger") {
            package.license = Some("GPL-3.0-only".to_owned());
            package.source = Some("git+https://example.com/stranger".to_owned());
        }
        assert_eq!(
            violations(&policy(), &graph),
            [
                "stranger: the license GPL-3.0-only is not allowed",
                "stranger: the source git+https://example.com/stranger is not allowed",
            ]
        );
    }

    #[test]
    fn license_expressions_are_evaluated() {
        let allow = policy().licenses.allow;
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(is_allowed(&allow, good), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "", "no such license"] {
            assert!(!is_allowed(&allow, bad), "{bad}");
        }
    }
}
