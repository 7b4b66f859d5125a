//! The leakage guard: images and videos that no sample may show, such as those of a benchmark.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use manyframe_base::Executor;
use manyframe_core::{BlobRef, RejectCode, Rejection, contained};
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE};
use manyframe_media::video::{self, FrameSelection};
use manyframe_media::{ImageFingerprint as Look, MediaError, read_range};
use manyframe_pipeline::expand_pattern;
use manyframe_samplers::contaminated_rows;
use rustc_hash::FxHashMap;

use super::looks::{Looks, decodes_videos, look_of_bytes, looks_of_video_bytes};
use crate::{Context, PlanError, SourceMedia};

/// An excluded image, or an image of an excluded video.
struct Excluded {
    name: Arc<str>,
    look: Look,
}

/// Where an excluded image is.
enum Place {
    File(PathBuf),
    Blob(BlobRef),
}

/// The rows that show an excluded image, each with what it shows.
pub(super) fn find(
    context: &Context,
    looks: &Looks,
    executor: Executor<'_>,
) -> Result<Vec<(usize, String)>, PlanError> {
    let excluded = read_excluded(context, executor)?;
    let max_distance = context.pipeline.file.decontamination.max_distance;
    let by_pixels: FxHashMap<u64, usize> =
        excluded.iter().enumerate().rev().map(|(number, image)| (image.look.pixels, number)).collect();
    let with_hash: Vec<(usize, u64)> =
        excluded.iter().enumerate().filter_map(|(number, image)| Some((number, image.look.hash?))).collect();
    let excluded_hashes: Vec<u64> = with_hash.iter().map(|(_, hash)| *hash).collect();
    let rows = looks.rows();
    let visuals = rows.iter().flat_map(|(row, look)| look.visuals.iter().enumerate().map(|visual| (*row, visual)));
    let images = visuals.flat_map(|(row, (number, visual))| visual.iter().map(move |image| (row, number, image)));
    let images: Vec<(usize, usize, &Look)> = images.collect();
    let hashes: Vec<(usize, u64)> =
        images.iter().enumerate().filter_map(|(at, (_, _, look))| Some((at, look.hash?))).collect();
    let alike: FxHashMap<usize, usize> = contaminated_rows(&hashes, &excluded_hashes, max_distance)
        .into_iter()
        .filter_map(|found| Some((found.row, with_hash.get(found.against)?.0)))
        .collect();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (at, (row, number, look)) in images.iter().enumerate() {
        let image = by_pixels.get(&look.pixels).or_else(|| alike.get(&at));
        let is_known = found.last().is_some_and(|(last, _)| last == row);
        if let Some(image) = image.and_then(|&image| excluded.get(image)).filter(|_| !is_known) {
            found.push((*row, format!("medium {} looks like {:?}, which is excluded", number + 1, image.name)));
        }
    }
    Ok(found)
}

fn read_excluded(context: &Context, executor: Executor<'_>) -> Result<Vec<Excluded>, PlanError> {
    let mut places = Vec::new();
    for pattern in context.pipeline.file.decontamination.against.as_slice() {
        add_places(pattern, &mut places)?;
    }
    let media = SourceMedia::without_roots(context.images.limits.clone());
    let look = |place: Place| -> Result<Vec<Excluded>, PlanError> {
        let (name, looks) = match &place {
            Place::File(path) => (path.display().to_string(), looks_of_file(context, path)),
            Place::Blob(blob) => {
                let look = media.blob_bytes(blob).and_then(|bytes| look_of_bytes(context, &bytes));
                (blob.name(), look.map(|look| vec![look]))
            }
        };
        let name: Arc<str> = context.portable_text(name).into();
        match looks {
            Ok(looks) => Ok(looks.into_iter().map(|look| Excluded { name: Arc::clone(&name), look }).collect()),
            // Beside images there are other files.
            Err(MediaError::Rejected(Rejection { detail, .. })) => {
                tracing::warn!(file = %name, %detail, "neither an image nor a video that could be excluded");
                Ok(Vec::new())
            }
            Err(storage) => Err(PlanError::Storage(storage)),
        }
    };
    let mut excluded = Vec::new();
    executor.ordered_map(8).run(places.into_iter().map(Ok), look, |looks| {
        excluded.extend(looks?);
        Ok::<_, PlanError>(())
    })?;
    Ok(excluded)
}

