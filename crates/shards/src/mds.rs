//! MDS shards, version 2, as MosaicML Streaming reads them.
//!
//! ```text
//! number of samples, their offsets and the end of the last       32 bits each, little-endian
//! JSON: names, encodings and sizes of the columns
//! for each sample: the size of each column that has no fixed one, then the columns
//! mds/index.json: the same JSON for each shard, with its size and SHA-256
//! ```
//!
//! What the other columns do not hold is JSON in `metadata` ([`SampleMetadata`]), so that a sample is read back whole. The
//! offsets have 32 bits, so a shard is smaller than 4 GiB; and they come first, so it is in memory until it is finished.

use std::io::{self, Write};
use std::sync::Arc;

use manyframe_base::InputFile;
use manyframe_core::{BlobRef, Layout, RecordId, Sample, SampleImage};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::DigestWriter;
use crate::error::ShardError;
use crate::format::{
    BesideShards, DatasetFacts, FinishedShard, Format, ImageEntry, SampleColumns, SampleEntries, SampleEntry, Samples,
    ShardNotes, ShardWriter, WrittenShard, check_counts, path_text, until_error,
};
use crate::hugging_face::{all_files, configs_yaml};
use crate::json::{ConversationTurn, ImageShape, SampleMetadata, image_shapes, names_of};
use crate::tar::ByteRange;

/// The format.
pub(crate) struct Mds;

/// The columns in the order of their names, which is that of the file, with their encodings. Only integers have a fixed size.
const COLUMNS: [(&str, &str); 11] = [
    ("conversations", "json"),
    ("id", "str"),
    ("image_names", "json"),
    ("images", "list[jpeg]"),
    ("label_spans", "json"),
    ("layout", "str"),
    ("metadata", "json"),
    ("num_tokens", INT),
    ("prompt", "str"),
    ("source", "str"),
    ("subset", "str"),
];
const INT: &str = "int";
const INT_BYTES: u64 = 8;

impl Format for Mds {
    fn name(&self) -> &'static str {
        "mds"
    }

    fn extension(&self) -> &'static str {
        "mds"
    }

    fn stores_tokens(&self) -> bool {
        false
    }

    fn stores_clips(&self) -> bool {
        false
    }

    fn finds_by_position(&self) -> bool {
        true
    }

    fn create(&self, sink: Box<dyn Write + Send>, _: SampleColumns) -> Result<Box<dyn ShardWriter>, ShardError> {
        Ok(Box::new(MdsWriter { sink: DigestWriter::new(sink), ends: Vec::new(), body: Vec::new() }))
    }

    fn read(&self, file: InputFile) -> Result<Samples, ShardError> {
        let shard = MdsReader::open(file)?;
        let mut numbers = 0..shard.num_samples;
        Ok(Box::new(until_error(move || {
            numbers.next().map(|number| shard.sample(number)?.with_images(&shard)).transpose()
        })))
    }

    fn list(&self, file: InputFile) -> Result<SampleEntries, ShardError> {
        let shard = MdsReader::open(file)?;
        let file = path_text(shard.file.path())?;
        let mut numbers = 0..shard.num_samples;
        Ok(Box::new(until_error(move || {
            numbers.next().map(|number| Ok(shard.sample(number)?.into_entry(&file, number))).transpose()
        })))
    }

    fn entry_at(&self, file: InputFile, position: u64) -> Result<SampleEntry, ShardError> {
        let shard = MdsReader::open(file)?;
        Ok(shard.sample(position)?.into_entry(&path_text(shard.file.path())?, position))
    }

    fn read_at(&self, file: InputFile, position: u64) -> Result<Sample, ShardError> {
        let shard = MdsReader::open(file)?;
        shard.sample(position)?.with_images(&shard)
    }

    fn read_one(&self, file: InputFile, id: RecordId) -> Result<Option<Sample>, ShardError> {
        let shard = MdsReader::open(file)?;
        for number in 0..shard.num_samples {
            let found = shard.sample(number)?;
            if found.sample.id == id {
                return found.with_images(&shard).map(Some);
            }
        }
        Ok(None)
    }

    fn finish_dataset(&self, shards: &[FinishedShard], facts: &DatasetFacts<'_>) -> BesideShards {
        if shards.is_empty() {
            return BesideShards::default();
        }
        let index = IndexJson { shards: shards.iter().map(|shard| IndexEntry::of(self, shard)).collect(), version: 2 };
        let files = vec![(format!("{}/index.json", self.name()), json_of(&index))];
        let card_yaml = configs_yaml(&[all_files(self, "")], facts.split);
        BesideShards { card_yaml, files, ..BesideShards::default() }
    }
}

