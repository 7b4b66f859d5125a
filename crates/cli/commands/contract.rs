//! The contract: what the pipeline file asks of each source, and what it gets, from what was seen to what was delivered.

use std::collections::BTreeMap;

use manyframe_core::{RejectCode, Total};
use manyframe_engine::{Manifest, SourceSummary};
use manyframe_plan::{Asked, Plan, SourceBudget};
use manyframe_samplers::{Difference, Law, Unit};

use crate::table::{Table, count, percent};

/// A source's part.
struct Line<'a> {
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

impl<'a> From<&'a SourceBudget> for Line<'a> {
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

impl<'a> From<&'a SourceSummary> for Line<'a> {
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
    render(&plan.sources.iter().map(Line::from).collect::<Vec<_>>())
}

/// The contract of a dataset.
pub(super) fn of_dataset(manifest: &Manifest) -> String {
    render(&manifest.sources.iter().map(Line::from).collect::<Vec<_>>())
}

fn render(lines: &[Line<'_>]) -> String {
    let is_run = lines.iter().any(|line| line.delivered.is_some());
    let mut names = vec!["source", "seen", "rejected", "filtered", "duplicate", "available", "asked", "drawn"];
    if is_run {
        names.push("delivered");
    }
    names.extend(["tokens", "images", "frames", "share asked", "share", "of tokens"]);
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

fn num_filtered(line: &Line<'_>) -> u64 {
    line.rejected.get(&RejectCode::Filtered).copied().unwrap_or(0)
}

fn num_rejected(line: &Line<'_>) -> u64 {
    line.rejected.values().sum::<u64>() - num_filtered(line)
}

fn cells(line: &Line<'_>, shares: &Shares, is_run: bool) -> Vec<String> {
    let given = line.delivered.unwrap_or(line.drawn);
    let mut cells = vec![line.name.to_owned()];
    let counts = [line.num_seen, num_rejected(line), num_filtered(line), line.num_duplicates];
    cells.extend(counts.map(count));
    cells.push(count(line.available.num_samples));
    cells.push(asked_in_words(&line.asked));
    cells.push(count(line.drawn.num_samples));
    if is_run {
        cells.push(count(given.num_samples));
    }
    cells.extend([given.cost.num_tokens(), given.cost.num_images, given.cost.num_frames].map(count));
    cells.push(shares.asked(line).map_or_else(String::new, percent));
    cells.push(shares.given(line).map_or_else(String::new, percent));
    cells.push(percent(ratio(given.cost.num_tokens() as f64, shares.tokens)));
    cells
}

fn total_cells(lines: &[Line<'_>], is_run: bool) -> Vec<String> {
    let sum = |get: &dyn Fn(&Line<'_>) -> u64| count(lines.iter().map(get).sum());
    let given = |line: &Line<'_>| line.delivered.unwrap_or(line.drawn);
    let mut cells = vec!["total".to_owned(), sum(&|line| line.num_seen), sum(&num_rejected), sum(&num_filtered)];
    cells.extend([sum(&|line| line.num_duplicates), sum(&|line| line.available.num_samples), String::new()]);
    cells.push(sum(&|line| line.drawn.num_samples));
    if is_run {
        cells.push(sum(&|line| given(line).num_samples));
    }
    cells.push(sum(&|line| given(line).cost.num_tokens()));
    cells.push(sum(&|line| given(line).cost.num_images));
    cells.push(sum(&|line| given(line).cost.num_frames));
    cells.extend([String::new(), String::new(), String::new()]);
    cells
}

/// What sources ask for and give, as parts of a whole. Units of different kinds have no common whole.
struct Shares {
    asked: Option<f64>,
    given: Option<f64>,
    tokens: f64,
}

impl Shares {
    fn of(lines: &[Line<'_>]) -> Self {
        let unit = lines.first().map(|line| line.asked.unit);
        let is_one_unit = lines.iter().all(|line| Some(line.asked.unit) == unit);
        let sum = |get: fn(&Line<'_>) -> f64| is_one_unit.then(|| lines.iter().map(get).sum());
        Self {
            asked: sum(|line| line.asked.amount),
            given: sum(given_units),
            tokens: lines.iter().map(|line| line.delivered.unwrap_or(line.drawn).cost.num_tokens() as f64).sum(),
        }
    }

    fn asked(&self, line: &Line<'_>) -> Option<f64> {
        self.asked.map(|whole| ratio(line.asked.amount, whole))
    }

    fn given(&self, line: &Line<'_>) -> Option<f64> {
        self.given.map(|whole| ratio(given_units(line), whole))
    }
}

/// What a source gives, in the unit in which it is asked: what was delivered, or drawn as long as nothing was.
fn given_units(line: &Line<'_>) -> f64 {
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

fn asked_in_words(asked: &Asked) -> String {
    let unit = if asked.unit == Unit::Records { String::new() } else { format!(" {}", asked.unit.as_str()) };
    match asked.law {
        Law::All => "all".to_owned(),
        Law::Take(units) => format!("{}{unit}", count(units)),
        Law::Weight(weight) => format!("weight {weight}: {}{unit}", count(asked.amount.round() as u64)),
        Law::Repeat(factor) => format!("× {factor}: {}{unit}", count(asked.amount.round() as u64)),
    }
}

/// Why a source does not give what was asked of it; nothing if it does.
fn note(line: &Line<'_>) -> Option<String> {
    let mut reasons = Vec::new();
    let asked = &line.asked;
    let (amount, drawn, unit) = (count(asked.amount.round() as u64), count(asked.drawn), asked.unit.as_str());
    match asked.difference {
        Difference::None => {}
        Difference::Rounding if asked.unit == Unit::Records => {}
        Difference::Rounding => {
            reasons.push(format!("{drawn} of {amount} {unit} drawn: the next record would have passed the target"));
        }
        Difference::Exhausted => reasons.push(format!("{drawn} of {amount} {unit} drawn: the source has no more")),
    }
    if line.num_repeats > 0 {
        reasons.push(format!("{} of its samples repeat a record", count(line.num_repeats)));
    }
    if line.num_shortened > 0 {
        let drawn = count(line.num_shortened);
        reasons
            .push(format!("{drawn} of those drawn show fewer frames or sub-images than they have, so that they fit"));
    }
    if line.num_pieces > 0 {
        let more = count(line.num_pieces);
        reasons.push(format!("conversations that are too long were split, which made {more} records more"));
    }
    if let Some(delivered) = line.delivered
        && delivered.num_samples < line.drawn.num_samples
    {
        let lost = line.drawn.num_samples - delivered.num_samples;
        reasons.push(format!("{} drawn but rejected when they were decoded; see the ledger", count(lost)));
    }
    (!reasons.is_empty()).then(|| format!("{}: {}", line.name, reasons.join("; ")))
}
