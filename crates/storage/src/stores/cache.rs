//! A bounded cache on this machine for what is read of objects: blocks of 256 KiB, each a file of its own.
//!
//! ```text
//! DIRECTORY/ab/cdef…    checksum, then bytes     the name is a digest of URL, version and size of the object, and of the place
//! ```
//!
//! A block is never changed: an object that is written again has another version, and so its blocks have other names. Any number
//! of processes share a directory. A block that cannot be kept, or is damaged, costs a request.
//!
//! Those that were used longest ago are removed. Processes look at the directory after every part of its size that they
//! wrote, so that together they may exceed the bound by that much each.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use manyframe_base::ObjectState;
use manyframe_base::files::temporary_beside;
use manyframe_core::Digest;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use twox_hash::XxHash3_64;

/// Size of a block: small, so that little is fetched that nobody needs, and not so small that a cache is millions of files.
pub(crate) const BLOCK_BYTES: u64 = 256 << 10;

const CHECKSUM_BYTES: usize = 8;

/// The directory is looked at after each such part of its size was written.
const PARTS: u64 = 32;

/// Where a cache is, and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// The directory. It is made if it is missing, and holds nothing else.
    pub directory: PathBuf,
    /// Its largest size.
    pub max_bytes: u64,
}

/// An open cache.
#[derive(Debug)]
pub(crate) struct Cache {
    options: CacheOptions,
    /// Bytes that this process wrote since it looked at the directory.
    num_written: AtomicU64,
    has_failed: AtomicBool,
}

/// An object in some state, whose blocks are kept.
#[derive(Debug, Clone)]
pub(crate) struct CachedObject {
    key: Digest,
    num_bytes: u64,
}

impl CachedObject {
    pub(crate) fn new(url: &str, state: &ObjectState) -> Self {
        let num_bytes = state.num_bytes;
        Self { key: Digest::of_fields([url.as_bytes(), state.version.as_bytes(), &num_bytes.to_le_bytes()]), num_bytes }
    }

    /// The bytes of a block; the last one is shorter.
    fn block(&self, number: u64) -> Range<u64> {
        let start = number * BLOCK_BYTES;
        start..self.num_bytes.min(start + BLOCK_BYTES)
    }
}

/// The blocks that a range touches.
fn blocks(range: &Range<u64>) -> Range<u64> {
    range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES)
}

impl Cache {
    pub(crate) fn new(options: CacheOptions) -> Self {
        // The directory is looked at before the first block is kept: an earlier bound may have been larger.
        let num_written = AtomicU64::new(options.max_bytes);
        Self { options, num_written, has_failed: AtomicBool::new(false) }
    }

    /// A range of an object, which must have it: from here as far as it is here, and otherwise by `fetch`.
    pub(crate) fn read(
        &self,
        object: &CachedObject,
        range: Range<u64>,
        fetch: &dyn Fn(Range<u64>) -> io::Result<Vec<u8>>,
    ) -> io::Result<Vec<u8>> {
        let kept: Vec<Option<Vec<u8>>> = blocks(&range).map(|number| self.block(object, number)).collect();
        let (Some(first), Some(last)) = (kept.iter().position(Option::is_none), kept.iter().rposition(Option::is_none))
        else {
            return Ok(joined(&range, kept.into_iter().flatten()));
        };
        let start = blocks(&range).start;
        let missing = object.block(start + first as u64).start..object.block(start + last as u64).end;
        // Less than a block is a header, or one of many small places: what is around it may never be needed.
        if range.end - range.start < BLOCK_BYTES && missing.end - missing.start > range.end - range.start {
            return fetch(range);
        }
        let fetched = fetch(missing.clone())?;
        self.keep(object, &missing, &fetched);
        let before = kept.iter().take(first).flatten().cloned();
        let after = kept.iter().skip(last + 1).flatten().cloned();
        Ok(joined(&range, before.chain([fetched]).chain(after)))
    }

    fn path(&self, object: &CachedObject, number: u64) -> PathBuf {
        let name = Digest::of_fields([&object.key.0[..], &number.to_le_bytes()]).to_string();
        let (directory, name) = name.split_at(2);
        self.options.directory.join(directory).join(name)
    }

