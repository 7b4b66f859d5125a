//! Removes duplicates: first those with the same bytes, then those with the same or similar pixels. Of each group, the first
//! record is kept.

use manyframe_base::Executor;
use manyframe_pipeline::{DuplicateRule, DuplicateText, DuplicatesTable};
use manyframe_samplers::Duplicate;

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::decisions::exact::find_exact_duplicates;
use crate::decisions::fingerprints::Fingerprints;
use crate::decisions::near::find_near_duplicates;
use crate::error::PlanError;

/// Removes records with the same text and the same bytes of all media, if the pipeline file says so.
pub(crate) fn remove_exact_duplicates(
    context: &Context,
    candidates: &mut Candidates,
    executor: Executor<'_>,
) -> Result<(), PlanError> {
    let table = &context.pipeline.file.duplicates;
    let is_asked = match table.remove {
        DuplicateRule::Nothing => false,
        DuplicateRule::Exact => true,
        DuplicateRule::Pixels | DuplicateRule::Near => table.text == DuplicateText::Same,
    };
    let signatures = candidates.take_signatures();
    if is_asked {
        let found = find_exact_duplicates(context, (candidates, &signatures), executor)?;
        mark(candidates, &found, "same text, same bytes");
    }
    Ok(())
}

/// Removes records with the same or similar pixels, if the pipeline file says so.
pub(crate) fn remove_near_duplicates(
    table: &DuplicatesTable,
    candidates: &mut Candidates,
    fingerprints: &Fingerprints,
) {
    if table.remove.compares_pixels() {
        let found = find_near_duplicates(table, fingerprints, &candidates.undecided().collect::<Vec<_>>());
        mark(candidates, &found, &description(table));
    }
}

/// What duplicates have in common, for the ledger.
fn description(table: &DuplicatesTable) -> String {
    let text = if table.text == DuplicateText::Same { "same text, " } else { "" };
    match table.remove {
        DuplicateRule::Near => format!("{text}near-duplicate images: at most {} bits of 64 differ", table.max_distance),
        _ => format!("{text}same pixels"),
    }
}

fn mark(candidates: &mut Candidates, found: &[Duplicate], detail: &str) {
    let kind = candidates.duplicate_kind(detail);
    for duplicate in found {
        candidates.mark_duplicate(duplicate.row, duplicate.kept, kind);
    }
}
