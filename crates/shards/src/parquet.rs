//! Parquet shards: a table with one row per sample, whose images Hugging Face `datasets` decodes by itself.
//!
//! The columns are those of `sample_table`. What they do not hold is JSON in `metadata` ([`SampleMetadata`]), so that a
//! sample is read back whole.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_base::InputFile;
use manyframe_columnar::{
    ColumnarError, Columns, Descriptions, RawValues, Selection, Statistics, TableCompression, TableOptions,
    TableReader, TableRows, TableWriter, columns_of,
};
use manyframe_core::{BlobRef, ClipFormat, Layout, Message, RecordId, Role, Sample, SampleClip, SampleImage};

use crate::digest::DigestWriter;
use crate::error::ShardError;
use crate::format::{
    BesideShards, DatasetFacts, FinishedShard, Format, ImageEntry, MediaStorage, SampleColumns, SampleEntries,
    SampleEntry, Samples, ShardNotes, ShardWriter, WrittenShard, check_counts, clip_visuals, path_text, until_error,
};
use crate::hugging_face::{card_configs, card_yaml, features_json, features_of_columns};
use crate::json::{ImageShape, SampleMetadata, clip_format, image_shapes, names_of, names_of_clips};
use crate::sample_table::{
    EXPANDED_COLUMNS, ExpandedSampleTable, IMAGE_BYTES, IMAGES, IdTable, SampleParts, SampleRow, SampleTable,
    StoredImage, TOKEN_COLUMNS, VIDEO_BYTES, VIDEOS, VideoSampleTable, WholeSampleTable, role_text,
};

/// A row group is closed when its rows have this many bytes, nearly all of them in images or in texts.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// A row group is closed when it has this many rows.
const ROW_GROUP_ROWS: usize = 100;
/// Maximum number of bytes of one row; offsets within a row group are 32-bit numbers.
const MAX_ROW_BYTES: usize = 1 << 30;
/// Rows decoded at once where images are not read.
const BATCH_ROWS: usize = 64;
/// Page limits are checked after this many values: small pages make single images cheap to read.
const PAGE_CHECK_VALUES: usize = 16;

/// The format.
pub(crate) struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn stores_tokens(&self) -> bool {
        true
    }

    fn stores_clips(&self) -> bool {
        true
    }

    fn shares_media(&self) -> bool {
        true
    }

    fn finds_by_position(&self) -> bool {
        false
    }

    fn create(&self, sink: Box<dyn Write + Send>, columns: SampleColumns) -> Result<Box<dyn ShardWriter>, ShardError> {
        let media = match columns.media {
            MediaStorage::Each => RawValues::Each,
            MediaStorage::Shared => RawValues::Shared,
        };
        Ok(match (columns.expanded, columns.videos) {
            (false, false) => Box::new(TableShardWriter::<SampleTable>::create(sink, media)?),
            (true, false) => Box::new(TableShardWriter::<ExpandedSampleTable>::create(sink, media)?),
            (false, true) => Box::new(TableShardWriter::<VideoSampleTable>::create(sink, media)?),
            (true, true) => Box::new(TableShardWriter::<WholeSampleTable>::create(sink, media)?),
        })
    }

    fn read(&self, file: InputFile) -> Result<Samples, ShardError> {
        let table = SampleRows::open(file)?;
        let mut rows = table.rows(0..u64::MAX, ImageBytes::Read)?;
        Ok(Box::new(until_error(move || table.next(&mut rows)?.map(|row| table.whole_sample(row)).transpose())))
    }

    fn list(&self, file: InputFile) -> Result<SampleEntries, ShardError> {
        let table = SampleRows::open(file)?;
        let file = path_text(&table.path)?;
        let mut rows = table.rows(0..u64::MAX, ImageBytes::Skip)?;
        let mut position = 0;
        Ok(Box::new(until_error(move || {
            let Some(row) = table.next(&mut rows)? else { return Ok(None) };
            let entry = entry(&file, position, row);
            position += 1;
            Ok(Some(entry))
        })))
    }

    fn entry_at(&self, file: InputFile, position: u64) -> Result<SampleEntry, ShardError> {
        let table = SampleRows::open(file)?;
        let row = table.row_at(position, ImageBytes::Skip)?;
        Ok(entry(&path_text(&table.path)?, position, row))
    }

    fn read_at(&self, file: InputFile, position: u64) -> Result<Sample, ShardError> {
        let table = SampleRows::open(file)?;
        table.whole_sample(table.row_at(position, ImageBytes::Read)?)
    }

    fn read_one(&self, file: InputFile, id: RecordId) -> Result<Option<Sample>, ShardError> {
        let cannot_read = |source| ShardError::ReadTable { path: file.path().to_owned(), source };
        let wanted = id.to_string();
        let ids = TableReader::<IdTable>::of(file.clone()).and_then(|table| table.all_rows()).map_err(cannot_read)?;
        for (position, found) in (0..).zip(ids) {
            if found.map_err(cannot_read)? == wanted {
                return self.read_at(file, position).map(Some);
            }
        }
        Ok(None)
    }

    /// Lines of the card for everything, and for each layout: `load_dataset(DIR, "temporal")`.
    fn finish_dataset(&self, shards: &[FinishedShard], facts: &DatasetFacts<'_>) -> BesideShards {
        let columns = match (facts.columns.expanded, facts.columns.videos) {
            (false, false) => columns_of::<SampleTable>(),
            (true, false) => columns_of::<ExpandedSampleTable>(),
            (false, true) => columns_of::<VideoSampleTable>(),
            (true, true) => columns_of::<WholeSampleTable>(),
        };
        let card_yaml = card_yaml((&card_configs(self, shards), facts.split), &features_of_columns(&columns));
        BesideShards { card_yaml, ..BesideShards::default() }
    }
}