    /// A block, if it is here and whole.
    fn block(&self, object: &CachedObject, number: u64) -> Option<Vec<u8>> {
        let mut file = File::open(self.path(object, number)).ok()?;
        let mut checksum = [0; CHECKSUM_BYTES];
        file.read_exact(&mut checksum).ok()?;
        let range = object.block(number);
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        (&mut file).take(BLOCK_BYTES + 1).read_to_end(&mut bytes).ok()?;
        let is_whole = bytes.len() as u64 == range.end - range.start
            && XxHash3_64::oneshot(&bytes) == u64::from_le_bytes(checksum);
        if is_whole {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            // It may be removed earlier than those that were used less.
            _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
        }
        is_whole.then_some(bytes)
    }

    /// Keeps the blocks of a range, which begins and ends with one.
    fn keep(&self, object: &CachedObject, range: &Range<u64>, bytes: &[u8]) {
        for (number, block) in blocks(range).zip(bytes.chunks(BLOCK_BYTES as usize)) {
            let num_bytes = (block.len() + CHECKSUM_BYTES) as u64;
            if self.num_written.fetch_add(num_bytes, Ordering::Relaxed) >= self.options.max_bytes / PARTS {
                self.num_written.store(0, Ordering::Relaxed);
                self.report(shrink(&self.options));
            }
            self.report(write(&self.path(object, number), block));
        }
    }

    /// A cache that cannot be written is one that has nothing.
    fn report(&self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            let directory = self.options.directory.display();
            tracing::warn!(%directory, %error, "the cache cannot be written; objects are read again instead");
        }
    }
}

/// The bytes of a range, of pieces that follow each other; the first begins with a block.
fn joined(range: &Range<u64>, mut pieces: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = pieces.next().unwrap_or_default();
    pieces.for_each(|piece| bytes.extend(piece));
    let first = (range.start % BLOCK_BYTES) as usize;
    bytes.truncate(first + (range.end - range.start) as usize);
    bytes.drain(..first.min(bytes.len()));
    bytes
}

fn write(path: &Path, block: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path).map_err(|error| error.source)?;
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&XxHash3_64::oneshot(block).to_le_bytes())?;
        file.write_all(block)
    });
    // Nothing is flushed: the checksum tells whether all of it arrived.
    let published = written.and_then(|()| fs::rename(&temporary, path));
    if published.is_err() {
        _ = fs::remove_file(&temporary);
    }
    published
}

/// Removes the files that were used longest ago, until there is room for what may be written before the next look.
fn shrink(options: &CacheOptions) -> io::Result<()> {
    fs::create_dir_all(&options.directory)?;
    let lock = File::create(options.directory.join("lock"))?;
    if lock.try_lock().is_err() {
        // Another process is doing it.
        return Ok(());
    }
    let mut files = list_files(&options.directory)?;
    let mut num_bytes: u64 = files.iter().map(|(_, num_bytes, _)| num_bytes).sum();
    let allowed = options.max_bytes - options.max_bytes / PARTS * 2;
    files.sort_unstable();
    for (_, size, path) in files {
        if num_bytes <= allowed {
            break;
        }
        // It may be gone already.
        _ = fs::remove_file(path);
        num_bytes -= size;
    }
    Ok(())
}

