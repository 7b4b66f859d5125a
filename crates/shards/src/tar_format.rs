//! Shards that are tars: the members of a sample follow each other, its JSON first. Which members follow the JSON is up to a
//! [`TarLayout`].
//!
//! The key is the record id: it has no dot (readers cut keys at the first one), and it is unique over all shards
//! (Megatron-Energon asks for that). There are no members besides samples. Token ids and labels are not stored.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use manyframe_base::InputFile;
use manyframe_core::{BlobRef, ClipFormat, RecordId, Sample, SampleClip, SampleImage};

use crate::digest::DigestWriter;
use crate::energon;
use crate::energon_index::{EnergonIndex, TarMembers};
use crate::error::ShardError;
use crate::format::{
    BesideShards, DatasetFacts, FinishedShard, Format, ImageEntry, SampleColumns, SampleEntries, SampleEntry, Samples,
    ShardNotes, ShardWriter, WrittenShard, check_counts, clip_visuals, path_text, until_error,
};
use crate::hugging_face::{card_configs, card_yaml, features_of_members};
use crate::json::{ConversationTurn, ImageShape, SampleJson, clip_format, image_shapes};
use crate::tar::{ByteRange, Member, TarReader, write_end, write_member};

/// A member to be written: the rest of its name after the key, and its bytes.
pub(crate) type NewMember<'s> = (String, Cow<'s, [u8]>);

/// The members of a sample besides its JSON, and the JSON as far as its readers ask for another.
pub(crate) trait TarLayout: Sync {
    /// The name in paths and pipeline files.
    fn name(&self) -> &'static str;

    /// Whether video files are stored.
    fn stores_clips(&self) -> bool {
        false
    }

    /// Whether Energon reads it.
    fn is_read_by_energon(&self) -> bool {
        false
    }

    /// The conversation as its readers take it; `None` if that is the one of the dataset. The error says why there is none.
    fn conversation(&self, _sample: &Sample) -> Result<Option<Vec<ConversationTurn>>, String> {
        Ok(None)
    }

    /// What follows the JSON.
    fn members<'s>(&self, sample: &'s Sample) -> Result<Vec<NewMember<'s>>, String>;

    /// Where images and clips are in the members that follow the JSON.
    fn find(&self, json: &SampleJson, members: &mut NextMembers<'_>) -> Result<FoundBytes, ShardError>;

    /// Files beside finished shards.
    fn files(&self, shards: &[FinishedShard], facts: &DatasetFacts<'_>) -> Vec<(String, Vec<u8>)>;
}

/// Where the images and the clips of a sample are, in placeholder order.
#[derive(Default)]
pub(crate) struct FoundBytes {
    pub(crate) images: Vec<ByteRange>,
    pub(crate) clips: Vec<ByteRange>,
}

/// The members that follow the JSON of a sample.
pub(crate) struct NextMembers<'t> {
    pub(crate) tar: &'t mut TarReader,
    key: &'t str,
}

impl NextMembers<'_> {
    /// The next member, which must have this name after the key.
    pub(crate) fn next(&mut self, field: &str) -> Result<Member, ShardError> {
        let expected = format!("{}.{field}", self.key);
        match self.tar.next_member()? {
            Some(member) if member.name == expected => Ok(member),
            Some(member) => Err(self.damaged(format!("{expected:?} must follow, {:?} does", member.name))),
            None => Err(self.damaged(format!("{expected:?} must follow, the archive ends"))),
        }
    }

    /// The bytes of the next member.
    pub(crate) fn next_bytes(&mut self, field: &str) -> Result<ByteRange, ShardError> {
        let Member { offset, num_bytes, .. } = self.next(field)?;
        Ok(ByteRange { offset, num_bytes })
    }

    pub(crate) fn damaged(&self, detail: String) -> ShardError {
        ShardError::Member { path: self.tar.path().to_owned(), member: format!("{}.json", self.key), detail }
    }
}

/// A tar with a layout.
pub(crate) struct TarFormat<L>(pub(crate) L);

