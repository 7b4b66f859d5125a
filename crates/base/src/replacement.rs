//! A directory that may exist already is replaced by a finished one in one step.
//!
//! ```text
//! try_replacing(work, path) ─ hours of work … ─ replace_directory(staged, path, replaced)
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Mode, RenameFlags, StatxAttributes, StatxFlags};
use rustix::process::geteuid;

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

/// The owner of what is at a path, if others may not rename it: it is in a directory such as `/tmp`, which is not of this user either.
fn other_owner_in_sticky(path: &Path) -> Option<u32> {
    let user = geteuid().as_raw();
    let (found, parent) = (fs::symlink_metadata(path).ok()?, fs::metadata(parent_directory(path)).ok()?);
    let is_sticky = Mode::from_raw_mode(parent.mode()).contains(Mode::SVTX);
    let is_others = is_sticky && found.uid() != user && parent.uid() != user;
    (is_others && !owns_all_files()).then_some(found.uid())
}

/// Whether this process may do with files of others what their owners may, as root does (`CAP_FOWNER`).
fn owns_all_files() -> bool {
    const CAP_FOWNER: u64 = 1 << 3;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    // Where nobody knows, the system says it when the time comes.
    effective.is_none_or(|capabilities| capabilities & CAP_FOWNER != 0)
}

/// Tries whether [`replace_directory`] can move a directory from `work` to `path`: moves an empty one to a name beside `path`, and
/// removes it.
///
/// # Errors
///
/// What [`replace_directory`] would say: that the two are on different file systems
/// ([`io::ErrorKind::CrossesDevices`]), or that this user may not write there, or rename what is there.
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
    if let Some(owner) = other_owner_in_sticky(path) {
        let reason = format!("in a sticky directory, only its owner, user {owner}, can rename it");
        return Err(publish_error()(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
    }
    // A directory that moves to another one is written to: its entry `..` changes.
    match rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) {
        Err(error @ (rustix::io::Errno::ACCESS | rustix::io::Errno::ROFS)) => Err(publish_error()(error.into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::names_in;
    use crate::files::{write_atomic, write_staged};

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
