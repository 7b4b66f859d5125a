//! Parquet shards: a table with one row per sample, whose images Hugging Face `datasets` decodes by itself.
//!
//! The columns are those of [`manyframe_columnar::SampleRow`]. What they do not hold is JSON in `metadata`
//! ([`SampleMetadata`]), so that a sample is read back whole.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use manyframe_columnar::{ImageBytes, ImageCell, SampleRow, SampleTableReader, SampleTableWriter};
use manyframe_core::{BlobRef, Cost, Layout, Message, RecordId, Role, Sample, SampleImage};

use crate::card::FEATURES_JSON;
use crate::digest::DigestWriter;
use crate::json::{ImageShape, image_shapes, names_of};
use crate::{ImageEntry, SampleEntry, SampleMetadata, ShardError, ShardSummary, ShardWriter, check_counts};

/// The column that images are read from.
const IMAGES: &str = "images";

/// Writes a table.
pub(crate) struct Writer {
    table: SampleTableWriter<DigestWriter>,
    num_samples: u64,
}

impl Writer {
    pub(crate) fn new(sink: Box<dyn Write + Send>) -> Result<Self, ShardError> {
        let metadata = [("huggingface".to_owned(), FEATURES_JSON.to_owned())];
        let table = SampleTableWriter::new(DigestWriter::new(sink), &metadata)
            .map_err(|source| ShardError::WriteTable { source })?;
        Ok(Self { table, num_samples: 0 })
    }
}

