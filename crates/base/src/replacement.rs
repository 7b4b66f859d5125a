//! A directory that may exist already is replaced by a finished one in one step.
//!
//! ```text
//! try_replacing(work, path) ─ hours of work … ─ replace_directory(staged, path, replaced)
//! ```

use std::fs;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags};

use crate::files::{
    FileAction, FileError, parent_directory, remove_any, remove_leftovers_of, sync_directories, sync_directory,
    temporary_beside,
};

/// Replaces a directory, if there is one, with a finished one, in one step. The old one is then where the new
/// one was, or at `replaced` where the file system cannot exchange two directories: there, a crash between two renames
/// leaves nothing at `path`, and the old directory at `replaced`.
///
/// The files of `staged` must have been flushed; their names are flushed here.
///
/// # Errors
///
/// If the directories cannot be flushed or renamed.
pub fn replace_directory(staged: &Path, path: &Path, replaced: &Path) -> Result<(), FileError> {
    let publish_error = || FileError::when(FileAction::Publish, path);
    if replaced.exists() {
        fs::remove_dir_all(replaced).map_err(FileError::when(FileAction::Remove, replaced))?;
    }
    let parent = parent_directory(path);
    fs::create_dir_all(parent).map_err(FileError::write(parent))?;
    sync_directories(staged)?;
    if !path.exists() {
        fs::rename(staged, path).map_err(publish_error())?;
    } else if rustix::fs::renameat_with(CWD, staged, CWD, path, RenameFlags::EXCHANGE).is_err() {
        fs::rename(path, replaced).map_err(publish_error())?;
        fs::rename(staged, path).map_err(publish_error())?;
    }
    sync_directory(parent)
}

/// Whether something is mounted at a path: that name can be neither replaced nor renamed.
pub fn is_mount_point(path: &Path) -> bool {
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Tries whether [`replace_directory`] can move a directory from `work` to `path`: moves an empty one to a name beside `path`, and
/// removes it.
///
/// # Errors
///
/// What [`replace_directory`] would say: that the two are on different file systems
/// ([`std::io::ErrorKind::CrossesDevices`]), or that this user may not write there.
pub fn try_replacing(work: &Path, path: &Path) -> Result<(), FileError> {
    let publish_error = || FileError::when(FileAction::Publish, path);
    // The name of the output may be as long as names can be.
    let beside = parent_directory(path).join("moved");
    let (probe, moved) = (temporary_beside(&work.join("moved"))?, temporary_beside(&beside)?);
    [&probe, &moved].into_iter().try_for_each(|path| remove_any(path))?;
    remove_leftovers_of(&beside)?;
    fs::create_dir(&probe).map_err(FileError::write(&probe))?;
    let tried = fs::rename(&probe, &moved).map_err(publish_error());
    remove_any(if tried.is_ok() { &moved } else { &probe })?;
    tried?;
    // A directory that moves to another one is written to: its entry `..` changes.
    match rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) {
        Err(error @ (rustix::io::Errno::ACCESS | rustix::io::Errno::ROFS)) => Err(publish_error()(error.into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::files::{write_atomic, write_staged};

    fn names_in(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_directory_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let [staged, path, replaced] = ["staged", "output", "replaced"].map(|name| directory.path().join(name));
        write_atomic(&staged.join("first"), b"").unwrap();
        replace_directory(&staged, &path, &replaced).unwrap();
        assert_eq!(names_in(&path), ["first"]);
        write_staged(&staged.join("below/second"), b"").unwrap();
        replace_directory(&staged, &path, &replaced).unwrap();
        assert_eq!(
            (names_in(&path), names_in(&path.join("below"))),
            (vec!["below".to_owned()], vec!["second".to_owned()])
        );
    }

    #[test]
    fn trying_to_replace_a_directory_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (work, output) = (directory.path().join("out.work"), directory.path().join("out"));
        for _ in 0..2 {
            try_replacing(&work, &output).unwrap();
            assert_eq!(names_in(directory.path()).iter().filter(|name| name.starts_with('.')).count(), 0);
            assert!(names_in(&work).is_empty());
            fs::create_dir_all(&output).unwrap();
        }
        assert!(
            !is_mount_point(&output) && is_mount_point(Path::new("/proc")) && !is_mount_point(&work.join("absent"))
        );
        // Another file system.
        if Path::new("/dev/shm").is_dir() && is_mount_point(Path::new("/dev/shm")) {
            let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
            let error = try_replacing(elsewhere.path(), &output).unwrap_err();
            assert_eq!((error.action, error.source.kind()), (FileAction::Publish, io::ErrorKind::CrossesDevices));
            assert!(names_in(elsewhere.path()).is_empty());
        }
    }
}
