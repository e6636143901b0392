//! Who may depend on whom: the arrows of the rooms, and the bans, licences and sources of `.deny.toml`, read from cargo's graph.
//!
//! `.deny.toml` is cargo-deny's own file, so `cargo deny check` says the same where that is installed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::build::cargo;
use crate::process;

/// Each room and the rooms it may use. Functions may use all of these and never each other; xtask and tests are free.
const ARROWS: [(&str, &[&str]); 10] = [
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
const FREE: [&str; 4] = ["anzol-bench", "anzol-floors", "anzol-tests", "xtask"];

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
    /// The only ones that may use it directly.
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

/// The part of `cargo metadata` that is needed here.
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
    let policy: Policy =
        toml::from_str(&text).with_context(|| format!("{} is not as expected", file.display()))?;
    let found = violations(&policy, &metadata(root)?);
    if !found.is_empty() {
        bail!("{} found\n  {}", found.len(), found.join("\n  "));
    }
    Ok(())
}

/// The graph for this platform: the graph for all would have cargo fetch crates that nobody here builds.
fn metadata(root: &Path) -> Result<Metadata> {
    let about = process::run(Command::new("rustc").arg("-vV").stdout(Stdio::piped()))?;
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    let host =
        about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say its host")?;
    let output = process::run(
        cargo(root)
            .args(["metadata", "--format-version=1", "--locked", "--all-features", "--filter-platform", host])
            .stdout(Stdio::piped()),
    )?;
    if !output.status.success() {
        bail!("cargo metadata failed");
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")
}

fn violations(policy: &Policy, metadata: &Metadata) -> Vec<String> {
    let packages: HashMap<&str, &Package> = metadata.packages.iter().map(|p| (p.id.as_str(), p)).collect();
    let mut found = Vec::new();
    for node in &metadata.resolve.nodes {
        let Some(user) = packages.get(node.id.as_str()) else {
            continue;
        };
        let ours = metadata.workspace_members.contains(&user.id);
        if !ours {
            found.extend(foreign(policy, user));
        }
        for used in node.dependencies.iter().filter_map(|id| packages.get(id.as_str())) {
            found.extend(banned(&policy.bans, user, used));
            if ours && metadata.workspace_members.contains(&used.id) {
                found.extend(against_the_arrows(&user.name, &used.name));
            }
        }
    }
    found.sort();
    found
}

/// A crate from outside whose licence or source is not allowed.
fn foreign(policy: &Policy, package: &Package) -> Vec<String> {
    let mut found = Vec::new();
    let allowed = package.license.as_deref().is_some_and(|text| is_allowed(&policy.licenses.allow, text));
    if !allowed {
        let licence = package.license.as_deref().unwrap_or("none");
        found.push(format!("{}: its licence ({licence}) is not allowed", package.name));
    }
    let source = package.source.as_deref().unwrap_or("a path");
    let registry = source.strip_prefix("registry+").unwrap_or(source);
    if !policy.sources.allow_registry.iter().any(|allowed| allowed == registry) {
        found.push(format!("{}: it comes from {source}", package.name));
    }
    found
}

fn is_allowed(allow: &[String], licence: &str) -> bool {
    Expression::parse_mode(licence, ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|wanted| allow.contains(&wanted.to_string())))
}

fn banned(bans: &Bans, user: &Package, library: &Package) -> Option<String> {
    let ban = bans.deny.iter().find(|ban| ban.name == library.name)?;
    (!ban.wrappers.contains(&user.name))
        .then(|| format!("{} must not use {}: {}", user.name, library.name, ban.reason))
}

fn against_the_arrows(room: &str, other: &str) -> Option<String> {
    let arrows = BTreeMap::from(ARROWS);
    let fits = FREE.contains(&room)
        || room == other // a dev-dependency on itself, to be tested with a feature on
        || arrows.get(room).map_or(arrows.contains_key(other), |may| may.contains(&other));
    (!fits).then(|| format!("{room} must not use {other}: against the arrows of the rooms"))
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
                { crate = "reqwest", wrappers = ["anzol-egress"], reason = "only egress talks to strangers" },
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

    /// A graph from `user -> used` pairs; names that begin with `anzol-` are ours, all others come from crates.io under MIT.
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

    #[test]
    fn a_graph_along_the_arrows_passes() {
        let graph = graph(&[
            ("anzol-api", "anzol-http"),
            ("anzol-api", "anzol-store"),
            ("anzol-pipeline", "anzol-egress"),
            ("anzol-egress", "reqwest"),
            ("anzol-tests", "anzol-api"),
        ]);
        assert_eq!(violations(&policy(), &graph), Vec::<String>::new());
    }

    #[test]
    fn each_breach_of_a_wall_is_found() {
        for (edge, expected) in [
            (("anzol-store", "reqwest"), "anzol-store must not use reqwest: only egress talks to strangers"),
            (("reqwest", "openssl"), "reqwest must not use openssl: one TLS"),
            (
                ("anzol-api", "anzol-sender"),
                "anzol-api must not use anzol-sender: against the arrows of the rooms",
            ),
            (
                ("anzol-domain", "anzol-store"),
                "anzol-domain must not use anzol-store: against the arrows of the rooms",
            ),
            (
                ("anzol-store", "anzol-queue"),
                "anzol-store must not use anzol-queue: against the arrows of the rooms",
            ),
        ] {
            assert_eq!(violations(&policy(), &graph(&[edge])), [expected]);
        }
    }

    #[test]
    fn a_licence_or_source_that_is_not_allowed_is_found() {
        let mut graph = graph(&[("anzol-api", "stranger")]);
        for package in graph.packages.iter_mut().filter(|package| package.name == "stranger") {
            package.license = Some("GPL-3.0-only".to_owned());
            package.source = Some("git+https://example.com/stranger".to_owned());
        }
        assert_eq!(
            violations(&policy(), &graph),
            [
                "stranger: it comes from git+https://example.com/stranger",
                "stranger: its licence (GPL-3.0-only) is not allowed",
            ]
        );
    }

    #[test]
    fn licence_expressions_are_understood() {
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
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "", "no such licence"] {
            assert!(!is_allowed(&allow, bad), "{bad}");
        }
    }
}
