//! Packs the console's files for `src/assets.rs`: writes the version of them all, and what the first view needs, into the page, and compresses
//! each file. Here, once, because a cold start would do it again and again.

#![expect(clippy::disallowed_methods, reason = "cargo tells by a variable where the results go")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// The module that the page loads; the first view needs what it imports, and what that imports.
const ENTRY: &str = "console.js";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir("assets")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name that is not UTF-8")?;
        files.insert(name.to_owned(), fs::read_to_string(&path)?);
    }
    let version = version(&files);
    let place = format!("/console/{version}");
    let preload = first(&files)?
        .into_iter()
        .map(|name| format!("  <link rel=\"modulepreload\" href=\"{place}/{name}\">"));
    let preload = preload.collect::<Vec<_>>().join("\n");
    let page = files.get_mut("index.html").ok_or("no index.html")?;
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

/// Changes whenever any file does.
fn version(files: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for part in files.iter().flat_map(|(name, content)| [name, content]) {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize()).split_off(48)
}

/// The modules that the first view needs: the page asks for all of them at once, instead of a round trip for each import.
fn first(files: &BTreeMap<String, String>) -> Result<BTreeSet<&str>, Box<dyn Error>> {
    let mut needed = BTreeSet::from([ENTRY]);
    let mut left = vec![ENTRY];
    while let Some(name) = left.pop() {
        let text = files.get(name).ok_or_else(|| format!("{name} is imported, and not there"))?;
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