/// What a shard says of itself.
#[derive(Serialize)]
struct ShardJson {
    column_encodings: Vec<&'static str>,
    column_names: Vec<&'static str>,
    column_sizes: Vec<Option<u64>>,
    compression: Option<&'static str>,
    format: &'static str,
    hashes: [&'static str; 1],
    size_limit: Option<u64>,
    version: u32,
}

impl ShardJson {
    fn new() -> Self {
        Self {
            column_encodings: COLUMNS.map(|(_, encoding)| encoding).into(),
            column_names: COLUMNS.map(|(name, _)| name).into(),
            column_sizes: COLUMNS.map(|(_, encoding)| (encoding == INT).then_some(INT_BYTES)).into(),
            compression: None,
            format: "mds",
            hashes: ["sha256"],
            size_limit: None,
            version: 2,
        }
    }
}

#[derive(Serialize)]
struct IndexJson<'s> {
    shards: Vec<IndexEntry<'s>>,
    version: u32,
}

/// What the index says of a shard.
#[derive(Serialize)]
struct IndexEntry<'s> {
    #[serde(flatten)]
    shard: ShardJson,
    raw_data: RawData<'s>,
    samples: u64,
    zip_data: Option<RawData<'s>>,
}

#[derive(Serialize)]
struct RawData<'s> {
    basename: &'s str,
    bytes: u64,
    hashes: Hashes<'s>,
}

#[derive(Serialize)]
struct Hashes<'s> {
    sha256: &'s str,
}

impl<'s> IndexEntry<'s> {
    fn of(format: &dyn Format, shard: &'s FinishedShard) -> Self {
        let raw_data = RawData {
            basename: shard.path_below(format.name()),
            bytes: shard.num_bytes,
            hashes: Hashes { sha256: &shard.notes.sha256 },
        };
        Self { shard: ShardJson::new(), raw_data, samples: shard.num_samples, zip_data: None }
    }
}

/// A description as JSON.
#[expect(clippy::expect_used, reason = "texts and numbers under texts are JSON")]
fn json_of(description: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(description).expect("a description is JSON")
}

/// Writes a shard.
struct MdsWriter {
    sink: DigestWriter,
    /// One past the last byte of each sample, in the body.
    ends: Vec<usize>,
    body: Vec<u8>,
}

impl ShardWriter for MdsWriter {
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError> {
        check_counts(sample)?;
        let refuse = |detail: String| ShardError::Sample { id: sample.id, detail };
        if !sample.clips.is_empty() {
            return Err(refuse("video files have no place in this format".to_owned()));
        }
        let columns = columns_of(sample).map_err(refuse)?;
        for ((_, encoding), column) in COLUMNS.iter().zip(&columns) {
            if *encoding != INT {
                self.body.extend(size_bytes(column.len()).map_err(refuse)?);
            }
        }
        self.body.extend(columns.iter().flatten());
        self.ends.push(self.body.len());
        // What precedes the body is checked when it is known.
        size_bytes(self.body.len()).map(drop).map_err(refuse)
    }

    fn finish(mut self: Box<Self>) -> Result<WrittenShard, ShardError> {
        let failed = |source| ShardError::Write { source };
        let large = |detail| failed(io::Error::new(io::ErrorKind::FileTooLarge, detail));
        let json = json_of(&ShardJson::new());
        let start = 4 + 4 * (self.ends.len() + 1) + json.len();
        let offsets = std::iter::once(0).chain(self.ends.iter().copied()).map(|end| size_bytes(start + end));
        let mut head = size_bytes(self.ends.len()).map_err(large)?.to_vec();
        for offset in offsets {
            head.extend(offset.map_err(large)?);
        }
        for part in [&head, &json, &self.body] {
            self.sink.write_all(part).map_err(failed)?;
        }
        self.sink.finish(self.ends.len() as u64, ShardNotes::default())
    }
}

/// A number of bytes as the format writes it.
fn size_bytes(num_bytes: usize) -> Result<[u8; 4], String> {
    let size = u32::try_from(num_bytes).map_err(|_large| format!("{num_bytes} bytes, offsets in MDS have 32 bits"))?;
    Ok(size.to_le_bytes())
}

