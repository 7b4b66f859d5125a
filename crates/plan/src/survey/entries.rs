//! The files and directories that a survey looks at.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use manyframe_base::in_shell;
use manyframe_sources::{is_dataset_or_work, kind_of_path};

use super::groups::{FileGroup, grouped, single};

/// Beyond this many files and directories, the rest is left out.
const MAX_ENTRIES: usize = 1 << 20;
/// Beyond this many directories, the rest is left out.
const MAX_DIRECTORIES: usize = 1 << 14;
/// Directories of samples side by side that are sources of their own; if there are more, the directory around them is one.
const MAX_SAMPLE_DIRECTORIES: usize = 8;

/// What the system shows as files, and nobody keeps data in.
const SYSTEM: &[&str] = &["/dev", "/proc", "/sys"];

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

/// Archives that nothing is read from, with what unpacks them.
const PACKED: &[(&str, &str)] = &[
    (".tar.gz", "tar xzf"),
    (".tgz", "tar xzf"),
    (".tar.zst", "tar --zstd -xf"),
    (".tar.xz", "tar xJf"),
    (".tar.bz2", "tar xjf"),
    (".7z", "7z x"),
    (".rar", "unrar x"),
];

/// What is below the paths of a survey, in order.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) annotations: Vec<FileGroup>,
    pub(super) directories: Vec<PathBuf>,
    pub(super) archives: Vec<PathBuf>,
    pub(super) datasets: Vec<PathBuf>,
    pub(super) tokenizers: Vec<PathBuf>,
    /// Directories with images and videos, and how many they have.
    pub(super) pictures: Vec<(PathBuf, usize)>,
    /// What is not looked at, with the reason.
    pub(super) unread: Vec<(PathBuf, String)>,
    pub(super) is_partial: bool,
}

impl Entries {
    pub(super) fn below(paths: &[PathBuf]) -> io::Result<Self> {
        let mut entries = Self::default();
        let mut walk = Walk::default();
        for path in paths {
            // What cannot be opened at all is an error; below it, it is said.
            if path.metadata()?.is_dir() {
                std::fs::read_dir(path)?;
                walk.pending.push_back(path.clone());
            } else {
                entries.add_file(path.clone(), &mut walk.files);
            }
        }
        entries.walk(&mut walk);
        // A file given by itself has its media in the directory that it is in, or in one beside it.
        for directory in paths.iter().filter(|path| path.is_file()).filter_map(|path| path.parent()) {
            let beside = std::fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path()));
            entries.directories.extend(beside.filter(|path| path.is_dir()));
            entries.directories.push(directory.to_owned());
        }
        entries.directories.sort_by_key(|path| (path.components().count(), path.clone()));
        entries.directories.dedup();
        entries.annotations = grouped(walk.files);
        entries.annotations.extend(joined(walk.samples).into_iter().map(single));
        Ok(entries)
    }

    /// Looks at the files of a directory before those of the directories in it, so that what is near the top is seen first.
    fn walk(&mut self, walk: &mut Walk) {
        while let Some(directory) = walk.pending.pop_front() {
            if self.directories.len() == MAX_DIRECTORIES || walk.num_entries > MAX_ENTRIES {
                self.is_partial = true;
                return;
            }
            let is_new = directory.metadata().is_ok_and(|it| walk.visited.insert((it.dev(), it.ino())));
            if !is_new || SYSTEM.iter().any(|system| directory == Path::new(system)) {
                continue;
            }
            match Listing::read(&directory) {
                Err(error) => self.unread.push((directory, format!("it cannot be listed: {error}"))),
                Ok(listing) => self.add_directory(directory, &listing, walk),
            }
        }
    }

    fn add_directory(&mut self, directory: PathBuf, listing: &Listing, walk: &mut Walk) {
        walk.num_entries += listing.files.len() + listing.directories.len();
        if is_dataset_or_work(&directory) {
            if directory.join("manifest.json").is_file() {
                self.datasets.push(directory);
            }
            return;
        }
        if listing.num_not_unicode > 0 {
            let reason = format!("{} of its files have names that are not UTF-8; rename them", listing.num_not_unicode);
            self.unread.push((directory.clone(), reason));
        }
        let samples = listing.samples();
        if !samples.is_empty() {
            walk.samples.insert(directory.clone());
        }
        let num_pictures = listing.files.iter().filter(|name| kind_of_path(name).is_some()).count();
        if num_pictures > 0 {
            self.pictures.push((directory.clone(), num_pictures));
        }
        for name in listing.files.iter().filter(|name| !samples.contains(name.as_str())) {
            self.add_file(directory.join(name), &mut walk.files);
        }
        let main = main_revision(&directory, &listing.directories);
        for path in listing.directories.iter().map(|name| directory.join(name)) {
            match &main {
                Some(main) if !path.ends_with(main) => {
                    let reason =
                        format!("another revision; refs/main names {main}. To take this one, name its directory");
                    self.unread.push((path, reason));
                }
                _ => walk.pending.push_back(path),
            }
        }
        self.directories.push(directory);
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
        if let Some((_, command)) = PACKED.iter().find(|(ending, _)| name.ends_with(ending)) {
            let reason = format!("nothing is read from such archives; unpack it: {command} {}", in_shell(&path));
            self.unread.push((path, reason));
            return;
        }
        match Path::new(&name).extension().and_then(|it| it.to_str()).unwrap_or_default() {
            "zip" => self.archives.push(path),
            "tar" => {
                self.archives.push(path.clone());
                annotations.push(path);
            }
            _ if is_annotation(&name) => annotations.push(path),
            "txt" if is_table(&path) => {
                let reason = "a table in a file of text; give it a name that ends with .csv or .tsv".to_owned();
                self.unread.push((path, reason));
            }
            _ => {}
        }
    }
}

