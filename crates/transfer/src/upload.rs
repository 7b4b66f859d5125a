//! Uploads a dataset: claim, survey, files, manifest, removal, in this order.
//!
//! | killed | what readers find | the next upload |
//! |---|---|---|
//! | before the manifest | the dataset before, or none if files of it were to be replaced | sends what is missing |
//! | after it | this dataset | removes what was to be removed |

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use manyframe_base::{Progress, Step, on_threads};
use manyframe_core::Digest;
use manyframe_dataset::{MANIFEST_FILE, Names};
use manyframe_storage::{Condition, Storage, Written};

use crate::claim::Claim;
use crate::earlier::Earlier;
use crate::error::TransferError;
use crate::files::{DatasetFiles, SentFile, StagedShards};
use crate::gate::{Gate, Pace};
use crate::journal::Journal;
use crate::send::{Sending, Sent, abandon_stale, copy};
use crate::survey::{RemoteManifest, Survey, Surveyed};

/// How to upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadOptions {
    /// How much is sent at a time.
    pub pace: Pace,
    /// How its files are called at the destination.
    pub names: Names,
    /// Removes files of the dataset before that this one does not have, when the new manifest is there.
    pub deletes: bool,
    /// Replaces a dataset of another name.
    pub replaces_other_name: bool,
    /// Which uploads of other datasets it replaces that are not finished.
    pub replaced: ReplacedUploads,
}

/// Which unfinished uploads of other datasets to the same destination an upload replaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReplacedUploads {
    /// None.
    #[default]
    Never,
    /// Those of which its notes know, where datasets follow each other. What they sent besides is removed with the files of the
    /// dataset before.
    Own,
    /// Any.
    Any,
}

/// Makes sure that a dataset whose files have plain names may go to a destination: it is free, or has such a dataset, of this name
/// if one is given.
///
/// # Errors
///
/// [`TransferError::OtherName`] if one of another name is there, [`TransferError::OtherNames`] if its files are named after their
/// digests, or the storage cannot be read.
pub fn ensure_replaceable(storage: &dyn Storage, name: Option<&str>) -> Result<(), TransferError> {
    let there = RemoteManifest::read(storage)?;
    name.map_or(Ok(()), |name| ensure_same_name(storage, name, there.as_ref()))?;
    if there.map_or(Ok(false), |manifest| manifest.has_content_names(storage))? {
        return Err(TransferError::OtherNames { location: storage.location().to_owned() });
    }
    Ok(())
}

/// Makes sure that no unfinished upload of another dataset claims a destination, as far as that can be told before the dataset is
/// made: one of another name does. One of this name is logged, because it may be this dataset; whether it is, is known when its
/// manifest is.
///
/// # Errors
///
/// [`TransferError::Busy`] if one of another name does, or the storage cannot be read.
pub fn ensure_unclaimed(storage: &dyn Storage, name: &str, notes: &Path) -> Result<(), TransferError> {
    let Some(claim) = Claim::read(storage)? else { return Ok(()) };
    let earlier = Earlier::read(&note(storage, notes, "json"))?;
    if earlier.manifests.contains(&claim.manifest) {
        return Ok(());
    }
    let location = storage.location().to_owned();
    if claim.name != name {
        return Err(TransferError::Busy { location, name: claim.name, digest: claim.manifest });
    }
    tracing::warn!(
        location = %location.display(), manifest = %claim.manifest,
        "an upload of a dataset of this name is not finished there; if this build makes another one, it is published only with \
         --take-over, or when that upload has ended"
    );
    Ok(())
}

/// A file of notes about a destination.
fn note(storage: &dyn Storage, notes: &Path, extension: &str) -> PathBuf {
    let name = Digest::of(storage.location().as_os_str().as_encoded_bytes()).first_bits();
    notes.join(format!("upload-{name:016x}.{extension}"))
}

fn ensure_same_name(storage: &dyn Storage, name: &str, there: Option<&RemoteManifest>) -> Result<(), TransferError> {
    match there.and_then(|manifest| manifest.name.clone()).filter(|found| found != name) {
        None => Ok(()),
        Some(found) => {
            let location = storage.location().to_owned();
            Err(TransferError::OtherName { location, found, name: name.to_owned() })
        }
    }
}

