//! Decontamination: finds records that show an image or video which no sample may show, such as those of a benchmark.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manyframe_base::files::remove_any;
use manyframe_base::{Executor, FileAccess, FileError, InputFile};
use manyframe_core::{BlobRef, Digest, RejectCode, Rejection};
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE};
use manyframe_media::video::{self, FrameKeeper, FrameSelection};
use manyframe_media::{ImageFingerprint, MediaError, MediaIdentity, Sampling, read_range};
use manyframe_pipeline::{LocatedPattern, Occupant, PortablePath, expand_pattern};
use manyframe_samplers::contaminated_rows;
use manyframe_shards::SampleEntry;
use rustc_hash::FxHashMap;
use tempfile::NamedTempFile;

use crate::attempt::{Attempt, guarded};
use crate::context::Context;
use crate::decisions::fingerprints::{Fingerprints, decodes_videos, fingerprint_of_bytes, fingerprints_of_video_bytes};
use crate::error::PlanError;
use crate::index::cache::index_directory;
use crate::journal::Journal;
use crate::media::SourceMedia;
use crate::plan::PLAN_VERSION;

/// An image that no sample may show, or one of a video that no sample may show.
struct UnwantedImage {
    name: Arc<str>,
    fingerprint: ImageFingerprint,
}

/// Where an unwanted image is, and its name on every machine.
struct UnwantedFile {
    name: PortablePath,
    place: UnwantedPlace,
}

enum UnwantedPlace {
    File(PathBuf),
    /// Bytes inside a shard of a dataset.
    Blob(BlobRef),
    /// A video file inside a shard of a dataset.
    Clip(BlobRef),
}

/// An image of a candidate.
struct CandidateImage<'a> {
    row: usize,
    /// Number of its visual in the record, from 0.
    visual: usize,
    fingerprint: &'a ImageFingerprint,
}

/// The rows that show an unwanted image, and why they are rejected: one rejection for each row, rows ascending.
pub(crate) fn find_contaminated(
    (context, work): (&Context, &Path),
    fingerprints: &Fingerprints,
    executor: Executor<'_>,
) -> Result<Vec<(usize, Rejection)>, PlanError> {
    let table = &context.pipeline.file.decontamination;
    if !table.is_active() {
        return Ok(Vec::new());
    }
    let unwanted = UnwantedImages::read(context, work, executor)?;
    let rows = fingerprints.rows();
    let visuals = rows.iter().flat_map(|(row, record)| record.visuals.iter().enumerate().map(|visual| (*row, visual)));
    let images: Vec<CandidateImage<'_>> = visuals
        .flat_map(|(row, (visual, images))| {
            images.iter().map(move |fingerprint| CandidateImage { row, visual, fingerprint })
        })
        .collect();
    let mut found: Vec<(usize, Rejection)> = Vec::new();
    for (image, name) in images.iter().zip(unwanted.names_of_matches(&images, table.max_distance)) {
        let Some(name) = name.filter(|_| found.last().is_none_or(|(row, _)| *row != image.row)) else { continue };
        let detail = format!("medium {} is a near-duplicate of {name:?}, which no sample may show", image.visual + 1);
        found.push((image.row, Rejection::new(RejectCode::Excluded, detail)));
    }
    Ok(found)
}

/// Fingerprints of files that no sample may show, kept until the plan is made.
struct KeptUnwanted {
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

impl KeptUnwanted {
    fn open(context: &Context, work: &Path) -> Self {
        let directory = unwanted_directory(work);
        let files = Journal::open(&directory, "files");
        let (images, frames) = (&context.images, &context.frames);
        let settings = format!("{PLAN_VERSION} {:?}", (images, frames, context.sampling, decodes_videos(context)));
        Self { directory, files, settings }
    }

