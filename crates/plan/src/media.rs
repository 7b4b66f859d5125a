//! The media of a source: archives and directories, bytes inside shards and Parquet files, headers and frame indices.
//!
//! It connects `media` and `columnar`, which do not depend on each other. Only [`ChosenFrames::decode`] decodes anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_base::{FileAccess, InputFile};
use manyframe_columnar::{CellLocation, CellReader};
use manyframe_core::{
    BlobRef, Clip, FrameChoice, MediaKind, MediaLocation, MediaRef, PreparedClip, RejectCode, Rejection,
};
use manyframe_media::video::{
    self, ClipRequest, DecodedVideo, DeliveredClip, FrameKeeper, FrameSelection, KeptIndexes, VideoIndex, VideoInput,
    VideoVersion,
};
use manyframe_media::{
    DamagePolicy, ImageHeader, ImagePolicy, Located, MediaError, MediaIdentity, MediaLimits, MediaStore, Sampling,
    probe_image_bytes, read_range,
};

use crate::open_files::OpenFiles;

/// How much of a video is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Finds and reads the media of one source.
pub struct SourceMedia {
    store: MediaStore,
    cells: CellReader,
    files: OpenFiles,
    limits: MediaLimits,
    indexes: KeptIndexes,
    /// Media of other sources, by the names that they have in place of paths.
    lent: BTreeMap<String, LentMedium>,
}

/// A video and the frames of it that are shown.
pub struct ChosenFrames {
    /// The open video.
    pub input: VideoInput,
    /// All of its frames.
    pub index: VideoIndex,
    /// Positions in the index, ascending; one may be there several times, if the model's processor takes it so.
    pub wanted: Vec<usize>,
    /// Position of the first frame of the clip in the index.
    first: usize,
    /// Number of frames of the clip.
    num_frames: usize,
    /// Size of the file or of all files.
    pub num_bytes: u64,
    /// The clip of an earlier build that the input is. It knows where its frames were in their video.
    prepared: Option<PreparedClip>,
}

impl ChosenFrames {
    /// Replaces the choice with that of a law of size, number of frames and frames per second.
    ///
    /// # Errors
    ///
    /// That of the law.
    pub(crate) fn take_by(
        &mut self,
        law: impl FnOnce((u32, u32), &FrameChoice) -> Result<Vec<u32>, Rejection>,
    ) -> Result<(), MediaError> {
        let taken = law((self.index.width_px, self.index.height_px), &self.choice([]))?;
        self.wanted = taken.into_iter().map(|frame| self.first + frame as usize).collect();
        Ok(())
    }

    /// Where frames at these positions of the index are in the clip.
    pub fn choice(&self, positions: impl IntoIterator<Item = usize>) -> FrameChoice {
        if let Some(PreparedClip { choice, .. }) = &self.prepared {
            let taken = positions.into_iter().filter_map(|position| choice.taken.get(self.place(position)).copied());
            return FrameChoice { taken: taken.collect(), ..*choice };
        }
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        FrameChoice {
            num_frames: number(self.num_frames),
            fps: self.index.fps(),
            taken: positions.into_iter().map(|position| number(position.saturating_sub(self.first))).collect(),
        }
    }

    /// When the frame at a position of the index is shown, in seconds from the first frame of the video.
    pub fn time_s(&self, position: usize) -> f64 {
        let known = self.prepared.as_ref().and_then(|clip| clip.times_s.get(self.place(position)).copied());
        known.unwrap_or_else(|| self.index.time_s(position))
    }

    /// The first place of a position among those that are wanted.
    fn place(&self, position: usize) -> usize {
        self.wanted.partition_point(|&wanted| wanted < position)
    }

    /// Whether the video can be delivered as a file, as far as that is known before its frames are decoded.
    ///
    /// # Errors
    ///
    /// If readers do not all see the file alike.
    pub(crate) fn may_be_clip(&self, limits: &MediaLimits) -> Result<bool, MediaError> {
        video::may_be_clip(&self.input, self.clip_request(), limits)
    }

