//! What is in a work directory under the name of something else: a directory or a pipe where a file should be, or a file where
//! a directory should be. It counts as damaged, and is removed before anything is opened: opening a pipe could block forever.

use std::fs;
use std::io;
use std::path::Path;

use manyframe_base::FileError;
use manyframe_base::files::{is_circle, remove_any};

/// Directories deeper than this hold what every build makes again, whatever was there.
const MOST_LEVELS: usize = 4;

/// Removes what does not fit its name, in a directory and below it.
///
/// # Errors
///
/// If a directory cannot be listed, or a misfit cannot be removed.
pub(crate) fn remove_misfits(directory: &Path) -> Result<(), FileError> {
    remove_below(directory, MOST_LEVELS)
}

/// Whether manyframe keeps something under this name in a work directory itself, where others may have left their files.
fn is_of_work(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.split_once('-') {
        Some(("plan", key)) => is_key(key),
        Some(("media", rest)) => rest.ends_with(".parquet"),
        _ => matches!(name, "lock" | "index" | "listings" | "videos" | "rate.json" | "crashes.json" | "shards.json"),
    }
}

fn remove_below(directory: &Path, num_levels: usize) -> Result<(), FileError> {
    for entry in fs::read_dir(directory).map_err(FileError::read(directory))? {
        let entry = entry.map_err(FileError::read(directory))?;
        let path = entry.path();
        // Links are followed: some keep large directories elsewhere.
        let kind = entry.file_type().and_then(|kind| {
            if kind.is_symlink() { fs::metadata(&path).map(|metadata| metadata.file_type()) } else { Ok(kind) }
        });
        let kind = match kind {
            Ok(kind) => kind,
            // A link to nothing; or removed in the meantime, by a task that runs elsewhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if is_circle(&error) => {
                tracing::warn!(?path, "removed: it is a link that leads to itself");
                remove_any(&path)?;
                continue;
            }
            Err(error) => return Err(FileError::read(&path)(error)),
        };
        if num_levels == MOST_LEVELS && !is_of_work(&path) && (kind.is_dir() || kind.is_file()) {
            continue;
        }
        let fits = match should_be_directory(&path) {
            Some(true) => kind.is_dir(),
            Some(false) => kind.is_file(),
            None => kind.is_dir() || kind.is_file(),
        };
        if !fits {
            tracing::warn!(?path, "removed: it is not what its name says");
            remove_any(&path)?;
        } else if kind.is_dir() && num_levels > 0 {
            remove_below(&path, num_levels - 1)?;
        }
    }
    Ok(())
}

/// Whether what manyframe keeps under this name is a directory. `None` if it keeps nothing under it.
fn should_be_directory(path: &Path) -> Option<bool> {
    let name = path.file_name()?.to_str()?;
    match name {
        "lock" => Some(false),
        "index" | "listings" | "tasks" | "done" | "shards" => Some(true),
        _ if name.starts_with("plan-") => Some(true),
        _ if name.starts_with('.') => None,
        _ => {
            let extension = path.extension()?.to_str()?;
            let is_file = matches!(extension, "json" | "jsonl" | "parquet" | "members" | "tar" | "md" | "journal");
            is_file.then_some(false)
        }
    }
}
