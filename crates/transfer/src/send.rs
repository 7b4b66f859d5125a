//! Sends files to a storage: large ones in parts, as many at a time as the gate lets through.
//!
//! ```text
//! one thread reads and compares ── jobs ──▶ threads that wait for the store ─▶ journal
//!   the whole file has the digest of the manifest, or its last part is never sent
//! ```
//!
//! **Invariant:** a file appears at its destination only if all that was read of it has the digest it was expected to have, and
//! each part that an earlier upload sent has the checksum of what is read now.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use manyframe_base::{FileError, Progress, Step};
use manyframe_core::Digest;
use manyframe_storage::{Part, Parts, Storage};
use twox_hash::XxHash3_64;

use crate::error::TransferError;
use crate::files::SentFile;
use crate::gate::{Gate, Permit};
use crate::journal::{Begun, Journal, SentPart};

/// Size of a part, unless a file would have more than a store takes.
const PART_BYTES: u64 = 8 << 20;
/// Most parts of a file.
const MOST_PARTS: u64 = 10_000;

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Requests with content.
    pub(crate) num_parts: u64,
    /// Parts that an earlier upload had sent.
    pub(crate) num_kept: u64,
}

/// Sends files.
pub(crate) struct Sending<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) storage: &'a dyn Storage,
    pub(crate) journal: &'a Journal,
    pub(crate) gate: &'a Gate,
    pub(crate) num_threads: usize,
    pub(crate) progress: &'a dyn Progress,
}

/// A file that is sent in parts.
struct Transfer<'a> {
    file: &'a SentFile,
    id: String,
    parts: Mutex<BTreeMap<usize, String>>,
    /// Parts that are not sent yet, and one while the file is read.
    num_left: AtomicUsize,
}

/// What a thread is to do.
enum Job<'a> {
    Whole { file: &'a SentFile, bytes: Vec<u8>, _permit: Permit<'a> },
    Copy { file: &'a SentFile, _permit: Permit<'a> },
    Part { transfer: Arc<Transfer<'a>>, index: usize, sum: u64, bytes: Bytes, _permit: Permit<'a> },
    Finish { transfer: Arc<Transfer<'a>> },
}

