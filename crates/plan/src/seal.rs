//! The seal of a plan: the digests of its files, by which a later build notices that one of them was damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_base::{FileError, write_json};
use manyframe_core::Digest;
use manyframe_dataset::{LocalDirectory, Storage};

use crate::error::PlanError;

const FILE: &str = "seal.json";

/// Digests of files by their path in the plan.
type Seal = BTreeMap<String, Digest>;

/// Seals the files of a plan that is complete.
pub(crate) fn seal(plan: &Path) -> Result<(), PlanError> {
    let files = LocalDirectory::new(plan);
    let mut seal = Seal::new();
    for path in list_files(plan)? {
        let name = path.strip_prefix(plan).unwrap_or(&path).display().to_string();
        let digest = files.digest(&name)?;
        seal.insert(name, digest);
    }
    write_json(&plan.join(FILE), &seal)?;
    Ok(())
}

/// Whether every file of a plan is as it was when it was sealed.
pub(crate) fn is_intact(plan: &Path) -> bool {
    let path = plan.join(FILE);
    let seal = path.is_file().then(|| std::fs::read(path).ok()).flatten();
    let seal = seal.and_then(|text| serde_json::from_slice::<Seal>(&text).ok());
    let files = LocalDirectory::new(plan);
    let is_same = |(name, digest): (&String, &Digest)| {
        plan.join(name).is_file() && files.digest(name).is_ok_and(|found| found == *digest)
    };
    seal.is_some_and(|seal| seal.contains_key("plan.json") && seal.iter().all(is_same))
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
