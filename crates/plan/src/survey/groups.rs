//! Annotation files whose names differ in numbers only: a pattern names them all.
//!
//! Nothing in them is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::files::parent_directory;
use manyframe_pipeline::matches_name;

/// Files whose names differ in numbers only; or a directory of images with texts beside them.
#[derive(Debug)]
pub(super) struct FileGroup {
    /// The path of the file, or a pattern that matches them and nothing else.
    pub(super) pattern: String,
    pub(super) paths: Vec<PathBuf>,
}

/// A group of one.
pub(super) fn single(path: PathBuf) -> FileGroup {
    FileGroup { pattern: path.to_string_lossy().into_owned(), paths: vec![path] }
}

/// Files as groups, in the order of their paths: one where a pattern matches just its files.
pub(super) fn grouped(files: Vec<PathBuf>) -> Vec<FileGroup> {
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files {
        groups.entry(pattern_of(&path)).or_default().push(path);
    }
    let mut grouped = Vec::new();
    // One that holds the files of many groups is listed once.
    let mut directories: BTreeMap<PathBuf, DirectoryNames> = BTreeMap::new();
    for (pattern, mut paths) in groups {
        paths.sort();
        paths.dedup();
        let is_one = paths.len() > 1 && {
            let parent = parent_directory(Path::new(&pattern)).to_owned();
            let directory = directories.entry(parent).or_insert_with_key(|parent| DirectoryNames::list(parent));
            directory.matches_only(&pattern, &paths)
        };
        if is_one {
            grouped.push(FileGroup { pattern, paths });
        } else {
            grouped.extend(paths.into_iter().map(single));
        }
    }
    grouped.sort_by(|a, b| a.paths.cmp(&b.paths));
    grouped
}

/// The names in a directory.
struct DirectoryNames {
    /// Sorted.
    names: Vec<String>,
    /// The same, each from its end, sorted.
    reversed: Vec<String>,
}

impl DirectoryNames {
    /// Of a directory that cannot be listed: none.
    fn list(directory: &Path) -> Self {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        let mut reversed: Vec<String> = names.iter().map(|name| name.chars().rev().collect()).collect();
        reversed.sort_unstable();
        Self { names, reversed }
    }

    /// Whether the name of a pattern matches the names of these paths, which are in its directory, and no others.
    fn matches_only(&self, pattern: &str, paths: &[PathBuf]) -> bool {
        let Some(name) = Path::new(pattern).file_name().and_then(OsStr::to_str) else { return false };
        let Ok(matcher) = glob::Pattern::new(name) else { return false };
        let own: BTreeSet<&str> = paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let is_listed = |name: &str| self.names.binary_search_by(|listed| listed.as_str().cmp(name)).is_ok();
        // What has the name of the pattern would be taken literally.
        if own.len() < paths.len() || is_listed(name) || !own.iter().all(|name| matches_name(&matcher, name)) {
            return false;
        }
        // Only names that begin and end as the pattern does are looked at.
        let is_wild = |character: char| matches!(character, '*' | '?');
        let start = name.split(is_wild).next().unwrap_or_default();
        let end: String = name.rsplit(is_wild).next().unwrap_or_default().chars().rev().collect();
        let (forwards, backwards) = (beginning_with(&self.names, start), beginning_with(&self.reversed, &end));
        let is_other = |name: &str| matches_name(&matcher, name) && !own.contains(name);
        if forwards.len() <= backwards.len() {
            return !forwards.iter().any(|name| is_other(name));
        }
        !backwards.iter().any(|name| is_other(&name.chars().rev().collect::<String>()))
    }
}

/// The part of a sorted list that begins with a text.
fn beginning_with<'n>(names: &'n [String], start: &str) -> &'n [String] {
    let (_, rest) = names.split_at(names.partition_point(|name| name.as_str() < start));
    rest.split_at(rest.partition_point(|name| name.starts_with(start))).0
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
    fn many_groups_in_one_directory_are_found_as_their_patterns_find_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        // Pairs, of which some match the pattern of others, as hexadecimal numbers do.
        for number in 0..3000_u32 {
            let text = format!("{:x}", number.wrapping_mul(2_654_435_761));
            for name in [format!("{text}.json"), format!("part{number}-of-a.json"), format!("w{text}_1.json")] {
                manyframe_base::write_atomic(&folder.path().join(&name), b"").unwrap();
                files.push(folder.path().join(name));
            }
        }
        fs::create_dir(folder.path().join("w7a_2.json.d")).unwrap();
        let started = std::time::Instant::now();
        let groups = grouped(files);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        let several: Vec<&FileGroup> = groups.iter().filter(|group| group.paths.len() > 1).collect();
        assert!(several.len() > 3 && groups.len() > 3000, "{}", several.len());
        for group in several {
            let found = manyframe_pipeline::expand_pattern(&manyframe_base::FileAccess::default(), &group.pattern);
            assert_eq!(found.as_ref(), Ok(&group.paths), "{}", group.pattern);
        }
    }
}