    /// The fingerprints of a file as an earlier process made them, or as they are made now.
    fn fingerprints(
        &self,
        (path, part): (&Path, &str),
        make: impl FnOnce(&mut dyn FrameKeeper) -> Result<Vec<ImageFingerprint>, MediaError>,
    ) -> Result<Vec<ImageFingerprint>, MediaError> {
        let MediaIdentity(identity) = MediaIdentity::of_file(&FileAccess::default(), path)?;
        let file = path.as_os_str().as_encoded_bytes();
        let key = Digest::of_fields([file, part.as_bytes(), &identity.to_le_bytes()[..], self.settings.as_bytes()]);
        if let Some((kept, _)) = self.files.read(key) {
            return Ok(kept);
        }
        // What is made does not depend on the clock, only whether it is kept.
        let started = Instant::now();
        let journal = Journal::open(&self.directory, &key.to_string());
        let fingerprints = make(&mut journal.frames(key, None))?;
        let elapsed = started.elapsed();
        if elapsed >= LEAST_TIME_KEPT {
            self.files.keep(key, &fingerprints, [], (&[], elapsed));
        }
        journal.remove();
        Ok(fingerprints)
    }
}

/// All images that no sample may show, in the order of the pipeline file.
struct UnwantedImages(Vec<UnwantedImage>);

impl UnwantedImages {
    fn read(context: &Context, work: &Path, executor: Executor<'_>) -> Result<Self, PlanError> {
        let mut files = Vec::new();
        // Where the files of each pattern end.
        let mut ends = Vec::new();
        for located in context.pipeline.unwanted() {
            let has_samples = add_pattern(located, &mut files)?;
            ends.push((located.pattern, files.len(), has_samples));
        }
        let media = SourceMedia::without_roots(context.images.limits.clone(), FileAccess::default());
        let mut images = Vec::new();
        let kept = KeptUnwanted::open(context, work);
        let fingerprint = |file: UnwantedFile| images_of_file((context, &kept), &media, &file);
        let mut num_images = Vec::with_capacity(files.len());
        executor.ordered_map(8).run(files.into_iter().map(Ok), fingerprint, |found| {
            let found = found?;
            num_images.push(found.len());
            images.extend(found);
            Ok::<_, PlanError>(())
        })?;
        let mut start = 0;
        for (pattern, end, has_samples) in ends {
            // A disk that is not mounted: nothing would be compared, and nobody would know. Samples may be texts.
            if !has_samples && num_images.iter().take(end).skip(start).sum::<usize>() == 0 {
                return Err(unusable(pattern, "no image or video is in it".to_owned()));
            }
            start = end;
        }
        tracing::info!(num_images = images.len(), "images that no sample may show");
        Ok(Self(images))
    }

