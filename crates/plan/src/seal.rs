//! A seal: the digests of files in a directory, by which a later build notices that one of them was damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_base::files::{parent_directory, write_json_unflushed};
use manyframe_base::{FileError, write_json};
use manyframe_core::Digest;
use manyframe_storage::{LocalDirectory, Storage};

use crate::error::PlanError;

/// Digests of files by their path below the directory of the seal.
type Seal = BTreeMap<String, Digest>;

/// The seal of a plan.
pub(crate) fn plan_seal(plan: &Path) -> PathBuf {
    plan.join("seal.json")
}

/// Seals the files of a plan that is complete.
pub(crate) fn seal_plan(plan: &Path) -> Result<(), PlanError> {
    seal_unflushed(&plan_seal(plan), &list_files(plan)?)
}

/// Seals files in the directory of the seal, or below it.
pub(crate) fn seal(path: &Path, files: &[PathBuf]) -> Result<(), PlanError> {
    write_json(path, &seal_of(path, files)?)?;
    Ok(())
}

/// As [`seal`], but without waiting for the disk.
pub(crate) fn seal_unflushed(path: &Path, files: &[PathBuf]) -> Result<(), PlanError> {
    Ok(write_json_unflushed(path, &seal_of(path, files)?)?)
}

fn seal_of(path: &Path, files: &[PathBuf]) -> Result<Seal, PlanError> {
    let directory = parent_directory(path);
    let storage = LocalDirectory::new(directory);
    let mut seal = Seal::new();
    for file in files {
        let name = file.strip_prefix(directory).unwrap_or(file).display().to_string();
        let digest = storage.digest(&name)?;
        seal.insert(name, digest);
    }
    Ok(seal)
}

/// Seals the files again that a seal already has.
pub(crate) fn seal_again(path: &Path) -> Result<(), PlanError> {
    let text = std::fs::read(path).map_err(FileError::read(path))?;
    let before: Seal = serde_json::from_slice(&text).map_err(|error| PlanError::damaged(path, error.to_string()))?;
    let files: Vec<PathBuf> = before.keys().map(|name| parent_directory(path).join(name)).collect();
    seal(path, &files)
}

/// Whether every sealed file is as it was when it was sealed.
pub(crate) fn is_intact(path: &Path) -> bool {
    let text = path.is_file().then(|| std::fs::read(path).ok()).flatten();
    let seal = text.and_then(|text| serde_json::from_slice::<Seal>(&text).ok());
    let directory = parent_directory(path);
    let storage = LocalDirectory::new(directory);
    let is_same = |(name, digest): (&String, &Digest)| {
        directory.join(name).is_file() && storage.digest(name).is_ok_and(|found| found == *digest)
    };
    seal.is_some_and(|seal| !seal.is_empty() && seal.iter().all(is_same))
}

/// The files in a directory and in those below it.
fn list_files(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(FileError::read(directory))? {
        let path = entry.map_err(FileError::read(directory))?.path();
        if path.is_dir() { files.extend(list_files(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use manyframe_base::write_atomic;

    use super::*;

    #[test]
    fn a_seal_breaks_with_any_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b/c"));
        let write = |path: &Path, bytes: &[u8]| write_atomic(path, bytes).unwrap();
        write(&a, b"one");
        write(&b, b"two");
        assert!(!is_intact(&plan_seal(directory.path())));
        seal_plan(directory.path()).unwrap();
        assert!(is_intact(&plan_seal(directory.path())));
        write(&b, b"twO");
        assert!(!is_intact(&plan_seal(directory.path())));
        std::fs::remove_file(&b).unwrap();
        assert!(!is_intact(&plan_seal(directory.path())));
    }
}
