//! Reports: the figures of a part as a table and as JSON, and all parts together as an HTML page with charts.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A measured value with its thresholds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    /// Description of the value.
    pub(crate) name: String,
    /// The value.
    pub(crate) measured: f64,
    /// The unit of the value.
    pub(crate) unit: String,
    /// The value of a minimal program that does the same kind of work, measured in the same run.
    pub(crate) baseline: Option<f64>,
    /// Upper bounds.
    pub(crate) thresholds: Vec<Threshold>,
    /// Details for the reader.
    pub(crate) note: String,
}

/// An upper bound.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Threshold {
    /// For the value.
    AtMost(f64),
    /// For the ratio of the value to its baseline.
    TimesBaseline(f64),
}

impl Figure {
    /// Returns a figure without baseline, thresholds and note.
    pub(crate) fn new(name: impl Into<String>, measured: f64, unit: &str) -> Self {
        let (name, unit) = (name.into(), unit.to_owned());
        Self { name, measured, unit, baseline: None, thresholds: Vec::new(), note: String::new() }
    }

    /// Sets the baseline.
    #[must_use]
    pub(crate) fn baseline(self, baseline: f64) -> Self {
        Self { baseline: Some(baseline), ..self }
    }

    /// Adds a threshold.
    #[must_use]
    pub(crate) fn threshold(mut self, threshold: Threshold) -> Self {
        self.thresholds.push(threshold);
        self
    }

    /// Sets the note.
    #[must_use]
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Returns the ratio to the baseline, if there is one.
    #[must_use]
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.baseline.filter(|baseline| *baseline > 0.0).map(|baseline| self.measured / baseline)
    }

    /// Returns whether all thresholds are met; `None` if there are none.
    #[must_use]
    pub(crate) fn is_met(&self) -> Option<bool> {
        let met = |threshold: &Threshold| match threshold {
            Threshold::AtMost(most) => self.measured <= *most,
            Threshold::TimesBaseline(most) => self.ratio().is_some_and(|ratio| ratio <= *most),
        };
        (!self.thresholds.is_empty()).then(|| self.thresholds.iter().all(met))
    }

    fn thresholds(&self) -> String {
        let text = |threshold: &Threshold| match threshold {
            Threshold::AtMost(most) => format!("≤ {} {}", number(*most), self.unit),
            Threshold::TimesBaseline(most) => format!("≤ {} ×", number(*most)),
        };
        self.thresholds.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    fn verdict(&self) -> &'static str {
        match self.is_met() {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        }
    }

    /// Formats a line of the table.
    fn line(&self) -> String {
        let measured = format!("{} {}", number(self.measured), self.unit);
        let baseline = self.baseline.map(number).unwrap_or_default();
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default();
        format!(
            "  {:<62} {measured:>14} {baseline:>9} {ratio:>8}  {:<24} {}",
            self.name,
            self.thresholds(),
            self.verdict()
        )
    }
}

/// Formats a number with a useful number of digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 0.1 => 4,
        small if small < 10.0 => 2,
        small if small < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// The figures of a part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part {
    /// The part's name, as on the command line.
    pub(crate) name: String,
    /// The time of the measurement.
    pub(crate) at: String,
    /// The measured figures.
    pub(crate) figures: Vec<Figure>,
}

impl Part {
    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the table is the program's output")]
    pub(crate) fn print(&self) {
        println!(
            "\n{:<64} {:>14} {:>9} {:>8}  {:<24}",
            self.name, "measured", "baseline", "ratio", "threshold"
        );
        for figure in &self.figures {
            println!("{}", figure.line());
            if !figure.note.is_empty() {
                println!("      {}", figure.note);
            }
        }
    }

    /// Writes the part for the report.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let parts = directory.join("parts");
        std::fs::create_dir_all(&parts)?;
        std::fs::write(parts.join(format!("{}.json", self.name)), serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    fn read(directory: &Path, name: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join("parts").join(format!("{name}.json"))).ok()?)
            .ok()
    }
}

/// Writes report.json and report.html with the latest figures of all parts.
pub(crate) fn write(directory: &Path, names: &[&str], machine: &str) -> Result<()> {
    let measured_here = names.iter().filter_map(|name| Part::read(directory, name));
    let parts: Vec<_> = measured_here.chain(instructions(directory)).chain(neighbor(directory)).collect();
    let json = serde_json::json!({ "machine": machine, "parts": parts });
    std::fs::write(directory.join("report.json"), serde_json::to_vec_pretty(&json)?)?;
    std::fs::write(directory.join("report.html"), page(&parts, machine)?).context("the report")?;
    Ok(())
}

/// Reads the figures of `bench neighbor`.
fn neighbor(directory: &Path) -> Option<Part> {
    let (figures, at) = read_figures(directory, "neighbor")?;
    let number = |path: &str| figures.pointer(path).and_then(Value::as_f64);
    let figure = |rank: &str| {
        let measured = number(&format!("/withNoise/deliveries/{rank}"))?;
        let name = format!("publish to receipt, next to a noisy tenant, {}", rank.trim_end_matches("Ms"));
        let figure =
            Figure::new(name, measured, "ms").baseline(number(&format!("/alone/deliveries/{rank}"))?);
        Some(figure.threshold(Threshold::AtMost(number(&format!("/thresholds/{rank}"))?)))
    };
    Some(Part {
        name: "neighbor".to_owned(),
        at,
        figures: ["p50Ms", "p99Ms"].into_iter().filter_map(figure).collect(),
    })
}

