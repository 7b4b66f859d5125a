//! Divides the samples, in their order, among tasks: one task makes one shard per format.

use std::num::NonZeroU64;

use manyframe_core::Layout;
use manyframe_pipeline::{OutputTable, ShardSplit};
use manyframe_samplers::{Drawn, ShardLimits, cut_shards};

use crate::decisions::candidates::Candidates;

/// The samples of a task.
pub(crate) struct TaskSamples {
    /// The layout of all of them; `None` if layouts are mixed.
    pub(crate) layout: Option<Layout>,
    /// Positions in the order of delivery, ascending.
    pub(crate) positions: Vec<u32>,
}

/// Cuts the samples into tasks, by layout if the pipeline file says so, within the limits of a shard.
pub(crate) fn cut_tasks(output: &OutputTable, candidates: &Candidates, ordered: &[Drawn]) -> Vec<TaskSamples> {
    const BYTES_PER_MIB: NonZeroU64 = NonZeroU64::new(1 << 20).unwrap();
    let limits = ShardLimits {
        max_samples: output.max_shard_samples,
        max_bytes: output.max_shard_mib.saturating_mul(BYTES_PER_MIB),
    };
    let layouts = match output.shards {
        ShardSplit::Mixed => vec![None],
        ShardSplit::ByLayout => Layout::ALL.map(Some).into(),
    };
    let mut tasks = Vec::new();
    for layout in layouts {
        let is_of_layout =
            |drawn: &Drawn| layout.is_none_or(|layout| candidates.row(drawn.position()).layout == layout);
        let samples = || (0..).zip(ordered).filter(|(_, drawn)| is_of_layout(drawn));
        let size = |(_, drawn): (u32, &Drawn)| candidates.row(drawn.position()).estimated_bytes;
        let runs = cut_shards(samples().map(size), limits);
        let mut positions = samples().map(|(position, _)| position);
        tasks.extend(
            runs.into_iter().map(|run| TaskSamples { layout, positions: positions.by_ref().take(run.len()).collect() }),
        );
    }
    tasks
}