    fn clip_request(&self) -> ClipRequest<'_> {
        let part = (self.first, self.first + self.num_frames);
        ClipRequest { index: &self.index, part, positions: &self.wanted }
    }

    /// Bytes of the file that is delivered in place of the frames, roughly: the share of the part that the record is about.
    pub(crate) fn estimated_clip_bytes(&self) -> u64 {
        let (part, all) = (self.num_frames as u64, self.index.num_frames().max(1) as u64);
        self.num_bytes / all * part + self.num_bytes % all * part / all
    }

    /// The file to deliver instead of frames. `None` if the frames have to be delivered as images.
    ///
    /// # Errors
    ///
    /// If no frame can be decoded, or on a storage error.
    pub fn clip(
        &self,
        limits: &MediaLimits,
        keeper: &mut dyn FrameKeeper,
    ) -> Result<Option<DeliveredClip>, MediaError> {
        let mut delivered = video::deliver_clip(&self.input, self.clip_request(), limits, keeper)?;
        if let (Some(delivered), Some(PreparedClip { frames, .. })) = (&mut delivered, &self.prepared) {
            // It is delivered whole again, whatever it is a part of.
            delivered.frames.clone_from(frames);
        }
        Ok(delivered)
    }

    /// Decodes the frames that are not kept yet, and encodes them as they are delivered.
    ///
    /// # Errors
    ///
    /// If none can be decoded, if more are missing or damaged than allowed, or on a storage error.
    pub fn decode(
        &self,
        policy: &ImagePolicy,
        damage: DamagePolicy,
        keeper: &mut dyn FrameKeeper,
    ) -> Result<DecodedVideo, MediaError> {
        let mut positions = self.wanted.clone();
        positions.dedup();
        let selection = FrameSelection { index: &self.index, positions: &positions };
        let mut decoded = video::decode_frames(&self.input, selection, policy, keeper)?;
        damage.check(&decoded.damage)?;
        if positions.len() < self.wanted.len() {
            let of_position = |position: &usize| decoded.frames.iter().find(|frame| frame.index == *position).cloned();
            decoded.frames = self.wanted.iter().filter_map(of_position).collect();
        }
        Ok(decoded)
    }
}

/// A medium of another source, with what opens it.
pub(crate) struct LentMedium {
    pub(crate) media: Arc<SourceMedia>,
    pub(crate) subset: String,
    pub(crate) medium: MediaRef,
}

impl SourceMedia {
    /// The media below a source's roots, and inside files that are opened like this.
    pub fn new(store: MediaStore, limits: MediaLimits, access: FileAccess) -> Self {
        Self {
            store,
            cells: CellReader::new(),
            files: OpenFiles::new(access),
            limits,
            indexes: KeptIndexes::default(),
            lent: BTreeMap::new(),
        }
    }

    /// Keeps the indexes of long videos, and uses those that are kept.
    #[must_use]
    pub(crate) fn keeping_indexes(self, indexes: KeptIndexes) -> Self {
        Self { indexes, ..self }
    }

    /// Has media of other sources, too.
    #[must_use]
    pub(crate) fn with_lent(self, lent: BTreeMap<String, LentMedium>) -> Self {
        Self { lent, ..self }
    }

    /// The medium of another source that has this name in place of a path.
    fn lent(&self, medium: &MediaRef) -> Option<&LentMedium> {
        if let MediaLocation::Path(path) = &medium.location { self.lent.get(path) } else { None }
    }

    /// Media without roots: only bytes inside larger files can be read.
    pub(crate) fn without_roots(limits: MediaLimits, access: FileAccess) -> Self {
        Self::new(MediaStore::empty(), limits, access)
    }

