//! Prepares the console's files for `src/assets.rs`: writes their common version and the preloads of the first view into the page, and
//! compresses each file, so that no cold start has to.

#![expect(clippy::disallowed_methods, reason = "cargo passes the output directory in a variable")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// The module that the page loads. The first view needs its direct and indirect imports.
const ENTRY: &str = "console.js";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir("assets")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file name is not UTF-8")?;
        files.insert(name.to_owned(), fs::read_to_string(&path)?);
    }
    let version = version(&files);
    let place = format!("/console/{version}");
    let preload = modules_of_first_view(&files)?
        .into_iter()
        .map(|name| format!("  <link rel=\"modulepreload\" href=\"{place}/{name}\">"));
    let preload = preload.collect::<Vec<_>>().join("\n");
    let page = files.get_mut("index.html").ok_or("index.html is missing")?;
    *page = page.replace("{preload}", &preload).replace("{assets}", &place);

    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let mut table = format!("pub(crate) const VERSION: &str = {version:?};\nconst FILES: &[Asset] = &[\n");
    for (name, content) in &files {
        let packed = format!("{name}.gz");
        let mut encoder = GzEncoder::new(fs::File::create(out.join(&packed))?, Compression::best());
        encoder.write_all(content.as_bytes())?;
        encoder.finish()?;
        fs::write(out.join(name), content)?;
        let kind = kind(name);
        writeln!(
            table,
            "    Asset {{ name: {name:?}, kind: {kind:?}, plain: include_bytes!({name:?}), gzip: include_bytes!({packed:?}) }},"
        )?;
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)?;
    Ok(())
}

/// Returns a version that changes when any file changes.
fn version(files: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for part in files.iter().flat_map(|(name, content)| [name, content]) {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize()).split_off(48)
}

/// Returns the modules of the first view. The page preloads all of them, which saves a round trip for each level of imports.
fn modules_of_first_view(files: &BTreeMap<String, String>) -> Result<BTreeSet<&str>, Box<dyn Error>> {
    let mut needed = BTreeSet::from([ENTRY]);
    let mut left = vec![ENTRY];
    while let Some(name) = left.pop() {
        let text = files.get(name).ok_or_else(|| format!("{name} is imported but missing"))?;
        for import in text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
            if needed.insert(import) {
                left.push(import);
            }
        }
    }
    Ok(needed)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}
