//! Paths and patterns to what they match: files of this machine, or objects of stores.
//!
//! Names that begin with a dot match what begins with one only, as in a shell: `._1.json` of macOS and `.ipynb_checkpoints` are no
//! annotations.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::{FileAccess, Listed, ObjectAccess, is_store_failure, url_below, url_of};

/// Why nothing matches a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub detail: String,
    /// Whether trying again may help: a store did not answer.
    pub may_be_retried: bool,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<String> for PatternError {
    fn from(detail: String) -> Self {
        Self { detail, may_be_retried: false }
    }
}

impl From<io::Error> for PatternError {
    fn from(error: io::Error) -> Self {
        Self { detail: error.to_string(), may_be_retried: is_store_failure(&error) }
    }
}

/// The path itself, or the paths that match a pattern, in sorted order.
///
/// # Errors
///
/// If the pattern is malformed, a directory cannot be listed, or nothing matches.
pub fn expand_pattern(access: &FileAccess, pattern: &str) -> Result<Vec<PathBuf>, PatternError> {
    if let Some(url) = url_of(Path::new(pattern)) {
        return expand_url(access, url);
    }
    let literal = PathBuf::from(pattern);
    if literal.exists() || !has_wildcard(pattern) {
        return Ok(vec![literal]);
    }
    // Directories that are there are taken literally: their names may contain what a pattern gives a meaning to.
    let (existing, rest) = split_pattern(pattern);
    let directory = glob::Pattern::escape(&existing.to_string_lossy());
    let pattern = Path::new(&directory).join(&rest);
    let paths = glob::glob(&pattern.to_string_lossy()).map_err(|error| error.to_string())?;
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let dotted = dotted_names(&rest)?;
    let is_found = |name: &str| !name.starts_with('.') || dotted.iter().any(|pattern| pattern.matches(name));
    paths.retain(|path| {
        let below = path.strip_prefix(&existing).unwrap_or(path);
        below.iter().all(|name| is_found(&name.to_string_lossy()))
    });
    paths.sort();
    if paths.is_empty() { Err("no file matches".to_owned().into()) } else { Ok(paths) }
}

/// Whether a pattern for a name matches one.
pub fn matches_name(pattern: &glob::Pattern, name: &str) -> bool {
    let is_hidden = name.starts_with('.') && !pattern.as_str().starts_with('.');
    !is_hidden && pattern.matches(name)
}

/// The names in a pattern that begin with a dot.
fn dotted_names(pattern: &Path) -> Result<Vec<glob::Pattern>, PatternError> {
    let names = pattern.iter().map(|name| name.to_string_lossy()).filter(|name| name.starts_with('.'));
    names.map(|name| glob::Pattern::new(&name).map_err(|error| error.to_string().into())).collect()
}

/// Whether a text contains what a pattern gives a meaning to.
pub(crate) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The longest part of a path or pattern that exists, and the rest. Of a URL: the directory that needs no pattern, and the rest.
pub(crate) fn split_pattern(pattern: &str) -> (PathBuf, PathBuf) {
    if let Some(url) = url_of(Path::new(pattern)) {
        let (directory, rest) = split_url(url);
        return (directory.into(), rest.into());
    }
    let whole = Path::new(pattern);
    let existing = whole.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new(""));
    (existing.to_owned(), whole.strip_prefix(existing).unwrap_or(whole).to_owned())
}

/// A URL before its first name with a wildcard, and from there on. The name of a host has none.
fn split_url(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |slash| host + slash);
    let mut start = path;
    for name in url.get(path..).unwrap_or_default().split_inclusive('/') {
        if has_wildcard(name) {
            let (directory, rest) = url.split_at(start);
            return (directory.trim_end_matches('/'), rest);
        }
        start += name.len();
    }
    (url, "")
}

