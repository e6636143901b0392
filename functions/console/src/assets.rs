//! The files of the console, embedded in the binary and packed once, at the cold start.

use std::collections::HashMap;
use std::io::Write as _;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../assets/", $name)))),*] };
}

/// What the first view needs, besides its texts, which early.js asks for; the page asks for all of it at once.
const FIRST: &[(&str, &str)] = &files![
    "console.js",
    "webhooks.js",
    "api.js",
    "columns.js",
    "dom.js",
    "format.js",
    "i18n.js",
    "router.js",
    "session.js",
    "status.js",
    "store.js",
];

/// What is asked for when it is needed, or named in the page itself.
const LATER: &[(&str, &str)] = &files![
    "index.html",
    "console.css",
    "early.js",
    "icon.svg",
    "en.js",
    "pt-BR.js",
    "actions.js",
    "chart.js",
    "overlays.js",
    "delivery.js",
    "fields.js",
    "filter.js",
    "form.js",
    "history.js",
    "recover.js",
    "sign-in.js",
    "silence.js",
    "snippets.js",
    "verify.js",
    "webhook.js",
];

/// A file as it is sent.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Its media type.
    pub(crate) kind: &'static str,
    pub(crate) plain: Bytes,
    pub(crate) gzip: Bytes,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Assets {
    version: String,
    files: HashMap<&'static str, Asset>,
}

impl Assets {
    /// Packs every file, and writes the version of them all into the page.
    pub(crate) fn new() -> Self {
        let all = || FIRST.iter().chain(LATER);
        let mut digest = Sha256::new();
        for (name, content) in all() {
            for part in [name, content] {
                digest.update(part.len().to_be_bytes());
                digest.update(part);
            }
        }
        let version = hex::encode(digest.finalize()).split_off(48);
        let place = format!("/console/{version}");
        let preload: Vec<_> = FIRST
            .iter()
            .map(|(name, _)| format!("  <link rel=\"modulepreload\" href=\"{place}/{name}\">"))
            .collect();
        let files = all()
            .map(|(name, content)| {
                let plain = if *name == "index.html" {
                    content.replace("{preload}", &preload.join("\n")).replace("{assets}", &place).into()
                } else {
                    Bytes::from_static(content.as_bytes())
                };
                let gzip = gzip(&plain);
                (*name, Asset { kind: kind(name), plain, gzip })
            })
            .collect();
        Self { version, files }
    }

    /// Changes whenever any file does.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Asset> {
        self.files.get(name)
    }
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 2), Compression::best());
    // Writing to memory does not fail; an empty body would be noticed at once.
    let packed = encoder.write_all(content).and_then(|()| encoder.finish());
    packed.unwrap_or_default().into()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Most bytes of all files, compressed; the page is to be there at once on a slow line too.
    const MOST: usize = 150 * 1024;

    #[test]
    fn every_file_is_embedded_and_all_of_them_are_small() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let there: BTreeSet<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let assets = Assets::new();
        let embedded: BTreeSet<_> = assets.files.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(embedded, there);
        let size: usize = assets.files.values().map(|asset| asset.gzip.len()).sum();
        assert!(assets.files.values().all(|asset| !asset.gzip.is_empty()) && size < MOST, "{size} bytes");
    }

    /// A module left out of [`FIRST`] would cost the first view a round trip; one too many, bytes.
    #[test]
    fn what_the_first_view_imports_is_what_it_asks_for_at_once() {
        let content =
            |name: &str| FIRST.iter().chain(LATER).find(|(known, _)| *known == name).map(|(_, text)| *text);
        let mut needed = BTreeSet::from(["console.js".to_owned()]);
        let mut left = vec!["console.js".to_owned()];
        while let Some(name) = left.pop() {
            let text = content(&name).unwrap_or_else(|| panic!("no {name}"));
            for import in text.split("from \"./").skip(1) {
                let import = import.split('"').next().unwrap().to_owned();
                if needed.insert(import.clone()) {
                    left.push(import);
                }
            }
        }
        assert_eq!(needed, FIRST.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own() {
        let page = String::from_utf8(Assets::new().find("index.html").unwrap().plain.to_vec()).unwrap();
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains('{'), "{page}");
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count() + 1, "{page}");
        assert!(page.contains("<script type=\"module\" src="), "{page}");
    }
}
