//! What was sent of the large files of an upload: it outlives the process, so that no part is sent twice.
//!
//! ```text
//! {"path": …, "digest": …, "num_bytes": …, "transfer": …}       a file is begun
//! {"path": …, "index": 3, "sum": …, "id": …}                     a part of it was taken by the store
//! {"path": …, "is_over": true}                                   it is finished, or given up
//! ```
//!
//! A line is on the disk before the next part of its thread is sent. One that is cut was never written. A journal that is lost
//! costs time only.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use manyframe_base::FileError;
use manyframe_core::Digest;
use serde::{Deserialize, Serialize};

use crate::files::SentFile;

/// A journal, open for more.
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    /// What it said when it was opened.
    begun: BTreeMap<String, Begun>,
}

/// A file that an earlier upload began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    digest: Digest,
    pub(crate) num_bytes: u64,
    pub(crate) transfer: String,
    /// By the number of the part.
    pub(crate) parts: BTreeMap<usize, SentPart>,
}

/// A part that the store took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentPart {
    /// XXH3 of its bytes.
    pub(crate) sum: u64,
    /// What the store calls it.
    pub(crate) id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Begun { path: String, digest: Digest, num_bytes: u64, transfer: String },
    Sent { path: String, index: usize, sum: u64, id: String },
    Over { path: String, is_over: bool },
}

impl Journal {
    /// Opens a journal; it is made if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let directory = manyframe_base::files::parent_directory(path);
        fs::create_dir_all(directory).map_err(FileError::write(directory))?;
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            text => text.map_err(FileError::read(path))?,
        };
        let mut begun = BTreeMap::new();
        // What follows the last line end is a line that was cut.
        let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let (lines, _cut) = text.split_at(end);
        for line in lines.split(|&byte| byte == b'\n') {
            if let Ok(line) = serde_json::from_slice(line) {
                note(&mut begun, line);
            }
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(FileError::write(path))?;
        file.set_len(end as u64).map_err(FileError::write(path))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), begun })
    }

    /// What was sent of a file by an earlier upload; `None` if nothing was, or it was another file then.
    pub(crate) fn begun(&self, file: &SentFile) -> Option<&Begun> {
        self.begun.get(&file.name).filter(|begun| (begun.digest, begun.num_bytes) == (file.digest, file.num_bytes))
    }

    /// Paths and ids of transfers of other files than these: of a dataset that was built again since.
    pub(crate) fn stale(&self, files: &[&SentFile]) -> Vec<(String, String)> {
        let is_wanted = |path: &str| files.iter().any(|file| file.name == path && self.begun(file).is_some());
        let stale = self.begun.iter().filter(|(path, _)| !is_wanted(path));
        stale.map(|(path, begun)| (path.clone(), begun.transfer.clone())).collect()
    }

    pub(crate) fn begin(&self, file: &SentFile, transfer: &str) -> Result<(), FileError> {
        let SentFile { name, num_bytes, digest, .. } = file.clone();
        self.write(&Line::Begun { path: name, digest, num_bytes, transfer: transfer.to_owned() })
    }

    pub(crate) fn sent(&self, file: &SentFile, index: usize, part: &SentPart) -> Result<(), FileError> {
        let SentPart { sum, id } = part.clone();
        self.write(&Line::Sent { path: file.name.clone(), index, sum, id })
    }

    pub(crate) fn over(&self, file: &SentFile) -> Result<(), FileError> {
        self.write(&Line::Over { path: file.name.clone(), is_over: true })
    }

    /// Removes it: everything is at its destination.
    pub(crate) fn remove(self) -> Result<(), FileError> {
        match fs::remove_file(&self.path) {
            // Another process sent the same.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::write(&self.path)(error)),
            _ => Ok(()),
        }
    }

    fn write(&self, line: &Line) -> Result<(), FileError> {
        let mut text = serde_json::to_vec(line).map_err(|error| FileError::write(&self.path)(error.into()))?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(FileError::write(&self.path))
    }
}

fn note(begun: &mut BTreeMap<String, Begun>, line: Line) {
    match line {
        Line::Begun { path, digest, num_bytes, transfer } => {
            begun.insert(path, Begun { digest, num_bytes, transfer, parts: BTreeMap::new() });
        }
        Line::Sent { path, index, sum, id } => {
            if let Some(begun) = begun.get_mut(&path) {
                begun.parts.insert(index, SentPart { sum, id });
            }
        }
        Line::Over { path, .. } => {
            begun.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> SentFile {
        let (path, digest) = (path.to_owned(), Digest::of(path.as_bytes()));
        SentFile { name: path.clone(), path, num_bytes: 30, digest, copy_of: None }
    }

    fn part(id: &str) -> SentPart {
        SentPart { sum: 7, id: id.to_owned() }
    }

    #[test]
    fn what_was_sent_is_known_after_a_kill_and_a_cut_line_was_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("work/upload.jsonl");
        let journal = Journal::open(&path).unwrap();
        for name in ["a", "b"] {
            journal.begin(&file(name), &format!("transfer of {name}")).unwrap();
        }
        journal.sent(&file("a"), 2, &part("third")).unwrap();
        journal.sent(&file("b"), 0, &part("first")).unwrap();
        journal.over(&file("b")).unwrap();
        drop(journal);
        let whole = fs::metadata(&path).unwrap().len();
        let mut cut = OpenOptions::new().append(true).open(&path).unwrap();
        cut.write_all(br#"{"path":"a","index":3,"sum":1,"id":"fo"#).unwrap();
        let journal = Journal::open(&path).unwrap();
        let begun = journal.begun(&file("a")).unwrap();
        assert_eq!(begun.transfer, "transfer of a");
        assert_eq!(begun.parts, BTreeMap::from([(2, part("third"))]));
        assert_eq!(journal.stale(&[&file("a")]), []);
        assert_eq!(journal.stale(&[&file("b")]), [("a".to_owned(), "transfer of a".to_owned())]);
        assert_eq!(journal.begun(&file("b")), None);
        assert_eq!(journal.begun(&SentFile { num_bytes: 31, ..file("a") }), None);
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        journal.sent(&file("a"), 3, &part("fourth")).unwrap();
        assert_eq!(Journal::open(&path).unwrap().begun(&file("a")).unwrap().parts.len(), 2);
    }
}
