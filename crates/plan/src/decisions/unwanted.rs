//! Where the images and videos are that no sample may show.

use std::fmt;
use std::path::{Path, PathBuf};

use manyframe_base::FileAccess;
use manyframe_core::BlobRef;
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE};
use manyframe_media::MediaIdentity;
use manyframe_pipeline::{LocatedPattern, Occupant, PortablePath, expand_pattern};
use manyframe_shards::SampleEntry;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::PlanError;

/// A file that no sample may show, or a part of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnwantedPlace {
    /// A file: an image, a video, or something else.
    File(PathBuf),
    /// An image inside a shard of a dataset.
    Image(BlobRef),
    /// A video file inside a shard of a dataset.
    Video(BlobRef),
}

/// What no sample may show, and its name on every machine.
pub(crate) struct UnwantedMedium {
    pub(crate) name: String,
    pub(crate) place: UnwantedPlace,
}

/// What a pattern of `decontamination.against` leads to.
pub(crate) struct UnwantedOfPattern<'p> {
    pub(crate) pattern: &'p str,
    /// Whether it is a dataset, whose samples may be texts.
    pub(crate) has_samples: bool,
    pub(crate) media: Vec<UnwantedMedium>,
}

impl UnwantedPlace {
    /// The file that it is, or is in.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Image(blob) | Self::Video(blob) => Path::new(&**blob.file()),
        }
    }

    /// The version of this file.
    pub(crate) fn version(&self) -> u64 {
        MediaIdentity::of_file(&FileAccess::default(), self.file()).map_or(0, |identity| identity.0)
    }

    /// Where it is in this file; empty if it is all of it.
    pub(crate) fn part(&self) -> String {
        match self {
            Self::File(_) => String::new(),
            Self::Image(blob) | Self::Video(blob) => blob.name(),
        }
    }
}

impl fmt::Display for UnwantedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.file().display(), self.part())
    }
}

/// What each pattern of the pipeline file leads to, in its order.
pub(crate) fn list_unwanted(context: &Context) -> Result<Vec<UnwantedOfPattern<'_>>, PlanError> {
    context.pipeline.unwanted().map(of_pattern).collect()
}

fn of_pattern(located: LocatedPattern<'_>) -> Result<UnwantedOfPattern<'_>, PlanError> {
    let pattern = located.pattern;
    if is_dataset(pattern)? {
        let unreadable = |error| PlanError::UnwantedDataset { pattern: pattern.to_owned(), error };
        let media = media_of_dataset(located).map_err(unreadable)?;
        return Ok(UnwantedOfPattern { pattern, has_samples: true, media });
    }
    let mut paths = Vec::new();
    add_paths(pattern, &mut paths)?;
    let medium =
        |path: PathBuf| UnwantedMedium { name: located.name(&path).to_string(), place: UnwantedPlace::File(path) };
    Ok(UnwantedOfPattern { pattern, has_samples: false, media: paths.into_iter().map(medium).collect() })
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

/// What makes a pattern of `decontamination.against` unusable.
pub(crate) fn unusable(pattern: &str, detail: String) -> PlanError {
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

/// A file, or all files below a directory but what macOS puts beside them, in sorted order.
fn add_tree(path: &Path, paths: &mut Vec<PathBuf>) -> Result<(), PlanError> {
    if !path.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    let read_error = |source| PlanError::Read { path: path.to_owned(), source };
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(read_error)?;
    let is_beside = |name: &str| name.starts_with("._") || name == "__MACOSX";
    let entries = entries.into_iter().filter(|entry| !entry.file_name().to_str().is_some_and(is_beside));
    let mut inside: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    inside.sort();
    inside.iter().try_for_each(|path| add_tree(path, paths))
}

fn media_of_dataset(located: LocatedPattern<'_>) -> Result<Vec<UnwantedMedium>, DatasetError> {
    let dataset = DatasetReader::open(Path::new(located.pattern))?;
    let mut media = Vec::new();
    for shard in dataset.shards_of_one_format() {
        let name: PortablePath = located.name(&dataset.shard_location(shard));
        for entry in dataset.sample_entries(shard)? {
            let SampleEntry { images, clips, .. } = entry?;
            let images = images.into_iter().map(|image| UnwantedPlace::Image(image.blob));
            let places = images.chain(clips.into_iter().map(UnwantedPlace::Video));
            media.extend(places.map(|place| UnwantedMedium { name: format!("{name}{}", place.part()), place }));
        }
    }
    Ok(media)
}
