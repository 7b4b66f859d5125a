//! The contract: what the pipeline file asks of each source, and what was seen, drawn and delivered of it.

use std::collections::BTreeMap;

use manyframe_core::{RejectCode, Total};
use manyframe_dataset::{Asked, Manifest, SourceSummary};
use manyframe_plan::{Plan, SourceBudget};
use manyframe_samplers::{Difference, Law, Unit};

use crate::table::{Table, count, percent};

/// A row of the table: one source.
struct SourceLine<'a> {
    name: &'a str,
    num_seen: u64,
    rejected: &'a BTreeMap<RejectCode, u64>,
    num_duplicates: u64,
    available: Total,
    asked: Asked,
    drawn: Total,
    num_repeats: u64,
    num_pieces: u64,
    num_shortened: u64,
    /// Known once the plan has run.
    delivered: Option<Total>,
}

impl<'a> From<&'a SourceBudget> for SourceLine<'a> {
    fn from(budget: &'a SourceBudget) -> Self {
        Self {
            name: &budget.name,
            num_seen: budget.num_seen,
            rejected: &budget.rejected,
            num_duplicates: budget.num_duplicates(),
            available: budget.available,
            asked: budget.asked,
            drawn: budget.drawn,
            num_repeats: budget.num_repeats(),
            num_pieces: budget.num_pieces,
            num_shortened: budget.num_shortened,
            delivered: None,
        }
    }
}

impl<'a> From<&'a SourceSummary> for SourceLine<'a> {
    fn from(summary: &'a SourceSummary) -> Self {
        Self {
            name: &summary.name,
            num_seen: summary.num_seen,
            rejected: &summary.rejected,
            num_duplicates: summary.num_duplicates,
            available: summary.available,
            asked: summary.asked,
            drawn: summary.drawn,
            num_repeats: summary.num_repeats,
            num_pieces: summary.num_pieces,
            num_shortened: summary.num_shortened,
            delivered: Some(summary.delivered),
        }
    }
}

/// The contract of a plan.
pub(super) fn of_plan(plan: &Plan) -> String {
    render(&plan.sources.iter().map(SourceLine::from).collect::<Vec<_>>())
}

/// The contract of a dataset.
pub(super) fn of_dataset(manifest: &Manifest) -> String {
    render(&manifest.sources.iter().map(SourceLine::from).collect::<Vec<_>>())
}

fn render(lines: &[SourceLine<'_>]) -> String {
    let is_run = lines.iter().any(|line| line.delivered.is_some());
    let mut names = vec!["source", "seen", "rejected", "filtered", "duplicates", "available", "asked", "drawn"];
    if is_run {
        names.push("delivered");
    }
    names.extend(["tokens", "images", "frames", "asked %", "actual %", "tokens %"]);
    let mut table = Table::new(&names);
    let shares = Shares::of(lines);
    for line in lines {
        table.push(cells(line, &shares, is_run));
    }
    table.push(total_cells(lines, is_run));
    let notes: Vec<String> = lines.iter().filter_map(note).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("\n{}\n", notes.join("\n")) };
    format!("{}{notes}", table.render())
}

fn num_filtered(line: &SourceLine<'_>) -> u64 {
    line.rejected.get(&RejectCode::Filtered).copied().unwrap_or(0)
}

fn num_rejected(line: &SourceLine<'_>) -> u64 {
    line.rejected.values().sum::<u64>() - num_filtered(line)
}

fn cells(line: &SourceLine<'_>, shares: &Shares, is_run: bool) -> Vec<String> {
    let actual = line.delivered.unwrap_or(line.drawn);
    let mut cells = vec![line.name.to_owned()];
    let counts = [line.num_seen, num_rejected(line), num_filtered(line), line.num_duplicates];
    cells.extend(counts.map(count));
    cells.push(count(line.available.num_samples));
    cells.push(asked_text(&line.asked));
    cells.push(count(line.drawn.num_samples));
    if is_run {
        cells.push(count(actual.num_samples));
    }
    cells.extend([actual.cost.num_tokens(), actual.cost.num_images, actual.cost.num_frames].map(count));
    cells.push(shares.asked(line).map_or_else(String::new, percent));
    cells.push(shares.actual(line).map_or_else(String::new, percent));
    cells.push(percent(ratio(actual.cost.num_tokens() as f64, shares.tokens)));
    cells
}

