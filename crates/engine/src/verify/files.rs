//! Checks the files of a dataset as bytes: what is in them besides the values that are read, and files that nothing names.
//!
//! The same rows and samples are the same bytes, so each file is written again, to nowhere, and digests are compared.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use manyframe_base::StagedDirectory;
use manyframe_base::files::{json_text, work_directory};
use manyframe_core::{Digest, Sample};
use manyframe_dataset::{
    BUILD_FACTS_FILE, CARD_FILE, CROISSANT_FILE, DatasetError, DatasetReader, FilesBeside, MANIFEST_FILE, Manifest,
    NotesByShard, ShardEntry,
};
use manyframe_shards::{SampleColumns, ShardFormat, ShardWriter, WrittenShard};
use manyframe_transfer::CLAIM_FILE;

use crate::error::EngineError;
use crate::local_place::local_place;
use crate::verify::findings::Findings;

/// Compares bytes of files with those that this version of manyframe writes.
pub(super) struct Bytes {
    /// The version that wrote the dataset, if it is another one.
    other_version: Option<String>,
    /// Files with other bytes that another version wrote.
    unchecked: RefCell<Vec<String>>,
}

impl Bytes {
    pub(super) fn of(dataset: &DatasetReader) -> Self {
        let version = &dataset.manifest().manyframe_version;
        let other_version = (version != env!("CARGO_PKG_VERSION")).then(|| version.clone());
        Self { other_version, unchecked: RefCell::default() }
    }

    /// Whether another version of manyframe wrote the dataset.
    pub(super) fn is_of_other_version(&self) -> bool {
        self.other_version.is_some()
    }

    /// Compares the digest of a file with that of its values, written again.
    pub(super) fn compare(&self, path: &str, found: Digest, written: Digest, findings: &mut Findings) {
        if found == written {
            return;
        }
        if self.other_version.is_some() {
            self.unchecked.borrow_mut().push(path.to_owned());
        } else {
            findings.problem(format!("{path} has bytes that do not follow from what is in it"));
        }
    }

    pub(super) fn compare_manifest(&self, dataset: &DatasetReader, findings: &mut Findings) {
        match json_text(dataset.manifest()) {
            Ok(text) => self.compare(MANIFEST_FILE, dataset.manifest_digest(), Digest::of(&text), findings),
            Err(error) => findings.problem(format!("{MANIFEST_FILE} cannot be written again: {error}")),
        }
    }

    /// Compares the files beside the shards of a manifest, and the data card, with those that follow from the shards.
    pub(super) fn compare_beside(
        &self,
        dataset: &DatasetReader,
        (manifest, notes): (&Manifest, &NotesByShard),
        findings: &mut Findings,
    ) -> Result<(), EngineError> {
        let beside = FilesBeside::of(manifest, notes)?;
        self.check_unnamed_files(dataset, &beside, findings)?;
        let work = work_directory(&local_place(dataset));
        let scratch = beside.has_indexes().then(|| StagedDirectory::scratch(&work.join("beside"))).transpose()?;
        let directory = scratch.as_ref().map_or(work.as_path(), StagedDirectory::path);
        let card = (CARD_FILE.to_owned(), Digest::of(beside.card(manifest).as_bytes()));
        for (path, written) in beside.digests(directory)?.into_iter().chain([card]) {
            let fault = match dataset.storage().num_bytes(&path)? {
                None => "is missing",
                Some(_) if dataset.storage().digest(&path)? == written => continue,
                Some(_) if path == CARD_FILE => "has bytes that do not follow from the manifest",
                Some(_) => "has bytes that do not follow from the shards",
            };
            match self.other_version {
                Some(_) => self.unchecked.borrow_mut().push(path),
                None => findings.problem(format!("{path} {fault}")),
            }
        }
        if scratch.is_some() {
            drop(scratch);
            // Work of a build may be in it.
            _ = fs::remove_dir(work);
        }
        Ok(())
    }

    /// Names files beside the shards that nothing explains. Those with a leading dot, and those in a directory with one, such as
    /// further splits for Energon, are their owner's.
    fn check_unnamed_files(
        &self,
        dataset: &DatasetReader,
        beside: &FilesBeside,
        findings: &mut Findings,
    ) -> Result<(), EngineError> {
        if self.other_version.is_some() {
            return Ok(());
        }
        let shards = dataset.manifest().shards.iter().map(|shard| shard.path.to_string());
        let known: BTreeSet<String> = shards.chain(beside.files.iter().map(|(path, _)| path.clone())).collect();
        for format in ShardFormat::ALL {
            let listed = match dataset.storage().list(format.as_str()) {
                // `check_unnamed` says so.
                Err(error) if error.source.kind() == io::ErrorKind::Unsupported => return Ok(()),
                listed => listed?,
            };
            for file in listed {
                let is_hidden = file.path.split('/').any(|name| name.starts_with('.'));
                if !(is_hidden || is_shard(&file.path, format) || known.contains(&file.path)) {
                    findings.problem(format!("{} is beside the shards, and no file of this dataset", file.path));
                }
            }
        }
        Ok(())
    }