/// The files of a cache, each with the time of its last use, and its size. What a killed process left is among them.
fn list_files(directory: &Path) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut files = Vec::new();
    for part in fs::read_dir(directory)? {
        let part = part?;
        if !part.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(part.path())? {
            let file = file?;
            // One that another process removes at this moment is none.
            if let Ok(metadata) = file.metadata() {
                files.push((metadata.modified()?, metadata.len(), file.path()));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An object, and the ranges that were fetched of it.
    struct Source {
        object: CachedObject,
        fetched: Mutex<Vec<(u64, u64)>>,
    }

    fn byte(position: u64) -> u8 {
        (position % 251) as u8
    }

    impl Source {
        fn new(name: &str, num_bytes: u64) -> Self {
            let state = ObjectState { num_bytes, version: "1".to_owned() };
            Self { object: CachedObject::new(name, &state), fetched: Mutex::default() }
        }

        fn read(&self, cache: &Cache, range: Range<u64>) {
            let fetch = |range: Range<u64>| {
                self.fetched.lock().unwrap().push((range.start, range.end));
                Ok(range.map(byte).collect())
            };
            let found = cache.read(&self.object, range.clone(), &fetch).unwrap();
            assert!(found == range.clone().map(byte).collect::<Vec<u8>>(), "{range:?}");
        }

        fn fetched(&self) -> Vec<(u64, u64)> {
            std::mem::take(&mut *self.fetched.lock().unwrap())
        }
    }

    fn cache(directory: &Path, max_bytes: u64) -> Cache {
        Cache::new(CacheOptions { directory: directory.to_owned(), max_bytes })
    }

    const BLOCK: u64 = BLOCK_BYTES;

    #[test]
    fn what_was_read_is_not_fetched_again() {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::new("a", 5 * BLOCK + 100);
        source.read(&cache(directory.path(), 1 << 30), BLOCK + 7..3 * BLOCK + 7);
        assert_eq!(source.fetched(), [(BLOCK, 4 * BLOCK)]);
        // Another process has it, too; what is missing at both ends is fetched in one request.
        let other = cache(directory.path(), 1 << 30);
        source.read(&other, 2 * BLOCK..4 * BLOCK);
        source.read(&other, 2 * BLOCK + 9..2 * BLOCK + 10);
        assert_eq!(source.fetched(), []);
        source.read(&other, 3..5 * BLOCK + 100);
        assert_eq!(source.fetched(), [(0, 5 * BLOCK + 100)]);
        source.read(&other, 5 * BLOCK + 99..5 * BLOCK + 100);
        assert_eq!(source.fetched(), []);
    }

    #[test]
    fn of_a_header_nothing_more_is_fetched() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(directory.path(), 1 << 30);
        let large = Source::new("large", 3 * BLOCK);
        large.read(&cache, 0..1000);
        assert_eq!(large.fetched(), [(0, 1000)]);
        // A small object is read whole at once.
        let small = Source::new("small", 1000);
        small.read(&cache, 0..1000);
        small.read(&cache, 10..20);
        assert_eq!(small.fetched(), [(0, 1000)]);
    }

    #[test]
    fn a_damaged_block_is_fetched_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(directory.path(), 1 << 30);
        let source = Source::new("a", 1000);
        source.read(&cache, 0..1000);
        let path = cache.path(&source.object, 0);
        let mut bytes = fs::read(&path).unwrap();
        bytes[500] ^= 1;
        manyframe_base::write_atomic(&path, &bytes).unwrap();
        source.read(&cache, 0..1000);
        manyframe_base::write_atomic(&path, &bytes[..400]).unwrap();
        source.read(&cache, 0..1000);
        source.read(&cache, 0..1000);
        assert_eq!(source.fetched().len(), 3);
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let max_bytes = 64 * (BLOCK + CHECKSUM_BYTES as u64);
        let cache = cache(directory.path(), max_bytes);
        let used = Source::new("used", BLOCK);
        for number in 0..100 {
            Source::new(&number.to_string(), BLOCK).read(&cache, 0..BLOCK);
            used.read(&cache, 0..BLOCK);
            let num_bytes: u64 = list_files(directory.path()).unwrap().iter().map(|(_, num_bytes, _)| num_bytes).sum();
            assert!(num_bytes <= max_bytes, "{num_bytes}");
        }
        assert_eq!(used.fetched().len(), 1);
        // A smaller bound applies at once.
        let smaller = self::cache(directory.path(), max_bytes / 4);
        Source::new("new", BLOCK).read(&smaller, 0..BLOCK);
        let files = list_files(directory.path()).unwrap();
        assert!(files.len() <= 16, "{}", files.len());
    }

    #[test]
    fn without_a_directory_everything_is_fetched() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        manyframe_base::write_atomic(&file, b"no directory").unwrap();
        let source = Source::new("a", 1000);
        let cache = cache(&file, 1 << 30);
        source.read(&cache, 0..1000);
        source.read(&cache, 0..1000);
        assert_eq!(source.fetched().len(), 2);
    }
}
