//! Damaged media, excluded images and duplicates: what is removed before anything is drawn.
//!
//! ```text
//! eligible ─▶ damaged media, excluded images (looks) ─▶ exact duplicates (bytes) ─▶ duplicates by pixels, or by perceptual hash (looks)
//! ```
//!
//! Looks are computed only if the pipeline file asks for them: they need every image decoded once, and are kept.

mod alike;
mod exact;
mod exclude;
mod looks;

use manyframe_core::{RejectCode, Rejection};
use manyframe_media::Check;
use manyframe_samplers::Duplicate;

use crate::decide::positions_not_drawn;
use crate::index::IndexFile;
use crate::records::Decision;
use crate::rows::Rows;
use crate::{Context, PlanError};
pub(crate) use exclude::excluded_files;
pub(crate) use looks::Looks;
use manyframe_base::Executor;
use manyframe_pipeline::{DuplicateRule, DuplicateText, DuplicatesTable};

/// The looks of all rows, if the pipeline file asks for anything that needs them. Rows whose media turn out damaged, and those
/// that show what is excluded, are rejected. They count as rejected, not as duplicates.
pub(crate) fn look(
    context: &Context,
    all: &mut Rows,
    files: &[IndexFile],
    of_row: &mut [Decision],
    executor: Executor<'_>,
) -> Result<Option<Looks>, PlanError> {
    let file = &context.pipeline.file;
    let has_excluded = file.decontamination.is_active();
    let compares_looks = [DuplicateRule::Pixels, DuplicateRule::Near].contains(&file.duplicates.remove);
    if !has_excluded && !compares_looks && file.mix.check == Check::Header {
        return Ok(None);
    }
    let mut looks = Looks::read(context, all, files, executor)?;
    let mut reject = |row: usize, rejection: Rejection| match of_row.get_mut(row) {
        Some(decision) if *decision == Decision::NotDrawn => {
            all.count_rejected(row, rejection.code);
            *decision = Decision::Rejected(rejection);
        }
        _ => {}
    };
    for (row, rejection) in std::mem::take(&mut looks.damaged) {
        reject(row, rejection);
    }
    if has_excluded {
        for (row, detail) in exclude::find(context, &looks, executor)? {
            reject(row, Rejection::new(RejectCode::Excluded, detail));
        }
    }
    Ok(Some(looks))
}

/// Decides which of the rows that are left are duplicates.
pub(crate) fn decide(
    context: &Context,
    all: &Rows,
    looks: Option<&Looks>,
    of_row: &mut [Decision],
    executor: Executor<'_>,
) -> Result<(), PlanError> {
    let table = &context.pipeline.file.duplicates;
    if table.remove == DuplicateRule::Nothing {
        return Ok(());
    }
    if table.text == DuplicateText::Same || table.remove == DuplicateRule::Exact {
        let eligible = positions_not_drawn(of_row);
        let found = exact::find(context, all, &eligible, executor)?;
        mark(all, of_row, &found, "same text, same bytes");
    }
    if let Some(looks) = looks.filter(|_| table.remove != DuplicateRule::Exact) {
        let eligible = positions_not_drawn(of_row);
        mark(all, of_row, &alike::find(table, looks, &eligible), &rule_in_words(table));
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
