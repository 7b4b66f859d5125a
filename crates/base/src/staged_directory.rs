//! A directory that is filled under a temporary name, and appears whole or not at all.
//!
//! ```text
//! StagedDirectory::beside(path) ─ files in it … ─ publish(flush)
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::process::geteuid;

use crate::files::{FileAction, FileError, parent_directory, remove_leftovers_of, sync_directory, temporary_beside};

/// A directory that appears under its name, with all that is in it, when it is published. Dropped before that, it leaves
/// nothing behind.
#[derive(Debug)]
pub struct StagedDirectory {
    path: PathBuf,
    /// `None` once it is published.
    staged: Option<PathBuf>,
}

/// Whether the files of a staged directory are on the disk before its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// They need not be: whoever reads them notices damage, and they are made again.
    Never,
    /// Each was flushed when it was written, as an [atomic file](crate::files::AtomicFile) is.
    Done,
    /// One flush of the whole file system: cheaper than one for each of a million small files.
    FileSystem,
}

impl StagedDirectory {
    /// Makes an empty directory that will be `path`, and removes what killed processes of this host left of earlier attempts.
    /// Parents are made if they are missing.
    ///
    /// # Errors
    ///
    /// If nothing can be made beside `path`.
    pub fn beside(path: &Path) -> Result<Self, FileError> {
        let staged = temporary_beside(path)?;
        remove_leftovers_of(path)?;
        if staged.exists() {
            // Left by a killed process that had the same process id.
            fs::remove_dir_all(&staged).map_err(FileError::when(FileAction::Remove, &staged))?;
        }
        fs::create_dir(&staged).map_err(FileError::write(&staged))?;
        Ok(Self { path: path.to_owned(), staged: Some(staged) })
    }

    /// As [`Self::beside`], for files that are never published: where this user may not write there, in the temporary directory of the
    /// system.
    ///
    /// # Errors
    ///
    /// If nothing can be made in either.
    pub fn scratch(path: &Path) -> Result<Self, FileError> {
        match Self::beside(path) {
            Err(error)
                if matches!(
                    error.source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                // Of each user, because nobody may remove what another one has left there.
                let name =
                    format!("manyframe-{}-{}", geteuid().as_raw(), path.file_name().unwrap_or_default().display());
                Self::beside(&std::env::temp_dir().join(name)).or(Err(error))
            }
            made => made,
        }
    }

    /// Where its files are written until it is published.
    pub fn path(&self) -> &Path {
        self.staged.as_deref().unwrap_or(&self.path)
    }

    /// Makes the directory visible under its name, which must be free.
    ///
    /// # Errors
    ///
    /// If the name is already taken ([`io::ErrorKind::AlreadyExists`]), or the directory cannot be flushed or renamed.
    /// Then nothing is left of it.
    pub fn publish(mut self, flush: Flush) -> Result<(), FileError> {
        let staged = self.path();
        let handle = File::open(staged).map_err(FileError::read(staged))?;
        let flushed = match flush {
            Flush::Never => Ok(()),
            Flush::Done => handle.sync_all(),
            Flush::FileSystem => rustix::fs::syncfs(&handle).map_err(io::Error::from),
        };
        flushed.map_err(FileError::write(staged))?;
        let publish_error = |source| FileError::when(FileAction::Publish, &self.path)(source);
        match rustix::fs::renameat_with(CWD, staged, CWD, &self.path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(error @ rustix::io::Errno::EXIST) => return Err(publish_error(error.into())),
            // Not every file system can promise it. A plain rename replaces an empty directory at most.
            Err(_unsupported) => fs::rename(staged, &self.path).map_err(publish_error)?,
        }
        self.staged = None;
        if flush == Flush::Never { Ok(()) } else { sync_directory(parent_directory(&self.path)) }
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            // The error that ends the writing is reported; what is left of the attempt does no harm.
            _ = fs::remove_dir_all(staged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::names_in;
    use crate::write_atomic;

    #[test]
    fn a_directory_that_is_not_published_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let leftover = temporary_beside(&directory.path().join("b")).unwrap();
        fs::create_dir(&leftover).unwrap();
        let staged = StagedDirectory::beside(&directory.path().join("b")).unwrap();
        write_atomic(&staged.path().join("c.txt"), b"whole").unwrap();
        assert_eq!(names_in(directory.path()).len(), 1);
        drop(staged);
        assert!(names_in(directory.path()).is_empty());
    }

    #[test]
    fn a_new_directory_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        for flush in [Flush::Never, Flush::Done, Flush::FileSystem] {
            let staged = StagedDirectory::beside(&path).unwrap();
            write_atomic(&staged.path().join("c.txt"), b"first").unwrap();
            staged.publish(flush).unwrap();
            let second = StagedDirectory::beside(&path).unwrap();
            let error = second.publish(flush).unwrap_err();
            assert_eq!((error.action, error.source.kind()), (FileAction::Publish, io::ErrorKind::AlreadyExists));
            assert_eq!(error.to_string(), format!("cannot publish {path:?}"));
            assert_eq!(names_in(directory.path()), ["output"]);
            assert_eq!(fs::read(path.join("c.txt")).unwrap(), b"first");
            fs::remove_dir_all(&path).unwrap();
        }
    }
}