/// Whether a name is that of a file of records, as far as names tell.
pub(super) fn is_annotation(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let unpacked = [".gz", ".zst", ".xz", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let ending = Path::new(unpacked).extension().and_then(|it| it.to_str()).unwrap_or_default();
    let is_setting =
        NO_ANNOTATIONS.contains(&name.as_str()) || name.ends_with("config.json") || name.ends_with(".index.json");
    ["json", "jsonl", "ndjson", "parquet", "csv", "tsv", "arrow"].contains(&ending) && !is_setting
}

/// What is left to look at, and what was found so far.
#[derive(Default)]
struct Walk {
    pending: VecDeque<PathBuf>,
    /// Directories, which links may lead to twice.
    visited: BTreeSet<(u64, u64)>,
    num_entries: usize,
    files: Vec<PathBuf>,
    /// Directories of images with texts beside them.
    samples: BTreeSet<PathBuf>,
}

/// The names in a directory, in order.
#[derive(Default)]
struct Listing {
    files: Vec<String>,
    directories: Vec<String>,
    num_not_unicode: usize,
}

impl Listing {
    fn read(directory: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A link that leads nowhere is neither.
            let leads_to = |test: fn(&FileType) -> bool| {
                if kind.is_symlink() {
                    return entry.path().metadata().is_ok_and(|metadata| test(&metadata.file_type()));
                }
                test(&kind)
            };
            let names = if leads_to(FileType::is_dir) {
                &mut listing.directories
            } else if leads_to(FileType::is_file) {
                &mut listing.files
            } else {
                continue;
            };
            match entry.file_name().into_string() {
                Ok(name) if is_hidden(&name) => {}
                Ok(name) => names.push(name),
                Err(_) => listing.num_not_unicode += 1,
            }
        }
        listing.files.sort();
        listing.directories.sort();
        Ok(listing)
    }

    /// The files with texts that have the name of an image or video.
    fn samples(&self) -> HashSet<&str> {
        let stem = |name: &'_ str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        let ending = |name: &str| name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let texts = ["txt", "text", "caption", "json"];
        let is_text = |name: &&String| ending(name).is_some_and(|it| texts.contains(&it.as_str()));
        if !self.files.iter().any(|name| is_text(&name)) {
            return HashSet::new();
        }
        let media = self.files.iter().filter(|name| kind_of_path(name).is_some());
        let media: HashSet<String> = media.filter_map(|name| stem(name)).collect();
        let is_beside = |name: &&String| stem(name).is_some_and(|stem| media.contains(&stem));
        self.files.iter().filter(is_text).filter(is_beside).map(String::as_str).collect()
    }
}

