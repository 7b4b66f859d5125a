//! Takes a sample over from a shard of the dataset that is being replaced.
//!
//! The planner found that it would come out the same. Whatever is wrong with the old shard, the sample can be made anew.

use std::path::Path;

use manyframe_core::{BlobRef, Sample, SampleImage};
use manyframe_media::read_range;
use manyframe_plan::{Context, PlannedSample};
use manyframe_shards::ShardFormat;

/// The sample, if it was built before and is still where the planner saw it.
pub(crate) fn read(context: &Context, planned: &PlannedSample) -> Option<Sample> {
    let built = planned.built_before.as_ref()?;
    let found = match built.format {
        ShardFormat::Webdataset => read_ranges(&built.shard, built.format, built.position),
        ShardFormat::Parquet => manyframe_shards::read_one(built.format, &built.shard, planned.id()).ok()?,
    };
    let mut sample = found.filter(|sample| sample.id == planned.id())?;
    // Only some shard formats hold tokens; which are written is no part of what a sample is.
    let is_wanted = context.pipeline.file.output.has_tokens();
    sample.tokens = match sample.tokens.filter(|_| is_wanted) {
        None if is_wanted => Some(context.formatter.encode(&sample.prompt, &sample.label_spans).ok()?),
        tokens => tokens,
    };
    Some(sample)
}

fn read_ranges(shard: &Path, format: ShardFormat, position: u64) -> Option<Sample> {
    let entry = manyframe_shards::entry_at(format, shard, position).ok()?;
    let mut sample = entry.sample;
    for image in entry.images {
        let BlobRef::Range { file, offset, num_bytes } = &image.blob else { return None };
        let bytes = read_range(Path::new(file.as_ref()), *offset, *num_bytes).ok()?;
        let (format, width_px, height_px) = (image.format, image.width_px, image.height_px);
        sample.images.push(SampleImage { bytes, format, width_px, height_px });
    }
    Some(sample)
}