    /// The encoded bytes of an image; of tiles or frames made by an earlier build, those of the first.
    ///
    /// # Errors
    ///
    /// If the image is missing or too large, or on a storage error.
    pub fn image_bytes(&self, subset: &str, medium: &MediaRef) -> Result<Vec<u8>, MediaError> {
        if let Some(lent) = self.lent(medium) {
            return lent.media.image_bytes(&lent.subset, &lent.medium);
        }
        match &medium.location {
            MediaLocation::Path(path) => self.store.locate(subset, path)?.read(self.limits.max_bytes),
            MediaLocation::Blob(blob) => self.blob_bytes(blob),
            MediaLocation::Prepared { images, .. } => {
                let first = images
                    .first()
                    .ok_or_else(|| MediaError::rejected(RejectCode::MediaMissing, "no image is listed"))?;
                self.blob_bytes(first)
            }
            MediaLocation::PreparedClip(_) | MediaLocation::Composed(_) => {
                Err(MediaError::rejected(RejectCode::MediaType, "a video where an image is expected"))
            }
        }
    }

    /// The bytes inside a larger file.
    ///
    /// # Errors
    ///
    /// If they are missing or too many, or on a storage error.
    pub fn blob_bytes(&self, blob: &BlobRef) -> Result<Vec<u8>, MediaError> {
        match blob {
            BlobRef::Range { file, offset, num_bytes } => {
                self.limits.check_bytes(*num_bytes)?;
                read_range(&self.open(file)?, *offset, *num_bytes)
            }
            BlobRef::Cell { file, column, row, index } => {
                let location = CellLocation { file: Path::new(file.as_ref()), column, row: *row, index: *index };
                let cell = self.cells.read_with(&location, &|path| self.files.open(path));
                let cell = cell.map_err(|error| MediaError::storage(file.as_ref(), std::io::Error::other(error)))?;
                let missing =
                    || MediaError::rejected(RejectCode::MediaMissing, format!("{} holds no bytes", blob.name()));
                let bytes = cell.ok_or_else(missing)?;
                self.limits.check_bytes(bytes.len() as u64)?;
                Ok(bytes)
            }
        }
    }

    fn open(&self, file: &str) -> Result<InputFile, MediaError> {
        self.files.open(Path::new(file)).map_err(|source| MediaError::storage(file, source))
    }

    /// The identity of a file that holds media; [`MediaIdentity::UNKNOWN`] if it cannot be found.
    pub(crate) fn identity_of_file(&self, file: &str) -> MediaIdentity {
        self.files.identity(Path::new(file)).unwrap_or(MediaIdentity::UNKNOWN)
    }

    /// The identity of the medium at a path that upstream wrote; [`MediaIdentity::UNKNOWN`] if it cannot be found.
    pub(crate) fn identity_of_path(&self, subset: &str, path: &str) -> MediaIdentity {
        if let Some(LentMedium { media, subset, medium }) = self.lent.get(path) {
            return match &medium.location {
                MediaLocation::Path(path) => media.identity_of_path(subset, path),
                MediaLocation::Blob(blob) => media.identity_of_file(blob.file()),
                MediaLocation::Prepared { images, .. } => {
                    images.first().map_or(MediaIdentity::UNKNOWN, |blob| media.identity_of_file(blob.file()))
                }
                MediaLocation::PreparedClip(clip) => media.identity_of_file(clip.file.file()),
                MediaLocation::Composed(_) => MediaIdentity::UNKNOWN,
            };
        }
        self.store.identify(subset, path).unwrap_or(MediaIdentity::UNKNOWN)
    }

    /// The header of an image.
    ///
    /// # Errors
    ///
    /// If the image is missing or outside the limits, or on a storage error.
    pub fn image_header(&self, subset: &str, medium: &MediaRef) -> Result<ImageHeader, MediaError> {
        if let Some(lent) = self.lent(medium) {
            return lent.media.image_header(&lent.subset, &lent.medium);
        }
        match &medium.location {
            MediaLocation::Path(path) => self.store.locate(subset, path)?.probe_image(&self.limits),
            MediaLocation::Blob(_)
            | MediaLocation::Prepared { .. }
            | MediaLocation::PreparedClip(_)
            | MediaLocation::Composed(_) => probe_image_bytes(&self.image_bytes(subset, medium)?, &self.limits),
        }
    }

