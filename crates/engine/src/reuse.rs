//! Reuses a sample from a shard of the dataset that is being replaced.
//!
//! The planner found that the sample would be the same. Whatever is wrong with the old shard, it can be made again.

use manyframe_core::Sample;
use manyframe_plan::{Context, PlannedSample};

/// The sample, if the planner found it in the old dataset and it is still there.
pub(crate) fn read_sample(context: &Context, planned: &PlannedSample) -> Option<Sample> {
    let reused = planned.reused_from.as_ref()?;
    let mut sample = match reused.location.read(reused.id, &context.pipeline.stores.access()) {
        Ok(found) => found?,
        Err(error) => {
            tracing::debug!(id = %planned.id(), %error, "an old sample cannot be read and is made again");
            return None;
        }
    };
    // The annotations around its record may have changed since.
    (sample.id, sample.origin) = (planned.id(), planned.origin.clone());
    // Only some shard formats hold token ids; which formats are written does not change what a sample is.
    let is_wanted = context.pipeline.file.output.has_tokens();
    sample.tokens = match sample.tokens.take().filter(|_| is_wanted) {
        None if is_wanted => Some(context.formatter.encode_sample(&sample).ok()?),
        tokens => tokens,
    };
    Some(sample)
}