/// Writes a table in row groups of bounded size.
struct TableShardWriter<T> {
    table: TableWriter<T, DigestWriter>,
    num_samples: u64,
    group_rows: usize,
    group_bytes: usize,
}

impl<T: Columns> TableShardWriter<T> {
    fn create(sink: Box<dyn Write + Send>, media: RawValues) -> Result<Self, ShardError> {
        let options = TableOptions {
            metadata: vec![("huggingface".to_owned(), features_json(&columns_of::<T>()))],
            descriptions: Descriptions::Omitted,
            page_check_values: Some(PAGE_CHECK_VALUES),
            statistics: Statistics::Kept,
            raw_values: media,
            compression: TableCompression::Zstd,
        };
        let table = TableWriter::with_options(DigestWriter::new(sink), &options).map_err(cannot_write)?;
        Ok(Self { table, num_samples: 0, group_rows: 0, group_bytes: 0 })
    }
}

impl<T: for<'r> Columns<Input<'r> = SampleParts<'r>>> ShardWriter for TableShardWriter<T> {
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError> {
        check_counts(sample)?;
        let refuse = |detail| ShardError::Sample { id: sample.id, detail };
        let integer = |n: u64| i64::try_from(n).map_err(|_large| refuse(format!("{n} is too large a number")));
        let span = |&(start, end): &(usize, usize)| Ok((integer(start as u64)?, integer(end as u64)?));
        let label_spans = sample.label_spans.iter().map(span).collect::<Result<Vec<_>, ShardError>>()?;
        let metadata = serde_json::to_string(&SampleMetadata::from_sample(sample));
        let row = SampleParts {
            sample,
            names: &names_of(&sample.images),
            clip_names: &names_of_clips(&sample.clips),
            label_spans: &label_spans,
            num_tokens: integer(sample.cost.num_tokens())?,
            num_images: integer(sample.num_shown_images())?,
            metadata: &metadata.map_err(|error| refuse(error.to_string()))?,
        };
        let num_bytes = num_bytes(&row);
        if num_bytes > MAX_ROW_BYTES {
            return Err(refuse(format!("it has {num_bytes} bytes, at most {MAX_ROW_BYTES} are possible")));
        }
        self.table.write(row).map_err(cannot_write)?;
        self.num_samples += 1;
        self.group_rows += 1;
        self.group_bytes += num_bytes;
        if self.group_rows >= ROW_GROUP_ROWS || self.group_bytes >= ROW_GROUP_BYTES {
            (self.group_rows, self.group_bytes) = (0, 0);
            self.table.end_row_group().map_err(cannot_write)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<WrittenShard, ShardError> {
        self.table.finish().map_err(cannot_write)?.finish(self.num_samples, ShardNotes::default())
    }
}

/// The size of a row, without its numbers of 64 bits.
fn num_bytes(row: &SampleParts<'_>) -> usize {
    let sample = row.sample;
    let id = 2 * sample.id.0.len();
    let texts = [&*sample.source, &*sample.subset, sample.layout.as_str(), &sample.prompt, row.metadata];
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    let messages: usize =
        sample.messages.iter().map(|message| role_text(message.role).len() + message.content.len()).sum();
    let images: usize = sample.images.iter().map(|image| image.bytes.len()).sum();
    let names: usize = row.names.iter().chain(row.clip_names).map(String::len).sum();
    let clips: usize = sample.clips.iter().map(|clip| clip.bytes.len()).sum();
    let indices: usize = clip_visuals(&sample.visuals).map(|clip| size_of_val(&*clip.frame_indices)).sum();
    let tokens = sample.tokens.as_ref().map_or(0, |tokens| {
        let num_integers =
            tokens.input_ids.len() + tokens.labels.len() + tokens.image_positions.len() + tokens.type_ids.len();
        num_integers * size_of::<i32>()
    });
    id + texts + messages + images + names + clips + indices + tokens
}

fn cannot_write(source: ColumnarError) -> ShardError {
    ShardError::WriteTable { source }
}

/// Whether the bytes of images are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ImageBytes {
    Read,
    Skip,
}

