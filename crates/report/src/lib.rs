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

use indicatif::{HumanBytes, HumanCount};
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
    environment.add_filter("count", |number: u64| HumanCount(number).to_string());
    environment.add_filter("bytes", |number: u64| HumanBytes(number).to_string());
    environment.add_filter("percent", |share: f64| in_percent(share));
    Ok(environment.render_named_str("page.html", include_str!("page.html"), Serde(&report))?)
}

fn in_percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent == 0.0 || percent >= 9.95 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_a_digit_where_they_are_small() {
        assert_eq!([0.0, 0.004, 0.0994, 0.0996, 1.0].map(in_percent), ["0 %", "0.4 %", "9.9 %", "10 %", "100 %"]);
    }
}