    /// Passes every byte of a medium to `consume`, in order, in chunks; of a clip of an earlier build, then the positions of its
    /// frames.
    ///
    /// # Errors
    ///
    /// If the medium is missing or too large, or on a storage error.
    pub fn for_each_bytes(
        &self,
        subset: &str,
        medium: &MediaRef,
        mut consume: impl FnMut(&[u8]),
    ) -> Result<(), MediaError> {
        self.pass_bytes(subset, medium, &mut consume)
    }

    fn pass_bytes(&self, subset: &str, medium: &MediaRef, consume: &mut dyn FnMut(&[u8])) -> Result<(), MediaError> {
        if let Some(lent) = self.lent(medium) {
            return lent.media.pass_bytes(&lent.subset, &lent.medium, consume);
        }
        match &medium.location {
            MediaLocation::Path(path) => {
                let located = self.store.locate(subset, path)?;
                self.for_each_located(&located, self.limits.max_video_bytes, consume)
            }
            MediaLocation::Blob(BlobRef::Range { file, offset, num_bytes }) if medium.kind == MediaKind::Video => {
                let handle = self.open(file)?;
                let mut at = *offset;
                let end = offset.saturating_add(*num_bytes);
                while at < end {
                    let length = (end - at).min(CHUNK_BYTES);
                    consume(&read_range(&handle, at, length)?);
                    at += length;
                }
                Ok(())
            }
            MediaLocation::Blob(blob) => {
                consume(&self.blob_bytes(blob)?);
                Ok(())
            }
            MediaLocation::Prepared { images, .. } => {
                images.iter().try_for_each(|blob| self.blob_bytes(blob).map(|bytes| consume(&bytes)))
            }
            MediaLocation::PreparedClip(clip) => {
                consume(&self.blob_bytes(&clip.file)?);
                clip.frames.frame_indices.iter().for_each(|index| consume(&index.to_le_bytes()));
                Ok(())
            }
            MediaLocation::Composed(composed) => {
                consume(format!("{composed:?}").as_bytes());
                let clips = composed.clips().map(|clip| &clip.path);
                for path in composed.videos.iter().chain(clips) {
                    self.pass_bytes(subset, &video_at(path), consume)?;
                }
                composed.images().try_for_each(|path| {
                    let located = self.store.locate(subset, path)?;
                    self.for_each_located(&located, self.limits.max_bytes, consume)
                })
            }
        }
    }

    fn for_each_located(
        &self,
        located: &Located,
        max_bytes: u64,
        consume: &mut dyn FnMut(&[u8]),
    ) -> Result<(), MediaError> {
        if let Located::Directory { frames, .. } = located {
            return frames.iter().try_for_each(|frame| self.for_each_located(frame, self.limits.max_bytes, consume));
        }
        located.read_chunks(max_bytes, consume)
    }

