//! Takes a sample over from a shard of the dataset that is being replaced.
//!
//! The planner found that it would come out the same. Whatever is wrong with the old shard, the sample can be made anew.

use manyframe_core::Sample;
use manyframe_plan::{Context, PlannedSample};

/// The sample, if it was built before and is still where the planner saw it.
pub(crate) fn read(context: &Context, planned: &PlannedSample) -> Option<Sample> {
    let location = planned.reused_from.as_ref()?;
    let mut sample = location.read(planned.id()).ok().flatten()?;
    // Only some shard formats hold tokens; which are written is no part of what a sample is.
    let is_wanted = context.pipeline.file.output.has_tokens();
    sample.tokens = match sample.tokens.filter(|_| is_wanted) {
        None if is_wanted => Some(context.formatter.encode(&sample.prompt, &sample.label_spans).ok()?),
        tokens => tokens,
    };
    Some(sample)
}
