//! Rejects records that are too long, or that the filters of their source exclude.

use manyframe_core::{IndexRow, IndexVec, RejectCode, Rejection, SourceIndex};
use rustc_hash::FxHashSet;

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::decisions::delivered::DeliveredElsewhere;
use crate::error::PlanError;

/// Rejects every candidate that is too long, or that a filter of its source leaves out.
pub(crate) fn apply_filters(context: &Context, candidates: &mut Candidates) -> Result<(), PlanError> {
    let delivered = context.sources.iter_enumerated().map(|(index, source)| {
        let files = if DeliveredElsewhere::is_asked(&source.table) {
            candidates.annotation_files(index)
        } else {
            FxHashSet::default()
        };
        DeliveredElsewhere::read(&source.table, &files, &context.pipeline.stores)
    });
    let delivered: IndexVec<SourceIndex, DeliveredElsewhere> = delivered.collect::<Result<_, _>>()?;
    for row in 0..candidates.num_rows() {
        let candidate = candidates.row(row);
        #[expect(clippy::indexing_slicing, reason = "there is one for each source")]
        let delivered = &delivered[candidate.source];
        let rejection = too_long(context, &candidate)
            .or_else(|| context.source(candidate.source).table.filter.missed_bound(&candidate))
            .or_else(|| delivered.rejection(|| candidates.origin(row)));
        if let Some(rejection) = rejection {
            candidates.reject(row, rejection);
        }
    }
    Ok(())
}

fn too_long(context: &Context, row: &IndexRow) -> Option<Rejection> {
    let max_tokens = context.pipeline.file.format.max_tokens;
    let num_tokens = row.cost.num_tokens();
    let detail = || format!("{num_tokens} tokens, at most {max_tokens} fit");
    (num_tokens > max_tokens).then(|| Rejection::new(RejectCode::TooLong, detail()))
}
