//! Package sizes: each function's binary as a zip holds it.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::megabytes;
use crate::report::{Bar, Figure};
use crate::world::Paths;

/// In a package: MB zipped.
const MOST: f64 = 4.0;

pub(super) fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let floor = zipped(&paths.floors.join("hello"))?;
    ["api", "ingest", "fanout", "sender", "console"]
        .into_iter()
        .map(|name| {
            let figure = Figure::new(format!("{name}, zipped"), zipped(&paths.functions.join(name))?, "MB");
            Ok(figure.floor(floor).bar(Bar::AtMost(MOST)))
        })
        .collect()
}

fn zipped(file: &std::path::Path) -> Result<f64> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    Ok(megabytes(u64::try_from(encoder.finish()?.len())?))
}
