//! An object, read at any position: in requests that are large where it is read from end to end, and small where it is not.
//!
//! ```text
//! far from anything read before    64 KiB from there
//! close after the last request      four times as much as that one, up to 8 MiB
//! ```
//!
//! What the last requests brought is kept, so that headers and footers, which readers take in pieces of a few bytes, cost one
//! request each.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use manyframe_base::ReadAt;

/// Bytes of a request that does not go on where another one ended.
const FIRST_BYTES: u64 = 64 << 10;
/// Bytes of a request while an object is read from end to end.
const MOST_BYTES: u64 = 8 << 20;
/// Whoever passes over fewer bytes than this is still reading from end to end, as are demuxers that look at the start of each
/// packet.
const MOST_PASSED_OVER: u64 = FIRST_BYTES;
/// Requests whose bytes are kept.
const MOST_KEPT: usize = 3;

/// Reads a range of an object that is known to have it.
type Fetch = Arc<dyn Fn(Range<u64>) -> io::Result<Vec<u8>> + Send + Sync>;

/// An object of known size.
pub(crate) struct RemoteFile {
    num_bytes: u64,
    fetch: Fetch,
    kept: Mutex<VecDeque<Arc<Piece>>>,
}

/// What a request brought.
struct Piece {
    start: u64,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Copies what it has of the bytes from `offset` on; returns how many these are.
    fn copy(&self, buffer: &mut [u8], offset: u64) -> usize {
        let Some(first) = offset.checked_sub(self.start) else { return 0 };
        let found = self.bytes.get(first as usize..).unwrap_or_default();
        let num_bytes = found.len().min(buffer.len());
        let (found, _) = found.split_at(num_bytes);
        let (target, _) = buffer.split_at_mut(num_bytes);
        target.copy_from_slice(found);
        num_bytes
    }
}

impl RemoteFile {
    pub(crate) fn new(
        num_bytes: u64,
        fetch: impl Fn(Range<u64>) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self { num_bytes, fetch: Arc::new(fetch), kept: Mutex::default() }
    }

    fn kept(&self, offset: u64) -> Option<Arc<Piece>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|piece| (piece.start..piece.end()).contains(&offset)).cloned()
    }

    /// The range to ask for, so that `least` bytes from `offset` on are there.
    fn window(&self, offset: u64, least: u64) -> Range<u64> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let precedes = |piece: &&Arc<Piece>| (piece.end()..=piece.end() + MOST_PASSED_OVER).contains(&offset);
        let before = kept.iter().filter(precedes).map(|piece| piece.bytes.len() as u64).max();
        drop(kept);
        let wished = before.map_or(FIRST_BYTES, |before| (before * 4).min(MOST_BYTES)).max(least);
        let end = self.num_bytes.min(offset.saturating_add(wished));
        // At the end of a file, what precedes is likely to be asked for, too: it is where tables have their footer.
        let start = if before.is_none() && end == self.num_bytes { end.saturating_sub(wished) } else { offset };
        start.min(offset)..end
    }

    fn fetch(&self, offset: u64, least: u64) -> io::Result<Arc<Piece>> {
        let range = self.window(offset, least);
        let piece = Arc::new(Piece { start: range.start, bytes: (self.fetch)(range)? });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front(Arc::clone(&piece));
        kept.truncate(MOST_KEPT);
        Ok(piece)
    }
}

impl ReadAt for RemoteFile {
    fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.num_bytes);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (mut rest, mut position) = (buffer, offset);
        while !rest.is_empty() {
            let piece = match self.kept(position) {
                Some(piece) => piece,
                None => self.fetch(position, rest.len() as u64)?,
            };
            let num_bytes = piece.copy(rest, position);
            if num_bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (_, rest) = rest.split_at_mut(num_bytes);
            position += num_bytes as u64;
        }
        Ok(())
    }

    fn apart(&self) -> Option<Arc<dyn ReadAt>> {
        Some(Arc::new(Self { num_bytes: self.num_bytes, fetch: Arc::clone(&self.fetch), kept: Mutex::default() }))
    }
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFile").field("num_bytes", &self.num_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A file of this size, and the ranges that are asked for.
    fn file(num_bytes: u64) -> (RemoteFile, mpsc::Receiver<Range<u64>>) {
        let (asked, ranges) = mpsc::channel();
        let asked = Mutex::new(asked);
        let fetch = move |range: Range<u64>| {
            asked.lock().unwrap().send(range.clone()).unwrap();
            Ok(range.map(|position| (position % 251) as u8).collect())
        };
        (RemoteFile::new(num_bytes, fetch), ranges)
    }

    #[test]
    fn a_file_that_is_read_from_end_to_end_takes_few_requests() {
        let (file, ranges) = file(20 << 20);
        let mut piece = [0; 10_000];
        for start in (0..(20_u64 << 20) - 10_000).step_by(10_000) {
            file.read_exact_at(&mut piece, start).unwrap();
            assert_eq!(piece[0], (start % 251) as u8);
        }
        let sizes: Vec<u64> = ranges.try_iter().map(|range| range.end - range.start).collect();
        assert_eq!(sizes[..5], [64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20]);
        assert_eq!(sizes.len(), 6);
    }

    #[test]
    fn single_places_take_small_requests_and_a_footer_one() {
        let (file, ranges) = file(20 << 20);
        let end = 20 << 20;
        let mut word = [0; 8];
        for offset in [end - 8, end - 5000, 7_000_000, 7_000_100, 12_000_000, end - 3000] {
            file.read_exact_at(&mut word, offset).unwrap();
            assert_eq!(word[0], (offset % 251) as u8);
        }
        let asked: Vec<_> = ranges.try_iter().collect();
        let footer = end - (64 << 10)..end;
        assert_eq!(asked, [footer, 7_000_000..7_065_536, 12_000_000..12_065_536]);
    }

    #[test]
    fn readers_apart_do_not_disturb_each_other() {
        let (file, ranges) = file(20 << 20);
        let other = file.apart().unwrap();
        let mut piece = vec![0; 50_000];
        for start in (0..2_000_000).step_by(50_000) {
            file.read_exact_at(&mut piece, start).unwrap();
            other.read_exact_at(&mut piece, start + 9_000_000).unwrap();
        }
        assert_eq!(ranges.try_iter().count(), 8);
    }

    #[test]
    fn passing_over_little_is_reading_from_end_to_end() {
        let (file, ranges) = file(20 << 20);
        for start in (0..(20 << 20) - 100).step_by(60_000) {
            file.read_exact_at(&mut [0; 64], start).unwrap();
        }
        assert!(ranges.try_iter().count() < 10);
    }

    #[test]
    fn nothing_beyond_the_end_is_asked_for() {
        let (file, ranges) = file(100);
        assert!(file.read_exact_at(&mut [0; 8], 95).is_err());
        assert!(file.read_exact_at(&mut [0; 8], u64::MAX).is_err());
        file.read_exact_at(&mut [], 100).unwrap();
        assert_eq!(ranges.try_iter().count(), 0);
        file.read_exact_at(&mut [0; 8], 92).unwrap();
        assert_eq!(ranges.try_iter().next(), Some(0..100));
    }
}