/// The columns of a sample, encoded, in order.
fn columns_of(sample: &Sample) -> Result<[Vec<u8>; COLUMNS.len()], String> {
    let turns: Vec<ConversationTurn> = sample.messages.iter().map(ConversationTurn::from_message).collect();
    let num_tokens = i64::try_from(sample.cost.num_tokens()).map_err(|error| error.to_string())?;
    let text = |text: &str| text.as_bytes().to_vec();
    Ok([
        json_bytes(&turns)?,
        sample.id.to_string().into_bytes(),
        json_bytes(&names_of(&sample.images))?,
        image_list(&sample.images)?,
        json_bytes(&sample.label_spans)?,
        text(sample.layout.as_str()),
        json_bytes(&SampleMetadata::from_sample(sample))?,
        num_tokens.to_le_bytes().to_vec(),
        text(&sample.prompt),
        text(&sample.source),
        text(&sample.subset),
    ])
}

fn json_bytes(value: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}

/// `list[jpeg]`: 0, the number of images, the size of each, and their bytes. Its reader opens whatever Pillow does.
fn image_list(images: &[SampleImage]) -> Result<Vec<u8>, String> {
    let mut list = [size_bytes(0)?, size_bytes(images.len())?].concat();
    for image in images {
        list.extend(size_bytes(image.bytes.len())?);
    }
    list.extend(images.iter().flat_map(|image| &image.bytes));
    Ok(list)
}

/// A shard that is open for reading.
struct MdsReader {
    file: InputFile,
    num_bytes: u64,
    num_samples: u64,
}

/// A sample whose images were found but not read.
struct MdsSample {
    sample: Sample,
    images: Vec<(ByteRange, ImageShape)>,
}

impl MdsReader {
    fn open(file: InputFile) -> Result<Self, ShardError> {
        let num_bytes = file.num_bytes();
        let mut shard = Self { file, num_bytes, num_samples: 0 };
        shard.num_samples = u64::from(shard.number_at(0)?);
        let end = u64::from(shard.number_at(4 + 4 * shard.num_samples)?);
        if end != num_bytes {
            return Err(shard.damaged(format!("it has {num_bytes} bytes, expected {end}")));
        }
        Ok(shard)
    }

    fn sample(&self, number: u64) -> Result<MdsSample, ShardError> {
        if number >= self.num_samples {
            return Err(self.damaged(format!("no sample {number}, it has {}", self.num_samples)));
        }
        let [start, end] = [number, number + 1].map(|number| self.number_at(4 + 4 * number).map(u64::from));
        let (start, end) = (start?, end?);
        self.sample_in(start, end).map_err(|problem| match problem {
            Problem::Shard(error) => error,
            Problem::Sample(detail) => {
                ShardError::Member { path: self.file.path().to_owned(), member: format!("sample {number}"), detail }
            }
        })
    }

    fn sample_in(&self, start: u64, end: u64) -> Result<MdsSample, Problem> {
        let [conversations, id, names, images, spans, layout, metadata, num_tokens, prompt, source, subset] =
            self.column_ranges(start, end)?;
        let text = |range| self.text(range);
        let turns: Vec<ConversationTurn> = self.json(conversations)?;
        let names: Vec<String> = self.json(names)?;
        let metadata: SampleMetadata = self.json(metadata)?;
        let shapes = image_shapes(&names, &metadata.image_sizes)?;
        let images = self.image_ranges(images)?;
        if images.len() != shapes.len() {
            return Err(format!("{} images, expected {}", images.len(), shapes.len()).into());
        }
        let mut cost = metadata.cost();
        let mut stated = [0; INT_BYTES as usize];
        self.read_exact(num_tokens.offset, &mut stated)?;
        if i64::from_le_bytes(stated) != i64::try_from(cost.num_tokens()).unwrap_or(-1) {
            return Err(
                format!("{} tokens, expected {} by its parts", i64::from_le_bytes(stated), cost.num_tokens()).into()
            );
        }
        cost.num_images = images.len() as u64;
        let (id, layout) = (text(id)?, text(layout)?);
        let sample = Sample {
            id: id.parse().map_err(|error| format!("{error}"))?,
            source: text(source)?.into(),
            subset: text(subset)?.into(),
            upstream_id: metadata.upstream_id,
            layout: Layout::from_text(&layout).ok_or_else(|| format!("unknown layout {layout:?}"))?,
            messages: turns.into_iter().map(ConversationTurn::into_message).collect(),
            prompt: text(prompt)?,
            label_spans: self.json(spans)?,
            tokens: None,
            cost,
            images: Vec::new(),
            clips: Vec::new(),
            visuals: metadata.visuals,
            origin: metadata.origin.into_origin(),
        };
        Ok(MdsSample { sample, images: images.into_iter().zip(shapes).collect() })
    }

