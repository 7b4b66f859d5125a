//! Duplicates and excluded images: what is removed before anything is drawn.
//!
//! ```text
//! eligible ─▶ excluded images (looks) ─▶ exact duplicates (bytes) ─▶ duplicates by pixels, or by perceptual hash (looks)
//! ```
//!
//! Looks are computed only if the pipeline file asks for them: they need every image decoded once, and are kept.

mod alike;
mod exact;
mod exclude;
mod looks;

use manyframe_core::RejectCode;
use manyframe_samplers::Duplicate;

use crate::decide::positions_not_drawn;
use crate::index::IndexFile;
use crate::pipeline::{DuplicateRule, DuplicateText, DuplicatesTable};
use crate::records::Decision;
use crate::rows::Rows;
use crate::{Context, Observer, PlanError};
pub(crate) use exclude::excluded_files;
use looks::Looks;

/// Rejects rows that show what is excluded. They count as rejected, not as duplicates.
pub(crate) fn exclude(
    context: &Context,
    all: &mut Rows,
    files: &[IndexFile],
    of_row: &mut [Decision],
    pool: &rayon::ThreadPool,
    observer: &dyn Observer,
) -> Result<(), PlanError> {
    if context.pipeline.file.duplicates.exclude.as_slice().is_empty() {
        return Ok(());
    }
    let looks = Looks::read(context, all, files, pool, observer)?;
    for (row, detail) in exclude::find(context, &looks, pool)? {
        match of_row.get_mut(row) {
            Some(decision) if *decision == Decision::NotDrawn => {
                *decision = Decision::Rejected(RejectCode::Excluded, detail);
                all.count_rejected(row, RejectCode::Excluded);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Decides which of the rows that are left are duplicates.
pub(crate) fn decide(
    context: &Context,
    all: &Rows,
    files: &[IndexFile],
    of_row: &mut [Decision],
    pool: &rayon::ThreadPool,
    observer: &dyn Observer,
) -> Result<(), PlanError> {
    let table = &context.pipeline.file.duplicates;
    if table.remove == DuplicateRule::Nothing {
        return Ok(());
    }
    if table.text == DuplicateText::Same || table.remove == DuplicateRule::Exact {
        let eligible = positions_not_drawn(of_row);
        let found = exact::find(context, all, &eligible, pool, observer)?;
        mark(all, of_row, &found, "same text, same bytes");
    }
    if table.remove != DuplicateRule::Exact {
        let looks = Looks::read(context, all, files, pool, observer)?;
        let eligible = positions_not_drawn(of_row);
        mark(all, of_row, &alike::find(table, &looks, &eligible), &rule_in_words(table));
    }
    Ok(())
}

fn rule_in_words(table: &DuplicatesTable) -> String {
    let text = if table.text == DuplicateText::Same { "same text, " } else { "" };
    match table.remove {
        DuplicateRule::Near => {
            format!("{text}images that look alike: at most {} bits of 64 differ", table.max_distance)
        }
        _ => format!("{text}same pixels"),
    }
}

fn mark(all: &Rows, of_row: &mut [Decision], found: &[Duplicate], detail: &str) {
    for duplicate in found {
        if let (Some(decision), Some(kept)) = (of_row.get_mut(duplicate.row), all.index.get(duplicate.kept)) {
            *decision = Decision::Duplicate { of: kept.id, detail: detail.to_owned() };
        }
    }
}
