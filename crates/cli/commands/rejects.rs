//! What was rejected of each source and why, with an example of each reason and the command that shows it.

use std::collections::BTreeMap;

use anyhow::Result;
use manyframe_base::in_shell;
use manyframe_dataset::{DatasetReader, LedgerRow};

use crate::output;
use crate::table::{plural, shortened};

/// Digits of an id in a command, which identify it in all but the largest datasets.
const SHOWN_DIGITS: usize = 12;
/// Longest detail that is shown where there is no terminal, in columns; `why` shows all of it.
const MAX_DETAIL: usize = 120;
/// Columns before a detail.
const INDENT: &str = "    ";

/// All rejects of a dataset, by source and reason; empty if there are none.
pub(super) fn render(dataset: &DatasetReader) -> Result<String> {
    let mut examples = find_examples(dataset)?;
    if examples.is_empty() {
        return Ok(String::new());
    }
    let width = output::width().map_or(MAX_DETAIL, |width| width.saturating_sub(INDENT.len()));
    let mut text = "\nrejected, each reason with an example:\n".to_owned();
    for source in &dataset.manifest().sources {
        let mut reasons: Vec<_> = source.budget.rejected.iter().collect();
        reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        for (code, number) in reasons {
            let (name, code) = (&source.budget.name, code.as_str());
            text.push_str(&format!("{name}: {}, {code}\n", plural(*number, "record")));
            let Some(row) = examples.remove(&(name.clone(), code.to_owned())).flatten() else { continue };
            let id: String = row.id.to_string().chars().take(SHOWN_DIGITS).collect();
            let detail = row.detail.unwrap_or_default().replace(char::is_control, " ");
            text.push_str(&format!("{INDENT}{}\n", shortened(&detail, width)));
            text.push_str(&format!("{INDENT}manyframe why {} {id}\n", in_shell(dataset.location())));
        }
    }
    Ok(text)
}

/// The first record of each source that was rejected for each reason. The ledger is read only until all are found.
fn find_examples(dataset: &DatasetReader) -> Result<BTreeMap<(String, String), Option<LedgerRow>>> {
    let sources = dataset.manifest().sources.iter();
    let pairs = sources.flat_map(|source| {
        let codes = source.budget.rejected.keys();
        codes.map(|code| ((source.budget.name.clone(), code.as_str().to_owned()), None))
    });
    let mut examples: BTreeMap<(String, String), Option<LedgerRow>> = pairs.collect();
    let mut num_missing = examples.len();
    if num_missing == 0 {
        return Ok(examples);
    }
    for row in dataset.ledger()? {
        let mut row = row?;
        let Some(reason) = row.reason.take() else { continue };
        if let Some(example @ None) = examples.get_mut(&(row.source.clone(), reason)) {
            *example = Some(row);
            num_missing -= 1;
            if num_missing == 0 {
                break;
            }
        }
    }
    Ok(examples)
}
