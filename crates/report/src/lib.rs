//! A dataset as one HTML page, for people: what was asked and what was delivered, what was lost and why, how long samples are, how full
//! packs are, and some samples as a trainer sees them.
//!
//! ```text
//! manifest ─────────────────▶ account ───┐
//! ledger ───────────────────▶ counts ────┤
//! shards ───────────────────▶ samples ───┤   (only the samples that are shown are read)
//! validation.json, its table ▶ losses ───┼─▶ page.html, filled in
//! needle-scores.json ───────▶ needles ───┤
//! sources, where they are here ▶ originals ┤
//! another dataset ──────────▶ difference ┘
//! ```
//!
//! **Invariant:** every number comes from the dataset's own files. The page loads nothing from elsewhere.

mod account;
mod counts;
mod drawing;
mod error;
mod heat_map;
mod histogram;
mod losses;
mod needles;
mod options;
mod originals;
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{HumanBytes, HumanCount};
use manyframe_core::RecordId;
use manyframe_dataset::{DatasetDifference, DatasetError, DatasetReader, LedgerRow, MANIFEST_FILE};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::account::Account;
use crate::counts::Counts;
use crate::histogram::Chart;
use crate::losses::{Losses, ShownLosses};
use crate::needles::ShownNeedles;
use crate::originals::Pair;
use crate::samples::ShownSample;

pub use error::ReportError;
pub use heat_map::heat_map_png;
pub use options::ReportOptions;
pub use originals::{NoOriginals, Original, Originals};

/// Examples of each group of records that differ.
const NUM_EXAMPLES: usize = 3;

/// The page, as the template sees it.
#[derive(Serialize)]
struct Report {
    account: Account,
    reasons: Vec<counts::Reason>,
    charts: Vec<Chart>,
    against: Option<DatasetDifference>,
    losses: Option<ShownLosses>,
    needles: Option<ShownNeedles>,
    duplicates: Vec<Pair>,
    samples: Vec<ShownSample>,
}

/// The page of a dataset.
///
/// # Errors
/// If a file of the dataset is missing or damaged; [`ReportError::Replaced`] if it, or the one that it is compared with, was replaced
/// since it was opened.
pub fn report(dataset: &DatasetReader, options: ReportOptions<'_>) -> Result<String, ReportError> {
    let page = page(dataset, options);
    for dataset in options.against.into_iter().chain([dataset]) {
        // What is missing or damaged then is so in neither dataset.
        if dataset.is_replaced()? {
            return Err(ReportError::Replaced { path: dataset.location().join(MANIFEST_FILE) });
        }
    }
    page
}

fn page(dataset: &DatasetReader, options: ReportOptions<'_>) -> Result<String, ReportError> {
    let counts = Counts::of(dataset, options)?;
    let losses = Losses::read(dataset)?;
    let named = losses.iter().flat_map(Losses::ids).chain(counts.duplicates.kept()).collect();
    let named = find_rows(dataset, &named)?;
    let shown = counts.chosen.iter().map(|row| samples::shown(dataset, row)).filter_map(Result::transpose);
    let difference = |other| DatasetDifference::between(other, dataset, NUM_EXAMPLES);
    let report = Report {
        account: Account::of(dataset.manifest()),
        samples: shown.collect::<Result<_, _>>()?,
        charts: counts.charts(dataset, options.seed)?,
        against: options.against.map(difference).transpose()?,
        losses: losses.map(|losses| losses.shown(dataset, &named)).transpose()?,
        needles: ShownNeedles::read(dataset)?,
        duplicates: counts.duplicates.pairs(dataset, &named, options.originals)?,
        reasons: counts.reasons(options.originals),
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("count", |number: u64| HumanCount(number).to_string());
    environment.add_filter("bytes", |number: u64| HumanBytes(number).to_string());
    environment.add_filter("percent", |share: f64| in_percent(share));
    environment.add_filter("signed", signed);
    environment.add_filter("setting", setting_text);
    environment.add_filter("fixed", |number: f64| format!("{number:.3}"));
    Ok(environment.render_named_str("page.html", include_str!("page.html"), Serde(&report))?)
}

/// The rows of some records.
fn find_rows(dataset: &DatasetReader, ids: &BTreeSet<RecordId>) -> Result<BTreeMap<RecordId, LedgerRow>, DatasetError> {
    let mut found = BTreeMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    for row in dataset.ledger()? {
        let row = row?;
        if ids.contains(&row.id) {
            found.insert(row.id, row);
            if found.len() == ids.len() {
                break;
            }
        }
    }
    Ok(found)
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "−" } else { "+" };
    format!("{sign}{}", HumanCount(number.unsigned_abs()))
}

/// The value of a setting.
fn setting_text(value: &minijinja::Value) -> String {
    if value.is_none() || value.is_undefined() {
        return "not set".to_owned();
    }
    // A whole table, such as that of a source, says too much.
    if value.kind() == minijinja::value::ValueKind::Map {
        return "{ … }".to_owned();
    }
    serde_json::to_string(value).unwrap_or_default()
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
