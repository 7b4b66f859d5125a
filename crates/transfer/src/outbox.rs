//! Sends files while others are made, each compared when it is at the store. All that are sent at the same time share one gate.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use manyframe_base::{FileError, NoProgress};
use manyframe_storage::Storage;

use crate::error::TransferError;
use crate::files::SentFile;
use crate::gate::{Gate, Pace};
use crate::journal::Journal;
use crate::send::{Sending, abandon_stale, copy};
use crate::survey::{Found, find};

/// Has a storage forget what was sent of unfinished files, as the journals in a directory say. Nobody may go on with them.
///
/// # Errors
///
/// If a journal cannot be read. What the storage does not forget is logged.
pub fn abandon(storage: &dyn Storage, journals: &Path) -> Result<(), TransferError> {
    let entries = match fs::read_dir(journals) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        entries => entries.map_err(FileError::read(journals))?,
    };
    for entry in entries {
        let path = entry.map_err(FileError::read(journals))?.path();
        abandon_stale(storage, &Journal::open(&path)?, &[]);
    }
    Ok(())
}

/// Sends files to a storage.
pub struct Outbox {
    storage: Arc<dyn Storage>,
    gate: Gate,
    num_threads: NonZeroUsize,
}

impl Outbox {
    /// An outbox to a storage, for which so much is under way at a time.
    pub fn new(storage: Arc<dyn Storage>, pace: Pace) -> Self {
        Self { storage, gate: Gate::new(pace), num_threads: pace.concurrency }
    }

    /// Sends files of a directory. What is there already is not sent again, and neither are parts that `journal` knows; what
    /// the store has under another name is copied there.
    ///
    /// # Errors
    ///
    /// As [`Upload::run`](crate::Upload::run): [`TransferError::Damaged`] if a file is not what it should be,
    /// [`TransferError::Altered`] if it did not arrive as it was sent.
    pub fn send(&self, directory: &Path, files: &[SentFile], journal: &Path) -> Result<(), TransferError> {
        let mut to_send = Vec::new();
        for file in files {
            if find(&*self.storage, file)? != Found::Same && !self.copies(file) {
                to_send.push(file);
            }
        }
        if to_send.is_empty() && !journal.exists() {
            return Ok(());
        }
        let journal = Journal::open(journal)?;
        abandon_stale(&*self.storage, &journal, &to_send);
        let sending = Sending {
            directory,
            storage: &*self.storage,
            journal: &journal,
            gate: &self.gate,
            num_threads: self.num_threads.get(),
            progress: &NoProgress,
        };
        sending.run(&to_send)?;
        Ok(journal.remove()?)
    }

    /// Whether the store has copied the file. The original may be gone or replaced meanwhile.
    fn copies(&self, file: &SentFile) -> bool {
        let Some(original) = &file.copy_of else { return false };
        let copied = copy(&*self.storage, file, original);
        if let Err(error) = &copied {
            tracing::debug!(original = %original.display(), %error, "the store cannot copy a shard; it is sent");
        }
        copied.is_ok()
    }
}
