//! WebDataset shards: a tar in which the members of a sample follow each other, its JSON first.
//!
//! ```text
//! 0123…ef.json       SampleJson
//! 0123…ef.000.jpg    its images, in placeholder order
//! 0123…ef.001.jpg
//! 0123…ef.000.mp4    its video files, if videos are delivered as such
//! ```
//!
//! The key is the record id: it has no dot (readers cut keys at the first one), and it is unique over all shards
//! (Megatron-Energon asks for that). There are no members besides samples. Token ids and labels are not stored.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{BlobRef, ClipFormat, RecordId, Sample, SampleClip, SampleImage};

use crate::digest::DigestWriter;
use crate::energon;
use crate::error::ShardError;
use crate::format::{
    BesideShards, FinishedShard, Format, ImageEntry, SampleColumns, SampleEntries, SampleEntry, Samples, ShardNotes,
    ShardWriter, WrittenShard, check_counts, clip_visuals, path_text, until_error,
};
use crate::hugging_face::{card_configs, card_yaml, features_of_members};
use crate::json::{ImageShape, SampleJson, clip_format, image_shapes, names_of, names_of_clips};
use crate::tar::{Member, TarReader, write_end, write_member};

/// The format.
pub(crate) struct Webdataset;

impl Format for Webdataset {
    fn name(&self) -> &'static str {
        "webdataset"
    }

    fn extension(&self) -> &'static str {
        "tar"
    }

    fn stores_tokens(&self) -> bool {
        false
    }

    fn finds_by_position(&self) -> bool {
        true
    }

    fn create(&self, sink: Box<dyn Write + Send>, _: SampleColumns) -> Result<Box<dyn ShardWriter>, ShardError> {
        Ok(Box::new(TarShardWriter::new(sink)))
    }

    fn read(&self, path: &Path) -> Result<Samples, ShardError> {
        let mut tar = TarReader::open(path)?;
        Ok(Box::new(until_error(move || next_sample(&mut tar)?.map(|found| with_images(&mut tar, found)).transpose())))
    }

    fn list(&self, path: &Path) -> Result<SampleEntries, ShardError> {
        let mut tar = TarReader::open(path)?;
        let file = path_text(path)?;
        Ok(Box::new(until_error(move || Ok(next_sample(&mut tar)?.map(|found| entry(&file, found))))))
    }

    fn entry_at(&self, path: &Path, position: u64) -> Result<SampleEntry, ShardError> {
        let found = sample_at_position(&mut TarReader::open(path)?, position)?;
        Ok(entry(&path_text(path)?, found))
    }

    fn read_at(&self, path: &Path, position: u64) -> Result<Sample, ShardError> {
        let mut tar = TarReader::open(path)?;
        let found = sample_at_position(&mut tar, position)?;
        with_images(&mut tar, found)
    }

    fn read_one(&self, path: &Path, id: RecordId) -> Result<Option<Sample>, ShardError> {
        let mut tar = TarReader::open(path)?;
        let wanted = format!("{id}.json");
        while let Some(member) = tar.next_member()? {
            if member.name == wanted {
                let found = sample_after(&mut tar, &member)?;
                return with_images(&mut tar, found).map(Some);
            }
        }
        Ok(None)
    }

    /// The files of Megatron-Energon, and lines of the card for Hugging Face `datasets`, which takes samples to have the same
    /// members unless it is told all there are.
    fn finish_dataset(&self, shards: &[FinishedShard], _: SampleColumns) -> BesideShards {
        let fields: BTreeSet<&str> =
            shards.iter().flat_map(|shard| shard.notes.member_fields.iter().map(String::as_str)).collect();
        BesideShards {
            card_yaml: card_yaml(&card_configs(self, shards), &features_of_members(&fields)),
            files: energon::files(self.name(), shards, energon::CRUDE_DATASET),
        }
    }
}

/// Writes a tar.
struct TarShardWriter {
    sink: DigestWriter,
    num_samples: u64,
    notes: ShardNotes,
}

impl TarShardWriter {
    fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: DigestWriter::new(sink), num_samples: 0, notes: ShardNotes::default() }
    }

    fn write_member(&mut self, key: RecordId, field: &str, content: &[u8]) -> Result<(), ShardError> {
        if !self.notes.member_fields.contains(field) {
            self.notes.member_fields.insert(field.to_owned());
        }
        write_member(&mut self.sink, &format!("{key}.{field}"), content).map_err(|source| ShardError::Write { source })
    }
}

