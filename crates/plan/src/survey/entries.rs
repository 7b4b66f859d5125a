//! The files and directories that a survey looks at.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::FileAccess;
use manyframe_pipeline::expand_pattern;
use walkdir::{DirEntry, WalkDir};

/// Beyond this many files and directories, the rest is left out.
const MAX_ENTRIES: usize = 1 << 20;
/// Beyond this many directories, the rest holds no media.
const MAX_DIRECTORIES: usize = 1 << 14;

/// JSON files beside data and checkpoints that hold no records.
const NO_ANNOTATIONS: &[&str] = &[
    "added_tokens.json",
    "chat_template.json",
    "croissant.json",
    "dataset_info.json",
    "dataset_infos.json",
    "package.json",
    "special_tokens_map.json",
    "state.json",
    "tokenizer.json",
    "vocab.json",
];

/// What is below the paths of a survey, in order.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) annotations: Vec<FileGroup>,
    pub(super) directories: Vec<PathBuf>,
    pub(super) archives: Vec<PathBuf>,
    pub(super) datasets: Vec<PathBuf>,
    pub(super) tokenizers: Vec<PathBuf>,
    pub(super) is_partial: bool,
}

/// Files whose names differ in numbers only.
#[derive(Debug)]
pub(super) struct FileGroup {
    /// The path of the file, or a pattern that matches them and nothing else.
    pub(super) pattern: String,
    pub(super) paths: Vec<PathBuf>,
}

impl Entries {
    pub(super) fn below(paths: &[PathBuf]) -> io::Result<Self> {
        let mut entries = Self::default();
        let mut files = Vec::new();
        for path in paths {
            // What cannot be opened at all is an error; below it, it is not there.
            if path.metadata()?.is_dir() {
                std::fs::read_dir(path)?;
            }
            entries.walk(path, &mut files);
        }
        // A file given by itself has its media in the directory that it is in, or in one beside it.
        for directory in paths.iter().filter(|path| path.is_file()).filter_map(|path| path.parent()) {
            let beside = std::fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path()));
            entries.directories.extend(beside.filter(|path| path.is_dir()));
            entries.directories.push(directory.to_owned());
        }
        entries.directories.sort_by_key(|path| (path.components().count(), path.clone()));
        entries.directories.dedup();
        entries.annotations = grouped(files);
        Ok(entries)
    }

    fn walk(&mut self, path: &Path, files: &mut Vec<PathBuf>) {
        let mut walk = WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter();
        let mut num_entries = 0;
        while let Some(next) = walk.next() {
            // An unreadable directory, a broken link, or a loop of links.
            let Ok(entry) = next else { continue };
            num_entries += 1;
            if num_entries > MAX_ENTRIES {
                self.is_partial = true;
                return;
            }
            if is_hidden(&entry) {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
            } else if entry.file_type().is_dir() {
                if is_dataset(entry.path()) {
                    self.datasets.push(entry.path().to_owned());
                    walk.skip_current_dir();
                } else if self.directories.len() < MAX_DIRECTORIES {
                    self.directories.push(entry.into_path());
                } else {
                    self.is_partial = true;
                }
            } else if entry.file_type().is_file() {
                self.add_file(entry.into_path(), files);
            }
        }
    }

    fn add_file(&mut self, path: PathBuf, annotations: &mut Vec<PathBuf>) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
        if name == "tokenizer.json" || name == "tokenizer.model" {
            let directory = path.parent().filter(|parent| parent.join("tokenizer_config.json").is_file());
            let tokenizer = directory.map_or_else(|| path.clone(), Path::to_owned);
            if !self.tokenizers.contains(&tokenizer) {
                self.tokenizers.push(tokenizer);
            }
            return;
        }
        let unpacked = [".gz", ".zst", ".xz", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending));
        let ending = Path::new(unpacked.unwrap_or(&name)).extension().and_then(|it| it.to_str()).unwrap_or_default();
        let is_setting =
            NO_ANNOTATIONS.contains(&name.as_str()) || name.ends_with("config.json") || name.ends_with(".index.json");
        match ending {
            "zip" | "tar" if unpacked.is_none() => self.archives.push(path),
            "json" | "jsonl" | "ndjson" | "parquet" | "csv" | "tsv" | "arrow" if !is_setting => annotations.push(path),
            _ => {}
        }
    }
}

/// A file or directory below the one that was named whose name says that nobody looks at it.
fn is_hidden(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() > 0 && (name.starts_with('.') || name == "__MACOSX" || name.ends_with(".work"))
}

fn is_dataset(directory: &Path) -> bool {
    directory.join("manifest.json").is_file() && directory.join("ledger.parquet").is_file()
}

fn grouped(files: Vec<PathBuf>) -> Vec<FileGroup> {
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files {
        groups.entry(pattern_of(&path)).or_default().push(path);
    }
    let single = |path: PathBuf| FileGroup { pattern: path.to_string_lossy().into_owned(), paths: vec![path] };
    let mut grouped = Vec::new();
    for (pattern, mut paths) in groups {
        paths.sort();
        paths.dedup();
        if paths.len() > 1 && expand_pattern(&FileAccess::default(), &pattern).as_ref() == Ok(&paths) {
            grouped.push(FileGroup { pattern, paths });
        } else {
            grouped.extend(paths.into_iter().map(single));
        }
    }
    grouped.sort_by(|a, b| a.paths.cmp(&b.paths));
    grouped
}

/// The path with a `*` in place of each number in its name.
fn pattern_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut pattern = String::new();
    for character in name.chars() {
        match character {
            '0'..='9' if pattern.ends_with('*') => {}
            '0'..='9' => pattern.push('*'),
            // What patterns give a meaning to is any character in one.
            '*' | '?' | '[' | ']' => pattern.push('?'),
            other => pattern.push(other),
        }
    }
    path.with_file_name(pattern).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_whose_names_differ_in_numbers_are_one_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in
            ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "val-0.parquet", "a.json", "b[1].json"]
        {
            manyframe_base::write_atomic(&path(name), b"").unwrap();
        }
        std::fs::create_dir(path("built")).unwrap();
        for name in ["built/manifest.json", "built/ledger.parquet", ".hidden.json", "config.json", "1.jpg"] {
            manyframe_base::write_atomic(&path(name), b"").unwrap();
        }
        let entries = Entries::below(&[folder.path().to_owned()]).unwrap();
        let found: Vec<_> = entries
            .annotations
            .iter()
            .map(|group| (group.pattern.rsplit('/').next().unwrap(), group.paths.len()))
            .collect();
        assert_eq!(found, [("a.json", 1), ("b[1].json", 1), ("train-*-of-*.parquet", 2), ("val-0.parquet", 1)]);
        assert_eq!(entries.datasets, [path("built")]);
        assert_eq!(entries.directories, [folder.path()]);
        assert!(Entries::below(&[path("absent")]).is_err());
    }
}
