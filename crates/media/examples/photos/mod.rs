//! The photographs that examples work on.

use std::error::Error;
use std::path::{Path, PathBuf};

/// The files of a folder that end with `.jpg`, in the order of their names.
pub(crate) fn photos_in(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let paths: Result<Vec<PathBuf>, _> = folder.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut photos = paths?;
    photos.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    photos.sort();
    Ok(photos)
}