impl ShardWriter for TarShardWriter {
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError> {
        check_counts(sample)?;
        let json = serde_json::to_vec(&SampleJson::from_sample(sample))
            .map_err(|error| ShardError::Write { source: error.into() })?;
        self.notes.sample_offsets.push(self.sink.position());
        self.write_member(sample.id, "json", &json)?;
        for (name, image) in names_of(&sample.images).iter().zip(&sample.images) {
            self.write_member(sample.id, name, &image.bytes)?;
        }
        for (name, clip) in names_of_clips(&sample.clips).iter().zip(&sample.clips) {
            self.write_member(sample.id, name, &clip.bytes)?;
        }
        self.num_samples += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<WrittenShard, ShardError> {
        self.notes.sample_offsets.push(self.sink.position());
        write_end(&mut self.sink).map_err(|source| ShardError::Write { source })?;
        Ok(WrittenShard { summary: self.sink.finish(self.num_samples)?, notes: self.notes })
    }
}

/// A sample whose images and clips were found but not read.
struct TarSample {
    position: u64,
    sample: Sample,
    images: Vec<(Member, ImageShape)>,
    clips: Vec<(Member, ClipFormat)>,
}

fn entry(file: &Arc<str>, found: TarSample) -> SampleEntry {
    let blob =
        |member: &Member| BlobRef::Range { file: Arc::clone(file), offset: member.offset, num_bytes: member.num_bytes };
    let images = found.images.iter().map(|(member, shape)| ImageEntry {
        blob: blob(member),
        format: shape.format,
        width_px: shape.width_px,
        height_px: shape.height_px,
    });
    let (images, clips) = (images.collect(), found.clips.iter().map(|(member, _)| blob(member)).collect());
    SampleEntry { position: found.position, sample: found.sample, images, clips }
}

fn next_sample(tar: &mut TarReader) -> Result<Option<TarSample>, ShardError> {
    match tar.next_member()? {
        Some(member) => sample_after(tar, &member).map(Some),
        None => Ok(None),
    }
}

fn sample_at_position(tar: &mut TarReader, position: u64) -> Result<TarSample, ShardError> {
    tar.go_to(position);
    let path = tar.path().to_owned();
    let missing = || ShardError::Tar { path, offset: position, detail: "no sample begins here".into() };
    next_sample(tar)?.ok_or_else(missing)
}

/// The sample whose JSON is this member, which was the last one read; its images and clips must follow.
fn sample_after(tar: &mut TarReader, member: &Member) -> Result<TarSample, ShardError> {
    let path = tar.path().to_owned();
    let damaged = |detail: String| ShardError::Member { path: path.clone(), member: member.name.clone(), detail };
    let Some(key) = member.name.strip_suffix(".json") else {
        return Err(damaged("a sample's JSON was expected here".to_owned()));
    };
    let json = tar.read(member)?;
    let json: SampleJson = serde_json::from_slice(&json).map_err(|error| damaged(format!("not a sample: {error}")))?;
    if json.id.to_string() != key {
        return Err(damaged(format!("it holds sample {}", json.id)));
    }
    let num_tokens = json.text_tokens.saturating_add(json.visual_tokens);
    if json.num_tokens != num_tokens {
        return Err(damaged(format!("{} tokens, expected {num_tokens} by its parts", json.num_tokens)));
    }
    let shapes = image_shapes(&json.images, &json.image_sizes).map_err(&damaged)?;
    let formats = json.videos.iter().map(|name| clip_format(name)).collect::<Result<Vec<_>, _>>().map_err(&damaged)?;
    if clip_visuals(&json.visuals).count() != formats.len() {
        return Err(damaged(format!("{} video files, not one for each visual with a clip", formats.len())));
    }
    let mut next = |name: &String| {
        let expected = format!("{key}.{name}");
        match tar.next_member()? {
            Some(member) if member.name == expected => Ok(member),
            Some(member) => Err(damaged(format!("{expected:?} must follow, {:?} does", member.name))),
            None => Err(damaged(format!("{expected:?} must follow, the archive ends"))),
        }
    };
    let images = json.images.iter().zip(shapes).map(|(name, shape)| Ok((next(name)?, shape)));
    let images = images.collect::<Result<_, ShardError>>()?;
    let clips = json.videos.iter().zip(formats).map(|(name, format)| Ok((next(name)?, format)));
    let clips = clips.collect::<Result<_, ShardError>>()?;
    Ok(TarSample { position: member.header_offset(), sample: json.into_sample(), images, clips })
}

fn with_images(tar: &mut TarReader, found: TarSample) -> Result<Sample, ShardError> {
    let TarSample { mut sample, images, clips, .. } = found;
    for (member, ImageShape { format, width_px, height_px }) in images {
        sample.images.push(SampleImage { bytes: tar.read(&member)?, format, width_px, height_px });
    }
    for (member, format) in clips {
        sample.clips.push(SampleClip { bytes: tar.read(&member)?, format });
    }
    Ok(sample)
}
