//! Replay: a dataset that manyframe built, read as a source.
//!
//! Its samples become records again: existing frames and tiles are delivered as they are, whole images can be cut
//! into tiles, and the text is formatted again. Of a clip, the frames that were chosen are delivered, or the clip again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::InputFile;
use manyframe_core::{
    BlobRef, ClipFrames, Digest, FrameChoice, Layout, MediaKind, MediaLocation, MediaRef, Origin, Position,
    PreparedClip, Record, RejectCode, RejectedRecord, Rejection, SampleVisual, UncheckedRecord, VisualKind,
};
use manyframe_dataset::{DatasetReader, ReplayedSource, ShardEntry};
use manyframe_format::turns_from_messages;
use manyframe_pipeline::{LocatedSource, is_license_among};
use manyframe_shards::{SampleEntry, SampleJson, ShardError, ShardFormat};
use manyframe_sources::{Raw, RawBody, RawRecords, Source, SourceError, Split};
use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::open_files::OpenFiles;
use crate::shard_digests::StatedShard;

/// The shards of a committed dataset.
pub(crate) struct ReplaySource {
    name: Arc<str>,
    only_sources: Vec<String>,
    only_layouts: Vec<Layout>,
    replayed: Vec<ReplayedSource>,
    shards: Vec<Shard>,
    files: OpenFiles,
}

struct Shard {
    /// As origins call it.
    name: Arc<str>,
    path: PathBuf,
    format: ShardFormat,
    num_bytes: u64,
    digest: Digest,
}

/// A sample as the text of a raw record.
#[derive(Serialize, Deserialize)]
struct Replayed {
    sample: SampleJson,
    images: Vec<BlobRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clips: Vec<BlobRef>,
}

impl ReplaySource {
    pub(crate) fn open(source: LocatedSource<'_>) -> Result<Self, PlanError> {
        let table = source.table;
        let unusable = |error| PlanError::Dataset { source_name: table.name.clone(), error };
        let dataset = DatasetReader::open_at(Path::new(&table.from), source.stores).map_err(unusable)?;
        let shard = |shard: &ShardEntry| {
            let path = dataset.shard_location(shard);
            let name = source.dataset().name(&path).to_string().into();
            Shard { name, path, format: shard.format, num_bytes: shard.num_bytes, digest: shard.digest }
        };
        let is_replayed = |name: &String| table.only_sources.is_empty() || table.only_sources.contains(name);
        let mut replayed = ReplayedSource::all_of(dataset.manifest());
        replayed.retain(|source| is_replayed(&source.name));
        Ok(Self {
            name: table.name.as_str().into(),
            only_sources: table.only_sources.clone(),
            only_layouts: table.only_layouts.clone(),
            replayed,
            shards: dataset.shards_of_one_format().map(shard).collect(),
            files: OpenFiles::new(source.stores.access()),
        })
    }

    /// The sources of the dataset whose samples are replayed; nothing is delivered of them yet.
    pub(crate) fn replayed(&self) -> &[ReplayedSource] {
        &self.replayed
    }

    /// Its shards, as the manifest states them.
    pub(crate) fn stated_shards(&self) -> Vec<StatedShard> {
        let stated = |shard: &Shard| StatedShard { path: shard.path.clone(), digest: shard.digest };
        self.shards.iter().map(stated).collect()
    }

    fn shard(&self, file: &Arc<str>) -> Result<&Shard, SourceError> {
        let unknown = || SourceError::UnknownFile { name: Arc::clone(&self.name), file: Arc::clone(file) };
        self.shards.iter().find(|shard| shard.name == *file).ok_or_else(unknown)
    }

    fn open_shard(&self, shard: &Shard) -> Result<InputFile, SourceError> {
        self.files.open(&shard.path).map_err(|source| SourceError::Read { path: shard.path.clone(), source })
    }

    fn is_wanted(&self, entry: &SampleEntry) -> bool {
        let sample = &entry.sample;
        (self.only_sources.is_empty() || self.only_sources.iter().any(|name| **name == *sample.source))
            && (self.only_layouts.is_empty() || self.only_layouts.contains(&sample.layout))
    }
}

/// Checks that the sources that `source_name` replays have licenses that are allowed, or that any is.
pub(crate) fn check_licenses(
    source_name: &str,
    replayed: &[ReplayedSource],
    allowed: &[String],
) -> Result<(), PlanError> {
    for ReplayedSource { name, licenses, .. } in replayed.iter().filter(|_| !allowed.is_empty()) {
        if let Some(license) = licenses.iter().find(|license| !is_license_among(license, allowed)) {
            let (source_name, replayed) = (source_name.to_owned(), name.clone());
            return Err(PlanError::License { source_name, replayed, license: license.clone() });
        }
    }
    Ok(())
}

impl Source for ReplaySource {
    fn splits(&self) -> Result<Vec<Split>, SourceError> {
        let split = |shard: &Shard| Split { file: Arc::clone(&shard.name), rows: None, num_bytes: shard.num_bytes };
        Ok(self.shards.iter().map(split).collect())
    }

