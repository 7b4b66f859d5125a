//! Fingerprints of the images and videos that no sample may show, kept until the plan is made.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyframe_base::files::remove_any;
use manyframe_base::{FileAccess, FileError, InputFile};
use manyframe_core::{BlobRef, Digest, MediaKind, RejectCode, Rejection};
use manyframe_media::video::{self, FrameKeeper, FrameSelection};
use manyframe_media::{ImageFingerprint, MediaError, MediaIdentity, Sampling, read_range};
use manyframe_sources::kind_of_path;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::attempt::{Attempt, guarded};
use crate::context::Context;
use crate::decisions::fingerprints::{decodes_videos, fingerprint_of_bytes, fingerprints_of_video_bytes};
use crate::decisions::unwanted::{UnwantedMedium, UnwantedPlace};
use crate::index::cache::index_directory;
use crate::journal::Journal;
use crate::media::SourceMedia;
use crate::plan::PLAN_VERSION;

/// What was found in a file that no sample may show, or in a part of one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct UnwantedShown {
    /// What is compared.
    pub(crate) fingerprints: Vec<ImageFingerprint>,
    /// Images and frames that were decoded for it.
    pub(crate) num_images: u64,
    /// What is missing of a video, or damaged, if that is more than the pipeline file allows of videos of records.
    damage: Option<Rejection>,
}

/// What came of a file that no sample may show.
pub(crate) enum UnwantedOutcome {
    /// It was decoded to its end.
    Whole(UnwantedShown),
    /// It is an image or a video that could not be decoded, or not to its end. What could be is compared.
    Rejected(UnwantedShown, Rejection),
    /// It is something else, as the folders of images have.
    Other,
}

/// Fingerprints of files that no sample may show, kept until the plan is made.
pub(crate) struct KeptUnwanted<'c> {
    context: &'c Context,
    media: SourceMedia,
    directory: PathBuf,
    files: Journal,
    /// All that fingerprints depend on besides their file.
    settings: String,
}

/// Fingerprints that took this long are kept.
const LEAST_TIME_KEPT: Duration = Duration::from_millis(1);

/// Where they are kept.
fn unwanted_directory(work: &Path) -> PathBuf {
    index_directory(work).join("unwanted.journals")
}

/// Removes what is kept of files that no sample may show, once the plan is made.
pub(crate) fn forget_unwanted(work: &Path) -> Result<(), FileError> {
    remove_any(&unwanted_directory(work))
}

/// The media inside of datasets.
fn media_of_datasets(context: &Context) -> SourceMedia {
    SourceMedia::without_roots(context.images.limits.clone(), FileAccess::default())
}

impl<'c> KeptUnwanted<'c> {
    pub(crate) fn open(context: &'c Context, work: &Path) -> Self {
        let directory = unwanted_directory(work);
        let files = Journal::open(&directory, "files");
        let parts = (&context.images, &context.frames, context.damage, context.sampling, decodes_videos(context));
        let settings = format!("{PLAN_VERSION} {parts:?}");
        Self { context, media: media_of_datasets(context), directory, files, settings }
    }

    /// What comes of a medium.
    ///
    /// # Errors
    ///
    /// On a storage error, and if it may not be read.
    pub(crate) fn outcome(&self, medium: &UnwantedMedium) -> Result<UnwantedOutcome, MediaError> {
        Ok(match self.shown(&medium.place) {
            Ok(UnwantedShown { fingerprints, num_images, damage: Some(rejection) }) => {
                UnwantedOutcome::Rejected(UnwantedShown { fingerprints, num_images, damage: None }, rejection)
            }
            Ok(shown) => UnwantedOutcome::Whole(shown),
            // One that may not be read may be an image.
            Err(error @ MediaError::Rejected(Rejection { code: RejectCode::MediaUnreadable, .. })) => {
                return Err(error);
            }
            Err(MediaError::Rejected(rejection)) if is_meant_as_medium(&medium.place, rejection.code) => {
                UnwantedOutcome::Rejected(UnwantedShown::default(), rejection)
            }
            Err(MediaError::Rejected(rejection)) => {
                tracing::debug!(file = medium.name, %rejection, "neither an image nor a video; decontamination ignores it");
                UnwantedOutcome::Other
            }
            Err(storage) => return Err(storage),
        })
    }

