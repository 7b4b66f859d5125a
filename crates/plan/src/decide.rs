//! Which records are delivered, how often, in which order, and in which shard.
//!
//! ```text
//! rows ─▶ length, filters, damage, exclusions ─▶ duplicates ─▶ mix ─▶ order ─▶ cut ─▶ tasks
//! ```
//!
//! **Invariant:** rejects and duplicates are removed before anything is drawn, so that ratios stay true.

use std::num::NonZeroU64;

use manyframe_core::{IndexRow, IndexVec, Layout, RejectCode, Rejection, SourceIndex};
use manyframe_samplers::{Drawn, ShardLimits, SourceShare, Stratify, cut_shards, mix};
use rustc_hash::FxHashSet;

use crate::delivered::Delivered;
use crate::fit::Fit;
use crate::index::IndexFile;
use crate::records::Decision;
use crate::rows::{Place, Rows};
use crate::{Context, PlanError, duplicates};
use manyframe_base::Executor;
use manyframe_dataset::{Asked, SourceBudget};
use manyframe_pipeline::{ShardSplit, SourceTable, StratifyBy};

/// What was decided about each row, and the samples of each task in order.
pub(crate) struct Decisions {
    pub(crate) of_row: Vec<Decision>,
    /// Every sample, in the order of delivery.
    pub(crate) ordered: Vec<Drawn>,
    /// Places in `ordered`, ascending in each task.
    pub(crate) tasks: Vec<(Option<Layout>, Vec<usize>)>,
}

/// Decides about every row, and completes the budgets of the sources.
pub(crate) fn decide(
    context: &Context,
    all: &mut Rows,
    files: &[IndexFile],
    executor: Executor<'_>,
) -> Result<Decisions, PlanError> {
    let mut of_row = vec![Decision::NotDrawn; all.index.len()];
    leave_out(context, all, &mut of_row)?;
    let looks = duplicates::look(context, all, files, &mut of_row, executor)?;
    for at in positions_not_drawn(&of_row) {
        count(all, at, |budget| &mut budget.after_filters);
    }
    duplicates::decide(context, all, looks.as_ref(), &mut of_row, executor)?;
    let drawn = draw(context, all, &mut of_row)?;
    let ordered = context.pipeline.file.mix.order.arrange(&all.index, &drawn, context.pipeline.file.seed);
    let tasks = cut_tasks(context, &all.index, &ordered);
    Ok(Decisions { of_row, ordered, tasks })
}

/// Rejects what is too long, or does not pass the filters of its source.
fn leave_out(context: &Context, all: &mut Rows, of_row: &mut [Decision]) -> Result<(), PlanError> {
    let delivered = context.sources.iter_enumerated().map(|(number, source)| {
        let rows = all.index.iter().zip(&all.places).filter(|(row, _)| row.source == number);
        let is_asked = Delivered::is_asked(&source.table);
        let files = if is_asked { rows.map(|(_, place)| &*place.origin.file).collect() } else { FxHashSet::default() };
        Delivered::read(&source.table, &files)
    });
    let delivered: IndexVec<SourceIndex, Delivered> = delivered.collect::<Result<_, _>>()?;
    for (at, decision) in of_row.iter_mut().enumerate() {
        let (Some(row), Some(place)) = (all.index.get(at), all.places.get(at)) else { continue };
        let missed = too_long(context, row)
            .or_else(|| context.sources[row.source].table.filter.missed_bound(row))
            .or_else(|| delivered[row.source].missed(&place.origin));
        if let Some(rejection) = missed {
            all.count_rejected(at, rejection.code);
            *decision = Decision::Rejected(rejection);
        }
    }
    Ok(())
}

fn too_long(context: &Context, row: &IndexRow) -> Option<Rejection> {
    let max_tokens = context.pipeline.file.format.max_tokens;
    let num_tokens = row.cost.num_tokens();
    (num_tokens > max_tokens)
        .then(|| Rejection::new(RejectCode::TooLong, format!("{num_tokens} tokens, at most {max_tokens} fit")))
}

pub(crate) fn positions_not_drawn(of_row: &[Decision]) -> Vec<usize> {
    let undecided = of_row.iter().enumerate().filter(|(_, decision)| **decision == Decision::NotDrawn);
    undecided.map(|(at, _)| at).collect()
}

fn count(all: &mut Rows, at: usize, of: fn(&mut SourceBudget) -> &mut manyframe_core::Total) {
    let Some(row) = all.index.get(at) else { return };
    of(&mut all.budgets[row.source]).count(row.cost);
}