impl<L: TarLayout + Copy + Send + 'static> Format for TarFormat<L> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn extension(&self) -> &'static str {
        "tar"
    }

    fn stores_tokens(&self) -> bool {
        false
    }

    fn stores_clips(&self) -> bool {
        self.0.stores_clips()
    }

    fn finds_by_position(&self) -> bool {
        true
    }

    fn is_read_by_energon(&self) -> bool {
        self.0.is_read_by_energon()
    }

    fn create(&self, sink: Box<dyn Write + Send>, columns: SampleColumns) -> Result<Box<dyn ShardWriter>, ShardError> {
        let (sink, notes) = (DigestWriter::new(sink), ShardNotes::default());
        let members = (columns.energon_index && self.0.is_read_by_energon()).then(TarMembers::default);
        Ok(Box::new(TarShardWriter { layout: self.0, sink, num_samples: 0, notes, members }))
    }

    fn read(&self, file: InputFile) -> Result<Samples, ShardError> {
        let (mut tar, layout) = (TarReader::new(&file), self.0);
        Ok(Box::new(until_error(move || {
            next_sample(&layout, &mut tar)?.map(|found| with_bytes(&mut tar, found)).transpose()
        })))
    }

    fn list(&self, file: InputFile) -> Result<SampleEntries, ShardError> {
        let (mut tar, layout) = (TarReader::new(&file), self.0);
        let file = path_text(file.path())?;
        Ok(Box::new(until_error(move || Ok(next_sample(&layout, &mut tar)?.map(|found| entry(&file, found))))))
    }

    fn entry_at(&self, file: InputFile, position: u64) -> Result<SampleEntry, ShardError> {
        let found = sample_at_position(&self.0, &mut TarReader::new(&file), position)?;
        Ok(entry(&path_text(file.path())?, found))
    }

    fn read_at(&self, file: InputFile, position: u64) -> Result<Sample, ShardError> {
        let mut tar = TarReader::new(&file);
        let found = sample_at_position(&self.0, &mut tar, position)?;
        with_bytes(&mut tar, found)
    }

    fn read_one(&self, file: InputFile, id: RecordId) -> Result<Option<Sample>, ShardError> {
        let mut tar = TarReader::new(&file);
        let wanted = format!("{id}.json");
        while let Some(member) = tar.next_member()? {
            if member.name == wanted {
                let found = sample_after(&self.0, &mut tar, &member)?;
                return with_bytes(&mut tar, found).map(Some);
            }
        }
        Ok(None)
    }

    /// The files of the layout, and lines of the card for Hugging Face `datasets`, which takes samples to have the same members
    /// unless it is told all there are.
    fn finish_dataset(&self, shards: &[FinishedShard], facts: &DatasetFacts<'_>) -> BesideShards {
        let fields: BTreeSet<&str> =
            shards.iter().flat_map(|shard| shard.notes.member_fields.iter().map(String::as_str)).collect();
        let tars = shards.iter().map(|shard| (shard.notes.sample_offsets.as_slice(), shard.notes.members.as_ref()));
        BesideShards {
            card_yaml: card_yaml((&card_configs(self, shards), facts.split), &features_of_members(&fields)),
            files: self.0.files(shards, facts),
            index: EnergonIndex::of(tars).map(|index| (energon::index_path(self.name()), index)),
        }
    }
}

/// Writes a tar.
struct TarShardWriter<L> {
    layout: L,
    sink: DigestWriter,
    num_samples: u64,
    notes: ShardNotes,
    /// `None` if nobody asks for them.
    members: Option<TarMembers>,
}

impl<L> TarShardWriter<L> {
    fn write_member(&mut self, key: RecordId, field: &str, content: &[u8]) -> Result<(), ShardError> {
        if !self.notes.member_fields.contains(field) {
            self.notes.member_fields.insert(field.to_owned());
        }
        if let Some(members) = &mut self.members {
            members.push(field, content.len() as u64);
        }
        write_member(&mut self.sink, &format!("{key}.{field}"), content).map_err(|source| ShardError::Write { source })
    }
}

