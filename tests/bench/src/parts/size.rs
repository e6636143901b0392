//! Package sizes: each function's binary, compressed as in a zip.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::megabytes;
use crate::context::Paths;
use crate::report::{Figure, Threshold};

/// Threshold for a zip, in MB.
const MOST: f64 = 4.0;

pub(super) fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let baseline = zipped(&paths.baselines.join("hello"))?;
    ["api", "ingest", "fanout", "sender", "console"]
        .into_iter()
        .map(|name| {
            let figure = Figure::new(format!("{name}, zipped"), zipped(&paths.functions.join(name))?, "MB");
            Ok(figure.baseline(baseline).threshold(Threshold::AtMost(MOST)))
        })
        .collect()
}

fn zipped(file: &std::path::Path) -> Result<f64> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    Ok(megabytes(u64::try_from(encoder.finish()?.len())?))
}
