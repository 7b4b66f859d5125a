//! Files beside the shards that are named after their content, such as `pack-0123456789abcdef.parquet`.
//!
//! ```text
//! write a temporary file ─▶ publish: its final name ─▶ (the file that names it is switched in one step) ─▶ remove_others
//! ```
//!
//! **Invariant:** a new file never takes the name of another one, so a dataset has the old file or the new one, whenever
//! its writer is killed.

use std::path::{Path, PathBuf};

use manyframe_base::files::{parent_directory, publish_file, remove_leftovers, temporary_beside};
use manyframe_core::Digest;
use manyframe_dataset::MANIFEST_FILE;
use manyframe_storage::{LocalDirectory, Storage};

use crate::error::EngineError;

/// A kind of file; a dataset names at most one of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContentFile {
    /// What its names begin with.
    pub(crate) stem: &'static str,
    /// What they end with, after a dot.
    pub(crate) extension: &'static str,
}

/// Hexadecimal digits of the digest in a name.
const NAME_DIGITS: usize = 16;

impl ContentFile {
    /// Where an unfinished file is written.
    pub(crate) fn temporary(self, directory: &Path) -> Result<PathBuf, EngineError> {
        Ok(temporary_beside(&directory.join(self.stem))?)
    }

    /// Gives a finished file its name; returns that and its digest.
    pub(crate) fn publish(self, directory: &Path, temporary: &Path) -> Result<(String, Digest), EngineError> {
        let name = temporary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let digest = LocalDirectory::new(directory).digest(&name)?;
        let digits = digest.to_string();
        let name = format!("{}-{}.{}", self.stem, digits.get(..NAME_DIGITS).unwrap_or(&digits), self.extension);
        publish_file(temporary, &directory.join(&name))?;
        Ok((name, digest))
    }

    /// Removes the files of this kind that are no longer named, and what killed processes left half written.
    pub(crate) fn remove_others(self, storage: &dyn Storage, kept: &str) -> Result<(), EngineError> {
        // On this machine, killed writers may have left files.
        if let Ok(path) = storage.local_path(MANIFEST_FILE) {
            remove_leftovers(parent_directory(&path))?;
        }
        let files = storage.list("")?.into_iter().map(|file| file.path);
        for name in files.filter(|name| name != kept && self.is_name(name)) {
            storage.remove(&name)?;
        }
        Ok(())
    }

    fn is_name(self, name: &str) -> bool {
        // Earlier versions wrote one name for all.
        if name == format!("{}.{}", self.stem, self.extension) {
            return true;
        }
        let digits = name
            .strip_prefix(self.stem)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(self.extension)?.strip_suffix('.'));
        digits.is_some_and(|digits| digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test writes fixtures")]
    fn only_other_tables_of_the_kind_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let pack = ContentFile { stem: "pack", extension: "parquet" };
        let mut names = Vec::new();
        for content in ["old", "new"] {
            let temporary = pack.temporary(directory.path()).unwrap();
            fs::write(&temporary, content).unwrap();
            names.push(pack.publish(directory.path(), &temporary).unwrap().0);
        }
        let kept = ["packs.parquet", "pack-mine.parquet", "validation-0123456789abcdef.parquet", names[1].as_str()];
        for name in &kept[..3] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::write(pack.temporary(directory.path()).unwrap(), "half").unwrap();
        pack.remove_others(&LocalDirectory::new(directory.path()), &names[1]).unwrap();
        let left =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = left.collect();
        left.sort();
        let mut kept = kept.map(str::to_owned);
        kept.sort();
        assert_eq!(left, kept);
    }
}