/// The look of an image file, or those of a video file.
fn looks_of_file(context: &Context, path: &Path) -> Result<Vec<Look>, MediaError> {
    let limits = &context.images.limits;
    let num_bytes = std::fs::metadata(path).map_err(|error| MediaError::storage(path, error))?.len();
    let look_of_image = || {
        limits.check_bytes(num_bytes)?;
        Ok(vec![look_of_bytes(context, &read_range(path, 0, num_bytes)?)?])
    };
    let looks = contained(|| match look_of_image() {
        Err(not_an_image @ MediaError::Rejected(_)) => {
            looks_of_video_file(context, path, num_bytes)?.ok_or(not_an_image)
        }
        looks => looks,
    });
    looks.unwrap_or_else(|panic| Err(MediaError::rejected(RejectCode::MediaCorrupt, panic)))
}

/// `None` if it is not a video.
fn looks_of_video_file(context: &Context, path: &Path, num_bytes: u64) -> Result<Option<Vec<Look>>, MediaError> {
    let opened = video::open_range(path, 0, num_bytes).and_then(|input| {
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
        let copied = std::fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hasher));
        copied.map_err(|error| MediaError::storage(path, error))?;
        return Ok(Some(looks_of_video_bytes(None, &hasher)));
    }
    let wanted = video::choose_frames(&index, None, &context.sampling)?;
    let frames = video::decode_frames(&input, FrameSelection { index: &index, positions: &wanted }, &context.frames)?;
    let looks = frames.iter().map(|frame| look_of_bytes(context, &frame.image.bytes)).collect::<Result<Vec<_>, _>>()?;
    // A frame without contrast, such as a black one, is that of many videos.
    Ok(Some(looks.into_iter().filter(|look| look.hash.is_some()).collect()))
}

/// What tells whether the excluded images have changed: every file with its size and modification time.
pub(crate) fn excluded_files(context: &Context) -> Result<Vec<String>, PlanError> {
    let mut files = Vec::new();
    for pattern in context.pipeline.file.decontamination.against.as_slice() {
        let dataset = Path::new(pattern).join(MANIFEST_FILE);
        let mut places = Vec::new();
        if dataset.exists() {
            places.push(Place::File(dataset));
        } else {
            add_places(pattern, &mut places)?;
        }
        for place in places {
            let Place::File(path) = place else { continue };
            let read_error = |source| PlanError::Read { path: path.clone(), source };
            let metadata = std::fs::metadata(&path).map_err(read_error)?;
            let modified = metadata.modified().map_err(read_error)?.duration_since(UNIX_EPOCH).unwrap_or_default();
            files.push(format!("{} {} {}", path.display(), metadata.len(), modified.as_nanos()));
        }
    }
    Ok(files)
}

fn add_places(pattern: &str, places: &mut Vec<Place>) -> Result<(), PlanError> {
    let exclude_error = |detail: String| PlanError::Exclude { pattern: pattern.to_owned(), detail };
    let path = Path::new(pattern);
    if path.join(MANIFEST_FILE).exists() {
        return add_dataset(path, places).map_err(|error| exclude_error(error.to_string()));
    }
    let paths = expand_pattern(pattern).map_err(exclude_error)?;
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        return Err(exclude_error(format!("{missing:?} does not exist")));
    }
    paths.iter().try_for_each(|path| add_files(path, places))
}

fn add_files(path: &Path, places: &mut Vec<Place>) -> Result<(), PlanError> {
    if !path.is_dir() {
        places.push(Place::File(path.to_owned()));
        return Ok(());
    }
    let read_error = |source| PlanError::Read { path: path.to_owned(), source };
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(read_error)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().try_for_each(|path| add_files(path, places))
}

fn add_dataset(dataset: &Path, places: &mut Vec<Place>) -> Result<(), DatasetError> {
    let dataset = DatasetReader::open(dataset)?;
    for shard in dataset.shards_of_one_format() {
        for entry in dataset.sample_entries(shard)? {
            places.extend(entry?.images.into_iter().map(|image| Place::Blob(image.blob)));
        }
    }
    Ok(())
}