fn expand_url(access: &FileAccess, url: &str) -> Result<Vec<PathBuf>, PatternError> {
    let (directory, pattern) = split_url(url);
    if pattern.is_empty() {
        return Ok(vec![url.into()]);
    }
    let objects = access.objects()?;
    // As on a disk, what is there is taken literally.
    if objects.state(url)?.is_some() {
        return Ok(vec![url.into()]);
    }
    let mut found = vec![directory.to_owned()];
    for name in pattern.split('/') {
        let mut below = Vec::new();
        for directory in found {
            match name {
                "**" => add_directories(&**objects, directory, &mut below)?,
                name if has_wildcard(name) => {
                    let pattern = glob::Pattern::new(name).map_err(|error| error.to_string())?;
                    let listed =
                        objects.list(&directory)?.into_iter().filter(|listed| matches_name(&pattern, &listed.name));
                    below.extend(listed.map(|listed| url_below(&directory, &listed.name)));
                }
                name => below.push(format!("{directory}/{name}")),
            }
        }
        found = below;
    }
    if pattern.rsplit('/').next().is_some_and(|last| !has_wildcard(last)) {
        let mut existing = Vec::new();
        for url in found {
            if objects.state(&url)?.is_some() || objects.is_directory(&url)? {
                existing.push(url);
            }
        }
        found = existing;
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err("no object matches".to_owned().into());
    }
    Ok(found.into_iter().map(PathBuf::from).collect())
}

/// A directory, and all below it that are not hidden.
fn add_directories(objects: &dyn ObjectAccess, directory: String, found: &mut Vec<String>) -> io::Result<()> {
    let is_walked = |listed: &Listed| listed.object.is_none() && !listed.name.starts_with('.');
    for Listed { name, .. } in objects.list(&directory)?.into_iter().filter(is_walked) {
        add_directories(objects, url_below(&directory, &name), found)?;
    }
    found.push(directory);
    Ok(())
}

#[cfg(test)]
mod tests {
    use manyframe_storage::Stores;

    use super::*;

    #[test]
    fn a_pattern_of_objects_matches_as_one_of_files_does() {
        let stores = Stores::default();
        let directory = tempfile::tempdir().unwrap();
        let bucket = stores.storage(Path::new("memory:data")).unwrap();
        let hidden = ["a/._1.json", "a/.x/1.json", "b/.c/9.json", ".d/1.json"];
        let shown = ["a/1.json", "a/2.json", "a/3.txt", "b/1.json", "b/c/9.json", "d-1/x.json", "top.json"];
        for name in shown.into_iter().chain(hidden) {
            bucket.write(name, b"{}").unwrap();
            manyframe_base::write_atomic(&directory.path().join(name), b"{}").unwrap();
        }
        let access = stores.access();
        for pattern in ["*/1.json", "a/*.json", "**/*.json", "b/**/9.json", "d-1/x.json", "?op.json", "*", "a/[13].*"] {
            let below = |root: &Path| -> Vec<String> {
                let pattern = root.join(pattern).display().to_string();
                let found = expand_pattern(&access, &pattern).unwrap();
                found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
            };
            let found = below(directory.path());
            assert_eq!(below(Path::new("memory:data")), found, "{pattern}");
            assert!(!found.iter().any(|name| hidden.contains(&name.as_str())), "{pattern}: {found:?}");
        }
        for (pattern, expected) in
            [("a/.*.json", "a/._1.json"), ("b/.[a-d]/*", "b/.c/9.json"), (".d/?.json", ".d/1.json")]
        {
            for root in [Path::new("memory:data"), directory.path()] {
                let found = expand_pattern(&access, &root.join(pattern).display().to_string()).unwrap();
                assert_eq!(found, [root.join(expected)], "{pattern}");
            }
        }
        let error = expand_pattern(&access, "memory:data/*.parquet").unwrap_err();
        assert_eq!((error.detail.as_str(), error.may_be_retried), ("no object matches", false));
        assert_eq!(expand_pattern(&access, "memory:none").unwrap(), [PathBuf::from("memory:none")]);
    }

    #[test]
    fn the_name_of_a_host_is_no_pattern() {
        assert_eq!(split_url("http://[::1]:80/a/b*/c"), ("http://[::1]:80/a", "b*/c"));
        assert_eq!(split_url("http://[::1]:80"), ("http://[::1]:80", ""));
        assert_eq!(split_url("s3://b/*.json"), ("s3://b", "*.json"));
    }
}