/// Draws from each source by its law.
fn draw(context: &Context, all: &mut Rows, of_row: &mut [Decision]) -> Result<Vec<Drawn>, PlanError> {
    let mut eligible: IndexVec<SourceIndex, Vec<usize>> = IndexVec::filled(Vec::new(), context.sources.len());
    for at in positions_not_drawn(of_row) {
        count(all, at, |budget| &mut budget.available);
        if let Some(row) = all.index.get(at) {
            eligible[row.source].push(at);
        }
    }
    let file = &context.pipeline.file;
    let tables = context.sources.iter().map(|source| &source.table);
    let shares = tables.zip(eligible).map(|(table, eligible)| share(table, eligible, all, file.seed));
    let shares: Vec<SourceShare> = shares.collect();
    let mixture = mix(&all.index, &shares, file.mix.total()).map_err(PlanError::Mix)?;
    let mut drawn = Vec::new();
    for ((share, drawn_share), budget) in shares.iter().zip(mixture.shares).zip(&mut all.budgets) {
        budget.asked = Asked {
            law: share.law,
            unit: share.unit,
            amount: drawn_share.asked,
            drawn: drawn_share.achieved,
            difference: drawn_share.difference,
        };
        for &Drawn { row, repetition } in &drawn_share.drawn {
            let Some(index) = all.index.get(row) else { continue };
            budget.drawn.count(index.cost);
            budget.num_drawn += u64::from(repetition == 0);
            let fit = all.places.get(row).and_then(|place| place.fit.as_deref());
            budget.num_shortened += u64::from(repetition == 0 && fit.is_some_and(Fit::is_shortened));
            if let Some(decision) = of_row.get_mut(row) {
                *decision = Decision::Drawn(repetition + 1);
            }
        }
        drawn.extend(drawn_share.drawn);
    }
    Ok(drawn)
}

fn share(table: &SourceTable, eligible: Vec<usize>, all: &Rows, seed: u64) -> SourceShare {
    let stratum = |by: StratifyBy, at: usize| match (all.index.get(at), all.places.get(at)) {
        (Some(row), Some(place)) => stratum(by, row, place),
        _ => 0,
    };
    let stratify = table
        .stratify
        .map(|by| Stratify { strata: eligible.iter().map(|&at| stratum(by, at)).collect(), split: table.strata });
    SourceShare {
        name: table.name.clone(),
        eligible,
        law: table.law(),
        unit: table.unit,
        on_exhausted: table.on_exhausted,
        replacement: table.replacement,
        seed,
        stratify,
    }
}

fn stratum(by: StratifyBy, row: &IndexRow, place: &Place) -> u32 {
    /// 0, 1, 2, 3 to 4, 5 to 8 and so on.
    fn power(number: u64) -> u32 {
        number.checked_sub(1).map_or(0, |number| u64::BITS - number.leading_zeros() + 1)
    }
    match by {
        StratifyBy::Subset => place.subset,
        StratifyBy::Layout => row.layout as u32,
        StratifyBy::Images => power(row.cost.num_images),
        StratifyBy::Tokens => power(row.cost.num_tokens()),
        StratifyBy::Turns => power(u64::from(row.num_turns)),
    }
}

fn cut_tasks(context: &Context, index: &[IndexRow], ordered: &[Drawn]) -> Vec<(Option<Layout>, Vec<usize>)> {
    let output = &context.pipeline.file.output;
    let row_at = |place: &usize| ordered.get(*place).map_or(usize::MAX, |drawn| drawn.row);
    let groups: Vec<(Option<Layout>, Vec<usize>)> = match output.shards {
        ShardSplit::Mixed => vec![(None, (0..ordered.len()).collect())],
        ShardSplit::ByLayout => {
            let of_layout = |layout| {
                let has_layout = |place: &usize| index.get(row_at(place)).is_some_and(|row| row.layout == layout);
                (Some(layout), (0..ordered.len()).filter(has_layout).collect())
            };
            Layout::ALL.map(of_layout).into()
        }
    };
    let limits = ShardLimits {
        max_samples: NonZeroU64::new(output.max_shard_samples).unwrap_or(NonZeroU64::MIN),
        max_bytes: NonZeroU64::new(output.max_shard_mib << 20).unwrap_or(NonZeroU64::MIN),
    };
    let mut tasks = Vec::new();
    for (layout, places) in groups {
        let rows = places.iter().filter_map(|place| index.get(row_at(place)));
        let runs = cut_shards(rows, limits).into_iter();
        tasks.extend(runs.map(|run| (layout, places.get(run).unwrap_or_default().to_vec())));
    }
    tasks
}