/// The revision of a repository in the cache of the Hugging Face Hub that `refs/main` names, if this is the directory of all of them.
fn main_revision(directory: &Path, revisions: &[String]) -> Option<String> {
    let repository = directory.parent().filter(|_| directory.ends_with("snapshots"))?;
    let main = std::fs::read_to_string(repository.join("refs/main")).ok()?;
    let main = main.trim();
    revisions.iter().find(|revision| *revision == main).cloned()
}

/// Whether a file of text begins like CSV or TSV: with names of columns, and a line that has as many parts.
fn is_table(path: &Path) -> bool {
    const MAX_HEAD_BYTES: u64 = 1 << 14;
    let mut head = Vec::new();
    if File::open(path).and_then(|file| file.take(MAX_HEAD_BYTES).read_to_end(&mut head)).is_err() {
        return false;
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return false };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character))
    };
    [',', '\t', '|'].into_iter().any(|delimiter| {
        first.contains(delimiter)
            && first.split(delimiter).all(is_name)
            && second.matches(delimiter).count() >= first.matches(delimiter).count()
    })
}

/// Whether a name says that nobody looks at it.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX" || Path::new(name).extension().is_some_and(|it| it == "work")
}
/// The directories of samples that hold all others, and of many side by side the one around them.
fn joined(mut samples: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    loop {
        let outer: Vec<PathBuf> = samples
            .iter()
            .filter(|path| !path.ancestors().skip(1).any(|above| samples.contains(above)))
            .cloned()
            .collect();
        let mut beside: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for parent in outer.iter().filter_map(|path| path.parent()) {
            *beside.entry(parent.to_owned()).or_default() += 1;
        }
        let parents: Vec<PathBuf> =
            beside.into_iter().filter(|(_, number)| *number > MAX_SAMPLE_DIRECTORIES).map(|(path, _)| path).collect();
        if parents.is_empty() {
            return outer;
        }
        samples.extend(parents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, names: &[&str]) {
        for name in names {
            manyframe_base::write_atomic(&folder.join(name), b"").unwrap();
        }
    }

    fn names(entries: &Entries) -> Vec<(&str, usize)> {
        let name = |group: &'_ FileGroup| group.paths.len();
        entries.annotations.iter().map(|group| (group.pattern.rsplit('/').next().unwrap(), name(group))).collect()
    }

    #[test]
    fn files_whose_names_differ_in_numbers_are_one_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write(folder.path(), &["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "val-0.parquet"]);
        write(folder.path(), &["a.json", "b[1].json", "built/manifest.json", "built/ledger.parquet", "x.tar.gz"]);
        write(folder.path(), &[".hidden.json", "config.json", "1.jpg", "s-0.tar", "s-1.tar"]);
        let entries = Entries::below(&[folder.path().to_owned()]).unwrap();
        let expected =
            [("a.json", 1), ("b[1].json", 1), ("s-*.tar", 2), ("train-*-of-*.parquet", 2), ("val-0.parquet", 1)];
        assert_eq!(names(&entries), expected);
        assert_eq!(entries.datasets, [path("built")]);
        assert_eq!(entries.directories, [folder.path()]);
        assert_eq!(entries.archives, [path("s-0.tar"), path("s-1.tar")]);
        assert!(entries.unread[0].1.contains("unpack it: tar xzf"), "{:?}", entries.unread);
        assert!(Entries::below(&[path("absent")]).is_err());
    }

    #[test]
    fn texts_beside_images_are_samples_of_their_directory() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &["a/1.jpg", "a/1.txt", "a/b/1.png", "a/b/1.json", "a/b/other.json", "c/1.jpg", "c/README.txt"],
        );
        let entries = Entries::below(&[folder.path().to_owned()]).unwrap();
        assert_eq!(names(&entries), [("other.json", 1), ("a", 1)]);
        for number in 0..9 {
            write(folder.path(), &[&format!("d/{number}/1.jpg"), &format!("d/{number}/1.txt")]);
        }
        let entries = Entries::below(&[folder.path().to_owned()]).unwrap();
        assert_eq!(names(&entries), [("other.json", 1), ("a", 1), ("d", 1)]);
    }
}