/// The rows of an open shard.
struct SampleRows {
    path: PathBuf,
    table: TableReader<WholeSampleTable>,
}

/// A sample without its images and clips, and these.
struct RowSample {
    sample: Sample,
    images: Vec<(StoredImage, ImageShape)>,
    clips: Vec<(StoredImage, ClipFormat)>,
}

impl SampleRows {
    fn open(file: InputFile) -> Result<Self, ShardError> {
        let path = file.path().to_owned();
        let table = TableReader::of(file).map_err(|source| ShardError::ReadTable { path: path.clone(), source })?;
        Ok(Self { path, table })
    }

    fn cannot_read(&self, source: ColumnarError) -> ShardError {
        ShardError::ReadTable { path: self.path.clone(), source }
    }

    fn rows(&self, rows: Range<u64>, images: ImageBytes) -> Result<TableRows<WholeSampleTable>, ShardError> {
        let mut without = Vec::new();
        let has_videos = self.table.column_names().any(|name| name == VIDEOS);
        if images == ImageBytes::Skip {
            without.push(IMAGE_BYTES);
            without.extend(has_videos.then_some(VIDEO_BYTES));
        }
        if !has_videos {
            without.push(VIDEOS);
        }
        // Tables of earlier versions have no ids; most tables have none of expanded placeholders.
        for columns in [&TOKEN_COLUMNS, &EXPANDED_COLUMNS] {
            if !self.table.column_names().any(|name| columns.contains(&name)) {
                without.extend(columns);
            }
        }
        let batch_rows = match images {
            ImageBytes::Read => 1,
            ImageBytes::Skip => BATCH_ROWS,
        };
        let selection = Selection { rows, without: &without, batch_rows };
        self.table.rows(&selection).map_err(|source| self.cannot_read(source))
    }

    fn next(&self, rows: &mut TableRows<WholeSampleTable>) -> Result<Option<RowSample>, ShardError> {
        let Some(row) = rows.next().transpose().map_err(|source| self.cannot_read(source))? else { return Ok(None) };
        let id = row.id.clone();
        sample_from_row(row).map(Some).map_err(|detail| self.damaged(id, detail))
    }

    fn row_at(&self, position: u64, images: ImageBytes) -> Result<RowSample, ShardError> {
        let mut rows = self.rows(position..position.saturating_add(1), images)?;
        let missing = || self.damaged(format!("row {position}"), "the table has no such row".to_owned());
        self.next(&mut rows)?.ok_or_else(missing)
    }

    fn damaged(&self, member: String, detail: String) -> ShardError {
        ShardError::Member { path: self.path.clone(), member, detail }
    }

    fn whole_sample(&self, RowSample { mut sample, images, clips }: RowSample) -> Result<Sample, ShardError> {
        for (StoredImage { bytes, name }, ImageShape { format, width_px, height_px }) in images {
            let missing = || self.damaged(sample.id.to_string(), format!("image {name:?} has no bytes"));
            sample.images.push(SampleImage { bytes: bytes.ok_or_else(missing)?, format, width_px, height_px });
        }
        for (StoredImage { bytes, name }, format) in clips {
            let missing = || self.damaged(sample.id.to_string(), format!("video {name:?} has no bytes"));
            sample.clips.push(SampleClip { bytes: bytes.ok_or_else(missing)?, format });
        }
        Ok(sample)
    }
}