/// What the threads share.
#[derive(Default)]
struct Shared<'a> {
    is_over: AtomicBool,
    error: Mutex<Option<TransferError>>,
    /// Files whose transfer the store has forgotten.
    lost: Mutex<Vec<&'a SentFile>>,
    num_parts: AtomicU64,
    num_kept: AtomicU64,
    /// Of what was sent, for what is to be read. Allocators return late what another thread frees: a new buffer for each part would
    /// let those that were sent add up to most of a dataset.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Shared<'a> {
    fn fail(&self, error: TransferError) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut first = lock(&self.error);
        *first = first.take().or(Some(error));
    }

    /// An empty buffer with room for so many bytes.
    fn buffer(&self, num_bytes: u64) -> Vec<u8> {
        let mut buffer = lock(&self.buffers).pop().unwrap_or_default();
        buffer.clear();
        buffer.reserve_exact(num_bytes as usize);
        buffer
    }

    fn give_back(&self, buffer: Vec<u8>) {
        lock(&self.buffers).push(buffer);
    }

    fn lose(&self, file: &'a SentFile) {
        let mut lost = lock(&self.lost);
        if !lost.iter().any(|other| other.path == file.path) {
            lost.push(file);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Sending<'a> {
    /// Sends all of these files; each is there, whole and compared, afterwards.
    pub(crate) fn run(&'a self, files: &[&'a SentFile]) -> Result<Sent, TransferError> {
        // What is read again and not sent says nothing of the time that the rest takes.
        let num_kept = |file: &&SentFile| self.journal.begun(file).map_or(0, kept_bytes);
        self.progress.start(Step::Upload, files.iter().map(|file| file.num_bytes - num_kept(file)).sum());
        let (mut sent, lost) = self.run_once(files, Resume::Allowed)?;
        if !lost.is_empty() {
            tracing::info!(
                files = lost.len(),
                "the store has forgotten parts that were sent earlier; they are sent again"
            );
            let (again, lost) = self.run_once(&lost, Resume::Refused)?;
            sent = Sent { num_parts: sent.num_parts + again.num_parts, ..sent };
            if let Some(file) = lost.first() {
                let forgotten = io::Error::new(io::ErrorKind::NotFound, "the store has forgotten its parts, twice");
                return Err(FileError::write(self.storage.location().join(&file.name))(forgotten).into());
            }
        }
        self.progress.finish(Step::Upload);
        Ok(sent)
    }

    fn run_once(&'a self, files: &[&'a SentFile], resume: Resume) -> Result<(Sent, Vec<&'a SentFile>), TransferError> {
        let shared = Shared::default();
        let (sender, jobs) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            for _ in 0..self.num_threads {
                let (jobs, shared) = (jobs.clone(), &shared);
                scope.spawn(move || self.work(&jobs, shared));
            }
            for file in files {
                if shared.is_over.load(Ordering::SeqCst) {
                    break;
                }
                if let Err(error) = self.read(file, resume, &sender, &shared) {
                    shared.fail(error);
                }
            }
            drop(sender);
        });
        let Shared { error, lost, num_parts, num_kept, .. } = shared;
        if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let sent = Sent { num_parts: num_parts.into_inner(), num_kept: num_kept.into_inner() };
        Ok((sent, lost.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads a file, and hands out what is to be sent of it.
    fn read(
        &'a self,
        file: &'a SentFile,
        resume: Resume,
        jobs: &Sender<Job<'a>>,
        shared: &Shared<'a>,
    ) -> Result<(), TransferError> {
        if let Some(parts) = self.storage.parts().filter(|_| file.num_bytes > PART_BYTES) {
            let begun = self.journal.begun(file).filter(|_| resume == Resume::Allowed);
            let id = begun.map_or_else(|| self.begin(parts, file), |begun| Ok(begun.transfer.clone()))?;
            let transfer = Transfer { file, id, parts: Mutex::default(), num_left: AtomicUsize::new(1) };
            return self.read_parts(&Arc::new(transfer), begun, jobs, shared);
        }
        let mut permit = self.gate.enter();
        permit.count(file.num_bytes);
        if file.num_bytes > PART_BYTES {
            drop(jobs.send(Job::Copy { file, _permit: permit }));
            return Ok(());
        }
        let path = self.directory.join(&file.path);
        let mut bytes = shared.buffer(file.num_bytes);
        let read = File::open(&path).and_then(|mut opened| opened.read_to_end(&mut bytes));
        read.map_err(FileError::read(&path))?;
        ensure_digest(file, &path, Digest::of(&bytes))?;
        drop(jobs.send(Job::Whole { file, bytes, _permit: permit }));
        Ok(())
    }

    /// Reads a file part by part. The last one is handed out only if the whole file has its digest.
    fn read_parts(
        &'a self,
        transfer: &Arc<Transfer<'a>>,
        begun: Option<&Begun>,
        jobs: &Sender<Job<'a>>,
        shared: &Shared<'a>,
    ) -> Result<(), TransferError> {
        let file = transfer.file;
        let path = self.directory.join(&file.path);
        let mut opened = File::open(&path).map_err(FileError::read(&path))?;
        let part_bytes = part_bytes(file.num_bytes);
        let num_parts = file.num_bytes.div_ceil(part_bytes) as usize;
        let mut hasher = blake3::Hasher::new();
        for index in 0..num_parts {
            if shared.is_over.load(Ordering::SeqCst) {
                return Ok(());
            }
            let mut permit = self.gate.enter();
            let mut bytes = shared.buffer(part_bytes);
            (&mut opened).take(part_bytes).read_to_end(&mut bytes).map_err(FileError::read(&path))?;
            hasher.update(&bytes);
            if index + 1 == num_parts {
                ensure_digest(file, &path, Digest(*hasher.finalize().as_bytes()))?;
            }
            let sum = XxHash3_64::oneshot(&bytes);
            if let Some(part) = begun.and_then(|begun| begun.parts.get(&index)).filter(|part| part.sum == sum) {
                lock(&transfer.parts).insert(index, part.id.clone());
                shared.num_kept.fetch_add(1, Ordering::Relaxed);
                shared.give_back(bytes);
                continue;
            }
            permit.count(bytes.len() as u64);
            transfer.num_left.fetch_add(1, Ordering::SeqCst);
            let transfer = Arc::clone(transfer);
            drop(jobs.send(Job::Part { transfer, index, sum, bytes: bytes.into(), _permit: permit }));
        }
        if transfer.num_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            drop(jobs.send(Job::Finish { transfer: Arc::clone(transfer) }));
        }
        Ok(())
    }

    fn begin(&self, parts: &dyn Parts, file: &SentFile) -> Result<String, TransferError> {
        let id = parts.begin(&file.name, file.digest)?;
        self.journal.begin(file, &id)?;
        Ok(id)
    }

    fn work(&self, jobs: &Receiver<Job<'a>>, shared: &Shared<'a>) {
        for job in jobs {
            // What is left is dropped, so that whoever reads does not wait for it.
            if shared.is_over.load(Ordering::SeqCst) {
                continue;
            }
            if let Err(error) = self.send(job, shared) {
                shared.fail(error);
            }
        }
    }

    fn send(&self, job: Job<'a>, shared: &Shared<'a>) -> Result<(), TransferError> {
        match job {
            Job::Whole { file, bytes, .. } => {
                let told = Told::of(self.progress, file.num_bytes);
                let pass = |num_bytes| told.pass(num_bytes);
                self.storage.write_in(&self.gate.flow(&pass), &file.name, &bytes)?;
                told.pass_rest();
                shared.give_back(bytes);
                shared.num_parts.fetch_add(1, Ordering::Relaxed);
                self.arrived(file)
            }
            Job::Copy { file, .. } => {
                self.gate.flow(&|_| {}).hold(file.num_bytes);
                self.storage.copy_in(&self.directory.join(&file.path), &file.name)?;
                shared.num_parts.fetch_add(1, Ordering::Relaxed);
                self.progress.advance(0, file.num_bytes);
                self.arrived(file)
            }
            Job::Part { transfer, index, sum, bytes, .. } => self.send_part(&transfer, (index, sum), bytes, shared),
            Job::Finish { transfer } => {
                let Some(parts) = self.storage.parts() else { return Ok(()) };
                self.finish(parts, &transfer, shared)
            }
        }
    }

    fn send_part(
        &self,
        transfer: &Transfer<'a>,
        (index, sum): (usize, u64),
        bytes: Bytes,
        shared: &Shared<'a>,
    ) -> Result<(), TransferError> {
        let Some(parts) = self.storage.parts() else { return Ok(()) };
        let told = Told::of(self.progress, bytes.len() as u64);
        let pass = |num_bytes| told.pass(num_bytes);
        let flow = self.gate.flow(&pass);
        let id = match send_part(parts, transfer, &Part { index, bytes: bytes.clone(), flow }) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                shared.lose(transfer.file);
                return Ok(());
            }
            id => id?,
        };
        self.journal.sent(transfer.file, index, &SentPart { sum, id: id.clone() })?;
        lock(&transfer.parts).insert(index, id);
        shared.num_parts.fetch_add(1, Ordering::Relaxed);
        told.pass_rest();
        // Nobody else has it any more; otherwise it is not worth a copy.
        if bytes.is_unique() {
            shared.give_back(bytes.into());
        }
        if transfer.num_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            return self.finish(parts, transfer, shared);
        }
        Ok(())
    }

    fn finish(&self, parts: &dyn Parts, transfer: &Transfer<'a>, shared: &Shared<'a>) -> Result<(), TransferError> {
        let file = transfer.file;
        let ids: Vec<String> = lock(&transfer.parts).values().cloned().collect();
        if let Err(error) = parts.finish(&file.name, &transfer.id, ids) {
            // It may have been finished just before an earlier upload was killed. Otherwise the store has forgotten parts.
            let is_there = self.storage.state(&file.name)?.is_some_and(|state| state.digest == Some(file.digest));
            let is_resumed = self.journal.begun(file).is_some_and(|begun| begun.transfer == transfer.id);
            // s3s says that it may not be touched. Whoever really may not is told when the file is begun again.
            let is_forgotten = matches!(
                error.source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied
            );
            if !is_there && is_resumed && is_forgotten {
                shared.lose(file);
                return Ok(());
            }
            if !is_there {
                return Err(error.into());
            }
        }
        self.arrived(file)?;
        Ok(self.journal.over(file)?)
    }

    /// Compares what is at the destination with what was sent.
    fn arrived(&self, file: &SentFile) -> Result<(), TransferError> {
        ensure_arrived(self.storage, file, |path| Ok(self.storage.digest(path)?))?;
        self.progress.advance(1, 0);
        Ok(())
    }
}