fn total_cells(lines: &[SourceLine<'_>], is_run: bool) -> Vec<String> {
    let sum = |get: &dyn Fn(&SourceLine<'_>) -> u64| count(lines.iter().map(get).sum());
    let actual = |line: &SourceLine<'_>| line.delivered.unwrap_or(line.drawn);
    let mut cells = vec!["total".to_owned(), sum(&|line| line.num_seen), sum(&num_rejected), sum(&num_filtered)];
    cells.extend([sum(&|line| line.num_duplicates), sum(&|line| line.available.num_samples), String::new()]);
    cells.push(sum(&|line| line.drawn.num_samples));
    if is_run {
        cells.push(sum(&|line| actual(line).num_samples));
    }
    cells.push(sum(&|line| actual(line).cost.num_tokens()));
    cells.push(sum(&|line| actual(line).cost.num_images));
    cells.push(sum(&|line| actual(line).cost.num_frames));
    cells.extend([String::new(), String::new(), String::new()]);
    cells
}

/// The sums that shares are relative to; `None` if sources are asked for in different units.
struct Shares {
    asked: Option<f64>,
    actual: Option<f64>,
    tokens: f64,
}

impl Shares {
    fn of(lines: &[SourceLine<'_>]) -> Self {
        let unit = lines.first().map(|line| line.asked.unit);
        let is_one_unit = lines.iter().all(|line| Some(line.asked.unit) == unit);
        let sum = |get: fn(&SourceLine<'_>) -> f64| is_one_unit.then(|| lines.iter().map(get).sum());
        Self {
            asked: sum(|line| line.asked.amount),
            actual: sum(actual_units),
            tokens: lines.iter().map(|line| line.delivered.unwrap_or(line.drawn).cost.num_tokens() as f64).sum(),
        }
    }

    fn asked(&self, line: &SourceLine<'_>) -> Option<f64> {
        self.asked.map(|whole| ratio(line.asked.amount, whole))
    }

    fn actual(&self, line: &SourceLine<'_>) -> Option<f64> {
        self.actual.map(|whole| ratio(actual_units(line), whole))
    }
}

/// What was delivered of a source, or drawn if nothing was run yet, in the unit in which it is asked for.
fn actual_units(line: &SourceLine<'_>) -> f64 {
    let Some(Total { num_samples, cost }) = line.delivered else { return line.asked.drawn as f64 };
    let units = match line.asked.unit {
        Unit::Records => num_samples,
        Unit::Tokens => cost.num_tokens(),
        Unit::Images => cost.num_images,
        Unit::Frames => cost.num_frames,
    };
    units as f64
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn asked_text(asked: &Asked) -> String {
    let unit = if asked.unit == Unit::Records { String::new() } else { format!(" {}", asked.unit.as_str()) };
    match asked.law {
        Law::All => "all".to_owned(),
        Law::Take(units) => format!("{}{unit}", count(units)),
        Law::Weight(weight) => format!("weight {weight}: {}{unit}", count(asked.amount.round() as u64)),
        Law::Repeat(factor) => format!("× {factor}: {}{unit}", count(asked.amount.round() as u64)),
    }
}

/// Why a source does not deliver exactly what was asked for; `None` if it does.
fn note(line: &SourceLine<'_>) -> Option<String> {
    let mut reasons = Vec::new();
    let asked = &line.asked;
    let (amount, drawn, unit) = (count(asked.amount.round() as u64), count(asked.drawn), asked.unit.as_str());
    match asked.difference {
        Difference::None => {}
        Difference::Rounding if asked.unit == Unit::Records => {}
        Difference::Rounding => {
            reasons.push(format!("{drawn} of {amount} {unit} drawn: the next record would have exceeded the target"));
        }
        Difference::Exhausted => reasons.push(format!("{drawn} of {amount} {unit} drawn: the source has no more")),
    }
    if line.num_repeats > 0 {
        reasons.push(format!("{} of its samples repeat a record", count(line.num_repeats)));
    }
    if line.num_shortened > 0 {
        let drawn = count(line.num_shortened);
        reasons.push(format!(
            "{drawn} of those drawn show fewer frames or tiles than they have, to fit into format.max_tokens"
        ));
    }
    if line.num_pieces > 0 {
        let more = count(line.num_pieces);
        reasons.push(format!("over-length conversations were split, which added {more} records"));
    }
    if let Some(delivered) = line.delivered
        && delivered.num_samples < line.drawn.num_samples
    {
        let lost = line.drawn.num_samples - delivered.num_samples;
        reasons.push(format!("{} drawn but rejected while decoding; see the ledger", count(lost)));
    }
    (!reasons.is_empty()).then(|| format!("{}: {}", line.name, reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use manyframe_core::Cost;

    use super::*;

    fn total(num_samples: u64, text_tokens: u64) -> Total {
        Total { num_samples, cost: Cost { text_tokens, ..Cost::default() } }
    }

    fn line<'a>(name: &'a str, rejected: &'a BTreeMap<RejectCode, u64>, asked: Asked) -> SourceLine<'a> {
        SourceLine {
            name,
            num_seen: 12,
            rejected,
            num_duplicates: 1,
            available: total(8, 80),
            asked,
            drawn: total(asked.drawn, 10 * asked.drawn),
            num_repeats: 0,
            num_pieces: 0,
            num_shortened: 0,
            delivered: None,
        }
    }

    fn take(unit: Unit, units: u64, drawn: u64) -> Asked {
        let difference = if drawn < units { Difference::Exhausted } else { Difference::None };
        Asked { law: Law::Take(units), unit, amount: units as f64, drawn, difference }
    }

    #[test]
    fn filtered_records_are_not_counted_as_rejected() {
        let rejected = BTreeMap::from([(RejectCode::Filtered, 2), (RejectCode::MediaMissing, 1)]);
        let line = line("a", &rejected, take(Unit::Records, 4, 4));
        assert_eq!((num_rejected(&line), num_filtered(&line)), (1, 2));
    }

    #[test]
    fn shares_are_of_the_sum_of_all_sources() {
        let none = BTreeMap::new();
        let lines = [line("a", &none, take(Unit::Records, 6, 6)), line("b", &none, take(Unit::Records, 2, 2))];
        let shares = Shares::of(&lines);
        assert_eq!(lines.each_ref().map(|line| shares.asked(line)), [Some(0.75), Some(0.25)]);
        assert_eq!(lines.each_ref().map(|line| shares.actual(line)), [Some(0.75), Some(0.25)]);
    }

    #[test]
    fn sources_with_different_units_have_no_shares() {
        let none = BTreeMap::new();
        let lines = [line("a", &none, take(Unit::Records, 6, 6)), line("b", &none, take(Unit::Tokens, 2, 2))];
        let shares = Shares::of(&lines);
        assert_eq!(lines.each_ref().map(|line| shares.asked(line)), [None, None]);
    }

    #[test]
    fn a_source_that_has_too_little_is_explained() {
        let none = BTreeMap::new();
        assert_eq!(note(&line("a", &none, take(Unit::Images, 4, 4))), None);
        let note = note(&line("a", &none, take(Unit::Images, 9, 8)));
        assert_eq!(note.as_deref(), Some("a: 8 of 9 images drawn: the source has no more"));
    }

    #[test]
    fn delivered_samples_replace_drawn_ones_once_they_are_known() {
        let none = BTreeMap::new();
        let drawn = line("a", &none, take(Unit::Tokens, 70, 70));
        let delivered = SourceLine { delivered: Some(total(5, 55)), ..line("a", &none, take(Unit::Tokens, 70, 70)) };
        assert_eq!((actual_units(&drawn), actual_units(&delivered)), (70.0, 55.0));
        let note = note(&delivered).unwrap();
        assert!(note.contains("65 drawn but rejected while decoding"), "{note}");
    }
}