    /// The fingerprints of a medium as an earlier process made them, or as they are made now.
    fn shown(&self, place: &UnwantedPlace) -> Result<UnwantedShown, MediaError> {
        let MediaIdentity(identity) = MediaIdentity::of_file(&FileAccess::default(), place.file())?;
        let (file, part) = (place.file().as_os_str().as_encoded_bytes(), place.part());
        let key = Digest::of_fields([file, part.as_bytes(), &identity.to_le_bytes()[..], self.settings.as_bytes()]);
        if let Some((kept, _)) = self.files.read(key) {
            return Ok(kept);
        }
        // What is made does not depend on the clock, only whether it is kept.
        let started = Instant::now();
        let journal = Journal::open(&self.directory, &key.to_string());
        let attempt = || Attempt::Exclude(place.clone());
        let shown = guarded(
            self.context,
            attempt,
            || place.version(),
            || fingerprints_of_place((self.context, &self.media), place, &mut journal.frames(key, None)),
        )?;
        let elapsed = started.elapsed();
        if elapsed >= LEAST_TIME_KEPT {
            self.files.keep(key, &shown, [], (&[], elapsed));
        }
        journal.remove();
        Ok(shown)
    }
}

/// Whether what cannot be decoded is an image or a video. Folders of images contain other files, too.
fn is_meant_as_medium(place: &UnwantedPlace, code: RejectCode) -> bool {
    match place {
        UnwantedPlace::File(path) => !is_of_other_files(code) || kind_of_file(path).is_some(),
        UnwantedPlace::Image(_) | UnwantedPlace::Video(_) => true,
    }
}

/// Whether files that are neither images nor videos are rejected for this reason.
fn is_of_other_files(code: RejectCode) -> bool {
    matches!(code, RejectCode::MediaType | RejectCode::MediaEmpty | RejectCode::UnsupportedMedia)
}

/// What a file is by its name.
fn kind_of_file(path: &Path) -> Option<MediaKind> {
    kind_of_path(path.to_str()?)
}

/// Decodes what no sample may show. Only whether the process survives matters.
pub(crate) fn try_unwanted(context: &Context, place: &UnwantedPlace) {
    _ = fingerprints_of_place((context, &media_of_datasets(context)), place, &mut ());
}

fn fingerprints_of_place(
    (context, media): (&Context, &SourceMedia),
    place: &UnwantedPlace,
    keeper: &mut dyn FrameKeeper,
) -> Result<UnwantedShown, MediaError> {
    match place {
        UnwantedPlace::File(path) => fingerprints_of_file(context, path, keeper),
        UnwantedPlace::Image(blob) => fingerprints_of_image(context, &media.blob_bytes(blob)?),
        UnwantedPlace::Video(blob) => fingerprints_of_clip((context, media), blob, keeper),
    }
}

fn fingerprints_of_image(context: &Context, bytes: &[u8]) -> Result<UnwantedShown, MediaError> {
    let fingerprints = vec![fingerprint_of_bytes(context, bytes)?];
    Ok(UnwantedShown { fingerprints, num_images: 1, damage: None })
}

/// The fingerprints of a video file inside of a shard.
fn fingerprints_of_clip(
    (context, media): (&Context, &SourceMedia),
    blob: &BlobRef,
    keeper: &mut dyn FrameKeeper,
) -> Result<UnwantedShown, MediaError> {
    let bytes = media.blob_bytes(blob)?;
    let written = NamedTempFile::new().and_then(|mut file| file.write_all(&bytes).map(|()| file));
    let file = written.map_err(|error| MediaError::storage(std::env::temp_dir(), error))?;
    fingerprints_of_file(context, file.path(), keeper)
}