/// Has the store forget what was sent of other files than these, by a journal: of a dataset that was built again since.
pub(crate) fn abandon_stale(storage: &dyn Storage, journal: &Journal, files: &[&SentFile]) {
    let Some(parts) = storage.parts() else { return };
    for (path, transfer) in journal.stale(files) {
        match parts.abandon(&path, &transfer) {
            // It was finished or forgotten before.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
            // They cost storage and do no other harm.
            Err(error) => tracing::warn!(%path, %error, "parts of an earlier upload are left at the store"),
            Ok(()) => {}
        }
    }
}

/// Has the store copy a file that it has under another name, and compares what is said of the copy. A store that says no digest
/// of it is trusted to copy what was compared before.
pub(crate) fn copy(storage: &dyn Storage, file: &SentFile, original: &Path) -> Result<(), TransferError> {
    storage.copy_from(original, &file.name)?;
    ensure_arrived(storage, file, |_path| Ok(file.digest))
}

/// Makes sure that a file is at its destination; `digest_of` finds out its digest if the store does not say it.
fn ensure_arrived(
    storage: &dyn Storage,
    file: &SentFile,
    digest_of: impl Fn(&str) -> Result<Digest, TransferError>,
) -> Result<(), TransferError> {
    let path = storage.full_path(&file.name);
    let altered = |found: String, expected: String| TransferError::Altered { path: path.clone(), found, expected };
    let expected = format!("{} bytes", file.num_bytes);
    let Some(state) = storage.state(&file.name)? else {
        return Err(altered("it is not there".to_owned(), expected));
    };
    if state.num_bytes != file.num_bytes {
        return Err(altered(format!("{} bytes", state.num_bytes), expected));
    }
    let digest = state.digest.map_or_else(|| digest_of(&file.name), Ok)?;
    if digest != file.digest {
        return Err(altered(format!("digest {digest}"), format!("digest {}", file.digest)));
    }
    Ok(())
}

