//! The files in `snapshots`: each belongs to an assertion, because insta's own check for unused files needs cargo-insta.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn paths(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path())
}

/// Returns the names of the snapshots that a source asserts, as literals.
fn asserted(source: &str) -> impl Iterator<Item = &str> {
    source.split("snapshot!").skip(1).filter_map(|rest| {
        let name = rest.strip_prefix('(')?.trim_start().strip_prefix('"')?;
        Some(name.split_once('"')?.0)
    })
}

#[test]
fn every_snapshot_belongs_to_an_assertion() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let mut expected = BTreeSet::new();
    for source in paths(&directory).filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let module = source.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&source).unwrap();
        expected.extend(asserted(&text).map(|name| format!("it__{module}__{name}.snap")));
    }
    let stored: BTreeSet<_> = paths(&directory.join("snapshots"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(stored, expected, "files in tests/it/snapshots, and those that tests assert");
}