impl<L: TarLayout + Send> ShardWriter for TarShardWriter<L> {
    fn write(&mut self, sample: &Sample) -> Result<(), ShardError> {
        check_counts(sample)?;
        let refuse = |detail| ShardError::Sample { id: sample.id, detail };
        let mut json = SampleJson::from_sample(sample);
        if let Some(conversation) = self.layout.conversation(sample).map_err(refuse)? {
            json.original = Some(std::mem::replace(&mut json.conversations, conversation));
        }
        let json = serde_json::to_vec(&json).map_err(|error| ShardError::Write { source: error.into() })?;
        self.notes.sample_offsets.push(self.sink.position());
        if let Some(members) = &mut self.members {
            members.keys.push(sample.id);
        }
        self.write_member(sample.id, "json", &json)?;
        for (field, content) in self.layout.members(sample).map_err(refuse)? {
            self.write_member(sample.id, &field, &content)?;
        }
        self.num_samples += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<WrittenShard, ShardError> {
        self.notes.sample_offsets.push(self.sink.position());
        write_end(&mut self.sink).map_err(|source| ShardError::Write { source })?;
        self.notes.members = self.members.map(Arc::new);
        self.sink.finish(self.num_samples, self.notes)
    }
}

/// A sample whose images and clips were found but not read.
struct TarSample {
    position: u64,
    sample: Sample,
    images: Vec<(ByteRange, ImageShape)>,
    clips: Vec<(ByteRange, ClipFormat)>,
}

fn entry(file: &Arc<str>, found: TarSample) -> SampleEntry {
    let blob =
        |&ByteRange { offset, num_bytes }: &ByteRange| BlobRef::Range { file: Arc::clone(file), offset, num_bytes };
    let images = found.images.iter().map(|(range, shape)| ImageEntry {
        blob: blob(range),
        format: shape.format,
        width_px: shape.width_px,
        height_px: shape.height_px,
    });
    let (images, clips) = (images.collect(), found.clips.iter().map(|(range, _)| blob(range)).collect());
    SampleEntry { position: found.position, sample: found.sample, images, clips }
}

fn next_sample(layout: &dyn TarLayout, tar: &mut TarReader) -> Result<Option<TarSample>, ShardError> {
    match tar.next_member()? {
        Some(member) => sample_after(layout, tar, &member).map(Some),
        None => Ok(None),
    }
}

fn sample_at_position(layout: &dyn TarLayout, tar: &mut TarReader, position: u64) -> Result<TarSample, ShardError> {
    tar.go_to(position);
    let path = tar.path().to_owned();
    let missing = || ShardError::Tar { path, offset: position, detail: "no sample begins here".into() };
    next_sample(layout, tar)?.ok_or_else(missing)
}

/// The sample whose JSON is this member, which was the last one read; its images and clips must follow.
fn sample_after(layout: &dyn TarLayout, tar: &mut TarReader, member: &Member) -> Result<TarSample, ShardError> {
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
    let FoundBytes { images, clips } = layout.find(&json, &mut NextMembers { tar, key })?;
    if (images.len(), clips.len()) != (shapes.len(), formats.len()) {
        return Err(damaged(format!(
            "{} images and {} video files, not as many as it says",
            images.len(),
            clips.len()
        )));
    }
    let (images, clips) = (images.into_iter().zip(shapes).collect(), clips.into_iter().zip(formats).collect());
    Ok(TarSample { position: member.header_offset(), sample: json.into_sample(), images, clips })
}

fn with_bytes(tar: &mut TarReader, found: TarSample) -> Result<Sample, ShardError> {
    let TarSample { mut sample, images, clips, .. } = found;
    for (range, ImageShape { format, width_px, height_px }) in images {
        sample.images.push(SampleImage { bytes: tar.read_range(range)?, format, width_px, height_px });
    }
    for (range, format) in clips {
        sample.clips.push(SampleClip { bytes: tar.read_range(range)?, format });
    }
    Ok(sample)
}
