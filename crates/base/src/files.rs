//! Files and directories that appear whole or not at all: they are written under a temporary name, then renamed.
//!
//! ```text
//! write_atomic(path, bytes)     AtomicFile::create(path) ─ write … ─ publish()        one file
//! StagedDirectory::beside(path) ─ files in it … ─ publish()                           a new directory (staged_directory.rs)
//! ```
//!
//! What is published is on the disk before its name is, and its name is on the disk when the call returns, unless its function says
//! that it does not wait for the disk.
//! Temporary files of killed processes stay until [`remove_leftovers`] is called by whoever knows that nobody else writes there.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path:?}")]
pub struct FileError {
    /// What was to be done.
    pub action: FileAction,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// What is done with a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAction {
    /// Its bytes, its entries or its metadata are read.
    Read,
    /// It is made, or its bytes are written.
    Write,
    /// It gets its final name.
    Publish,
    /// It is removed.
    Remove,
}

impl fmt::Display for FileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Publish => "publish",
            Self::Remove => "remove",
        })
    }
}

impl FileError {
    /// Turns an error of the operating system into one that names the action and the path; for `map_err`.
    pub fn when(action: FileAction, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }

    /// An error of reading a path; for `map_err`.
    pub fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        Self::when(FileAction::Read, path)
    }

    /// An error of writing a path; for `map_err`.
    pub fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        Self::when(FileAction::Write, path)
    }
}

/// The directory that holds a path: `.` for a bare name.
pub fn parent_directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where work on a dataset is in progress: `DATASET.work`, beside it, wherever it is.
pub fn work_directory(dataset: &Path) -> PathBuf {
    let mut name = dataset.as_os_str().to_owned();
    name.push(".work");
    PathBuf::from(name)
}

/// A name beside `path` for an unfinished file, unique to this host, process and thread, because workers on several
/// hosts may share a directory. The directory is made if it is missing.
///
/// # Errors
///
/// If `path` has no file name, or its directory cannot be made.
pub fn temporary_beside(path: &Path) -> Result<PathBuf, FileError> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name");
    let name = path.file_name().ok_or_else(no_name).map_err(FileError::write(path))?;
    let directory = parent_directory(path);
    fs::create_dir_all(directory).map_err(FileError::write(directory))?;
    let thread: String = format!("{:?}", std::thread::current().id()).chars().filter(char::is_ascii_digit).collect();
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}-{thread}.tmp", host_in_names(), std::process::id()));
    Ok(directory.join(temporary))
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of this machine as a part of file names.
fn host_in_names() -> String {
    host_name().chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

/// Whether a path was not followed because links in it lead to each other.
pub fn is_circle(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Removes what killed processes of this host left in a directory under names of [`temporary_beside`]: others may write there
/// at the same time, on this host and on others. A directory that does not exist has no leftovers.
///
/// # Errors
///
/// As [`remove_leftovers`].
pub fn remove_leftovers_of_the_dead(directory: &Path) -> Result<(), FileError> {
    list_leftovers_of_the_dead(directory)?.iter().try_for_each(|path| remove_any(path))
}

/// Removes what killed processes of this host left of one file or directory.
pub(crate) fn remove_leftovers_of(path: &Path) -> Result<(), FileError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    let start = format!(".{name}.");
    let is_leftover = |found: &str| found.starts_with(&start) && process_of(found).is_some_and(|pid| !is_alive(pid));
    remove_leftovers_if(parent_directory(path), is_leftover)
}

/// The process of this host that a name of [`temporary_beside`] belongs to.
fn process_of(name: &str) -> Option<u32> {
    let (_, owner) = name.strip_suffix(".tmp")?.rsplit_once('.')?;
    let mut parts = owner.split('-');
    let (host, pid, thread) = (parts.next()?, parts.next()?, parts.next()?);
    let is_owner = parts.next().is_none() && host == host_in_names() && thread.parse::<u64>().is_ok();
    pid.parse().ok().filter(|_| is_owner)
}

/// A process that ended keeps its number until its parent reaps it, which in a container may be never.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read(Path::new("/proc").join(pid.to_string()).join("stat")) else { return false };
    // `PID (NAME) STATE …`; the name may have brackets and spaces.
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
    !matches!(state, Some(b'Z' | b'X'))
}

/// Removes what killed processes left in a directory under names of [`temporary_beside`]. Only for a directory in which nobody
/// else is writing. A directory that does not exist has no leftovers.
///
/// # Errors
///
/// If the directory cannot be listed, or a leftover cannot be removed.
pub fn remove_leftovers(directory: &Path) -> Result<(), FileError> {
    remove_leftovers_if(directory, |_name| true)
}

fn remove_leftovers_if(directory: &Path, is_left: impl Fn(&str) -> bool) -> Result<(), FileError> {
    list_leftovers_if(directory, is_left)?.iter().try_for_each(|path| remove_any(path))
}

