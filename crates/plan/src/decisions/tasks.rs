//! Divides the samples, in their order, among tasks: one task makes one shard per format.

use std::num::NonZeroU64;

use manyframe_core::{Cost, Layout};
use manyframe_pipeline::{OutputTable, ShardSplit};
use manyframe_samplers::{ShardFill, ShardLimits};

use crate::decisions::delivery::Delivery;
use crate::decisions::rows::PackedRows;

/// The samples of a task.
pub(crate) struct TaskSamples {
    /// The layout of all of them; `None` if layouts are mixed.
    pub(crate) layout: Option<Layout>,
    /// Positions in the order of delivery, ascending.
    pub(crate) positions: Vec<u32>,
    /// What they cost together.
    pub(crate) cost: Cost,
    /// How large its shard is, roughly.
    pub(crate) fill: ShardFill,
}

impl TaskSamples {
    fn without_samples(layout: Option<Layout>) -> Self {
        Self { layout, positions: Vec::new(), cost: Cost::default(), fill: ShardFill::default() }
    }
}

/// Cuts the samples into tasks, by layout if the pipeline file says so, within the limits of a shard. Rows are far apart in memory
/// where their samples follow each other, so that each is looked at once.
pub(crate) fn cut_tasks(output: &OutputTable, rows: &PackedRows, delivery: &Delivery) -> Vec<TaskSamples> {
    const BYTES_PER_MIB: NonZeroU64 = NonZeroU64::new(1 << 20).unwrap();
    let limits = ShardLimits {
        max_samples: output.max_shard_samples,
        max_bytes: output.max_shard_mib.saturating_mul(BYTES_PER_MIB),
    };
    let layouts = match output.shards {
        ShardSplit::Mixed => vec![None],
        ShardSplit::ByLayout => Layout::ALL.map(Some).into(),
    };
    let start = |&layout| (Vec::new(), TaskSamples::without_samples(layout));
    // The finished tasks of each layout, and the one that gets its next sample.
    let mut of_layouts: Vec<(Vec<TaskSamples>, TaskSamples)> = layouts.iter().map(start).collect();
    for position in 0..delivery.num_samples() {
        let row = delivery.row(rows, position);
        let of_layout = of_layouts.iter_mut().find(|(_, task)| task.layout.is_none_or(|layout| layout == row.layout));
        let Some((finished, task)) = of_layout else { continue };
        if !task.fill.try_add(row.estimated_bytes, limits) {
            finished.push(std::mem::replace(task, TaskSamples::without_samples(task.layout)));
            // An empty shard takes any sample.
            task.fill.try_add(row.estimated_bytes, limits);
        }
        task.positions.push(position);
        task.cost += row.cost;
    }
    let tasks = of_layouts.into_iter().flat_map(|(finished, last)| finished.into_iter().chain([last]));
    tasks.filter(|task| !task.positions.is_empty()).collect()
}