impl ShardWriter for Writer {
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError> {
        check_counts(sample)?;
        let row = row_from_sample(sample).map_err(|detail| ShardError::Sample { id: sample.id, detail })?;
        self.table.write(&row).map_err(|source| ShardError::WriteTable { source })?;
        self.num_samples += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ShardSummary, ShardError> {
        let sink = self.table.finish().map_err(|source| ShardError::WriteTable { source })?;
        sink.finish(self.num_samples)
    }
}

pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Sample, ShardError>> + Send + use<>, ShardError> {
    let rows = rows(path, ImageBytes::Read)?;
    Ok(rows.map(|row| {
        let (sample, images) = row?;
        Ok(with_images(sample, images))
    }))
}

pub(crate) fn list(
    path: &Path,
) -> Result<impl Iterator<Item = Result<SampleEntry, ShardError>> + Send + use<>, ShardError> {
    let (file, column) = cell_names(path)?;
    let rows = rows(path, ImageBytes::Skip)?;
    Ok((0..).zip(rows).map(move |(row, found)| Ok(entry(&file, &column, row, found?))))
}

pub(crate) fn entry_at(path: &Path, position: u64) -> Result<SampleEntry, ShardError> {
    let cannot_read = |source| ShardError::ReadTable { path: path.to_owned(), source };
    let table = SampleTableReader::open(path).map_err(cannot_read)?;
    let rows = table.rows(position..position.saturating_add(1), ImageBytes::Skip);
    let row = rows.and_then(|mut rows| rows.next().transpose()).map_err(cannot_read)?;
    let missing = || ShardError::Member {
        path: path.to_owned(),
        member: format!("row {position}"),
        detail: "the table has no such row".to_owned(),
    };
    let (file, column) = cell_names(path)?;
    Ok(entry(&file, &column, position, sample_at(path, row.ok_or_else(missing)?)?))
}

/// The file and the column in which cells are.
fn cell_names(path: &Path) -> Result<(Arc<str>, Arc<str>), ShardError> {
    let text = path.to_str().ok_or_else(|| ShardError::PathText { path: path.to_owned() })?;
    Ok((text.into(), IMAGES.into()))
}

fn entry(file: &Arc<str>, column: &Arc<str>, row: u64, (sample, images): Found) -> SampleEntry {
    let images = (0..).zip(images).map(|(index, (_, shape))| ImageEntry {
        blob: BlobRef::Cell { file: Arc::clone(file), column: Arc::clone(column), row, index },
        format: shape.format,
        width_px: shape.width_px,
        height_px: shape.height_px,
    });
    SampleEntry { position: row, sample, images: images.collect() }
}

pub(crate) fn read_one(path: &Path, id: RecordId) -> Result<Option<Sample>, ShardError> {
    let cannot_read = |source| ShardError::ReadTable { path: path.to_owned(), source };
    let table = SampleTableReader::open(path).map_err(cannot_read)?;
    let Some(row) = table.find(&id.to_string()).map_err(cannot_read)? else {
        return Ok(None);
    };
    let mut rows = table.rows(row..row + 1, ImageBytes::Read).map_err(cannot_read)?;
    let Some(row) = rows.next().transpose().map_err(cannot_read)? else {
        return Ok(None);
    };
    let (sample, images) = sample_at(path, row)?;
    Ok(Some(with_images(sample, images)))
}

/// A sample without its images, and these.
type Found = (Sample, Vec<(Cow<'static, [u8]>, ImageShape)>);

fn rows(
    path: &Path,
    images: ImageBytes,
) -> Result<impl Iterator<Item = Result<Found, ShardError>> + Send + use<>, ShardError> {
    let path = path.to_owned();
    let table = SampleTableReader::open(&path).and_then(|table| table.rows(0..u64::MAX, images));
    let mut rows = table.map_err(|source| ShardError::ReadTable { path: path.clone(), source })?.fuse();
    let mut over = false;
    Ok(std::iter::from_fn(move || {
        if over {
            return None;
        }
        let row = rows.next()?.map_err(|source| ShardError::ReadTable { path: path.clone(), source });
        let found = row.and_then(|row| sample_at(&path, row));
        over = found.is_err();
        Some(found)
    }))
}

fn with_images(mut sample: Sample, images: Vec<(Cow<'static, [u8]>, ImageShape)>) -> Sample {
    let images = images.into_iter().map(|(bytes, ImageShape { format, width_px, height_px })| SampleImage {
        bytes: bytes.into_owned(),
        format,
        width_px,
        height_px,
    });
    sample.images = images.collect();
    sample
}

fn row_from_sample(sample: &Sample) -> Result<SampleRow<'_>, String> {
    let integer = |n: u64| i64::try_from(n).map_err(|_large| format!("{n} is too large a number"));
    let span = |&(start, end): &(usize, usize)| Ok((integer(start as u64)?, integer(end as u64)?));
    let images = names_of(&sample.images).into_iter().zip(&sample.images);
    Ok(SampleRow {
        id: sample.id.to_string(),
        source: sample.source.to_string(),
        subset: sample.subset.to_string(),
        layout: sample.layout.as_str().to_owned(),
        messages: sample.messages.iter().map(|m| (role_text(m.role).to_owned(), m.content.clone())).collect(),
        images: images.map(|(path, image)| ImageCell { bytes: Cow::Borrowed(&image.bytes), path }).collect(),
        prompt: sample.prompt.clone(),
        label_spans: sample.label_spans.iter().map(span).collect::<Result<_, String>>()?,
        tokens: sample.tokens.as_ref().map(Cow::Borrowed),
        num_tokens: integer(sample.cost.num_tokens())?,
        num_images: integer(sample.images.len() as u64)?,
        metadata: serde_json::to_string(&SampleMetadata::from_sample(sample)).map_err(|error| error.to_string())?,
    })
}

fn sample_at(path: &Path, row: SampleRow<'static>) -> Result<Found, ShardError> {
    let member = row.id.clone();
    sample_from_row(row).map_err(|detail| ShardError::Member { path: path.to_owned(), member, detail })
}

fn sample_from_row(row: SampleRow<'static>) -> Result<Found, String> {
    let metadata: SampleMetadata = serde_json::from_str(&row.metadata)
        .map_err(|error| format!("its metadata is not that of a sample: {error}"))?;
    let layout = Layout::ALL.into_iter().find(|layout| layout.as_str() == row.layout);
    let message = |(role, content): (String, String)| {
        let role = role_from_text(&role).ok_or_else(|| format!("unknown role {role:?}"))?;
        Ok(Message { role, content })
    };
    let span = |(start, end): (i64, i64)| {
        let span = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        span.ok_or_else(|| format!("label span ({start}, {end}) is negative"))
    };
    let (bytes, names): (Vec<_>, Vec<_>) = row.images.into_iter().map(|image| (image.bytes, image.path)).unzip();
    if usize::try_from(row.num_images) != Ok(names.len()) {
        return Err(format!("{} images, expected {}", names.len(), row.num_images));
    }
    let shapes = image_shapes(&names, &metadata.image_sizes)?;
    let sample = Sample {
        id: row.id.parse().map_err(|error| format!("its id is wrong: {error}"))?,
        source: row.source.into(),
        subset: row.subset.into(),
        upstream_id: metadata.upstream_id,
        layout: layout.ok_or_else(|| format!("unknown layout {:?}", row.layout))?,
        messages: row.messages.into_iter().map(message).collect::<Result<_, String>>()?,
        prompt: row.prompt,
        label_spans: row.label_spans.into_iter().map(span).collect::<Result<_, String>>()?,
        tokens: row.tokens.map(Cow::into_owned),
        cost: Cost {
            text_tokens: metadata.text_tokens,
            delimiter_tokens: metadata.delimiter_tokens,
            visual_tokens: metadata.visual_tokens,
            num_images: names.len() as u64,
            num_frames: metadata.num_frames,
        },
        images: Vec::new(),
        visuals: metadata.visuals,
        origin: metadata.origin.into_origin(),
    };
    Ok((sample, bytes.into_iter().zip(shapes).collect()))
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn role_from_text(text: &str) -> Option<Role> {
    [Role::System, Role::User, Role::Assistant].into_iter().find(|&role| role_text(role) == text)
}
