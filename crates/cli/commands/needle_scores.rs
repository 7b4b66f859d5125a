//! `manyframe validate --needles`: which questions about needles a model answers.

use std::path::Path;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_dataset::DatasetReader;
use manyframe_engine::NeedleRequest;
use manyframe_validate::needles::{ControlMeasures, NeedleMeasures, NeedleReport};

use super::model::described;
use super::variables;
use crate::args::ValidateArguments;
use crate::machine::Machine;
use crate::output;
use crate::table::{Table, bytes, count, plural};

/// Asks a model every question, and prints its scores.
pub(super) fn run(arguments: &ValidateArguments, executor: Executor<'_>) -> Result<()> {
    let request = NeedleRequest {
        dataset: arguments.dataset.clone(),
        model: arguments.model.clone(),
        device: arguments.device,
        variables: variables::replaced(&DatasetReader::open(&arguments.dataset)?, &arguments.set)?,
    };
    let report = manyframe_engine::score_needles(&request, executor, &Machine::start())?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        render(&report, &arguments.dataset)
    };
    output::print(&text)?;
    Ok(())
}

fn render(report: &NeedleReport, dataset: &Path) -> String {
    let model = &report.model;
    let mut text = format!("{} asked of {}\n", plural(report.total.num_questions, "question"), described(model));
    if model.is_random {
        text.push_str("Its weights are random: smoke test only; it can only guess.\n");
    }
    text.push_str(&format!("\n{}\n", tasks_table(report).render()));
    text.push_str(&format!("{}\n", cells_table(report).render()));
    text.push_str(&control_text(&report.control));
    let usage = &report.usage;
    if let Some(sharing) = usage.sharing() {
        text.push_str(&format!(
            "{} in {:.1} s: what prompts begin with in common ran once, {sharing:.1} times fewer than one by one\n",
            plural(usage.num_run_tokens, "token"),
            usage.seconds,
        ));
    }
    if let Some(peak) = usage.peak_memory_bytes {
        text.push_str(&format!("peak memory {}\n", bytes(peak)));
    }
    for (name, file) in [("questions", &report.table), ("map", &report.heat_map)] {
        if let Some(file) = file {
            text.push_str(&format!("{:<10} {}\n", format!("{name}:"), dataset.join(&file.path).display()));
        }
    }
    text.push_str(&format!("{:<10} {}\n", "report:", dataset.join("needle-scores.json").display()));
    text
}

fn tasks_table(report: &NeedleReport) -> Table {
    let mut table = Table::new(&["task", "questions", "right", "by chance", "groups", "right", "greedy", "not run"]);
    let mut push = |name: &str, measures: &NeedleMeasures| {
        table.push(vec![
            name.to_owned(),
            count(measures.num_questions),
            percent(Some(measures.accuracy)),
            percent(Some(measures.chance.mean)),
            count(measures.num_groups),
            percent(measures.group_accuracy),
            count(measures.num_greedy),
            count(measures.num_unusable),
        ]);
    };
    for (task, measures) in &report.by_task {
        push(task, measures);
    }
    push("all", &report.total);
    table
}

/// Accuracies by length and depth.
fn cells_table(report: &NeedleReport) -> Table {
    let mut table = Table::new(&["length", "depth", "questions", "right", "groups right"]);
    for cell in &report.cells {
        table.push(vec![
            count(cell.cell.length),
            cell.cell.depth.map_or("several".to_owned(), |depth| percent(Some(f64::from(depth) / 1000.0))),
            count(cell.measures.num_questions),
            percent(Some(cell.measures.accuracy)),
            percent(cell.measures.group_accuracy),
        ]);
    }
    table
}

/// What whoever sees no picture gets right.
fn control_text(control: &ControlMeasures) -> String {
    let mut text = String::new();
    if control.accuracy.is_some() {
        text.push_str(&format!(
            "as text alone, {} of {} right; guessing gives {} to {} in 999 of 1,000 runs: {}\n",
            percent(control.accuracy),
            plural(control.num_distinct, "different question"),
            percent(Some(control.chance.lower)),
            percent(Some(control.chance.upper)),
            if control.is_at_chance { "at chance" } else { "NOT at chance" },
        ));
    }
    if control.num_free > 0 {
        text.push_str(&format!(
            "as text alone, {} of {} with a free answer right\n",
            count(control.num_free_right),
            plural(control.num_free, "question"),
        ));
    }
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}
