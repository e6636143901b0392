//! The figures of a part, on the screen, as JSON, and all parts together as a page with pictures.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Something measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// How much.
    pub(crate) measured: f64,
    /// Of what.
    pub(crate) unit: String,
    /// The same of the least that could do it, measured in the same run.
    pub(crate) floor: Option<f64>,
    /// What may not be exceeded.
    pub(crate) bars: Vec<Bar>,
    /// What there is to know about it.
    pub(crate) note: String,
}

/// A bound.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Bar {
    /// Of the figure itself.
    AtMost(f64),
    /// Of the figure in terms of its floor.
    TimesFloor(f64),
}

impl Figure {
    /// A figure without a floor or bars.
    pub(crate) fn new(name: impl Into<String>, measured: f64, unit: &str) -> Self {
        let (name, unit) = (name.into(), unit.to_owned());
        Self { name, measured, unit, floor: None, bars: Vec::new(), note: String::new() }
    }

    /// With its floor.
    #[must_use]
    pub(crate) fn floor(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// With a bar.
    #[must_use]
    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bars.push(bar);
        self
    }

    /// With a note.
    #[must_use]
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// In terms of its floor.
    #[must_use]
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.floor.filter(|floor| *floor > 0.0).map(|floor| self.measured / floor)
    }

    /// Whether every bar holds; `None` when there is none.
    #[must_use]
    pub(crate) fn kept(&self) -> Option<bool> {
        let kept = |bar: &Bar| match bar {
            Bar::AtMost(most) => self.measured <= *most,
            Bar::TimesFloor(most) => self.ratio().is_some_and(|ratio| ratio <= *most),
        };
        (!self.bars.is_empty()).then(|| self.bars.iter().all(kept))
    }

    fn bars(&self) -> String {
        let text = |bar: &Bar| match bar {
            Bar::AtMost(most) => format!("≤ {} {}", number(*most), self.unit),
            Bar::TimesFloor(most) => format!("≤ {} ×", number(*most)),
        };
        self.bars.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    fn verdict(&self) -> &'static str {
        match self.kept() {
            Some(true) => "kept",
            Some(false) => "MISSED",
            None => "",
        }
    }

    /// One line of the table.
    fn line(&self) -> String {
        let measured = format!("{} {}", number(self.measured), self.unit);
        let floor = self.floor.map(number).unwrap_or_default();
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default();
        format!(
            "  {:<62} {measured:>14} {floor:>9} {ratio:>8}  {:<24} {}",
            self.name,
            self.bars(),
            self.verdict()
        )
    }
}

/// As many digits as say something.
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
    /// Its name, as on the command line.
    pub(crate) name: String,
    /// When it was measured.
    pub(crate) at: String,
    /// Its figures.
    pub(crate) figures: Vec<Figure>,
}

impl Part {
    /// Prints it.
    #[expect(clippy::print_stdout, reason = "this is what a person reads")]
    pub(crate) fn print(&self) {
        println!("\n{:<64} {:>14} {:>9} {:>8}  {:<24}", self.name, "measured", "floor", "ratio", "bar");
        for figure in &self.figures {
            println!("{}", figure.line());
            if !figure.note.is_empty() {
                println!("      {}", figure.note);
            }
        }
    }

