//! What was rejected of each source and why, with an example of each reason and the command that shows it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use manyframe_dataset::{DatasetReader, LedgerRow};

use crate::table::{Table, count};

/// Longest detail that is shown, in characters; `why` shows all of it.
const MAX_DETAIL_CHARS: usize = 120;

/// A table of all rejects of a dataset, by source and reason; empty if there are none.
pub(super) fn render(dataset: &DatasetReader) -> Result<String> {
    let mut examples = find_examples(dataset)?;
    if examples.is_empty() {
        return Ok(String::new());
    }
    let mut table = Table::new(&["source", "rejected because", "records", "for example"]);
    for source in &dataset.manifest().sources {
        let mut reasons: Vec<_> = source.budget.rejected.iter().collect();
        reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        for (code, number) in reasons {
            let mut cells = vec![source.budget.name.clone(), code.as_str().to_owned(), count(*number)];
            let example = examples.remove(&(source.budget.name.clone(), code.as_str().to_owned())).flatten();
            let Some(row) = example else {
                table.push(cells);
                continue;
            };
            cells.push(shortened(row.detail.as_deref().unwrap_or_default()));
            table.push(cells);
            let command = format!("manyframe why {} {}", shell_word(dataset.location()), row.id);
            table.push(vec![String::new(), String::new(), String::new(), command]);
        }
    }
    Ok(format!("\n{}", table.render()))
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

/// The start of a detail in one line.
fn shortened(detail: &str) -> String {
    let mut line: String = detail.chars().take(MAX_DETAIL_CHARS).collect();
    if line.len() < detail.len() {
        line.push('…');
    }
    line.replace(char::is_control, " ")
}

/// A path as a shell reads it back.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_whatever_the_path() {
        assert_eq!(shell_word("out/demo-1.x".as_ref()), "out/demo-1.x");
        assert_eq!(shell_word("my data/it's".as_ref()), r"'my data/it'\''s'");
    }

    #[test]
    fn a_detail_is_one_line_of_bounded_length() {
        assert_eq!(shortened("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(shortened(&"é".repeat(500)).chars().count(), MAX_DETAIL_CHARS + 1);
    }
}