/// Sends a part. What a store refuses, because it is not what the request says, was altered on the way: it is sent once more.
fn send_part(parts: &dyn Parts, transfer: &Transfer<'_>, part: &Part<'_>) -> Result<String, FileError> {
    let path = &transfer.file.name;
    let send = || parts.send(path, &transfer.id, part.clone());
    send().or_else(|error| {
        if error.source.kind() != io::ErrorKind::InvalidData {
            return Err(error);
        }
        tracing::warn!(%path, part = part.index, error = %error.source, "the store refused a part; it is sent again");
        send()
    })
}

/// What is shown of a request, however often it is made.
struct Told<'a> {
    progress: &'a dyn Progress,
    num_bytes: u64,
    num_passed: Cell<u64>,
}

impl<'a> Told<'a> {
    fn of(progress: &'a dyn Progress, num_bytes: u64) -> Self {
        Self { progress, num_bytes, num_passed: Cell::new(0) }
    }

    fn pass(&self, num_bytes: u64) {
        let num_bytes = num_bytes.min(self.num_bytes - self.num_passed.get());
        self.num_passed.set(self.num_passed.get() + num_bytes);
        self.progress.advance(0, num_bytes);
    }

    fn pass_rest(&self) {
        self.pass(self.num_bytes);
    }
}

/// Whether parts that an earlier upload sent are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resume {
    Allowed,
    Refused,
}

/// The size of the parts of a file: whole MiB, and so large that there are not too many.
fn part_bytes(num_bytes: u64) -> u64 {
    num_bytes.div_ceil(MOST_PARTS).next_multiple_of(1 << 20).max(PART_BYTES)
}

/// Bytes of the parts that the store has taken.
fn kept_bytes(begun: &Begun) -> u64 {
    let part_bytes = part_bytes(begun.num_bytes);
    let left = |index: u64| begun.num_bytes.saturating_sub(index.saturating_mul(part_bytes));
    begun.parts.keys().map(|index| left(*index as u64).min(part_bytes)).sum()
}

fn ensure_digest(file: &SentFile, path: &Path, found: Digest) -> Result<(), TransferError> {
    if found == file.digest {
        return Ok(());
    }
    Err(TransferError::Damaged {
        path: path.to_owned(),
        found: format!("its digest is {found}"),
        expected: file.digest.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_more_parts_than_stores_take() {
        const MIB: u64 = 1 << 20;
        for num_bytes in [1, 8 * MIB, 9 * MIB, 80_000 * MIB, 80_001 * MIB, 5 << 40] {
            let part = part_bytes(num_bytes);
            assert!(
                num_bytes.div_ceil(part) <= MOST_PARTS && part.is_multiple_of(MIB) && part >= 8 * MIB,
                "{num_bytes}"
            );
        }
        assert_eq!(part_bytes(80_000 * MIB), 8 * MIB);
        assert_eq!(part_bytes(80_001 * MIB), 9 * MIB);
    }
}