    /// What could not be compared.
    pub(super) fn unchecked(self) -> Option<String> {
        let version = self.other_version?;
        let files = self.unchecked.into_inner();
        let first = files.first()?;
        Some(format!("bytes of {} files, such as {first}: version {version} of manyframe wrote them", files.len()))
    }
}

/// A shard that is written again, to nowhere.
pub(super) struct ShardAgain {
    writer: Box<dyn ShardWriter>,
    path: PathBuf,
}

impl ShardAgain {
    pub(super) fn start(shard: &ShardEntry, columns: SampleColumns) -> Result<Self, DatasetError> {
        let path = PathBuf::from(shard.path.to_string());
        let writer = manyframe_shards::create(shard.format, Box::new(std::io::sink()), columns);
        Ok(Self { writer: writer.map_err(DatasetError::shard(&path))?, path })
    }

    pub(super) fn write(&mut self, sample: &Sample) -> Result<(), DatasetError> {
        self.writer.write(sample).map_err(DatasetError::shard(&self.path))
    }

    pub(super) fn finish(self) -> Result<WrittenShard, DatasetError> {
        self.writer.finish().map_err(DatasetError::shard(&self.path))
    }
}

/// Files of a dataset that are named after what they hold, or are none of the manifest's: these names, and what begins with them.
const WRITTEN_LATER: [&str; 2] = ["validation", "needle-scores"];

/// Names files that the manifest does not name. Readers take every shard in a directory, and many look for tars in directories below, so
/// that such a file is a problem. Others are returned; those with a leading dot are their owner's.
///
/// # Errors
/// If files cannot be listed. Where there is no listing, `Err` of the inner result says so.
pub(super) fn check_unnamed(
    dataset: &DatasetReader,
    findings: &mut Findings,
) -> Result<Result<Vec<String>, String>, EngineError> {
    let manifest = dataset.manifest();
    let shards: BTreeSet<String> = manifest.shards.iter().map(|shard| shard.path.to_string()).collect();
    let tables = [
        Some(&manifest.ledger.path),
        manifest.pack.as_ref().map(|pack| &pack.path),
        manifest.needles.as_ref().map(|needles| &needles.path),
    ];
    let known: BTreeSet<&str> = tables
        .into_iter()
        .flatten()
        .map(String::as_str)
        .chain([MANIFEST_FILE, CARD_FILE, CROISSANT_FILE, BUILD_FACTS_FILE, CLAIM_FILE])
        .collect();
    let listed = match dataset.storage().list("") {
        Err(error) if error.source.kind() == io::ErrorKind::Unsupported => {
            return Ok(Err(format!("files that the manifest does not name: {}", error.source)));
        }
        listed => listed?,
    };
    let mut unnamed = Vec::new();
    for path in listed.into_iter().map(|file| file.path) {
        let is_hidden = path.split('/').any(|name| name.starts_with('.'));
        let is_own = shards.contains(&path) || known.contains(&*path);
        if is_own || WRITTEN_LATER.iter().any(|name| path.starts_with(name)) {
            continue;
        }
        let format_of = |directory: &str| ShardFormat::ALL.into_iter().find(|format| format.as_str() == directory);
        let directory = path.split_once('/').and_then(|(directory, _)| format_of(directory));
        match directory {
            Some(format) if is_shard(&path, format) => {
                findings.problem(format!("{path} is not in the manifest, and readers of its directory take it"));
            }
            // `compare_beside` names what is beside shards.
            Some(_) => {}
            None if is_hidden => {}
            None if ShardFormat::ALL.into_iter().any(|format| format.is_tar() && is_shard(&path, format)) => {
                findings.problem(format!("{path} is not in the manifest, and readers that search for tars take it"));
            }
            None => unnamed.push(path),
        }
    }
    Ok(Ok(unnamed))
}

fn is_shard(path: &str, format: ShardFormat) -> bool {
    path.strip_suffix(format.extension()).is_some_and(|rest| rest.ends_with('.'))
}
