//! The files of an export, which are digested while they are written, and the list of them for whoever copies it.
//!
//! ```text
//! write(path, bytes), start(path) ─ bytes … ─ add      digests in memory
//! end_directory()                                      those so far are on the disk, in order
//! write_list()                                         OUTPUT/SHA256SUMS, or OUTPUT/.SHA256SUMS
//! ```
//!
//! **Invariant:** memory is bounded by the files that are written between two calls of `end_directory`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use manyframe_base::FileError;
use manyframe_base::files::parent_directory;
use sha2::{Digest as _, Sha256};

use crate::sha256sums::write_line;

/// The list of files of an export.
pub(crate) const LIST_FILE: &str = "SHA256SUMS";
/// Its name beside Parquet files: Arrow, pandas and `datasets` take every file of a directory that is not hidden for one.
pub(crate) const HIDDEN_LIST_FILE: &str = ".SHA256SUMS";

/// What exports write, besides Parquet files and directories of media.
const NAMES: [&str; 11] = [
    "boundaries.npy",
    "data.json",
    "data.jsonl",
    "needle_task.py",
    "needles.json",
    "needles.yaml",
    "needles_circular.tsv",
    "paths.json",
    "samples.npy",
    "vnbench.json",
    "vnbench_both.json",
];

/// Whether a directory looks like an export.
pub fn is_export(directory: &Path) -> bool {
    NAMES.iter().any(|name| directory.join(name).is_file()) || directory.join(pack_file(0)).is_file()
}

/// The name of a file of packed Parquet.
pub(crate) fn pack_file(number: u32) -> String {
    format!("packs-{number:06}.parquet")
}

/// Whether whoever reads an export may take this for a file of it, by its path there and the list of its files.
pub(crate) fn is_of_export(path: &Path, list: &Path) -> bool {
    let is_packed = list.file_name().is_some_and(|name| name == HIDDEN_LIST_FILE);
    NAMES.iter().any(|name| path == Path::new(name))
        || ["images", "videos"].iter().any(|directory| path.starts_with(directory))
        || (is_packed && path.extension().is_some_and(|extension| extension == "parquet"))
}

/// Bytes that are gathered before they are digested and written.
const BUFFER_BYTES: usize = 1 << 18;

/// Files that are written to a directory, each of them once.
pub(crate) struct ExportFiles {
    directory: PathBuf,
    /// The directory that was made last.
    made: PathBuf,
    num_bytes: u64,
    /// Digests of files that are not in `listed`.
    digests: BTreeMap<String, [u8; 32]>,
    /// Lines of directories that are done, and the first path in them.
    listed: Option<(BufWriter<File>, String)>,
}

/// A file that is not yet whole.
pub(crate) struct ExportFile {
    name: String,
    path: PathBuf,
    sink: BufWriter<DigestedFile>,
}

struct DigestedFile {
    file: File,
    sha256: Sha256,
    num_bytes: u64,
}

impl ExportFiles {
    /// Into an empty directory.
    pub(crate) fn create(directory: &Path) -> Self {
        let (digests, listed) = (BTreeMap::new(), None);
        Self { directory: directory.to_owned(), made: directory.to_owned(), num_bytes: 0, digests, listed }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    ///
    /// If it is there already, or cannot be written.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path_of(name)?;
        File::create_new(&path).and_then(|mut file| file.write_all(bytes)).map_err(FileError::write(&path))?;
        self.num_bytes += bytes.len() as u64;
        self.digests.insert(name.to_owned(), Sha256::digest(bytes).into());
        Ok(())
    }

