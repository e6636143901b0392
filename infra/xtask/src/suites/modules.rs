//! The part of the suite `dependencies` that finds cycles: top-level modules of a crate that use each other, directly or through others.
//!
//! It reads the sources of `src`. Code under `#[cfg(test)]` may use any module, and programs in `src/bin` are not modules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result};

/// The modules that each module of a crate uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Returns one sentence for each cycle between modules of the crate in `directory`.
pub(super) fn cycles(name: &str, directory: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let sources = directory.join("src");
    if sources.is_dir() {
        read(&sources, &mut Vec::new(), &mut files)?;
    }
    let uses = uses(&files);
    let sentence =
        |cycle: Vec<&str>| format!("{name}: modules use each other in a cycle: {}", cycle.join(" → "));
    Ok(cycles_in(&uses).into_iter().map(sentence).collect())
}

/// A source file: the path of its module inside the crate, which is empty for the root, and its text.
struct Source {
    module: Vec<String>,
    text: String,
}

fn read(directory: &Path, parents: &mut Vec<String>, files: &mut Vec<Source>) -> Result<()> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !(parents.is_empty() && stem == "bin") {
                parents.push(stem);
                read(&path, parents, files)?;
                parents.pop();
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&stem) {
            let root = parents.is_empty() && ["lib", "main"].contains(&stem.as_str());
            let own = (!root && stem != "mod").then_some(stem);
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.push(Source { module: parents.iter().cloned().chain(own).collect(), text });
        }
    }
    Ok(())
}

/// Returns whether a file holds only tests, which another file declares under `#[cfg(test)]`.
fn is_test(stem: &str) -> bool {
    stem == "tests" || stem.ends_with("_tests")
}

/// Returns which top-level modules use which. A name that the root re-exports counts as its module.
fn uses(files: &[Source]) -> Uses {
    let modules: BTreeSet<&str> =
        files.iter().filter_map(|file| file.module.first()).map(String::as_str).collect();
    let mut exported = BTreeMap::new();
    for root in files.iter().filter(|file| file.module.is_empty()) {
        exported.extend(exports(&tokens(&root.text)));
    }
    let mut uses = Uses::new();
    for file in files {
        let Some(module) = file.module.first() else { continue };
        let others = names(&tokens(&file.text), file.module.len()).into_iter().filter_map(|name| {
            let other = if modules.contains(name.as_str()) { name } else { exported.get(&name)?.clone() };
            (other != *module && modules.contains(other.as_str())).then_some(other)
        });
        uses.entry(module.clone()).or_default().extend(others);
    }
    uses
}

/// Returns the names after `crate::`, and after as many `super::` as lead from a module at this depth to the root.
fn names(tokens: &[String], depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let word = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut index = 0;
    while index < tokens.len() {
        let mut next = index + 1;
        let from_root = match word(index) {
            "crate" => word(next) == "::",
            "super" => {
                let mut levels = 1;
                while word(next) == "::" && word(next + 1) == "super" {
                    next += 2;
                    levels += 1;
                }
                levels == depth && word(next) == "::"
            }
            _ => false,
        };
        index = next;
        if from_root {
            found.extend(heads(tokens, next + 1));
        }
    }
    found
}

/// Returns the first name of the path at `start`, or of every path if a group starts there.
fn heads(tokens: &[String], start: usize) -> Vec<String> {
    let group = tokens.get(start).is_some_and(|token| token == "{");
    if !group {
        return tokens.get(start).cloned().into_iter().collect();
    }
    let (mut found, mut depth, mut at_start) = (Vec::new(), 0_usize, false);
    for token in tokens.iter().skip(start) {
        match token.as_str() {
            "{" => {
                depth += 1;
                at_start = depth == 1;
            }
            "}" if depth == 1 => break,
            "}" => depth = depth.saturating_sub(1),
            "," => at_start = depth == 1,
            name if at_start => {
                found.push(name.to_owned());
                at_start = false;
            }
            _ => {}
        }
    }
    found
}

/// Returns the names that `use` brings to the root of a crate, each with its module.
fn exports(tokens: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let statements = tokens.split(|token| token == ";");
    for statement in statements {
        let Some(start) = statement.iter().rposition(|token| token == "use") else { continue };
        let mut path = statement
            .iter()
            .skip(start + 1)
            .filter(|token| !["crate", "self", "::"].contains(&token.as_str()));
        let Some(module) = path.next() else { continue };
        let names =
            path.filter(|token| token.starts_with(|first: char| first.is_alphabetic() || first == '_'));
        found.extend(names.map(|name| (name.clone(), module.clone())));
    }
    found
}

/// Returns the words, the `::` and the punctuation of the code, without comments, literals and items under `#[cfg(test)]`.
fn tokens(text: &str) -> Vec<String> {
    without_tests(&lex(text))
}

fn lex(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.extend(rest.get(..length).map(str::to_owned));
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            tokens.extend((!first.is_whitespace()).then(|| first.to_string()));
            first.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    tokens
}

