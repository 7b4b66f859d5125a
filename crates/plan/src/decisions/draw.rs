//! Draws from each source what the pipeline file requests.

use manyframe_core::{IndexVec, SourceIndex};
use manyframe_dataset::Asked;
use manyframe_pipeline::StratifyBy;
use manyframe_samplers::{Drawn, DrawnShare, SourceShare, Stratify, mix};

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::error::PlanError;

/// Draws from the candidates that are left, and counts what is drawn: a list for each source, whose rows ascend.
pub(crate) fn draw(context: &Context, candidates: &mut Candidates) -> Result<Vec<Vec<Drawn>>, PlanError> {
    // Made as large as they will be: vectors that grow are in memory twice for a moment.
    let available = candidates.budgets.as_slice().iter().map(|budget| budget.available.num_samples as usize);
    let mut eligible: IndexVec<SourceIndex, Vec<u32>> = available.map(Vec::with_capacity).collect();
    for row in candidates.undecided() {
        #[expect(clippy::indexing_slicing, reason = "there is a list for each source")]
        let of_source = &mut eligible[candidates.row(row).source];
        of_source.push(row as u32);
    }
    let file = &context.pipeline.file;
    let tables = context.sources.iter().map(|source| &source.table);
    let shares = tables.zip(eligible).map(|(table, eligible)| SourceShare {
        stratify: table.stratify.map(|by| Stratify {
            strata: eligible.iter().map(|&row| stratum(by, candidates, row as usize)).collect(),
            split: table.strata,
        }),
        name: table.name.clone(),
        eligible,
        law: table.law(),
        unit: table.unit,
        on_exhausted: table.on_exhausted,
        replacement: table.replacement,
        seed: file.seed,
    });
    let shares: Vec<SourceShare> = shares.collect();
    let mixture = mix(candidates.rows(), &shares, file.mix.total()).map_err(PlanError::Mix)?;
    let mut drawn = Vec::new();
    for ((source, share), drawn_share) in context.sources.indices().zip(&shares).zip(mixture.shares) {
        candidates.budget_mut(source).asked = Asked {
            law: share.law,
            unit: share.unit,
            amount: drawn_share.asked,
            drawn: drawn_share.achieved,
            difference: drawn_share.difference,
        };
        count_drawn(candidates, &drawn_share);
        drawn.push(drawn_share.drawn);
    }
    Ok(drawn)
}

fn count_drawn(candidates: &mut Candidates, share: &DrawnShare) {
    for &Drawn { row, repetition } in &share.drawn {
        let row = row as usize;
        let cost = candidates.row(row).cost;
        let is_shortened = candidates.reduction(row).shows_less();
        let budget = candidates.budget_of(row);
        budget.drawn.count(cost);
        budget.num_drawn += u64::from(repetition == 0);
        budget.num_shortened += u64::from(repetition == 0 && is_shortened);
        candidates.mark_drawn(row, repetition + 1);
    }
}

fn stratum(by: StratifyBy, candidates: &Candidates, row: usize) -> u32 {
    /// 0, 1, 2, 3 to 4, 5 to 8 and so on.
    fn power(number: u64) -> u32 {
        number.checked_sub(1).map_or(0, |number| u64::BITS - number.leading_zeros() + 1)
    }
    let index_row = candidates.row(row);
    match by {
        StratifyBy::Subset => candidates.subset(row),
        StratifyBy::Layout => index_row.layout as u32,
        StratifyBy::Images => power(index_row.cost.num_images),
        StratifyBy::Tokens => power(index_row.cost.num_tokens()),
        StratifyBy::Turns => power(u64::from(index_row.num_turns)),
    }
}