/// What killed processes of this host left in a directory, as [`remove_leftovers_of_the_dead`] would remove it, in order.
///
/// # Errors
///
/// If the directory cannot be listed.
pub fn list_leftovers_of_the_dead(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    list_leftovers_if(directory, |name| process_of(name).is_some_and(|pid| !is_alive(pid)))
}

/// Whether others may be writing in a directory: there are unfinished files of living processes, or of other hosts.
///
/// # Errors
///
/// If the directory cannot be listed.
pub fn is_written_to(directory: &Path) -> Result<bool, FileError> {
    Ok(!list_leftovers_if(directory, |name| process_of(name).is_none_or(is_alive))?.is_empty())
}

fn list_leftovers_if(directory: &Path, is_left: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::read(directory))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(FileError::read(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(".tmp") && is_left(&name) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes a file, or a directory with all that is in it. A link is removed, and not what it leads to. What is not there is no
/// error.
///
/// # Errors
///
/// If it cannot be removed.
pub fn remove_any(path: &Path) -> Result<(), FileError> {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    match if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::when(FileAction::Remove, path)(error)),
        _ => Ok(()),
    }
}

/// Bytes of a file, or of all files in a directory and below it. What disappears in the meantime counts as nothing.
pub fn num_bytes_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
            entries.map(|entry| num_bytes_of(&entry.path())).sum()
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

/// A file that appears under its name when it is published. Dropped before that, it leaves nothing behind.
///
/// Writes are buffered. Two files with one path must not be written by one thread at a time.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once it is published.
    file: Option<BufWriter<File>>,
}

/// Shards are written in sequential pieces. Media are larger than this, and bypass the buffer; plans have thousands of small
/// files, for each of which the system clears the memory of a buffer.
const BUFFER_BYTES: usize = 1 << 17;

impl AtomicFile {
    /// Starts a file that will be `path`; its directory is made if it is missing.
    ///
    /// # Errors
    ///
    /// If nothing can be written beside `path`.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let temporary = temporary_beside(path)?;
        let file = File::create(&temporary).map_err(FileError::write(&temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file: Some(BufWriter::with_capacity(BUFFER_BYTES, file)) })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`Self::publish`], but without waiting for the disk: after a power failure the file may be there and not whole. For files
    /// that are made again where they are damaged, and of which there are many.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub fn publish_unflushed(mut self) -> Result<(), FileError> {
        self.flush().map_err(FileError::write(&self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(FileError::when(FileAction::Publish, &self.path))?;
        self.file = None;
        Ok(())
    }

    /// Makes the file visible under its name, replacing any existing file.
    ///
    /// # Errors
    ///
    /// If its last bytes cannot be written, or it cannot be renamed; nothing is then left of it.
    pub fn publish(self) -> Result<(), FileError> {
        let path = self.path.clone();
        self.publish_staged()?;
        sync_directory(parent_directory(&path))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().ok_or_else(published)?.get_ref().sync_all()
    }

    /// As [`Self::publish`], but its name need not be on the disk yet: for files of a directory that is published later.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub fn publish_staged(mut self) -> Result<(), FileError> {
        self.flush().and_then(|()| self.sync()).map_err(FileError::write(&self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(FileError::when(FileAction::Publish, &self.path))?;
        self.file = None;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().ok_or_else(published)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().ok_or_else(published)?.flush()
    }
}

fn published() -> io::Error {
    io::Error::other("the file is published")
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Nobody reads what is still in the buffer.
            drop(file.into_parts());
            // The error that ends the writing is reported; a file that cannot be removed either does no harm.
            _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a file atomically, replacing any existing file.
///
/// # Errors
///
/// If it cannot be written or renamed; an existing file is then unchanged.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    written(path, bytes)?.publish()
}

/// As [`write_atomic`], but without waiting for the disk ([`AtomicFile::publish_unflushed`]).
///
/// # Errors
///
/// As [`write_atomic`].
pub fn write_unflushed(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    written(path, bytes)?.publish_unflushed()
}

/// As [`write_atomic`], for a file of a directory that is published later ([`AtomicFile::publish_staged`]).
///
/// # Errors
///
/// As [`write_atomic`].
pub fn write_staged(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    written(path, bytes)?.publish_staged()
}

fn written(path: &Path, bytes: &[u8]) -> Result<AtomicFile, FileError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(FileError::write(path))?;
    Ok(file)
}

/// Writes a value as indented JSON with a newline at its end; returns the text.
///
/// # Errors
///
/// As [`write_atomic`], or if the value is no JSON (a map with keys that are not texts).
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, FileError> {
    let text = json_text(value).map_err(FileError::write(path))?;
    write_atomic(path, &text)?;
    Ok(text)
}