/// The fingerprint of an image file, or those of a video file.
fn fingerprints_of_file(
    context: &Context,
    path: &Path,
    keeper: &mut dyn FrameKeeper,
) -> Result<UnwantedShown, MediaError> {
    let limits = &context.images.limits;
    let metadata = std::fs::metadata(path).map_err(|error| MediaError::storage(path, error))?;
    if !metadata.is_file() {
        // Opening a pipe could block forever.
        return Err(MediaError::rejected(RejectCode::MediaType, "it is neither a file nor a directory"));
    }
    let file = InputFile::open(path).map_err(|error| MediaError::storage(path, error))?;
    // A file of many bytes need not be an image.
    let image = match limits.check_bytes(file.num_bytes()) {
        Ok(()) => fingerprints_of_image(context, &read_range(&file, 0, file.num_bytes())?),
        Err(_too_large) if kind_of_file(path).is_none() => {
            Err(MediaError::rejected(RejectCode::MediaType, "too large"))
        }
        Err(too_large) => Err(too_large),
    };
    let not_an_image = match image {
        Err(MediaError::Rejected(rejection)) => rejection,
        shown => return shown,
    };
    match fingerprints_of_video_file(context, &file, keeper) {
        // Which of both it is meant to be, its name or its first bytes say.
        Err(MediaError::Rejected(not_a_video)) => Err(MediaError::Rejected(match kind_of_file(path) {
            Some(MediaKind::Video) => not_a_video,
            None if is_of_other_files(not_an_image.code) => not_a_video,
            Some(MediaKind::Image) | None => not_an_image,
        })),
        shown => shown,
    }
}

fn fingerprints_of_video_file(
    context: &Context,
    file: &InputFile,
    keeper: &mut dyn FrameKeeper,
) -> Result<UnwantedShown, MediaError> {
    let input = video::open_range(file, 0, file.num_bytes())?;
    let index = video::index_video(&input, &context.images.limits, None).map_err(|error| match error {
        // FFmpeg finds sound, subtitles and nothing in many a file that is no video.
        MediaError::Rejected(Rejection { code: RejectCode::NoFrames, detail })
            if kind_of_file(file.path()).is_none() =>
        {
            MediaError::rejected(RejectCode::MediaType, detail)
        }
        error => error,
    })?;
    if !decodes_videos(context) {
        let mut hasher = blake3::Hasher::new();
        let read = hasher.update_reader(file.reader(0)).map(drop);
        read.map_err(|error| MediaError::storage(file.path(), error))?;
        let fingerprints = fingerprints_of_video_bytes(None, &hasher);
        return Ok(UnwantedShown { fingerprints, num_images: 0, damage: None });
    }
    // The model's processor may refuse a video that no sample shows.
    let sampling = if context.sampling == Sampling::All { Sampling::default() } else { context.sampling };
    let wanted = video::choose_frames(&index, None, &sampling)?;
    let selection = FrameSelection { index: &index, positions: &wanted };
    let decoded = video::decode_frames(&input, selection, &context.frames, keeper)?;
    let damage = match context.damage.check(&decoded.damage) {
        Err(MediaError::Rejected(rejection)) => Some(rejection),
        checked => checked.map(|()| None)?,
    };
    let of_frame = |frame: &video::VideoFrame| fingerprint_of_bytes(context, &frame.image.bytes);
    let fingerprints = decoded.frames.iter().map(of_frame).collect::<Result<Vec<_>, _>>()?;
    let num_images = fingerprints.len() as u64;
    // A frame without contrast, such as a black one, occurs in many videos.
    let fingerprints = fingerprints.into_iter().filter(|fingerprint| fingerprint.hash.is_some()).collect();
    Ok(UnwantedShown { fingerprints, num_images, damage })
}