    /// Where the columns of a sample are.
    fn column_ranges(&self, start: u64, end: u64) -> Result<[ByteRange; COLUMNS.len()], Problem> {
        let mut ranges = [ByteRange { offset: 0, num_bytes: INT_BYTES }; COLUMNS.len()];
        let mut next = start;
        for ((_, encoding), range) in COLUMNS.iter().zip(&mut ranges) {
            if *encoding != INT {
                range.num_bytes = u64::from(self.number_at(next)?);
                next += 4;
            }
        }
        for range in &mut ranges {
            range.offset = next;
            next += range.num_bytes;
        }
        if next != end || end > self.num_bytes {
            return Err(format!("its columns end at byte {next}, expected {end}").into());
        }
        Ok(ranges)
    }

    fn image_ranges(&self, list: ByteRange) -> Result<Vec<ByteRange>, Problem> {
        let end = list.offset + list.num_bytes;
        let num_images = u64::from(self.number_at(list.offset + 4)?);
        let mut next = list.offset + 8 + 4 * num_images;
        if list.num_bytes < 8 || next > end {
            return Err(format!("a list of {num_images} images in {} bytes", list.num_bytes).into());
        }
        let mut ranges = Vec::new();
        for number in 0..num_images {
            let num_bytes = u64::from(self.number_at(list.offset + 8 + 4 * number)?);
            ranges.push(ByteRange { offset: next, num_bytes });
            next += num_bytes;
        }
        if next != end {
            return Err(format!("its images end at byte {next}, expected {end}").into());
        }
        Ok(ranges)
    }

    fn text(&self, range: ByteRange) -> Result<String, Problem> {
        Ok(String::from_utf8(self.bytes(range)?).map_err(|error| error.to_string())?)
    }

    fn json<T: DeserializeOwned>(&self, range: ByteRange) -> Result<T, Problem> {
        Ok(serde_json::from_slice(&self.bytes(range)?).map_err(|error| error.to_string())?)
    }

    /// The bytes of a range, which is within the file.
    fn bytes(&self, range: ByteRange) -> Result<Vec<u8>, ShardError> {
        let mut bytes = vec![0; range.num_bytes as usize];
        self.read_exact(range.offset, &mut bytes)?;
        Ok(bytes)
    }

    fn number_at(&self, offset: u64) -> Result<u32, ShardError> {
        let mut bytes = [0; 4];
        self.read_exact(offset, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn read_exact(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ShardError> {
        let read = self.file.bytes().read_exact_at(bytes, offset);
        read.map_err(|source| ShardError::Read { path: self.file.path().to_owned(), source })
    }

    fn damaged(&self, detail: String) -> ShardError {
        ShardError::Member { path: self.file.path().to_owned(), member: "its index".to_owned(), detail }
    }
}

/// What is wrong: with the file, or with a sample in it.
enum Problem {
    Shard(ShardError),
    Sample(String),
}

impl From<ShardError> for Problem {
    fn from(error: ShardError) -> Self {
        Self::Shard(error)
    }
}

impl From<String> for Problem {
    fn from(detail: String) -> Self {
        Self::Sample(detail)
    }
}

impl MdsSample {
    fn with_images(self, shard: &MdsReader) -> Result<Sample, ShardError> {
        let Self { mut sample, images } = self;
        for (range, ImageShape { format, width_px, height_px }) in images {
            sample.images.push(SampleImage { bytes: shard.bytes(range)?, format, width_px, height_px });
        }
        Ok(sample)
    }

    fn into_entry(self, file: &Arc<str>, position: u64) -> SampleEntry {
        let entry = |(range, shape): (ByteRange, ImageShape)| ImageEntry {
            blob: BlobRef::Range { file: Arc::clone(file), offset: range.offset, num_bytes: range.num_bytes },
            format: shape.format,
            width_px: shape.width_px,
            height_px: shape.height_px,
        };
        SampleEntry {
            position,
            sample: self.sample,
            images: self.images.into_iter().map(entry).collect(),
            clips: Vec::new(),
        }
    }
}
