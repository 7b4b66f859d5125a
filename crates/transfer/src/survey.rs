//! Compares a dataset with what is at its destination. Nothing is changed there.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use manyframe_base::{Progress, Step, on_threads};
use manyframe_core::Digest;
use manyframe_dataset::{FilesBeside, MANIFEST_FILE, Manifest, Names, NotesByShard, OBJECTS_DIRECTORY};
use manyframe_storage::{FileState, Storage, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::claim::CLAIM_FILE;
use crate::error::TransferError;
use crate::files::{DatasetFiles, SentFile};

/// What an upload has to do, by the paths of files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Survey {
    /// Not at the destination.
    pub new: Vec<String>,
    /// There with other content.
    pub replaced: Vec<String>,
    /// There already, with the same digest.
    pub same: Vec<String>,
    /// There, and no file of this dataset.
    pub left_over: Vec<String>,
    /// Those of them that the manifest there names, and those that were beside its shards: files of the dataset before.
    pub removable: Vec<String>,
    /// Bytes of all files that are new or replaced.
    pub num_bytes: u64,
    /// Bytes of those that are the same.
    pub num_same_bytes: u64,
    /// Whether the manifest there is this one.
    pub has_manifest: bool,
}

/// A survey, with what the upload needs to know besides.
pub(crate) struct Surveyed<'d> {
    pub(crate) survey: Survey,
    /// Files that are new or replaced.
    pub(crate) to_send: Vec<&'d SentFile>,
    /// The manifest at the destination.
    pub(crate) manifest: Option<RemoteManifest>,
    /// Whether files that the manifest there names get other content.
    pub(crate) breaks_manifest: bool,
}

/// A manifest at a destination.
pub(crate) struct RemoteManifest {
    pub(crate) version: Option<Version>,
    pub(crate) digest: Digest,
    pub(crate) name: Option<String>,
    /// The files that it names, however they are called.
    files: BTreeSet<String>,
    /// The files that readers expect beside its shards.
    beside: BTreeSet<String>,
}

/// What any version of a manifest says.
#[derive(Deserialize)]
struct AnyManifest {
    name: String,
    #[serde(default)]
    shards: Vec<Named>,
    ledger: Option<Named>,
    pack: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    path: String,
    digest: Digest,
}

impl RemoteManifest {
    /// How its files are called; `None` if it names none.
    pub(crate) fn names(&self, listed: &BTreeMap<String, u64>) -> Option<Names> {
        let is_content = |path: &&String| path.starts_with(OBJECTS_DIRECTORY);
        let found: Vec<&String> = self.files.iter().filter(|path| listed.contains_key(*path)).collect();
        let is_any_content = found.iter().any(is_content);
        let is_any = !found.is_empty();
        is_any.then_some(if is_any_content { Names::Content } else { Names::Plain })
    }

    /// Whether its files are named after their digests, as far as the first one says.
    pub(crate) fn has_content_names(&self, storage: &dyn Storage) -> Result<bool, TransferError> {
        let first = self.files.iter().find(|path| path.starts_with(OBJECTS_DIRECTORY));
        first.map_or(Ok(false), |path| Ok(storage.num_bytes(path)?.is_some()))
    }

    pub(crate) fn read(storage: &dyn Storage) -> Result<Option<Self>, TransferError> {
        let Some(FileState { version, .. }) = storage.state(MANIFEST_FILE)? else { return Ok(None) };
        let text = storage.read(MANIFEST_FILE)?;
        let parsed: Option<AnyManifest> = serde_json::from_slice(&text).ok();
        let (name, files) = parsed.map_or((None, BTreeSet::new()), |manifest| {
            let AnyManifest { name, shards, ledger, pack } = manifest;
            let files = shards.into_iter().chain(ledger).chain(pack);
            let called = |file: Named| [Names::Plain, Names::Content].map(|names| names.name(&file.path, file.digest));
            (Some(name), files.flat_map(called).collect())
        });
        let manifest: Option<Manifest> = serde_json::from_slice(&text).ok();
        let beside = manifest.and_then(|manifest| FilesBeside::of(&manifest, &NotesByShard::new()).ok());
        let beside = beside.iter().flat_map(FilesBeside::paths).map(str::to_owned).collect();
        Ok(Some(Self { version, digest: Digest::of(&text), name, files, beside }))
    }
}

