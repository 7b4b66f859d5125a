//! Reads one sample at its place in a shard, without reading what stands before it.

use std::path::Path;

use manyframe_core::{BlobRef, RecordId, Sample, SampleImage};
use manyframe_media::{MediaError, read_range};
use manyframe_shards::{ShardError, ShardFormat};

use crate::error::EngineError;

/// The sample with this id; `None` if it is not there. A tar has it at `position`, a table finds it by its id.
pub(crate) fn read_placed(
    format: ShardFormat,
    shard: &Path,
    position: u64,
    id: RecordId,
) -> Result<Option<Sample>, EngineError> {
    let failed = |error: ShardError| EngineError::Shard { path: shard.to_owned(), error };
    if format == ShardFormat::Parquet {
        return manyframe_shards::read_one(format, shard, id).map_err(failed);
    }
    let entry = manyframe_shards::entry_at(format, shard, position).map_err(failed)?;
    let mut sample = entry.sample;
    for image in entry.images {
        let BlobRef::Range { file, offset, num_bytes } = &image.blob else { return Ok(None) };
        let path = Path::new(file.as_ref());
        let unreadable =
            |error: MediaError| EngineError::NotADataset { path: path.to_owned(), detail: error.to_string() };
        let bytes = read_range(path, *offset, *num_bytes).map_err(unreadable)?;
        let (format, width_px, height_px) = (image.format, image.width_px, image.height_px);
        sample.images.push(SampleImage { bytes, format, width_px, height_px });
    }
    Ok((sample.id == id).then_some(sample))
}