/// Returns the length of the comment that the text starts with; block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Returns the length of the string or character that the text starts with, if it starts with one.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with(['"', '\'']))
    });
    let prefix = prefix.unwrap_or_default();
    let body = text.strip_prefix(prefix)?;
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let content = body.get(hashes..)?.strip_prefix('"')?;
        let length = content.find(&end).map_or(content.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let quote = body.chars().next().filter(|first| ['"', '\''].contains(first))?;
    let content = body.get(1..)?;
    let mut characters = content.char_indices();
    if quote == '\'' && !content.starts_with('\\') {
        // A lifetime has no second quote after one character.
        let (at, _) = characters.nth(1).filter(|(_, second)| *second == '\'')?;
        return Some(prefix.len() + 1 + at + 1);
    }
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return Some(prefix.len() + 1 + at + 1);
        }
    }
    Some(text.len())
}

/// Removes items under `#[cfg(test)]`: up to the end of their block, or to their semicolon.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((first, others)) = rest.split_first() {
        if rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(token, mark)| token == mark) {
            let item = rest.get(MARK.len()..).unwrap_or_default();
            rest = item.get(length_of_item(item)..).unwrap_or_default();
        } else {
            kept.push(first.clone());
            rest = others;
        }
    }
    kept
}

fn length_of_item(tokens: &[String]) -> usize {
    let mut open: usize = 0;
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => open += 1,
            ")" | "]" => open = open.saturating_sub(1),
            "}" => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return index + 1;
                }
            }
            ";" if open == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Returns the shortest cycle through each module, each cycle once; its first module is repeated at its end.
fn cycles_in(uses: &Uses) -> Vec<Vec<&str>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for start in uses.keys() {
        if let Some(cycle) = cycle_through(uses, start)
            && seen.insert(cycle.iter().copied().collect::<BTreeSet<_>>())
        {
            found.push(cycle);
        }
    }
    found
}

fn cycle_through<'a>(uses: &'a Uses, start: &'a str) -> Option<Vec<&'a str>> {
    let mut paths = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = paths.pop_front() {
        for next in path.last().and_then(|last| uses.get(*last)).into_iter().flatten() {
            let longer = || path.iter().copied().chain([next.as_str()]).collect();
            if next == start {
                return Some(longer());
            }
            if seen.insert(next) {
                paths.push_back(longer());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the cycles of a crate with these files, given by their modules (`a::b`; the root is empty) and texts.
    fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(module, text)| Source {
                module: module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect(),
                text: (*text).to_owned(),
            })
            .collect();
        cycles_in(&uses(&files)).iter().map(|cycle| cycle.join(" ")).collect()
    }

    #[test]
    fn cycles_are_found_in_every_form_of_use() {
        for back in [
            "use crate::a;",
            "pub(crate) use crate::a::{A, B};",
            "use crate::{c::{self, C}, a::A};",
            "fn f() { crate::a::g::<char>('\"') } // the quote opens no string",
            "fn f<'a>(x: &'a str) -> crate::a::A<'a> { x.into() }",
            "use super::a::A;",
            "use crate::A;",
            "#[cfg(test)] use std::fmt;\nuse crate::a;",
            "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::a;",
            "const TEXT: &str = r#\"a \" quote\"#; use crate::a;",
        ] {
            let files =
                [("", "mod a; mod b; pub use a::{A, B};"), ("a", "use crate::b;"), ("b", back), ("c", "")];
            assert_eq!(cycles_of(&files), ["a b a"], "{back}");
        }
        let deep = [
            ("a", "use crate::b::B;"),
            ("b::c::d", "use super::super::super::c::C;"),
            ("c", "use crate::a;"),
        ];
        assert_eq!(cycles_of(&deep), ["a b c a"]);
    }

    #[test]
    fn tests_comments_texts_and_submodules_make_no_cycle() {
        for back in [
            "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n    fn f() { {} }\n}",
            "#[cfg(test)]\n#[expect(dead_code)]\npub(crate) mod tests { use crate::a; }",
            "#[cfg(test)]\nuse crate::a::{A, B};",
            "#[cfg(test)]\nfn f(x: [u8; 2]) -> crate::a::A { x }",
            "//! See [`crate::a`].\n/* crate::a /* crate::a */ crate::a */",
            "const TEXT: &str = \"\\\"crate::a\"; const RAW: &[u8] = br##\"\"# crate::a\"##;",
            "use my_crate::a; use a::x; use other::crate_::a;",
            "use crate::b::x; use super::b;",
        ] {
            assert_eq!(cycles_of(&[("a", "use crate::b;"), ("b", back)]), [""; 0], "{back}");
        }
        assert_eq!(cycles_of(&[("a", "use crate::a::b;"), ("a::b", "use super::c; use crate::a;")]), [""; 0]);
    }

    #[test]
    fn sources_of_a_crate_are_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        read(&root.join("src"), &mut Vec::new(), &mut files).unwrap();
        let uses = uses(&files);
        assert!(
            uses["suites"].is_superset(&BTreeSet::from(["commands", "tools"].map(str::to_owned))),
            "{uses:?}"
        );
        assert!(!uses.contains_key("main"), "{uses:?}");
        assert_eq!(cycles("xtask", root).unwrap(), [""; 0]);
    }
}