/// An upload of a dataset in a directory.
pub struct Upload<'a> {
    /// Where it is.
    pub dataset: &'a Path,
    /// Those of its shards that the store has already: they are copied there.
    pub staged: &'a StagedShards,
    /// The directory of what is noted of it, by which another process goes on with it.
    pub notes: &'a Path,
    /// Where it goes.
    pub storage: &'a dyn Storage,
    /// How.
    pub options: UploadOptions,
    /// Receives how far it has come.
    pub progress: &'a dyn Progress,
}

/// What an upload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// What was at the destination before.
    pub survey: Survey,
    /// The digest of the manifest, which names the dataset.
    pub manifest_digest: Option<Digest>,
    /// Requests with content that were made for its files.
    pub num_parts: u64,
    /// Parts that an interrupted upload had sent.
    pub num_kept_parts: u64,
    /// Files that were removed.
    pub num_removed: u64,
}

impl Upload<'_> {
    /// What an upload would do. Reads here and there, and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Upload::run`].
    pub fn survey(&self) -> Result<Survey, TransferError> {
        let dataset = DatasetFiles::read(self.dataset, self.options.names, self.staged)?;
        Ok(self.surveyed(&dataset)?.survey)
    }

    fn surveyed<'d>(&self, dataset: &'d DatasetFiles) -> Result<Surveyed<'d>, TransferError> {
        let to = (self.storage, self.options.names);
        let surveyed = Surveyed::make(dataset, to, self.options.pace.concurrency, self.progress)?;
        self.ensure_name(dataset, surveyed.manifest.as_ref())?;
        Ok(surveyed)
    }

    /// Uploads the dataset. Interrupted, it goes on where it stopped when it is called again.
    ///
    /// # Errors
    ///
    /// [`TransferError::Damaged`] if a file is not the one that the manifest names, [`TransferError::Busy`] and
    /// [`TransferError::Overtaken`] if another dataset is uploaded to the same place, [`TransferError::OtherName`] if one of
    /// another name is there, [`TransferError::Altered`] if a file did not arrive as it was sent. No manifest is written then.
    pub fn run(&self) -> Result<Uploaded, TransferError> {
        let dataset = DatasetFiles::read(self.dataset, self.options.names, self.staged)?;
        let mut earlier = Earlier::default();
        if self.options.replaced == ReplacedUploads::Own {
            earlier = Earlier::read(&self.note("json"))?;
            earlier.add(&dataset);
            earlier.write(&self.note("json"))?;
        }
        let any = self.options.replaced == ReplacedUploads::Any;
        let is_replaced = |found: &Claim| any || earlier.manifests.contains(&found.manifest);
        let mut claim = Claim::make(self.storage, &dataset, is_replaced)?;
        let surveyed = match self.surveyed(&dataset) {
            // Nothing was sent.
            Err(error @ (TransferError::OtherName { .. } | TransferError::OtherNames { .. })) => {
                claim.end(self.storage)?;
                return Err(error);
            }
            surveyed => surveyed?,
        };
        let left_over = surveyed.survey.left_over.iter().filter(|path| earlier.files.contains(*path));
        let left_over = left_over.chain(&surveyed.survey.removable).cloned().collect();
        self.keep_left_over(&mut claim, left_over, &dataset)?;
        let sent = self.send(&dataset, &surveyed)?;
        self.publish(&dataset, &claim, surveyed.manifest)?;
        let num_removed =
            if self.options.deletes { remove(self.storage, self.options.pace.concurrency, &claim)? } else { 0 };
        claim.end(self.storage)?;
        if self.options.replaced == ReplacedUploads::Own {
            earlier = Earlier::default();
            earlier.add(&dataset);
            earlier.write(&self.note("json"))?;
        }
        Ok(Uploaded {
            survey: surveyed.survey,
            manifest_digest: Some(dataset.manifest_digest),
            num_parts: sent.num_parts,
            num_kept_parts: sent.num_kept,
            num_removed,
        })
    }

    fn ensure_name(&self, dataset: &DatasetFiles, there: Option<&RemoteManifest>) -> Result<(), TransferError> {
        if self.options.replaces_other_name {
            Ok(())
        } else {
            ensure_same_name(self.storage, &dataset.manifest.name, there)
        }
    }

    /// A file of notes about this destination.
    fn note(&self, extension: &str) -> PathBuf {
        note(self.storage, self.notes, extension)
    }

    /// Notes in the claim which files are of the dataset before: when the manifest is replaced, nothing else says so.
    fn keep_left_over(
        &self,
        claim: &mut Claim,
        left_over: Vec<String>,
        dataset: &DatasetFiles,
    ) -> Result<(), TransferError> {
        let ours: BTreeSet<&str> = dataset.files.iter().map(|file| file.name.as_str()).collect();
        let before = claim.left_over.clone();
        claim.left_over.extend(left_over);
        claim.left_over.retain(|path| !ours.contains(path.as_str()));
        claim.left_over.sort_unstable();
        claim.left_over.dedup();
        if claim.left_over == before { Ok(()) } else { claim.write(self.storage) }
    }

    fn send(&self, dataset: &DatasetFiles, surveyed: &Surveyed<'_>) -> Result<Sent, TransferError> {
        if surveyed.breaks_manifest {
            // The manifest there would name files that are not its own.
            self.storage.remove(MANIFEST_FILE)?;
        }
        let (staged, files): (Vec<&SentFile>, _) = surveyed.to_send.iter().partition(|file| file.copy_of.is_some());
        self.copy(&staged)?;
        self.send_files(dataset, &files)
    }

    /// Has the store copy what it has under other names.
    fn copy(&self, files: &[&SentFile]) -> Result<(), TransferError> {
        if files.is_empty() {
            return Ok(());
        }
        self.progress.start(Step::Copy, files.len() as u64);
        on_threads(self.options.pace.concurrency, files, |file| {
            let copied = file.copy_of.as_ref().map_or(Ok(()), |original| copy(self.storage, file, original));
            self.progress.advance(1, 1);
            copied
        })?;
        self.progress.finish(Step::Copy);
        Ok(())
    }

    fn send_files(&self, dataset: &DatasetFiles, files: &[&SentFile]) -> Result<Sent, TransferError> {
        let journal = self.note("jsonl");
        if files.is_empty() && !journal.exists() {
            return Ok(Sent::default());
        }
        let journal = Journal::open(&journal)?;
        abandon_stale(self.storage, &journal, files);
        let gate = Gate::new(self.options.pace);
        let sending = Sending {
            directory: &dataset.directory,
            storage: self.storage,
            journal: &journal,
            gate: &gate,
            num_threads: self.options.pace.concurrency.get(),
            progress: self.progress,
        };
        let sent = sending.run(files)?;
        journal.remove()?;
        // Work of a build may be in it.
        _ = std::fs::remove_dir(self.notes);
        Ok(sent)
    }

    /// Writes the manifest, unless another one appeared since the survey.
    fn publish(
        &self,
        dataset: &DatasetFiles,
        claim: &Claim,
        there: Option<RemoteManifest>,
    ) -> Result<(), TransferError> {
        let is_ours = |manifest: RemoteManifest| manifest.digest == dataset.manifest_digest;
        let is_written = claim.is_held(self.storage)? && self.write_manifest(dataset, there)? == Written::Done;
        // An upload of the same dataset may have been faster, or the answer to this one was lost.
        if is_written || RemoteManifest::read(self.storage)?.is_some_and(is_ours) {
            return Ok(());
        }
        Err(TransferError::Overtaken { location: self.storage.location().to_owned() })
    }

    fn write_manifest(&self, dataset: &DatasetFiles, there: Option<RemoteManifest>) -> Result<Written, TransferError> {
        let is_still_there = self.storage.num_bytes(MANIFEST_FILE)?.is_some();
        let condition = match there.filter(|_| is_still_there) {
            Some(manifest) if manifest.digest == dataset.manifest_digest => return Ok(Written::Done),
            None => Condition::Absent,
            Some(RemoteManifest { version: Some(version), .. }) => Condition::Unchanged(version),
            // Where files have no versions, the claim keeps others out.
            Some(_) => {
                self.storage.write(MANIFEST_FILE, &dataset.manifest_text)?;
                return Ok(Written::Done);
            }
        };
        Ok(self.storage.write_if(MANIFEST_FILE, &dataset.manifest_text, &condition)?)
    }
}

/// Removes what is left of the dataset before.
fn remove(storage: &dyn Storage, concurrency: NonZeroUsize, claim: &Claim) -> Result<u64, TransferError> {
    on_threads(concurrency, &claim.left_over, |path| storage.remove(path))?;
    Ok(claim.left_over.len() as u64)
}

/// Removes what an upload of this dataset would have removed that was killed when its manifest was there.
///
/// # Errors
///
/// If the storage cannot be read or written.
pub fn settle(storage: &dyn Storage, manifest: Digest) -> Result<(), TransferError> {
    let Some(claim) = Claim::read(storage)?.filter(|claim| claim.manifest == manifest) else { return Ok(()) };
    remove(storage, Pace::default().concurrency, &claim)?;
    claim.end(storage)
}
