//! The contract: what the pipeline file requests from each source, and what was seen, drawn and delivered.

use manyframe_core::{RejectCode, Total};
use manyframe_dataset::{Asked, DecontaminationSummary, Manifest, RejectedMedium, SourceBudget};
use manyframe_plan::Plan;
use manyframe_samplers::{Difference, Law, Unit};

use crate::output;
use crate::table::{Table, count, percent, plural};

/// What a narrow terminal does not show, the first column first.
const EXPENDABLE: [&str; 10] =
    ["available", "frames", "tokens %", "asked", "filtered", "images", "duplicates", "actual %", "asked %", "rejected"];

/// A row of the table: one source.
struct SourceLine<'a> {
    budget: &'a SourceBudget,
    /// Known once the plan has run.
    delivered: Option<Total>,
}

/// The contract of a plan.
pub(super) fn of_plan(plan: &Plan) -> String {
    let line = |budget| SourceLine { budget, delivered: None };
    render(&plan.sources.iter().map(line).collect::<Vec<_>>())
}

/// The contract of a dataset.
pub(super) fn of_dataset(manifest: &Manifest) -> String {
    let lines = manifest.sources.iter();
    let lines = lines.map(|source| SourceLine { budget: &source.budget, delivered: Some(source.delivered) });
    render(&lines.collect::<Vec<_>>())
}

/// What samples were compared with, and what of it could not be decoded; nothing where nothing is kept out of the dataset.
pub(super) fn decontamination(summary: Option<&DecontaminationSummary>) -> String {
    let Some(DecontaminationSummary { num_media, num_images, rejected, examples, num_other_files, .. }) = summary
    else {
        return String::new();
    };
    let media = if *num_media == 1 { "image or video" } else { "images and videos" };
    let mut text = format!("decontamination: against {} {media}", count(*num_media));
    if *num_images > 0 {
        let images = if *num_images == 1 { "image or frame" } else { "images and frames" };
        text.push_str(&format!(" ({} {images} decoded)", count(*num_images)));
    }
    if *num_other_files > 0 {
        text.push_str(&format!("; not against {}", plural(*num_other_files, "other file")));
    }
    let reasons: Vec<String> = rejected.iter().map(|(reason, number)| format!("{reason} {}", count(*number))).collect();
    if let Some(RejectedMedium { name, reason, detail }) = examples.first() {
        text.push_str(&format!("; cannot be decoded: {}, such as {name:?} ({reason}: {detail})", reasons.join(", ")));
    }
    format!("\n{}\n", output::wrapped(&text, output::width()))
}

fn render(lines: &[SourceLine<'_>]) -> String {
    let is_run = lines.iter().any(|line| line.delivered.is_some());
    let mut names = vec!["source", "seen", "rejected", "filtered", "duplicates", "available", "asked", "drawn"];
    if is_run {
        names.push("delivered");
    }
    names.extend(["tokens", "images", "frames", "asked %", "actual %", "tokens %"]);
    let mut table = Table::new(&names).with_expendable(&EXPENDABLE);
    let shares = Shares::of(lines);
    for line in lines {
        table.push(cells(line, &shares, is_run));
    }
    if lines.len() > 1 {
        table.push(total_cells(lines, is_run));
    } else {
        // The shares of one source say nothing.
        for header in ["asked %", "actual %", "tokens %"] {
            table.remove(header);
        }
    }
    for header in ["rejected", "filtered", "duplicates", "images", "frames"] {
        table.remove_if_zero(header);
    }
    if lines.iter().all(|line| line.delivered.is_some_and(|total| total == line.budget.drawn)) {
        table.remove("drawn");
    }
    let notes: Vec<String> =
        lines.iter().filter_map(note).map(|note| output::wrapped(&note, output::width())).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("\n{}\n", notes.join("\n")) };
    format!("{}{notes}", table.render())
}

fn num_filtered(line: &SourceLine<'_>) -> u64 {
    line.budget.rejected.get(&RejectCode::Filtered).copied().unwrap_or(0)
}

fn num_rejected(line: &SourceLine<'_>) -> u64 {
    line.budget.rejected.values().sum::<u64>() - num_filtered(line)
}

