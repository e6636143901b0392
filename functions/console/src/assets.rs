//! The files of the console, embedded in the binary, each as it is and packed with gzip. `build.rs` makes the table of them.

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A file as it is sent.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    /// Its media type.
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

    /// Most bytes of all files, compressed; the page is to be there at once on a slow line too.
    const MOST: usize = 150 * 1024;

    fn page() -> String {
        String::from_utf8(find("index.html").unwrap().plain.to_vec()).unwrap()
    }

    #[test]
    fn all_files_are_small() {
        let size: usize = FILES.iter().map(|asset| asset.gzip.len()).sum();
        assert!(FILES.iter().all(|asset| !asset.gzip.is_empty()) && size < MOST, "{size} bytes");
    }

    #[test]
    fn the_page_asks_at_once_for_what_the_first_view_needs_and_for_no_more() {
        let page = page();
        let asked: Vec<_> = page
            .split("<link rel=\"modulepreload\" href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().rsplit('/').next().unwrap())
            .collect();
        assert!(asked.contains(&"console.js") && asked.contains(&"webhooks.js"), "{asked:?}");
        assert!(!asked.contains(&"form.js") && asked.len() < FILES.len() / 2, "{asked:?}");
        assert!(asked.iter().all(|name| find(name).is_some()), "{asked:?}");
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own() {
        let page = page();
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains('{'), "{page}");
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count() + 1, "{page}");
        assert!(page.contains("<script type=\"module\" src="), "{page}");
    }
}
