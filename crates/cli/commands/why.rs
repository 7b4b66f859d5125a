//! `manyframe why`: what happened to a record and why, with its original annotation.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_core::{RecordId, RejectCode};
use manyframe_dataset::{DatasetReader, LedgerRow, RecordJson, Status};
use manyframe_engine::{EngineError, WhyAnswer};

use super::location::{open_dataset, stores_at};
use super::variables;
use crate::args::WhyArguments;
use crate::table::{count, plural};
use crate::{exit, output};

pub(super) fn run(arguments: &WhyArguments) -> Result<ExitCode> {
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let row = find_one(&dataset, &arguments.id)?;
    let variables = variables::replaced(&dataset, &arguments.set)?;
    let record = manyframe_engine::read_origin(&dataset, &row, &variables, &stores_at(&arguments.store)?);
    let record = record.map_err(anyhow::Error::from);
    // The outcome is in the ledger, even where the annotations are missing, such as on another machine.
    if arguments.json {
        let annotation_error = record.as_ref().err().map(exit::causes);
        let annotation = record.as_ref().ok().cloned();
        output::print_json(&WhyAnswer { record: RecordJson::from(row), annotation, annotation_error })?;
    } else {
        let annotation = record.as_ref().map_or_else(|_| String::new(), |text| format!("\n{}\n", text.trim_end()));
        output::print(&(render(&row) + &annotation))?;
    }
    let names = || dataset.pipeline(&variables).map(|pipeline| pipeline.variable_names()).unwrap_or_default();
    record.map(|_| ExitCode::SUCCESS).map_err(|error| {
        let what = "its annotation cannot be shown";
        // No other place of the annotations would help.
        if let Some(EngineError::AnnotationsChanged { .. }) = error.downcast_ref() {
            return error.context(what);
        }
        let names = names().into_iter().collect::<Vec<_>>().join(", ");
        error.context(format!("{what} (--set NAME=PATH says where a variable is here: {names})"))
    })
}

fn render(row: &LedgerRow) -> String {
    let mut text = format!("record    {}\n", row.id);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<9} {value}\n"));
        }
    };
    line("source", &[row.source.as_str(), &row.subset].join("  "));
    line("upstream", &row.upstream_id);
    line("from", &row.origin.to_string());
    let became = match row.status {
        Status::Delivered => {
            format!("delivered in shard {}", row.shard.map(|shard| shard.to_string()).unwrap_or_default())
        }
        Status::Rejected => format!("rejected: {}", row.reason.as_deref().unwrap_or_default()),
        Status::Duplicate => {
            let kept = row.duplicate_of.map(|id| id.to_string()).unwrap_or_default();
            format!("dropped as a duplicate of record {kept}")
        }
        Status::NotDrawn => {
            "not drawn: its source had enough other records for what the pipeline file asks for".to_owned()
        }
    };
    line("outcome", &became);
    line("because", row.detail.as_deref().unwrap_or_default());
    let code = row.reason.as_deref().and_then(RejectCode::from_text);
    line("cure", code.map_or("", RejectCode::cure));
    line("shortened", row.shortened.as_deref().unwrap_or_default());
    line("damage", row.damage.as_deref().unwrap_or_default());
    line("video", row.videos.as_deref().unwrap_or_default());
    if let Some((cost, _)) = row.measured {
        let tokens = format!("{} ({})", count(cost.num_tokens()), plural(cost.num_images, "image"));
        line("tokens", &tokens);
    }
    text
}

/// The record that a text identifies; an error lists the candidates if there are several.
pub(super) fn find_one(dataset: &DatasetReader, id: &str) -> Result<LedgerRow> {
    const MOST_SHOWN: usize = 10;
    let rows = dataset.find_rows(id, MOST_SHOWN + 1)?;
    let exact = id.parse::<RecordId>().ok();
    if let Some(row) = rows.iter().find(|row| Some(row.id) == exact) {
        return Ok(row.clone());
    }
    match rows.as_slice() {
        [] => Err(exit::UsageError(format!(
            "no record matches {id:?}; expected a record id, a prefix of at least 6 hex digits, or an upstream id"
        ))
        .into()),
        [row] => Ok(row.clone()),
        several => {
            let shown =
                several.iter().take(MOST_SHOWN).map(|row| format!("\n  {}  {}  {}", row.id, row.source, row.origin));
            let more = if several.len() > MOST_SHOWN { "\n  …" } else { "" };
            let list: String = shown.collect();
            Err(exit::UsageError(format!("more than one record matches {id:?}:{list}{more}")).into())
        }
    }
}
