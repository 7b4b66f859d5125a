//! Which records are delivered, how often, in which order, and in which shard.
//!
//! ```text
//! candidates ─▶ filters ─▶ damage, decontamination ─▶ duplicates ─▶ draw ─▶ order ─▶ tasks
//! ```
//!
//! **Invariant:** rejects and duplicates are removed before anything is drawn, so that ratios are those requested.

pub(crate) mod candidates;
pub(crate) mod decontamination;
mod delivered;
pub(crate) mod delivery;
mod draw;
mod duplicates;
mod exact;
mod filters;
pub(crate) mod fingerprints;
mod near;
mod origins;
mod packed;
mod rows;
pub(crate) mod tasks;
pub(crate) mod unwanted;
pub(crate) mod unwanted_media;

use std::path::Path;

use manyframe_base::Executor;
use manyframe_dataset::DecontaminationSummary;

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::decisions::decontamination::{Contaminated, find_contaminated};
use crate::decisions::delivery::Delivery;
use crate::decisions::draw::draw;
use crate::decisions::duplicates::{remove_exact_duplicates, remove_near_duplicates};
use crate::decisions::filters::apply_filters;
use crate::decisions::fingerprints::{Fingerprints, needs_fingerprints};
use crate::decisions::tasks::{TaskSamples, cut_tasks};
use crate::error::PlanError;

/// The samples of a plan.
pub(crate) struct DecidedSamples {
    /// Every sample, in the order of delivery.
    pub(crate) delivery: Delivery,
    /// The samples of each task.
    pub(crate) tasks: Vec<TaskSamples>,
    /// What they were compared with, if there is anything that no sample may show.
    pub(crate) decontamination: Option<DecontaminationSummary>,
}

/// Decides about every candidate, and completes the budgets of the sources.
pub(crate) fn decide(
    (context, work): (&Context, &Path),
    candidates: &mut Candidates,
    executor: Executor<'_>,
) -> Result<DecidedSamples, PlanError> {
    apply_filters(context, candidates)?;
    let mut decontamination = None;
    let fingerprints = if needs_fingerprints(context) {
        let mut fingerprints = Fingerprints::read_or_make(context, candidates, executor)?;
        for (row, rejection) in std::mem::take(&mut fingerprints.damaged) {
            candidates.reject(row, rejection);
        }
        if let Some(Contaminated { rows, summary }) = find_contaminated((context, work), &fingerprints, executor)? {
            for (row, rejection) in rows {
                candidates.reject(row, rejection);
            }
            decontamination = Some(summary);
        }
        Some(fingerprints)
    } else {
        None
    };
    candidates.count_undecided(|budget| &mut budget.after_filters);
    remove_exact_duplicates(context, candidates, executor)?;
    if let Some(fingerprints) = &fingerprints {
        remove_near_duplicates(&context.pipeline.file.duplicates, candidates, fingerprints);
    }
    candidates.count_undecided(|budget| &mut budget.available);
    let drawn = draw(context, candidates)?;
    let file = &context.pipeline.file;
    let delivery = Delivery::new(candidates, file.mix.order.arrange(candidates.rows(), drawn, file.seed))?;
    let tasks = cut_tasks(&file.output, candidates.rows(), &delivery);
    Ok(DecidedSamples { delivery, tasks, decontamination })
}