fn cells(line: &SourceLine<'_>, shares: &Shares, is_run: bool) -> Vec<String> {
    let actual = line.delivered.unwrap_or(line.budget.drawn);
    let mut cells = vec![line.budget.name.clone()];
    let counts = [line.budget.num_seen, num_rejected(line), num_filtered(line), line.budget.num_duplicates()];
    cells.extend(counts.map(count));
    cells.push(count(line.budget.available.num_samples));
    cells.push(asked_text(&line.budget.asked));
    cells.push(count(line.budget.drawn.num_samples));
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
    let actual = |line: &SourceLine<'_>| line.delivered.unwrap_or(line.budget.drawn);
    let mut cells = vec!["total".to_owned(), sum(&|line| line.budget.num_seen), sum(&num_rejected), sum(&num_filtered)];
    cells.extend([
        sum(&|line| line.budget.num_duplicates()),
        sum(&|line| line.budget.available.num_samples),
        String::new(),
    ]);
    cells.push(sum(&|line| line.budget.drawn.num_samples));
    if is_run {
        cells.push(sum(&|line| actual(line).num_samples));
    }
    cells.push(sum(&|line| actual(line).cost.num_tokens()));
    cells.push(sum(&|line| actual(line).cost.num_images));
    cells.push(sum(&|line| actual(line).cost.num_frames));
    cells.extend([String::new(), String::new(), String::new()]);
    cells
}

/// The sums that shares are relative to; `None` if sources are requested in different units.
struct Shares {
    asked: Option<f64>,
    actual: Option<f64>,
    tokens: f64,
}