/// As [`write_json`], but without waiting for the disk ([`AtomicFile::publish_unflushed`]).
///
/// # Errors
///
/// As [`write_json`].
pub fn write_json_unflushed(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    write_unflushed(path, &json_text(value).map_err(FileError::write(path))?)
}

/// The text that [`write_json`] writes.
///
/// # Errors
///
/// If the value is no JSON.
pub fn json_text(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// Makes a finished file visible under its name. Its bytes are on the disk before its name is.
///
/// # Errors
///
/// If it cannot be flushed or renamed.
pub fn publish_file(temporary: &Path, path: &Path) -> Result<(), FileError> {
    publish_staged_file(temporary, path)?;
    sync_directory(parent_directory(path))
}

/// As [`publish_file`], for a file of a directory that is published later ([`AtomicFile::publish_staged`]).
///
/// # Errors
///
/// As [`publish_file`].
pub fn publish_staged_file(temporary: &Path, path: &Path) -> Result<(), FileError> {
    let file = File::open(temporary).map_err(FileError::read(temporary))?;
    file.sync_all().map_err(FileError::write(temporary))?;
    fs::rename(temporary, path).map_err(FileError::when(FileAction::Publish, path))
}

/// Bytes that may still be written to the file system of an existing file or directory.
///
/// # Errors
///
/// If the file system does not say.
pub fn free_bytes(path: &Path) -> Result<u64, FileError> {
    let file_system = rustix::fs::statvfs(path).map_err(|error| FileError::read(path)(error.into()))?;
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

/// Makes renames in a directory and in those below it durable.
pub(crate) fn sync_directories(directory: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(directory).map_err(FileError::read(directory))? {
        let entry = entry.map_err(FileError::read(directory))?;
        if entry.file_type().map_err(FileError::read(directory))?.is_dir() {
            sync_directories(&entry.path())?;
        }
    }
    sync_directory(directory)
}

/// Makes renames in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), FileError> {
    let handle = File::open(directory).map_err(FileError::read(directory))?;
    handle.sync_all().map_err(FileError::write(directory))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The names in a directory, in order.
    pub(crate) fn names_in(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_published_and_replaces_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/a.txt");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(&directory.path().join("new")), ["a.txt"]);
    }

    #[test]
    fn leftovers_of_killed_processes_are_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(temporary_beside(&path.join("plan-1")).unwrap()).unwrap();
        fs::create_dir(path.join("index")).unwrap();
        File::create(temporary_beside(&path.join("a.parquet")).unwrap()).unwrap();
        write_atomic(&path.join("a.tmp"), b"").unwrap();
        remove_leftovers(path).unwrap();
        assert_eq!(names_in(path), ["a.tmp", "index"]);
        remove_leftovers(&path.join("absent")).unwrap();
    }

    #[test]
    fn leftovers_of_one_path_are_removed_once_their_process_is_dead() {
        let directory = tempfile::tempdir().unwrap();
        let (path, host, own) = (directory.path(), host_in_names(), std::process::id());
        // No process has a number this large.
        let names = [
            format!(".out.{host}-4194999-1.tmp"),
            format!(".out.{host}-{own}-999.tmp"),
            ".out.elsewhere0-4194999-1.tmp".to_owned(),
            format!(".other.{host}-4194999-1.tmp"),
        ];
        for name in &names {
            fs::create_dir(path.join(name)).unwrap();
        }
        remove_leftovers_of(&path.join("out")).unwrap();
        assert_eq!(names_in(path).len(), 3);
        remove_leftovers_of_the_dead(path).unwrap();
        assert_eq!(names_in(path), [names[2].clone(), names[1].clone()]);
    }

    #[test]
    fn a_process_that_ended_and_that_nobody_asked_for_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while is_alive(child.id()) {
            std::thread::yield_now();
        }
        assert!(Path::new("/proc").join(child.id().to_string()).exists());
        child.wait().unwrap();
        assert!(is_alive(std::process::id()));
    }

    #[test]
    fn a_file_that_is_not_published_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&directory.path().join("a.txt")).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names_in(directory.path()).len(), 1);
        drop(file);
        assert!(names_in(directory.path()).is_empty());
    }

    #[test]
    fn temporary_names_of_two_threads_differ() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let other = std::thread::scope(|scope| scope.spawn(|| temporary_beside(&path).unwrap()).join().unwrap());
        assert_ne!(temporary_beside(&path).unwrap(), other);
        assert_eq!(other.parent(), path.parent());
    }

    #[test]
    fn a_path_without_a_name_is_an_error() {
        let error = write_atomic(Path::new(".."), b"").unwrap_err();
        assert_eq!(error.to_string(), "cannot write \"..\"");
        assert_eq!(error.source.to_string(), "the path has no file name");
    }
}
