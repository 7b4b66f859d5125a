//! `manyframe ls`: the records of a dataset, one a line.

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::Result;
use manyframe_core::{RecordId, RejectCode};
use manyframe_dataset::{DatasetReader, LedgerRow, RecordJson, Status};

use super::location::open_dataset;
use crate::args::LsArguments;
use crate::exit::UsageError;
use crate::output;
use crate::table::{Table, count, plural};

/// Digits of an id in the table, which identify it in all but the largest datasets.
const SHOWN_DIGITS: usize = 12;
/// Rows of the table, which is laid out as a whole, unless `--limit` says otherwise.
const TABLE_ROWS: usize = 1_000;
/// Bytes of lines that are written at a time.
const WRITTEN_BYTES: usize = 1 << 16;

pub(super) fn run(arguments: &LsArguments) -> Result<ExitCode> {
    let is_table = !arguments.json && !arguments.ids;
    let limit = arguments.limit.unwrap_or(if is_table { TABLE_ROWS } else { usize::MAX });
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    check(arguments, &dataset)?;
    let having_text = arguments.text.as_deref().map(|text| samples_with(&dataset, text)).transpose()?;
    let mut table = Table::new(&["id", "outcome", "tokens", "images", "source", "upstream id"])
        .with_expendable(&["images", "tokens"]);
    let (mut text, mut num_listed, mut num_more) = (String::new(), 0, 0_u64);
    for row in dataset.ledger()? {
        let row = row?;
        let is_left_out = having_text.as_ref().is_some_and(|ids| row.shard.is_none() || !ids.contains(&row.id));
        if is_left_out || !is_wanted(arguments, &row) || !is_true_of(arguments, &row)? {
            continue;
        }
        if num_listed == limit {
            num_more += 1;
            continue;
        }
        num_listed += 1;
        if arguments.json {
            text.push_str(&format!("{}\n", serde_json::to_string(&RecordJson::from(row))?));
        } else if arguments.ids {
            text.push_str(&format!("{}\n", row.id));
        } else {
            table.push(cells(&row));
        }
        if text.len() > WRITTEN_BYTES {
            output::print(&text)?;
            text.clear();
        }
    }
    if num_listed > 0 && is_table {
        text = table.render();
    }
    output::print(&text)?;
    if num_more > 0 {
        output::print_note(&format!("{} more; --limit {num_listed} ends the list", plural(num_more, "record")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Names that no record can have are a mistake, and not an empty list.
fn check(arguments: &LsArguments, dataset: &DatasetReader) -> Result<()> {
    let sources: Vec<_> = dataset.manifest().sources.iter().map(|source| source.budget.name.as_str()).collect();
    if let Some(source) = arguments.source.iter().find(|source| !sources.contains(&source.as_str())) {
        return Err(UsageError(format!("{source:?} is no source; expected one of {}", sources.join(", "))).into());
    }
    for reason in &arguments.reason {
        if !RejectCode::ALL.iter().any(|code| code.as_str() == reason) {
            let known: Vec<_> = RejectCode::ALL.iter().map(|code| code.as_str()).collect();
            return Err(UsageError(format!("{reason:?} is no reason; expected one of {}", known.join(", "))).into());
        }
    }
    if let Some(condition) = &arguments.condition {
        let known = RecordJson::fields();
        if let Some(name) = condition.fields().into_iter().find(|name| !known.iter().any(|known| known == name)) {
            let known = known.join(", ");
            return Err(UsageError(format!("--where: a record has no {name:?}; it has {known}")).into());
        }
    }
    Ok(())
}

/// The samples whose prompt has a text in it.
fn samples_with(dataset: &DatasetReader, text: &str) -> Result<HashSet<RecordId>> {
    let text = text.to_lowercase();
    let mut ids = HashSet::new();
    for shard in dataset.shards_of_one_format() {
        for entry in dataset.sample_entries(shard)? {
            let sample = entry?.sample;
            if sample.prompt.to_lowercase().contains(&text) {
                ids.insert(sample.id);
            }
        }
    }
    Ok(ids)
}

fn is_true_of(arguments: &LsArguments, row: &LedgerRow) -> Result<bool> {
    let Some(condition) = &arguments.condition else { return Ok(true) };
    let row = serde_json::to_string(&RecordJson::from(row.clone()))?;
    condition.is_true_of(&row).map_err(|problem| UsageError(format!("--{problem}")).into())
}

fn is_wanted(arguments: &LsArguments, row: &LedgerRow) -> bool {
    let is_any = |wanted: &[String], found: &str| wanted.is_empty() || wanted.iter().any(|it| it == found);
    let is_layout =
        |wanted: &[_]| wanted.is_empty() || row.measured.is_some_and(|(_, layout)| wanted.contains(&layout));
    is_any(&arguments.source, &row.source)
        && is_any(&arguments.reason, row.reason.as_deref().unwrap_or_default())
        && (arguments.status.is_empty() || arguments.status.contains(&row.status))
        && is_layout(&arguments.layout)
        && arguments.upstream_id.as_deref().is_none_or(|text| row.upstream_id.contains(text))
        && (!arguments.shortened || row.shortened.is_some())
}

fn cells(row: &LedgerRow) -> Vec<String> {
    let outcome = match (row.status, &row.reason) {
        (Status::NotDrawn, _) => "not drawn",
        (Status::Rejected, Some(reason)) => reason,
        (other, _) => other.as_str(),
    };
    let cost = row.measured.map(|(cost, _)| [cost.num_tokens(), cost.num_images].map(count));
    let [tokens, images] = cost.unwrap_or_default();
    let id = row.id.to_string().chars().take(SHOWN_DIGITS).collect();
    vec![id, outcome.to_owned(), tokens, images, row.source.clone(), row.upstream_id.clone()]
}
