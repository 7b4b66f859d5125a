//! Directories of images and videos with files of text beside them: `1.jpg` with `1.txt`, `1.caption` or `1.json`.
//!
//! * Directories below are part of it, in the order of names. Hidden files are not, nor are datasets and the work on them.
//! * A file of text without an image beside it is rejected, but for names such as `README.txt`; so is an image without text.
//! * What cannot be listed is missing, and said.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::{Position, RejectCode, Rejection};
use walkdir::{DirEntry, WalkDir};

use super::container::{Container, LocatedRecords};
use super::rows::{parts_of_rows, rows_from};
use super::sample::{Sample, SamplePart};
use crate::json::{self, LocatedRecord, ReadError};
use crate::raw::RawBody;
use crate::reject::unexpected_schema;

/// Names of files that are about the directory, or of a checkpoint in it.
const ABOUT: &[&str] = &[
    "added_tokens",
    "changelog",
    "chat_template",
    "config",
    "copying",
    "croissant",
    "dataset_info",
    "dataset_infos",
    "generation_config",
    "licence",
    "license",
    "notice",
    "package",
    "preprocessor_config",
    "processor_config",
    "readme",
    "requirements",
    "special_tokens_map",
    "tokenizer",
    "tokenizer_config",
    "vocab",
];

/// An open directory.
pub(crate) struct SampleDirectory(Arc<Samples>);

struct Samples {
    root: PathBuf,
    /// Paths below the root, without their endings; and those endings, in order.
    files: Vec<(String, Vec<String>)>,
    /// What could not be listed.
    damage: Option<String>,
}

impl SampleDirectory {
    /// Lists the files of a directory.
    ///
    /// # Errors
    /// If it cannot be listed itself.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        std::fs::read_dir(root)?;
        let mut samples: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut damage = None;
        for entry in walk_samples(root) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let below = error.path().and_then(|path| path.strip_prefix(root).ok()).unwrap_or(Path::new(""));
                    damage.get_or_insert_with(|| format!("{} cannot be listed", below.display()));
                    continue;
                }
            };
            let below = entry.path().strip_prefix(root).ok().filter(|_| entry.file_type().is_file());
            let Some(below) = below else { continue };
            let Some(name) = below.to_str() else {
                damage.get_or_insert_with(|| format!("the name {} is not valid Unicode", below.display()));
                continue;
            };
            let Some((stem, ending)) = name.rsplit_once('.').filter(|(_, ending)| !ending.contains('/')) else {
                continue;
            };
            if SamplePart::of_ending(ending) != SamplePart::Other {
                samples.entry(stem.to_owned()).or_default().push(ending.to_owned());
            }
        }
        let is_about = |stem: &str| {
            let name = stem.rsplit('/').next().unwrap_or(stem).to_lowercase();
            ABOUT.contains(&name.as_str())
        };
        samples.retain(|stem, endings| endings.iter().any(|ending| is_medium(ending)) || !is_about(stem));
        Ok(Self(Arc::new(Samples { root: root.to_owned(), files: samples.into_iter().collect(), damage })))
    }
}

/// What is in a directory of samples, in the order of names.
pub fn walk_samples(root: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let is_hidden = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let is_closed = |entry: &DirEntry| entry.file_type().is_dir() && is_dataset_or_work(entry.path());
    let is_walked = move |entry: &DirEntry| entry.depth() == 0 || !(is_hidden(entry) || is_closed(entry));
    WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_walked)
}

/// Whether a directory is a dataset that was built, or the work of a build.
pub fn is_dataset_or_work(path: &Path) -> bool {
    let is_work = || path.extension().is_some_and(|it| it == "work") && path.join("lock").is_file();
    (path.join("manifest.json").is_file() && path.join("ledger.parquet").is_file()) || is_work()
}

fn is_medium(ending: &str) -> bool {
    matches!(SamplePart::of_ending(ending), SamplePart::Medium(_))
}

impl Container for SampleDirectory {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        // What could not be listed comes last.
        parts_of_rows(self.0.files.len() as u64 + u64::from(self.0.damage.is_some()))
    }

    fn records(self: Box<Self>, rows: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        let samples = self.0;
        let rows = rows.unwrap_or(0..u64::MAX);
        let located = move |row: u64| {
            let position = if row < samples.files.len() as u64 { Position::Row(row) } else { Position::File };
            let body = samples.body(position).transpose()?;
            Some(body.map(|body| LocatedRecord { position, body }).map_err(ReadError::Io))
        };
        Ok(Box::new(rows.map_while(located)))
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        Ok(self.0.body(position)?)
    }

    fn has_own_media(&self) -> bool {
        true
    }

    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError> {
        match rows_from(position, &self.parts()) {
            Some(rows) => Box::new(Self(Arc::clone(&self.0))).records(Some(rows)),
            None => Ok(Box::new(std::iter::empty())),
        }
    }
}

impl Samples {
    fn body(&self, position: Position) -> io::Result<Option<RawBody>> {
        let sample = match position {
            Position::Row(row) => self.files.get(row as usize),
            Position::File => return Ok(self.damage.as_deref().map(damaged)),
            Position::Bytes { .. } => None,
        };
        let Some((stem, endings)) = sample else { return Ok(None) };
        let body = self.read(stem, endings)?;
        Ok(Some(body.unwrap_or_else(|rejection| RawBody::Broken { rejection, head: Sample::head_of(stem) })))
    }

    fn read(&self, stem: &str, endings: &[String]) -> io::Result<Result<RawBody, Rejection>> {
        let mut sample = match Sample::new(stem) {
            Ok(sample) => sample,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let media: Vec<&String> = endings.iter().filter(|ending| is_medium(ending)).collect();
        if media.len() != 1 {
            let found = match media.as_slice() {
                [] => "no image or video has the name of this text".to_owned(),
                [first, second, ..] => {
                    format!("{stem}.{first} and {stem}.{second} have one name; expected one of them")
                }
                [_] => String::new(),
            };
            return Ok(Err(unexpected_schema(found)));
        }
        for ending in endings {
            let part = SamplePart::of_ending(ending);
            let name = format!("{stem}.{ending}");
            if let SamplePart::Medium(kind) = part {
                sample.add_medium(kind, serde_json::Value::from(name).to_string());
                continue;
            }
            let path = self.root.join(&name);
            if path.metadata()?.len() > json::MAX_RECORD_BYTES {
                return Ok(Ok(json::overlong(&Sample::head_of(stem))));
            }
            let content = match std::fs::read(&path) {
                // One sample is lost, and known.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let detail = format!("{name} cannot be opened: {error}");
                    return Ok(Err(Rejection::new(RejectCode::MediaUnreadable, detail)));
                }
                content => content?,
            };
            if let Err(rejection) = sample.add_content(part, content) {
                return Ok(Err(rejection));
            }
        }
        Ok(sample.finish().map(|(text, _)| RawBody::Sample { text, members: Vec::new() }))
    }
}

fn damaged(damage: &str) -> RawBody {
    json::incomplete(&format!("{damage}; samples may be missing"), &[])
}
