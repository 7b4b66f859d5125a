//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::EngineError;

/// A name beside `path` for a file in the making, unique to this host, process and thread, because workers on several
/// hosts share a directory; its directory is made if missing.
pub(crate) fn temporary_beside(path: &Path) -> Result<PathBuf, EngineError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(EngineError::write(directory))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    Ok(directory.join(format!(".{name}.{host}-{}-{thread}.tmp", std::process::id())))
}

/// Makes a finished file visible under its name. Its bytes are on the disk before its name is.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), EngineError> {
    let file = File::open(temporary).map_err(EngineError::read(temporary))?;
    file.sync_all().map_err(EngineError::write(temporary))?;
    fs::rename(temporary, path).map_err(EngineError::write(path))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Writes a file whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let temporary = temporary_beside(path)?;
    let mut file = File::create(&temporary).map_err(EngineError::write(&temporary))?;
    file.write_all(bytes).map_err(EngineError::write(&temporary))?;
    drop(file);
    publish(&temporary, path)
}

/// Writes a value as readable JSON with a newline at its end.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, EngineError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| EngineError::Write { path: path.to_owned(), source: error.into() })?;
    text.push(b'\n');
    write_whole(path, &text)?;
    Ok(text)
}

/// Makes renames in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), EngineError> {
    let handle = File::open(directory).map_err(EngineError::read(directory))?;
    handle.sync_all().map_err(EngineError::write(directory))
}
