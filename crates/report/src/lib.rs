//! A dataset as one HTML page, for people: what was asked and what was delivered, what was lost and why, how long samples are, how full
//! packs are, and some samples as a trainer sees them.
//!
//! ```text
//! manifest ─▶ account ─┐
//! ledger ───▶ counts ──┼─▶ page.html, filled in
//! shards ───▶ samples ─┘   (only the samples that are shown are read)
//! ```
//!
//! **Invariant:** every number comes from the dataset's own files. The page loads nothing from elsewhere.

mod account;
mod counts;
mod histogram;
mod options;
mod samples;

use manyframe_dataset::{DatasetError, DatasetReader};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::account::Account;
use crate::counts::Counts;
use crate::histogram::Chart;
use crate::samples::ShownSample;

pub use options::ReportOptions;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The page cannot be filled in.
    #[error("cannot fill in the page")]
    Page(#[from] minijinja::Error),
}

/// The page, as the template sees it.
#[derive(Serialize)]
struct Report {
    account: Account,
    reasons: Vec<counts::Reason>,
    charts: Vec<Chart>,
    samples: Vec<ShownSample>,
}

/// The page of a dataset.
///
/// # Errors
/// If a file of the dataset is missing or damaged.
pub fn report(dataset: &DatasetReader, options: ReportOptions) -> Result<String, ReportError> {
    let counts = Counts::of(dataset, options)?;
    let shown = counts.chosen.iter().map(|row| samples::shown(dataset, row)).filter_map(Result::transpose);
    let report = Report {
        account: Account::of(dataset.manifest()),
        samples: shown.collect::<Result<_, _>>()?,
        charts: counts.charts(dataset)?,
        reasons: counts.reasons,
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("count", |number: u64| with_commas(number));
    environment.add_filter("bytes", |number: u64| in_binary_units(number));
    environment.add_filter("percent", |share: f64| in_percent(share));
    Ok(environment.render_named_str("page.html", include_str!("page.html"), Serde(&report))?)
}

/// A whole number with commas between thousands.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn in_binary_units(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{number} {name}") } else { format!("{value:.1} {name}") }
}

fn in_percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent == 0.0 || percent >= 9.95 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_a_person_reads() {
        assert_eq!([0, 999, 1000, 1_234_567].map(with_commas), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1536, 3 << 30].map(in_binary_units), ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([0.0, 0.004, 0.0994, 0.0996, 1.0].map(in_percent), ["0 %", "0.4 %", "9.9 %", "10 %", "100 %"]);
    }
}