/// Reads the counts of `bench instructions`; their baseline is the stored one.
fn instructions(directory: &Path) -> Option<Part> {
    let (counts, at) = read_figures(directory, "instructions")?;
    let figures = counts.as_array()?.iter().filter_map(|count| {
        let number = |name: &str| count.get(name).and_then(Value::as_f64);
        let figure = Figure::new(count.get("name")?.as_str()?, number("count")?, "instructions");
        Some(match number("baseline") {
            Some(baseline) => figure.baseline(baseline).threshold(Threshold::TimesBaseline(1.05)),
            None => figure,
        })
    });
    Some(Part { name: "instructions".to_owned(), at, figures: figures.collect() })
}

/// Reads a file of figures that another program wrote. Returns the figures and the file's modification time.
fn read_figures(directory: &Path, name: &str) -> Option<(Value, String)> {
    let file = directory.join(format!("{name}.json"));
    let figures = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    let at = OffsetDateTime::from(std::fs::metadata(&file).ok()?.modified().ok()?);
    Some((figures, at.format(&Rfc3339).ok()?))
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1d2733;background:#fff}\
table{border-collapse:collapse;width:100%;margin-bottom:2rem}td,th{padding:.35rem .6rem;text-align:left;border-bottom:1px solid #d8dee6;vertical-align:top}\
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}small{color:#5a6775;display:block}.ok{color:#11703a}.missed{color:#b3261e;font-weight:600}\
@media(prefers-color-scheme:dark){body{background:#12171d;color:#dfe6ee}td,th{border-color:#2c3640}small{color:#93a1b0}.ok{color:#5ecb8b}.missed{color:#ff8a80}}";

fn page(parts: &[Part], machine: &str) -> Result<String> {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Anzol benchmarks</title>\
         <style>{STYLE}</style><h1>Anzol benchmarks</h1><p>{}. Each chart shows the value relative to its tightest threshold, which is the line.</p>",
        escape(machine)
    );
    for part in parts {
        write!(
            page,
            "<h2>{}</h2><small>{}</small><table><tr><th>figure<th class=n>measured<th class=n>baseline<th class=n>ratio<th>threshold<th><th></tr>",
            escape(&part.name),
            escape(&part.at)
        )?;
        for figure in &part.figures {
            write!(
                page,
                "<tr><td>{}<small>{}</small><td class=n>{} {}<td class=n>{}<td class=n>{}<td>{}<td class={}>{}<td>{}</tr>",
                escape(&figure.name),
                escape(&figure.note),
                number(figure.measured),
                escape(&figure.unit),
                figure.baseline.map(number).unwrap_or_default(),
                figure.ratio().map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
                figure.thresholds(),
                if figure.is_met() == Some(false) { "missed" } else { "ok" },
                figure.verdict(),
                chart(figure),
            )?;
        }
        page.push_str("</table>");
    }
    Ok(page)
}

/// Draws the value relative to the tightest of its thresholds.
fn chart(figure: &Figure) -> String {
    let used = figure.thresholds.iter().filter_map(|threshold| match threshold {
        Threshold::AtMost(most) => Some(figure.measured / most),
        Threshold::TimesBaseline(most) => Some(figure.ratio()? / most),
    });
    let Some(used) = used.reduce(f64::max) else { return String::new() };
    let (width, color) = (used.clamp(0.01, 1.5) * 100.0, if used <= 1.0 { "#2e8b57" } else { "#c0392b" });
    format!(
        "<svg width=160 height=14 role=img aria-label='{:.0} % of the threshold'><rect width='{width:.0}' height=10 y=2 fill='{color}'/>\
         <line x1=100 x2=100 y2=14 stroke=currentColor /></svg>",
        used * 100.0
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_includes_figures_of_other_programs() {
        let directory = std::env::temp_dir().join(format!("anzol-report-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let neighbor = r#"{"alone":{"deliveries":{"p50Ms":100,"p99Ms":200}},"withNoise":{"deliveries":{"p50Ms":150,"p99Ms":9000}},
            "thresholds":{"p50Ms":1000,"p99Ms":8000}}"#;
        std::fs::write(directory.join("neighbor.json"), neighbor).unwrap();
        let counts =
            r#"[{"name":"row","count":1051,"baseline":1000},{"name":"sign","count":7,"baseline":null}]"#;
        std::fs::write(directory.join("instructions.json"), counts).unwrap();
        write(&directory, &[], "a machine").unwrap();
        let report: Value =
            serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap();
        let parts: Vec<Part> = serde_json::from_value(report["parts"].clone()).unwrap();
        let met: Vec<_> = parts.iter().flat_map(|part| &part.figures).map(Figure::is_met).collect();
        assert_eq!(met, [Some(false), None, Some(true), Some(false)]);
        let page = std::fs::read_to_string(directory.join("report.html")).unwrap();
        assert_eq!(page.matches("MISSED").count(), 2);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn threshold_is_inclusive() {
        let figure = |measured| {
            Figure::new("f", measured, "ms").baseline(2.0).threshold(Threshold::TimesBaseline(1.5))
        };
        assert_eq!(figure(3.0).is_met(), Some(true));
        assert_eq!(figure(3.1).is_met(), Some(false));
        assert_eq!(figure(3.0).threshold(Threshold::AtMost(2.9)).is_met(), Some(false));
        assert_eq!(Figure::new("f", 1.0, "ms").is_met(), None);
        assert_eq!(
            Figure::new("f", 1.0, "ms").threshold(Threshold::TimesBaseline(9.0)).is_met(),
            Some(false),
            "no baseline, no ratio"
        );
    }
}