    /// Opens a video and chooses its frames by its index and a rule. No pixel is decoded.
    ///
    /// # Errors
    ///
    /// If this build cannot decode video, if the video is missing or not a video, if it has no frames to choose from, or on a
    /// storage error.
    pub(crate) fn open_video(
        &self,
        subset: &str,
        medium: &MediaRef,
        sampling: &Sampling,
    ) -> Result<ChosenFrames, MediaError> {
        if let Some(lent) = self.lent(medium) {
            return lent.media.open_video(&lent.subset, &lent.medium, sampling);
        }
        video::ensure_enabled()?;
        let (input, version) = match &medium.location {
            MediaLocation::Path(path) => {
                let located = self.store.locate(subset, path)?;
                located.check_inflation(self.limits.max_video_bytes, &std::env::temp_dir())?;
                let (identity, num_bytes) = (self.identity_of_path(subset, path), located.num_bytes()?);
                (video::open_input(&located)?, VideoVersion { identity, offset: 0, num_bytes })
            }
            MediaLocation::Blob(BlobRef::Range { file, offset, num_bytes }) => {
                let version =
                    VideoVersion { identity: self.identity_of_file(file), offset: *offset, num_bytes: *num_bytes };
                (video::open_range(&self.open(file)?, *offset, *num_bytes)?, version)
            }
            // All of it, whichever frames an earlier build chose.
            MediaLocation::PreparedClip(clip) => {
                let (input, num_bytes) = self.open_delivered(&clip.file)?;
                let index = video::index_video(&input, &self.limits, None)?;
                return Self::chosen((input, index, num_bytes), medium.clip, sampling);
            }
            MediaLocation::Blob(_) | MediaLocation::Prepared { .. } | MediaLocation::Composed(_) => {
                let detail = format!("{} is not a path to a video, or a member of a tar", medium.location.name());
                return Err(MediaError::rejected(RejectCode::UnsupportedMedia, detail));
            }
        };
        let index = self.indexes.index_video((&input, version), &self.limits, medium.fps)?;
        Self::chosen((input, index, version.num_bytes), medium.clip, sampling)
    }

    /// The frames of a part of a video.
    fn chosen(
        (input, index, num_bytes): (VideoInput, VideoIndex, u64),
        part: Option<Clip>,
        sampling: &Sampling,
    ) -> Result<ChosenFrames, MediaError> {
        let all = video::choose_frames(&index, part, &Sampling::All)?;
        let wanted = video::choose_frames(&index, part, sampling)?;
        let (first, num_frames) = (all.first().copied().unwrap_or(0), all.len());
        Ok(ChosenFrames { input, index, wanted, first, num_frames, num_bytes, prepared: None })
    }

    /// Opens the file of a clip that an earlier build delivered; with the number of its bytes.
    fn open_delivered(&self, file: &BlobRef) -> Result<(VideoInput, u64), MediaError> {
        match file {
            BlobRef::Range { file, offset, num_bytes } => {
                Ok((video::open_range(&self.open(file)?, *offset, *num_bytes)?, *num_bytes))
            }
            BlobRef::Cell { .. } => {
                let bytes = self.blob_bytes(file)?;
                Ok((video::open_bytes(&bytes)?, bytes.len() as u64))
            }
        }
    }

    /// Opens a clip that an earlier build delivered. The frames are those that it chose.
    ///
    /// # Errors
    ///
    /// If this build cannot decode video, if the file is not what the clip says of it, or on a storage error.
    pub(crate) fn open_clip(&self, clip: PreparedClip) -> Result<ChosenFrames, MediaError> {
        video::ensure_enabled()?;
        let (input, num_bytes) = self.open_delivered(&clip.file)?;
        let index = video::index_video(&input, &self.limits, None)?;
        let num_frames = index.num_frames();
        let wanted: Vec<usize> = clip.frames.frame_indices.iter().map(|&index| index as usize).collect();
        if num_frames != clip.frames.num_frames as usize || wanted.last().is_none_or(|&last| last >= num_frames) {
            let stated = clip.frames.num_frames;
            let detail = format!("{} has {num_frames} frames, {stated} stated", clip.file.name());
            return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
        }
        Ok(ChosenFrames { input, index, wanted, first: 0, num_frames, num_bytes, prepared: Some(clip) })
    }
}

/// A video at a path that upstream wrote.
pub(crate) fn video_at(path: &str) -> MediaRef {
    MediaRef { kind: MediaKind::Video, ..image_at(path) }
}

/// An image at a path that upstream wrote.
pub(crate) fn image_at(path: &str) -> MediaRef {
    let location = MediaLocation::Path(path.to_owned());
    MediaRef { kind: MediaKind::Image, location, clip: None, fps: None }
}
