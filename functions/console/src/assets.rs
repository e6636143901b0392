//! The files of the console, embedded in the binary, both plain and compressed with gzip. `build.rs` generates their table.

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// An embedded file.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    /// The media type.
    pub(crate) kind: &'static str,
    pub(crate) plain: &'static [u8],
    pub(crate) gzip: &'static [u8],
}

pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    FILES.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maximum compressed size of all files, in bytes: the page must load fast on a slow connection.
    const MAX_SIZE: usize = 150 * 1024;

    fn page() -> String {
        String::from_utf8(find("index.html").unwrap().plain.to_vec()).unwrap()
    }

    #[test]
    fn files_together_are_small() {
        let size: usize = FILES.iter().map(|asset| asset.gzip.len()).sum();
        assert!(FILES.iter().all(|asset| !asset.gzip.is_empty()) && size < MAX_SIZE, "{size} bytes");
    }

    #[test]
    fn page_preloads_modules_of_first_view_only() {
        let page = page();
        let preloaded: Vec<_> = page
            .split("<link rel=\"modulepreload\" href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().rsplit('/').next().unwrap())
            .collect();
        assert!(preloaded.contains(&"console.js") && preloaded.contains(&"webhooks.js"), "{preloaded:?}");
        assert!(!preloaded.contains(&"form.js") && preloaded.len() < FILES.len() / 2, "{preloaded:?}");
        assert!(preloaded.iter().all(|name| find(name).is_some()), "{preloaded:?}");
    }

    #[test]
    fn page_has_no_inline_script_or_style() {
        let page = page();
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains('{'), "{page}");
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count() + 1, "{page}");
        assert!(page.contains("<script type=\"module\" src="), "{page}");
    }
}