    /// Writes it where the report finds it.
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

/// Puts all parts that were ever measured together: `report.json` and `report.html`.
pub(crate) fn write(directory: &Path, names: &[&str], machine: &str) -> Result<()> {
    let measured_here = names.iter().filter_map(|name| Part::read(directory, name));
    let parts: Vec<_> = measured_here.chain(instructions(directory)).chain(neighbour(directory)).collect();
    let json = serde_json::json!({ "machine": machine, "parts": parts });
    std::fs::write(directory.join("report.json"), serde_json::to_vec_pretty(&json)?)?;
    std::fs::write(directory.join("report.html"), page(&parts, machine)?).context("the report")?;
    Ok(())
}

/// What the noisy neighbour's program wrote.
fn neighbour(directory: &Path) -> Option<Part> {
    let (figures, at) = foreign(directory, "neighbour")?;
    let number = |path: &str| figures.pointer(path).and_then(Value::as_f64);
    let figure = |rank: &str| {
        let measured = number(&format!("/beside/deliveries/{rank}"))?;
        let name = format!("publish to receipt beside a noisy tenant, {}", rank.trim_end_matches("Ms"));
        let figure = Figure::new(name, measured, "ms").floor(number(&format!("/alone/deliveries/{rank}"))?);
        Some(figure.bar(Bar::AtMost(number(&format!("/bars/{rank}"))?)))
    };
    Some(Part {
        name: "neighbour".to_owned(),
        at,
        figures: ["p50Ms", "p99Ms"].into_iter().filter_map(figure).collect(),
    })
}

/// The counts of the hot paths; the floor is the kept baseline.
fn instructions(directory: &Path) -> Option<Part> {
    let (counts, at) = foreign(directory, "instructions")?;
    let figures = counts.as_array()?.iter().filter_map(|count| {
        let number = |name: &str| count.get(name).and_then(Value::as_f64);
        let figure = Figure::new(count.get("name")?.as_str()?, number("count")?, "instructions");
        Some(match number("baseline") {
            Some(baseline) => figure.floor(baseline).bar(Bar::TimesFloor(1.05)),
            None => figure,
        })
    });
    Some(Part { name: "instructions".to_owned(), at, figures: figures.collect() })
}

/// A file of figures that another program wrote, and when.
fn foreign(directory: &Path, name: &str) -> Option<(Value, String)> {
    let file = directory.join(format!("{name}.json"));
    let figures = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    let at = OffsetDateTime::from(std::fs::metadata(&file).ok()?.modified().ok()?);
    Some((figures, at.format(&Rfc3339).ok()?))
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1d2733;background:#fff}\
table{border-collapse:collapse;width:100%;margin-bottom:2rem}td,th{padding:.35rem .6rem;text-align:left;border-bottom:1px solid #d8dee6;vertical-align:top}\
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}small{color:#5a6775;display:block}.kept{color:#11703a}.missed{color:#b3261e;font-weight:600}\
@media(prefers-color-scheme:dark){body{background:#12171d;color:#dfe6ee}td,th{border-color:#2c3640}small{color:#93a1b0}.kept{color:#5ecb8b}.missed{color:#ff8a80}}";

fn page(parts: &[Part], machine: &str) -> Result<String> {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Anzol: what it takes</title>\
         <style>{STYLE}</style><h1>Anzol: what it takes</h1><p>{}. Each bar shows the figure as a part of what it may be: full is the bar itself.</p>",
        escape(machine)
    );
    for part in parts {
        write!(
            page,
            "<h2>{}</h2><small>{}</small><table><tr><th>figure<th class=n>measured<th class=n>floor<th class=n>ratio<th>bar<th><th></tr>",
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
                figure.floor.map(number).unwrap_or_default(),
                figure.ratio().map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
                figure.bars(),
                if figure.kept() == Some(false) { "missed" } else { "kept" },
                figure.verdict(),
                picture(figure),
            )?;
        }
        page.push_str("</table>");
    }
    Ok(page)
}

/// How near a figure is to the tightest of its bars.
fn picture(figure: &Figure) -> String {
    let used = figure.bars.iter().filter_map(|bar| match bar {
        Bar::AtMost(most) => Some(figure.measured / most),
        Bar::TimesFloor(most) => Some(figure.ratio()? / most),
    });
    let Some(used) = used.reduce(f64::max) else { return String::new() };
    let (width, colour) = (used.clamp(0.01, 1.5) * 100.0, if used <= 1.0 { "#2e8b57" } else { "#c0392b" });
    format!(
        "<svg width=160 height=14 role=img aria-label='{:.0} % of the bar'><rect width='{width:.0}' height=10 y=2 fill='{colour}'/>\
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
    fn the_report_holds_what_other_programs_measured() {
        let directory = std::env::temp_dir().join(format!("anzol-report-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let neighbour = r#"{"alone":{"deliveries":{"p50Ms":100,"p99Ms":200}},"beside":{"deliveries":{"p50Ms":150,"p99Ms":9000}},
            "bars":{"p50Ms":1000,"p99Ms":8000}}"#;
        std::fs::write(directory.join("neighbour.json"), neighbour).unwrap();
        let counts =
            r#"[{"name":"row","count":1051,"baseline":1000},{"name":"sign","count":7,"baseline":null}]"#;
        std::fs::write(directory.join("instructions.json"), counts).unwrap();
        write(&directory, &[], "a machine").unwrap();
        let report: Value =
            serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap();
        let parts: Vec<Part> = serde_json::from_value(report["parts"].clone()).unwrap();
        let kept: Vec<_> = parts.iter().flat_map(|part| &part.figures).map(Figure::kept).collect();
        assert_eq!(kept, [Some(false), None, Some(true), Some(false)]);
        let page = std::fs::read_to_string(directory.join("report.html")).unwrap();
        assert_eq!(page.matches("MISSED").count(), 2);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_bar_is_kept_up_to_itself_and_missed_beyond() {
        let figure = |measured| Figure::new("f", measured, "ms").floor(2.0).bar(Bar::TimesFloor(1.5));
        assert_eq!(figure(3.0).kept(), Some(true));
        assert_eq!(figure(3.1).kept(), Some(false));
        assert_eq!(figure(3.0).bar(Bar::AtMost(2.9)).kept(), Some(false));
        assert_eq!(Figure::new("f", 1.0, "ms").kept(), None);
        assert_eq!(
            Figure::new("f", 1.0, "ms").bar(Bar::TimesFloor(9.0)).kept(),
            Some(false),
            "no floor, no ratio"
        );
    }
}
