//! What the threads of a process are working on, in a file that outlives the process.
//!
//! ```text
//! 0     4 KiB      what the whole process does: six numbers
//! 4096  16 KiB     the first thread: sequence number (odd while it works), parts done, length, description
//!       16 KiB     the second thread …
//! ```
//!
//! Writing is two small writes for each piece of work and one for each part of it, without a flush: a killed process has left them
//! with the system.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const THREADS_START: u64 = 4096;
const THREAD_BYTES: u64 = 16 << 10;
const HEAD_BYTES: usize = 24;
const MAX_DESCRIPTION_BYTES: usize = THREAD_BYTES as usize - HEAD_BYTES;

static NEXT_THREAD: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: u64 = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
    /// Odd while the thread works.
    static SEQUENCE: Cell<u64> = const { Cell::new(0) };
    /// While the thread works: where that is noted, and how many parts of it are done.
    static PARTS: RefCell<Option<(Arc<File>, u64)>> = const { RefCell::new(None) };
}

/// The file, open for the threads of one process.
#[derive(Debug)]
pub struct InFlight {
    file: Arc<File>,
}

/// What one thread was working on when the file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkInFlight {
    /// The thread, from 0.
    pub thread: u64,
    /// Differs from piece to piece of a thread's work.
    pub sequence: u64,
    /// Parts of it that are done, such as images and frames.
    pub num_parts: u64,
    /// What it is working on.
    pub description: Vec<u8>,
}

/// The end of a piece of work, when it is dropped.
#[derive(Debug)]
pub struct Entered<'a>(Option<&'a InFlight>);

impl InFlight {
    /// A file that is empty, or was written by an earlier process whose work is forgotten.
    ///
    /// # Errors
    ///
    /// If it cannot be cut.
    pub fn new(file: File) -> io::Result<Self> {
        if file.metadata()?.len() > THREADS_START {
            file.set_len(THREADS_START)?;
        }
        Ok(Self { file: Arc::new(file) })
    }

    /// Notes that this thread works on something until the result is dropped. What is nested in other work is not noted, and
    /// neither is what cannot be written: a build does not fail for it.
    pub fn enter(&self, description: &[u8]) -> Entered<'_> {
        let sequence = SEQUENCE.get();
        if !sequence.is_multiple_of(2) || description.len() > MAX_DESCRIPTION_BYTES {
            return Entered(None);
        }
        SEQUENCE.set(sequence + 1);
        PARTS.set(Some((Arc::clone(&self.file), 0)));
        let mut bytes = (sequence + 1).to_le_bytes().to_vec();
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend((description.len() as u64).to_le_bytes());
        bytes.extend_from_slice(description);
        _ = self.file.write_all_at(&bytes, start_of(THREAD.with(|thread| *thread)));
        Entered(Some(self))
    }

    /// Keeps a number about the whole process.
    pub fn set_number(&self, index: usize, number: u64) {
        _ = self.file.write_all_at(&number.to_le_bytes(), 8 * index as u64);
    }

    /// A number that this process, or an earlier one, has kept; 0 if none has.
    pub fn number(&self, index: usize) -> u64 {
        read_number(&self.file, index)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(in_flight) = self.0 {
            let sequence = SEQUENCE.get() + 1;
            SEQUENCE.set(sequence);
            PARTS.set(None);
            _ = in_flight.file.write_all_at(&sequence.to_le_bytes(), start_of(THREAD.with(|thread| *thread)));
        }
    }
}

/// Notes that a part of what this thread works on is done: an image, or a frame. Whoever watches the process knows from it that
/// work which takes long goes on. Nothing, if its work is not noted.
pub fn part_done() {
    PARTS.with_borrow_mut(|parts| {
        let Some((file, num_parts)) = parts else { return };
        *num_parts += 1;
        _ = file.write_all_at(&num_parts.to_le_bytes(), start_of(THREAD.with(|thread| *thread)) + 8);
    });
}

fn start_of(thread: u64) -> u64 {
    THREADS_START + thread * THREAD_BYTES
}

/// A number about the whole process that wrote the file; 0 if it wrote none.
pub fn read_number(file: &File, index: usize) -> u64 {
    read_u64(file, 8 * index as u64).unwrap_or(0)
}

/// What the threads of the process that writes the file are working on.
pub fn read_in_flight(file: &File) -> Vec<WorkInFlight> {
    let num_bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let num_threads = num_bytes.saturating_sub(THREADS_START).div_ceil(THREAD_BYTES);
    (0..num_threads).filter_map(|thread| read_thread(file, thread)).collect()
}

fn read_thread(file: &File, thread: u64) -> Option<WorkInFlight> {
    let start = start_of(thread);
    let sequence = read_u64(file, start).filter(|sequence| !sequence.is_multiple_of(2))?;
    let num_parts = read_u64(file, start + 8)?;
    let length = usize::try_from(read_u64(file, start + 16)?).ok().filter(|length| *length <= MAX_DESCRIPTION_BYTES)?;
    let mut description = vec![0; length];
    file.read_exact_at(&mut description, start + HEAD_BYTES as u64).ok()?;
    Some(WorkInFlight { thread, sequence, num_parts, description })
}

fn read_u64(file: &File, position: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, position).ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(file: &File) -> Vec<String> {
        let mut all: Vec<String> =
            read_in_flight(file).into_iter().map(|work| String::from_utf8(work.description).unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn work_is_in_flight_until_it_is_dropped() {
        let file = tempfile::tempfile().unwrap();
        let in_flight = InFlight::new(file.try_clone().unwrap()).unwrap();
        let first = in_flight.enter(b"first, with a longer description");
        let nested = in_flight.enter(b"nested");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = in_flight.enter(b"second");
                assert_eq!(described(&file), ["first, with a longer description", "second"]);
            });
        });
        drop(nested);
        assert_eq!(described(&file), ["first, with a longer description"]);
        drop(first);
        assert!(described(&file).is_empty());
        let again = in_flight.enter(b"again");
        assert_eq!(described(&file), ["again"]);
        InFlight::new(file.try_clone().unwrap()).unwrap();
        assert!(described(&file).is_empty());
        drop(again);
    }

    #[test]
    fn parts_are_counted_in_each_piece_of_work() {
        let file = tempfile::tempfile().unwrap();
        let in_flight = InFlight::new(file.try_clone().unwrap()).unwrap();
        let num_parts = || read_in_flight(&file).iter().map(|work| work.num_parts).collect::<Vec<_>>();
        part_done();
        let first = in_flight.enter(b"first");
        assert_eq!(num_parts(), [0]);
        let nested = in_flight.enter(b"nested");
        part_done();
        drop(nested);
        part_done();
        assert_eq!(num_parts(), [2]);
        drop(first);
        part_done();
        let second = in_flight.enter(b"second");
        assert_eq!(num_parts(), [0]);
        drop(second);
    }

    #[test]
    fn numbers_stay_when_work_is_forgotten() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(read_number(&file, 2), 0);
        InFlight::new(file.try_clone().unwrap()).unwrap().set_number(2, 77);
        _ = InFlight::new(file.try_clone().unwrap()).unwrap().enter(b"x");
        assert_eq!(read_number(&file, 2), 77);
    }
}