/// How a file of the dataset is at the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    Other,
    Same,
}

impl<'d> Surveyed<'d> {
    pub(crate) fn make(
        dataset: &'d DatasetFiles,
        (storage, names): (&dyn Storage, Names),
        threads: NonZeroUsize,
        progress: &dyn Progress,
    ) -> Result<Self, TransferError> {
        let manifest = RemoteManifest::read(storage)?;
        let listed: BTreeMap<String, u64> =
            storage.list("")?.into_iter().map(|file| (file.path, file.num_bytes)).collect();
        let before = manifest.as_ref().and_then(|manifest| manifest.names(&listed));
        if before.is_some_and(|before| before != names) {
            return Err(TransferError::OtherNames { location: storage.location().to_owned() });
        }
        progress.start(Step::Survey, dataset.files.len() as u64);
        let compare = |file: &SentFile| {
            let found = compare(storage, file, listed.get(&file.name).copied());
            progress.advance(1, 1);
            found
        };
        let found = on_threads(threads, &dataset.files, compare)?;
        progress.finish(Step::Survey);
        let mut survey = Survey::default();
        let mut to_send = Vec::new();
        for (file, found) in dataset.files.iter().zip(found) {
            match found {
                Found::Missing => survey.new.push(file.name.clone()),
                Found::Other => survey.replaced.push(file.name.clone()),
                Found::Same => {
                    survey.same.push(file.name.clone());
                    survey.num_same_bytes += file.num_bytes;
                    continue;
                }
            }
            survey.num_bytes += file.num_bytes;
            to_send.push(file);
        }
        let ours: BTreeSet<&str> = dataset.files.iter().map(|file| file.name.as_str()).collect();
        let is_left =
            |path: &&String| !ours.contains(path.as_str()) && ![MANIFEST_FILE, CLAIM_FILE].contains(&path.as_str());
        survey.left_over = listed.keys().filter(is_left).cloned().collect();
        let is_named = |path: &&String| manifest.as_ref().is_some_and(|manifest| manifest.files.contains(*path));
        let is_beside = |path: &&String| manifest.as_ref().is_some_and(|manifest| manifest.beside.contains(*path));
        survey.removable = survey.left_over.iter().filter(|path| is_named(path) || is_beside(path)).cloned().collect();
        survey.has_manifest = manifest.as_ref().is_some_and(|manifest| manifest.digest == dataset.manifest_digest);
        let breaks_manifest = survey.replaced.iter().any(|path| is_named(&path));
        Ok(Self { survey, to_send, manifest, breaks_manifest })
    }
}

/// Compares a file with what is under its name. What the store knows no digest of is read.
fn compare(storage: &dyn Storage, file: &SentFile, listed: Option<u64>) -> Result<Found, TransferError> {
    match listed {
        None => Ok(Found::Missing),
        Some(num_bytes) if num_bytes != file.num_bytes => Ok(Found::Other),
        Some(_) => find(storage, file),
    }
}

/// As [`compare`], for a file that was not listed.
pub(crate) fn find(storage: &dyn Storage, file: &SentFile) -> Result<Found, TransferError> {
    let Some(state) = storage.state(&file.name)? else { return Ok(Found::Missing) };
    if state.num_bytes != file.num_bytes {
        return Ok(Found::Other);
    }
    let digest = state.digest.map_or_else(|| storage.digest(&file.name), Ok)?;
    Ok(if digest == file.digest { Found::Same } else { Found::Other })
}