    fn read<'a>(&'a self, split: &Split) -> Result<RawRecords<'a>, SourceError> {
        let shard = self.shard(&split.file)?;
        let entries = manyframe_shards::list(shard.format, self.open_shard(shard)?);
        let entries = entries.map_err(|error| read_error(shard, error))?;
        let entries = entries.filter(|entry| entry.as_ref().map_or(true, |entry| self.is_wanted(entry)));
        Ok(Box::new(entries.map(|entry| {
            let entry = entry.map_err(|error| read_error(shard, error))?;
            Ok(raw_from_entry(shard, &entry))
        })))
    }

    fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        let shard = self.shard(&origin.file)?;
        let unknown = || SourceError::UnknownOrigin { path: shard.path.clone(), origin: origin.clone() };
        let Position::Row(position) = origin.position else { return Err(unknown()) };
        let entry = manyframe_shards::entry_at(shard.format, self.open_shard(shard)?, position);
        Ok(raw_from_entry(shard, &entry.map_err(|error| read_error(shard, error))?))
    }

    fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord> {
        let reject = |rejection: Rejection| RejectedRecord {
            rejection,
            subset: raw.subset.to_string(),
            upstream_id: String::new(),
            origin: raw.origin.clone(),
        };
        if let RawBody::Broken { rejection, .. } = &raw.body {
            return Err(reject(rejection.clone()));
        }
        let replayed: Replayed =
            serde_json::from_slice(&raw.body.text()).map_err(|error| reject(malformed(error.to_string())))?;
        let messages: Vec<_> = replayed.sample.messages();
        let visuals = &replayed.sample.visuals;
        let turns = turns_from_messages(&messages, visuals).map_err(|error| reject(malformed(error.to_string())))?;
        let sizes = &replayed.sample.image_sizes;
        let mut clips = replayed.clips.iter();
        let medium = |visual: &SampleVisual| match &visual.clip {
            Some(frames) => clip(visual, frames, clips.next()?),
            None => medium(visual, &replayed.images, sizes),
        };
        let media = visuals.iter().map(medium).collect::<Option<_>>();
        let media = media.ok_or_else(|| reject(malformed("its visuals show images or clips that it does not have")))?;
        // What another stage delivered was sound.
        Record::try_document(UncheckedRecord {
            source: Arc::clone(&self.name),
            subset: Arc::clone(&raw.subset),
            upstream_id: replayed.sample.id.to_string(),
            turns,
            media,
            origin: raw.origin.clone(),
        })
        .map_err(|error| reject(malformed(error.to_string())))
    }
}

fn malformed(detail: impl Into<String>) -> Rejection {
    Rejection::new(RejectCode::MalformedRecord, detail)
}

/// The source that a sample came from first is its subset here; its id there is its upstream id.
fn raw_from_entry(shard: &Shard, entry: &SampleEntry) -> Raw {
    let images = entry.images.iter().map(|image| image.blob.clone()).collect();
    let replayed = Replayed { sample: SampleJson::from_entry(entry), images, clips: entry.clips.clone() };
    let body = match serde_json::to_vec(&replayed) {
        Ok(text) => RawBody::Json(text),
        Err(error) => RawBody::Broken { rejection: malformed(error.to_string()), head: Vec::new() },
    };
    let origin = Origin { file: Arc::clone(&shard.name), position: Position::Row(entry.position) };
    Raw { origin, subset: Arc::clone(&entry.sample.source), body }
}

fn medium(visual: &SampleVisual, images: &[BlobRef], image_sizes: &[(u32, u32)]) -> Option<MediaRef> {
    let size_px = image_sizes.get(visual.first_image).copied();
    let images = images.get(visual.first_image..visual.first_image.checked_add(visual.num_images)?)?;
    let (kind, location) = match visual.kind {
        VisualKind::Image => (MediaKind::Image, MediaLocation::Blob(images.first()?.clone())),
        VisualKind::Tiled => {
            let (images, grid) = (images.to_vec(), Some(visual.grid?));
            (MediaKind::Image, MediaLocation::Prepared { images, grid, cut: visual.cut, size_px, frames: None })
        }
        VisualKind::Video => {
            let (images, frames) = (images.to_vec(), frames(visual));
            if frames.as_ref().is_some_and(|frames| frames.taken.len() != images.len()) {
                return None;
            }
            (MediaKind::Video, MediaLocation::Prepared { images, grid: None, cut: None, size_px, frames })
        }
    };
    Some(MediaRef { kind, location, clip: None, fps: None })
}

/// The clip of a visual, unless what is stated of its frames contradicts itself.
fn clip(visual: &SampleVisual, frames: &ClipFrames, file: &BlobRef) -> Option<MediaRef> {
    let choice = self::frames(visual).unwrap_or_else(|| FrameChoice::unknown(visual.num_images));
    let num_frames = frames.frame_indices.len();
    let is_sound = [visual.num_images, choice.taken.len(), visual.times_s.len()].iter().all(|&num| num == num_frames);
    if !is_sound || visual.kind != VisualKind::Video || !frames.frame_indices.is_sorted() {
        return None;
    }
    let clip = PreparedClip {
        file: file.clone(),
        frames: frames.clone(),
        choice,
        times_s: visual.times_s.clone(),
        size_px: (visual.width_px, visual.height_px),
    };
    let location = MediaLocation::PreparedClip(Box::new(clip));
    Some(MediaRef { kind: MediaKind::Video, location, clip: None, fps: None })
}

/// Where the frames are in their video. Without that, they are a video of their own, at the rate of their times.
fn frames(visual: &SampleVisual) -> Option<FrameChoice> {
    if let Some(frames) = visual.model.as_ref().and_then(|model| model.frames.clone()) {
        return Some(frames);
    }
    let (first, last) = (visual.times_s.first()?, visual.times_s.last()?);
    let unknown = FrameChoice::unknown(visual.num_images);
    let fps = f64::from(unknown.num_frames.saturating_sub(1)) / (last - first);
    (fps.is_finite() && fps > 0.0).then_some(FrameChoice { fps, ..unknown })
}

fn read_error(shard: &Shard, error: ShardError) -> SourceError {
    SourceError::Read { path: shard.path.clone(), source: std::io::Error::other(error) }
}