    /// Starts a file that is written in pieces; [`Self::add`] ends it.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub(crate) fn start(&mut self, name: &str) -> Result<ExportFile, FileError> {
        let path = self.path_of(name)?;
        let file = File::create_new(&path).map_err(FileError::write(&path))?;
        let sink = DigestedFile { file, sha256: Sha256::new(), num_bytes: 0 };
        Ok(ExportFile { name: name.to_owned(), path, sink: BufWriter::with_capacity(BUFFER_BYTES, sink) })
    }

    /// Ends a file.
    ///
    /// # Errors
    ///
    /// If its last bytes cannot be written.
    pub(crate) fn add(&mut self, file: ExportFile) -> Result<(), FileError> {
        let ExportFile { name, path, sink } = file;
        let written = sink.into_inner().map_err(|error| FileError::write(path)(error.into_error()))?;
        self.num_bytes += written.num_bytes;
        self.digests.insert(name, written.sha256.finalize().into());
        Ok(())
    }

    /// Says that the files written since the last call are all of their directories, and that those of later calls come behind them in
    /// the order of paths.
    ///
    /// # Errors
    ///
    /// If their lines cannot be written.
    pub(crate) fn end_directory(&mut self) -> Result<(), FileError> {
        let digests = std::mem::take(&mut self.digests);
        let Some(first) = digests.keys().next() else { return Ok(()) };
        let path = self.lines_path();
        let (lines, _) = if let Some(listed) = &mut self.listed {
            listed
        } else {
            let lines = BufWriter::new(File::create_new(&path).map_err(FileError::write(&path))?);
            self.listed.insert((lines, first.clone()))
        };
        write_lines(lines, &digests).map_err(FileError::write(path))
    }

    /// Writes the list; returns the size of all files together.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn write_list(mut self, name: &str) -> Result<u64, FileError> {
        let path = self.directory.join(name);
        let written = File::create_new(&path).and_then(|file| self.write_all_lines(BufWriter::new(file)));
        Ok(self.num_bytes + written.map_err(FileError::write(&path))?)
    }

    fn write_all_lines(&mut self, mut list: BufWriter<File>) -> io::Result<u64> {
        if let Some((mut lines, first)) = self.listed.take() {
            let behind = self.digests.split_off(&first);
            write_lines(&mut list, &self.digests)?;
            self.digests = behind;
            lines.flush()?;
            let path = self.lines_path();
            io::copy(&mut File::open(&path)?, &mut list)?;
            fs::remove_file(&path)?;
        }
        write_lines(&mut list, &self.digests)?;
        list.flush()?;
        Ok(list.get_ref().metadata()?.len())
    }

    fn lines_path(&self) -> PathBuf {
        self.directory.join(".lines.tmp")
    }

    /// Where a file is written; makes its directory.
    fn path_of(&mut self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.directory.join(name);
        let parent = parent_directory(&path);
        if parent != self.made {
            fs::create_dir_all(parent).map_err(FileError::write(parent))?;
            parent.clone_into(&mut self.made);
        }
        Ok(path)
    }
}

fn write_lines(list: &mut impl Write, digests: &BTreeMap<String, [u8; 32]>) -> io::Result<()> {
    digests.iter().try_for_each(|(name, sha256)| write_line(list, name, *sha256))
}

impl ExportFile {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for ExportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Write for DigestedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let num_written = self.file.write(bytes)?;
        self.sha256.update(bytes.get(..num_written).unwrap_or(bytes));
        self.num_bytes += num_written as u64;
        Ok(num_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_wherever_lines_waited() {
        for (ends, others) in
            [(true, &["a.json", "z.json"][..]), (true, &[]), (false, &["a.json", "b/0"]), (false, &[])]
        {
            let directory = tempfile::tempdir().unwrap();
            let mut files = ExportFiles::create(directory.path());
            for folder in 0..3 {
                for file in [2, 0, 1].iter().filter(|_| ends) {
                    files.write(&format!("images/{folder}/{file}"), b"abc").unwrap();
                }
                files.end_directory().unwrap();
            }
            for name in others {
                let mut file = files.start(name).unwrap();
                file.write_all(b"a").unwrap();
                file.write_all(b"bc").unwrap();
                files.add(file).unwrap();
            }
            let num_bytes = files.write_list(LIST_FILE).unwrap();
            let text = fs::read_to_string(directory.path().join(LIST_FILE)).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let num_files = others.len() + if ends { 9 } else { 0 };
            assert_eq!((lines.len(), num_bytes), (num_files, 3 * num_files as u64 + text.len() as u64));
            let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  ";
            let names: Vec<&str> = lines.iter().map(|line| line.strip_prefix(digest).unwrap()).collect();
            assert!(names.is_sorted(), "{names:?}");
            assert!(!directory.path().join(".lines.tmp").exists());
        }
    }
}