    /// For each image, the name of the first unwanted one with the same pixels, or of the first near-duplicate.
    fn names_of_matches(&self, images: &[CandidateImage<'_>], max_distance: u32) -> Vec<Option<&str>> {
        let by_pixels: FxHashMap<u64, &str> =
            self.0.iter().rev().map(|unwanted| (unwanted.fingerprint.pixels, &*unwanted.name)).collect();
        let (names, hashes): (Vec<&str>, Vec<u64>) =
            self.0.iter().filter_map(|unwanted| Some((&*unwanted.name, unwanted.fingerprint.hash?))).unzip();
        let candidates: Vec<(usize, u64)> =
            images.iter().enumerate().filter_map(|(number, image)| Some((number, image.fingerprint.hash?))).collect();
        let near = contaminated_rows(&candidates, &hashes, max_distance).into_iter();
        #[expect(clippy::indexing_slicing, reason = "hashes and names have one order")]
        let near: FxHashMap<usize, &str> = near.map(|found| (found.row, names[found.against])).collect();
        let name = |(number, image): (usize, &CandidateImage<'_>)| {
            let same = by_pixels.get(&image.fingerprint.pixels);
            same.or_else(|| near.get(&number)).copied()
        };
        images.iter().enumerate().map(name).collect()
    }
}

/// The images of an unwanted file. A file that is neither an image nor a video has none, and is reported.
fn images_of_file(
    (context, kept): (&Context, &KeptUnwanted),
    media: &SourceMedia,
    file: &UnwantedFile,
) -> Result<Vec<UnwantedImage>, PlanError> {
    let (name, fingerprints) = match &file.place {
        UnwantedPlace::File(path) => {
            let attempt = || Attempt::Exclude(path.clone());
            let version = |path| MediaIdentity::of_file(&FileAccess::default(), path).map_or(0, |identity| identity.0);
            let make = |keeper: &mut dyn FrameKeeper| fingerprints_of_file(context, path, keeper);
            let fingerprints =
                kept.fingerprints((path, ""), |keeper| guarded(context, attempt, || version(path), || make(keeper)));
            (file.name.to_string(), fingerprints)
        }
        UnwantedPlace::Blob(blob) => {
            let make = || Ok(vec![fingerprint_of_bytes(context, &media.blob_bytes(blob)?)?]);
            let fingerprints = kept.fingerprints((Path::new(&**blob.file()), &blob.name()), |_| make());
            (format!("{}{}", file.name, blob.name()), fingerprints)
        }
        UnwantedPlace::Clip(blob) => {
            let make = |keeper: &mut dyn FrameKeeper| fingerprints_of_clip(context, &media.blob_bytes(blob)?, keeper);
            let fingerprints = kept.fingerprints((Path::new(&**blob.file()), &blob.name()), make);
            (format!("{}{}", file.name, blob.name()), fingerprints)
        }
    };
    let name: Arc<str> = name.into();
    match fingerprints {
        Ok(all) => Ok(all.into_iter().map(|f| UnwantedImage { name: Arc::clone(&name), fingerprint: f }).collect()),
        // Folders of images contain other files, too; but one that may not be read may be an image.
        Err(MediaError::Rejected(Rejection { code: RejectCode::MediaUnreadable, detail })) => {
            Err(unusable(&name, detail))
        }
        Err(MediaError::Rejected(Rejection { detail, .. })) => {
            tracing::warn!(file = %name, %detail, "neither an image nor a video; decontamination ignores it");
            Ok(Vec::new())
        }
        Err(storage) => Err(PlanError::Storage(storage)),
    }
}

/// The fingerprints of a video file whose bytes are in memory.
fn fingerprints_of_clip(
    context: &Context,
    bytes: &[u8],
    keeper: &mut dyn FrameKeeper,
) -> Result<Vec<ImageFingerprint>, MediaError> {
    let written = NamedTempFile::new().and_then(|mut file| file.write_all(bytes).map(|()| file));
    let file = written.map_err(|error| MediaError::storage(std::env::temp_dir(), error))?;
    fingerprints_of_file(context, file.path(), keeper)
}

/// The fingerprint of an image file, or those of a video file.
pub(crate) fn fingerprints_of_file(
    context: &Context,
    path: &Path,
    keeper: &mut dyn FrameKeeper,
) -> Result<Vec<ImageFingerprint>, MediaError> {
    let limits = &context.images.limits;
    let metadata = std::fs::metadata(path).map_err(|error| MediaError::storage(path, error))?;
    if !metadata.is_file() {
        // Opening a pipe could block forever.
        return Err(MediaError::rejected(RejectCode::MediaType, "it is neither a file nor a directory"));
    }
    let file = InputFile::open(path).map_err(|error| MediaError::storage(path, error))?;
    let of_image = || {
        limits.check_bytes(file.num_bytes())?;
        Ok(vec![fingerprint_of_bytes(context, &read_range(&file, 0, file.num_bytes())?)?])
    };
    match of_image() {
        Err(not_an_image @ MediaError::Rejected(_)) => {
            fingerprints_of_video_file(context, &file, keeper)?.ok_or(not_an_image)
        }
        fingerprints => fingerprints,
    }
}

/// `None` if it is not a video.
fn fingerprints_of_video_file(
    context: &Context,
    file: &InputFile,
    keeper: &mut dyn FrameKeeper,
) -> Result<Option<Vec<ImageFingerprint>>, MediaError> {
    let opened = video::open_range(file, 0, file.num_bytes()).and_then(|input| {
        let index = video::index_video(&input, &context.images.limits, None)?;
        Ok((input, index))
    });
    let (input, index) = match opened {
        Ok(opened) => opened,
        Err(MediaError::Rejected(_)) => return Ok(None),
        Err(storage) => return Err(storage),
    };
    if !decodes_videos(context) {
        let mut hasher = blake3::Hasher::new();
        let read = hasher.update_reader(file.reader(0)).map(drop);
        read.map_err(|error| MediaError::storage(file.path(), error))?;
        return Ok(Some(fingerprints_of_video_bytes(None, &hasher)));
    }
    // The model's processor may refuse a video that no sample shows.
    let sampling = if context.sampling == Sampling::All { Sampling::default() } else { context.sampling };
    let wanted = video::choose_frames(&index, None, &sampling)?;
    let selection = FrameSelection { index: &index, positions: &wanted };
    // What no sample may show may be damaged.
    let frames = video::decode_frames(&input, selection, &context.frames, keeper)?.frames;
    let of_frame = |frame: &video::VideoFrame| fingerprint_of_bytes(context, &frame.image.bytes);
    let fingerprints = frames.iter().map(of_frame).collect::<Result<Vec<_>, _>>()?;
    // A frame without contrast, such as a black one, occurs in many videos.
    Ok(Some(fingerprints.into_iter().filter(|fingerprint| fingerprint.hash.is_some()).collect()))
}

/// Every unwanted file with its identity, by which the key of a plan notices a change.
pub(crate) fn list_unwanted_files(context: &Context) -> Result<Vec<String>, PlanError> {
    let mut paths = Vec::new();
    for LocatedPattern { pattern, .. } in context.pipeline.unwanted() {
        if is_dataset(pattern)? {
            paths.push(Path::new(pattern).join(MANIFEST_FILE));
        } else {
            add_paths(pattern, &mut paths)?;
        }
    }
    let describe = |path: PathBuf| {
        let read_error = |source| PlanError::Read { path: path.clone(), source };
        let identity = MediaIdentity::of_file(&FileAccess::default(), &path).map_err(PlanError::Storage)?;
        let path = path.canonicalize().map_err(read_error)?;
        Ok(format!("{} {:x}", path.display(), identity.0))
    };
    paths.into_iter().map(describe).collect()
}

/// Lists the files of a pattern; whether they are those of a dataset.
fn add_pattern(located: LocatedPattern<'_>, files: &mut Vec<UnwantedFile>) -> Result<bool, PlanError> {
    let pattern = located.pattern;
    if is_dataset(pattern)? {
        let unreadable = |error| PlanError::UnwantedDataset { pattern: pattern.to_owned(), error };
        return add_dataset(located, files).map(|()| true).map_err(unreadable);
    }
    let mut paths = Vec::new();
    add_paths(pattern, &mut paths)?;
    let file = |path: PathBuf| UnwantedFile { name: located.name(&path), place: UnwantedPlace::File(path) };
    files.extend(paths.into_iter().map(file));
    Ok(false)
}

/// Whether its images are those of samples. Other directories may have a file that is called like a manifest, too.
fn is_dataset(pattern: &str) -> Result<bool, PlanError> {
    let path = Path::new(pattern);
    // A file, or a pattern, which is found to be wrong where it is.
    if !path.is_dir() {
        return Ok(false);
    }
    let occupant = Occupant::of(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
    Ok(matches!(occupant, Occupant::Dataset(_) | Occupant::Nameless))
}

fn unusable(pattern: &str, detail: String) -> PlanError {
    PlanError::Decontamination { pattern: pattern.to_owned(), detail }
}

fn add_paths(pattern: &str, paths: &mut Vec<PathBuf>) -> Result<(), PlanError> {
    for path in expand_pattern(&FileAccess::default(), pattern).map_err(|error| unusable(pattern, error.detail))? {
        if !path.exists() {
            return Err(unusable(pattern, "it does not exist".to_owned()));
        }
        add_tree(&path, paths)?;
    }
    Ok(())
}

/// A file, or all files below a directory, in sorted order.
fn add_tree(path: &Path, paths: &mut Vec<PathBuf>) -> Result<(), PlanError> {
    if !path.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    let read_error = |source| PlanError::Read { path: path.to_owned(), source };
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(read_error)?;
    let mut inside: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    inside.sort();
    inside.iter().try_for_each(|path| add_tree(path, paths))
}

fn add_dataset(located: LocatedPattern<'_>, files: &mut Vec<UnwantedFile>) -> Result<(), DatasetError> {
    let dataset = DatasetReader::open(Path::new(located.pattern))?;
    for shard in dataset.shards_of_one_format() {
        let name = located.name(&dataset.shard_location(shard));
        for entry in dataset.sample_entries(shard)? {
            let SampleEntry { images, clips, .. } = entry?;
            let images = images.into_iter().map(|image| UnwantedPlace::Blob(image.blob));
            let places = images.chain(clips.into_iter().map(UnwantedPlace::Clip));
            files.extend(places.map(|place| UnwantedFile { name: name.clone(), place }));
        }
    }
    Ok(())
}