impl Shares {
    fn of(lines: &[SourceLine<'_>]) -> Self {
        let unit = lines.first().map(|line| line.budget.asked.unit);
        let is_one_unit = lines.iter().all(|line| Some(line.budget.asked.unit) == unit);
        let sum = |get: fn(&SourceLine<'_>) -> f64| is_one_unit.then(|| lines.iter().map(get).sum());
        Self {
            asked: sum(|line| line.budget.asked.amount),
            actual: sum(actual_units),
            tokens: lines.iter().map(|line| line.delivered.unwrap_or(line.budget.drawn).cost.num_tokens() as f64).sum(),
        }
    }

    fn asked(&self, line: &SourceLine<'_>) -> Option<f64> {
        self.asked.map(|whole| ratio(line.budget.asked.amount, whole))
    }

    fn actual(&self, line: &SourceLine<'_>) -> Option<f64> {
        self.actual.map(|whole| ratio(actual_units(line), whole))
    }
}

/// What was delivered of a source, or drawn if nothing was run yet, in the unit in which it is requested.
fn actual_units(line: &SourceLine<'_>) -> f64 {
    let Some(Total { num_samples, cost }) = line.delivered else { return line.budget.asked.drawn as f64 };
    let units = match line.budget.asked.unit {
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
        Law::Repeat(share) if share < 1.0 => {
            format!("{}: {}{unit}", percent(share), count(asked.amount.round() as u64))
        }
        Law::Repeat(factor) => format!("× {factor}: {}{unit}", count(asked.amount.round() as u64)),
    }
}

/// Why a source does not deliver exactly what was asked for; `None` if it does.
fn note(line: &SourceLine<'_>) -> Option<String> {
    let mut reasons = Vec::new();
    let asked = &line.budget.asked;
    let (amount, drawn, unit) = (count(asked.amount.round() as u64), count(asked.drawn), asked.unit.as_str());
    match asked.difference {
        Difference::None => {}
        Difference::Rounding if asked.unit == Unit::Records => {}
        Difference::Rounding => {
            reasons.push(format!("{drawn} of {amount} {unit} drawn: the next record would have exceeded the target"));
        }
        Difference::Exhausted => reasons.push(format!("{drawn} of {amount} {unit} drawn: the source has no more")),
    }
    if line.budget.num_repeats() > 0 {
        let number = line.budget.num_repeats();
        let verb = if number == 1 { "repeats" } else { "repeat" };
        reasons.push(format!("{} of its samples {verb} a record", count(number)));
    }
    if line.budget.num_shortened > 0 {
        let number = line.budget.num_shortened;
        let (verb, they) = if number == 1 { ("shows", "it has") } else { ("show", "they have") };
        let drawn = count(number);
        reasons.push(format!(
            "{drawn} of those drawn {verb} fewer frames, tiles or pixels than {they}, to fit into format.max_tokens"
        ));
    }
    if line.budget.num_pieces > 0 {
        let more = plural(line.budget.num_pieces, "record");
        reasons.push(format!("over-length conversations were split, which added {more}"));
    }
    if let Some(delivered) = line.delivered
        && delivered.num_samples < line.budget.drawn.num_samples
    {
        let lost = line.budget.drawn.num_samples - delivered.num_samples;
        reasons.push(format!("{} drawn but rejected while decoding; see the ledger", count(lost)));
    }
    (!reasons.is_empty()).then(|| format!("{}: {}", line.budget.name, reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use manyframe_core::Cost;

    use super::*;

    fn total(num_samples: u64, text_tokens: u64) -> Total {
        Total { num_samples, cost: Cost { text_tokens, ..Cost::default() } }
    }

    fn budget(name: &str, asked: Asked) -> SourceBudget {
        SourceBudget {
            name: name.to_owned(),
            num_seen: 12,
            after_filters: total(9, 90),
            available: total(8, 80),
            asked,
            num_drawn: asked.drawn,
            drawn: total(asked.drawn, 10 * asked.drawn),
            ..SourceBudget::default()
        }
    }

    fn line(budget: &SourceBudget) -> SourceLine<'_> {
        SourceLine { budget, delivered: None }
    }

    fn take(unit: Unit, units: u64, drawn: u64) -> Asked {
        let difference = if drawn < units { Difference::Exhausted } else { Difference::None };
        Asked { law: Law::Take(units), unit, amount: units as f64, drawn, difference }
    }

    #[test]
    fn filtered_records_are_not_counted_as_rejected() {
        let rejected = BTreeMap::from([(RejectCode::Filtered, 2), (RejectCode::MediaMissing, 1)]);
        let budget = SourceBudget { rejected, ..budget("a", take(Unit::Records, 4, 4)) };
        assert_eq!((num_rejected(&line(&budget)), num_filtered(&line(&budget))), (1, 2));
    }

    #[test]
    fn shares_are_of_the_sum_of_all_sources() {
        let budgets = [budget("a", take(Unit::Records, 6, 6)), budget("b", take(Unit::Records, 2, 2))];
        let lines = budgets.each_ref().map(line);
        let shares = Shares::of(&lines);
        assert_eq!(lines.each_ref().map(|line| shares.asked(line)), [Some(0.75), Some(0.25)]);
        assert_eq!(lines.each_ref().map(|line| shares.actual(line)), [Some(0.75), Some(0.25)]);
    }

    #[test]
    fn sources_with_different_units_have_no_shares() {
        let budgets = [budget("a", take(Unit::Records, 6, 6)), budget("b", take(Unit::Tokens, 2, 2))];
        let lines = budgets.each_ref().map(line);
        let shares = Shares::of(&lines);
        assert_eq!(lines.each_ref().map(|line| shares.asked(line)), [None, None]);
    }

    #[test]
    fn a_source_that_has_too_little_is_explained() {
        assert_eq!(note(&line(&budget("a", take(Unit::Images, 4, 4)))), None);
        let note = note(&line(&budget("a", take(Unit::Images, 9, 8))));
        assert_eq!(note.as_deref(), Some("a: 8 of 9 images drawn: the source has no more"));
    }

    #[test]
    fn delivered_samples_replace_drawn_ones_once_they_are_known() {
        let budget = budget("a", take(Unit::Tokens, 70, 70));
        let (drawn, delivered) = (line(&budget), SourceLine { budget: &budget, delivered: Some(total(5, 55)) });
        assert_eq!((actual_units(&drawn), actual_units(&delivered)), (70.0, 55.0));
        let note = note(&delivered).unwrap();
        assert!(note.contains("65 drawn but rejected while decoding"), "{note}");
    }
}
