//! Compares the files of an export with the list that was written beside them.
//!
//! Nothing is computed again: what the files were made of is in a dataset, which need not be there.
//!
//! Memory: 16 bytes for each file and directory, and the names of the directories that are open.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use manyframe_base::{Executor, FileError, Step, open_regular};
use manyframe_core::{Digest, RecordId};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::error::EngineError;
use crate::export_files::{HIDDEN_LIST_FILE, LIST_FILE, is_of_export};
use crate::sha256sums::parse_line;
use crate::verify::Verification;
use crate::verify::findings::Findings;

/// The list of the files of an export; `None` if the directory has none.
pub fn list_of_export(directory: &Path) -> Option<PathBuf> {
    // Beside Parquet files, only an export has written the hidden one.
    [HIDDEN_LIST_FILE, LIST_FILE].map(|name| directory.join(name)).into_iter().find(|path| path.is_file())
}

/// Compares all files of a directory with a list that is in it.
///
/// # Errors
///
/// If the list cannot be read.
pub fn verify_export(list: &Path, executor: Executor<'_>) -> Result<Verification, EngineError> {
    let directory = list.parent().unwrap_or(list);
    let list_name = list.file_name().unwrap_or_default().display();
    let (mut found, mut findings) = (Verification::default(), Findings::default());
    let listed = Listed::read(list, &mut findings)?;
    found.num_files = listed.files.len() as u64;
    let num_bytes = listed.check_others(list, &mut found, &mut findings);
    executor.progress.start(Step::VerifyFiles, num_bytes);
    let files = lines(list)?.filter_map(|line| line.map(|line| listed_file(&line)).transpose());
    let compare = |(path, sha256): (PathBuf, _)| (num_bytes_if_whole(&directory.join(&path), sha256), path);
    executor.ordered_map(4).run(files, compare, |(compared, path)| {
        let path = path.display();
        match compared {
            Ok(Some(num_bytes)) => executor.progress.advance(1, num_bytes),
            Ok(None) => findings.problem(format!("{path} is not the file that {list_name} names")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => findings.problem(format!("{path} is missing")),
            Err(error) => findings.problem(format!("{path} cannot be read: {error}")),
        }
        Ok::<_, FileError>(())
    })?;
    executor.progress.finish(Step::VerifyFiles);
    Ok(Verification { problems: findings.into_problems(), ..found })
}

/// The lines of a list, without their ends.
fn lines(list: &Path) -> Result<impl Iterator<Item = Result<Vec<u8>, FileError>>, FileError> {
    let file = File::open(list).map_err(FileError::read(list))?;
    Ok(BufReader::new(file).split(b'\n').map(move |line| line.map_err(FileError::read(list))))
}

/// The file that a line names, below the directory of the list: nothing else is opened.
fn listed_file(line: &[u8]) -> Option<(PathBuf, [u8; 32])> {
    let (path, sha256) = parse_line(line)?;
    let path = path.strip_prefix(".").unwrap_or(&path);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
    is_below.then(|| (path.to_owned(), sha256))
}

/// The size of a file, if it has this digest.
fn num_bytes_if_whole(path: &Path, sha256: [u8; 32]) -> io::Result<Option<u64>> {
    const BUFFER_BYTES: usize = 1 << 18;
    let mut file = BufReader::with_capacity(BUFFER_BYTES, open_regular(path)?);
    let (mut found, mut num_bytes) = (Sha256::new(), 0);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok((<[u8; 32]>::from(found.finalize()) == sha256).then_some(num_bytes));
        }
        found.update(bytes);
        let num_read = bytes.len();
        num_bytes += num_read as u64;
        file.consume(num_read);
    }
}

/// The paths in a list, by half of their digests, in order: there may be millions.
struct Listed {
    files: Vec<RecordId>,
    /// The directories that they are in, and those above.
    directories: BTreeSet<RecordId>,
}

impl Listed {
    fn read(list: &Path, findings: &mut Findings) -> Result<Self, FileError> {
        let (mut names, mut directories) = (Vec::new(), BTreeSet::new());
        for (number, line) in (1_u64..).zip(lines(list)?) {
            match listed_file(&line?) {
                Some((path, _)) => {
                    names.push(key(&path));
                    let mut above = path.ancestors().skip(1).map(key);
                    while above.next().is_some_and(|directory| directories.insert(directory)) {}
                }
                None => findings.problem(format!("{} has no file and its digest in line {number}", list.display())),
            }
        }
        if names.is_empty() {
            findings.problem(format!("{} names no file", list.display()));
        }
        names.sort_unstable();
        names.dedup();
        Ok(Self { files: names, directories })
    }

    /// Names the files that are not in the list; those with a leading dot, and those in a directory with one, are their owner's.
    /// A link to a directory is followed if files of the list are behind it: those of an export may be on another disk. Returns the
    /// size of all files.
    fn check_others(&self, list: &Path, found: &mut Verification, findings: &mut Findings) -> u64 {
        let directory = list.parent().unwrap_or(list);
        let mut num_bytes = 0;
        let mut walk = WalkDir::new(directory).min_depth(1).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let path = match &entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    let is_listed = |below| self.directories.contains(&key(below));
                    if !entry.path_is_symlink() || entry.path().strip_prefix(directory).is_ok_and(is_listed) {
                        continue;
                    }
                    walk.skip_current_dir();
                    entry.path()
                }
                Ok(entry) => {
                    num_bytes += entry.metadata().map_or(0, |metadata| metadata.len());
                    entry.path()
                }
                Err(error) => {
                    let path = error.path().unwrap_or(directory);
                    // A link that leads nowhere, or around, is a file that is not there.
                    if let Some(error) = error.io_error().filter(|error| error.kind() != io::ErrorKind::NotFound) {
                        found.unchecked.push(format!("files in {}: {error}", path.display()));
                        continue;
                    }
                    path
                }
            };
            let path_below = path.strip_prefix(directory).unwrap_or(path);
            let is_hidden = path_below.components().any(|part| part.as_os_str().as_bytes().starts_with(b"."));
            if path == list || is_hidden || self.files.binary_search(&key(path_below)).is_ok() {
                continue;
            }
            let path = path_below.display();
            if is_of_export(path_below, list) {
                findings.problem(format!("{path} is not in the list of files, and readers of an export take it"));
            } else {
                found.unnamed.push(path.to_string());
            }
        }
        num_bytes
    }
}

fn key(path: &Path) -> RecordId {
    RecordId::from_digest(Digest::of(path.as_os_str().as_bytes()))
}