fn entry(file: &Arc<str>, row: u64, found: RowSample) -> SampleEntry {
    let cell =
        |column: &Arc<str>, index| BlobRef::Cell { file: Arc::clone(file), column: Arc::clone(column), row, index };
    let (images, videos): (Arc<str>, Arc<str>) = (IMAGES.into(), VIDEOS.into());
    let clips = (0..).zip(&found.clips).map(|(index, _)| cell(&videos, index)).collect();
    let images = (0..).zip(found.images).map(|(index, (_, shape))| ImageEntry {
        blob: cell(&images, index),
        format: shape.format,
        width_px: shape.width_px,
        height_px: shape.height_px,
    });
    SampleEntry { position: row, sample: found.sample, images: images.collect(), clips }
}

fn sample_from_row(row: SampleRow) -> Result<RowSample, String> {
    let metadata: SampleMetadata = serde_json::from_str(&row.metadata)
        .map_err(|error| format!("its metadata is not that of a sample: {error}"))?;
    let message = |(role, content): (String, String)| Ok(Message { role: role_from_text(&role)?, content });
    let span = |(start, end): (i64, i64)| {
        let span = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        span.ok_or_else(|| format!("label span ({start}, {end}) is negative"))
    };
    let names: Vec<&str> = row.images.iter().map(|image| image.name.as_str()).collect();
    let shapes = image_shapes(&names, &metadata.image_sizes)?;
    let formats = row.videos.iter().map(|video| clip_format(&video.name)).collect::<Result<Vec<_>, _>>()?;
    let num_clips = clip_visuals(&metadata.visuals).count();
    if num_clips != formats.len() {
        return Err(format!("{} video files, expected {num_clips}", formats.len()));
    }
    let cost = metadata.cost();
    if u64::try_from(row.num_tokens) != Ok(cost.num_tokens()) {
        return Err(format!("{} tokens, expected the {} of its metadata", row.num_tokens, cost.num_tokens()));
    }
    let mut sample = Sample {
        id: row.id.parse().map_err(|error| format!("its id is wrong: {error}"))?,
        source: row.source,
        subset: row.subset,
        upstream_id: metadata.upstream_id,
        layout: Layout::from_text(&row.layout).ok_or_else(|| format!("unknown layout {:?}", row.layout))?,
        messages: row.messages.into_iter().map(message).collect::<Result<_, String>>()?,
        prompt: row.prompt,
        label_spans: row.label_spans.into_iter().map(span).collect::<Result<_, String>>()?,
        tokens: row.tokens,
        cost,
        images: Vec::new(),
        clips: Vec::new(),
        visuals: metadata.visuals,
        origin: metadata.origin.into_origin(),
    };
    let num_images = sample.num_clip_frames().saturating_add(row.images.len() as u64);
    if u64::try_from(row.num_images) != Ok(num_images) {
        return Err(format!("{num_images} images, expected {}", row.num_images));
    }
    sample.cost.num_images = num_images;
    let images = row.images.into_iter().zip(shapes).collect();
    Ok(RowSample { sample, images, clips: row.videos.into_iter().zip(formats).collect() })
}

fn role_from_text(text: &str) -> Result<Role, String> {
    let role = [Role::System, Role::User, Role::Assistant].into_iter().find(|&role| role_text(role) == text);
    role.ok_or_else(|| format!("unknown role {text:?}"))
}

#[cfg(test)]
mod tests {
    use manyframe_core::Digest;

    use super::*;

    #[test]
    fn a_card_has_all_samples_first_and_then_the_layouts_in_order() {
        let shard = |path: &str, layout| FinishedShard {
            path: path.to_owned(),
            layout,
            num_samples: 1,
            num_bytes: 1,
            digest: Digest::of(b""),
            notes: ShardNotes::default(),
        };
        let shards = [
            shard("parquet/mixed/000000.parquet", None),
            shard("parquet/image/000000.parquet", Some(Layout::Image)),
            shard("parquet/temporal/000000.parquet", Some(Layout::Temporal)),
            shard("parquet/temporal/000001.parquet", Some(Layout::Temporal)),
        ];
        let facts = DatasetFacts { name: "t", split: "train", columns: SampleColumns::default() };
        let card = Parquet.finish_dataset(&shards, &facts).card_yaml;
        let names: Vec<_> = card.lines().filter_map(|line| line.strip_prefix("- config_name: ")).collect();
        assert_eq!(names[..4], ["\"default\"", "\"temporal\"", "\"image\"", "\"mixed\""]);
        assert!(card.contains("path: \"parquet/temporal/*.parquet\"\n"));
        assert_eq!(Parquet.finish_dataset(&[], &facts), BesideShards::default());
    }
}
