//! Zeros in a tar: those that end an archive, and those that are in place of members.
//!
//! An archive ends with two blocks of zeros, and with more up to the end of a record: 20 blocks, or as many as `-b` of GNU tar and
//! bsdtar says (POSIX, `pax`: "ustar Interchange Format"). A download that ended early, or a disk after a crash, leaves any number.
//! Zeros that take the place of members and end exactly where a record would cannot be told from its end.

use std::io;
use std::ops::Range;

use manyframe_base::ReadAt;

/// Headers and members start at multiples of this.
pub(super) const BLOCK_BYTES: u64 = 512;

/// The record of most archives, in bytes.
const RECORD_BYTES: u64 = 20 * BLOCK_BYTES;

/// The largest record that is known as one, in bytes.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// Most zeros at the end of an archive with the record of most, in bytes: one block too many for the record in which its members end.
const MAX_END_BYTES: u64 = RECORD_BYTES + BLOCK_BYTES;

/// Bytes that are read at once.
const ZEROS_AT_ONCE: u64 = 1 << 16;

/// Endings of files whose last bytes are never zeros.
const NEVER_ENDS_IN_ZEROS: [&str; 9] = ["jpg", "jpeg", "png", "gif", "json", "jsonl", "txt", "text", "caption"];

/// Blocks of zeros in a tar, after an archive that begins at `start`.
pub(super) struct Zeros {
    /// Where the archive begins.
    pub start: u64,
    /// Where they are.
    pub range: Range<u64>,
}

impl Zeros {
    /// Whether they may be the end of the archive, with another one joined to it: two blocks, or up to the end of a record. One
    /// block alone is what some programs leave where an archive was extended.
    pub(super) fn may_be_between(&self) -> bool {
        self.num_bytes() == BLOCK_BYTES || self.is_end()
    }

    /// Whether they may be the end of the archive and of the file. Within the length of common ones, any number may.
    pub(super) fn may_be_last(&self) -> bool {
        self.num_bytes() <= MAX_END_BYTES || self.is_end()
    }

    fn num_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn is_end(&self) -> bool {
        let length = self.range.end - self.start;
        let least = self.range.start - self.start + 2 * BLOCK_BYTES;
        let powers = std::iter::successors(Some(BLOCK_BYTES), |record| Some(record * 2));
        let mut records = powers.take_while(|&record| record <= MAX_RECORD_BYTES).chain([RECORD_BYTES]);
        records.any(|record| least.checked_next_multiple_of(record) == Some(length))
    }
}

/// The first position in a range, which begins with a block, at which a block has something else than zeros; or its end.
pub(super) fn end_of_zeros(file: &dyn ReadAt, range: Range<u64>) -> io::Result<u64> {
    let mut chunk = vec![0; ZEROS_AT_ONCE as usize];
    let mut position = range.start;
    while position < range.end {
        chunk.truncate((range.end - position).min(ZEROS_AT_ONCE) as usize);
        file.read_exact_at(&mut chunk, position)?;
        if let Some(index) = chunk.iter().position(|&byte| byte != 0) {
            return Ok((position + index as u64) / BLOCK_BYTES * BLOCK_BYTES);
        }
        position += chunk.len() as u64;
    }
    Ok(range.end)
}

/// Whether the content of a member ends with a block of zeros, or is nothing else, although files of its kind do not: zeros that
/// follow it began within it.
pub(super) fn begin_within(file: &dyn ReadAt, name: &str, content: Range<u64>) -> io::Result<bool> {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if content.is_empty() || !NEVER_ENDS_IN_ZEROS.iter().any(|known| known.eq_ignore_ascii_case(ending)) {
        return Ok(false);
    }
    let num_bytes = (content.end - content.start).min(BLOCK_BYTES);
    let mut tail = vec![0; num_bytes as usize];
    file.read_exact_at(&mut tail, content.end - num_bytes)?;
    Ok(tail.iter().all(|&byte| byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_two_blocks_and_the_rest_of_a_record() {
        for (members, end, between, last) in [
            (1024, 2048, true, true),
            (1024, 1536, true, true),
            (1024, 10_240, true, true),
            (9_728, 20_480, true, true),
            (1024, 1024 + 5 * 512, false, true),
            (1024, 20_480, false, false),
            (30_720, 30_720 + 11_264, false, false),
            // `-b 128` and `-b 2048`.
            (1024, 65_536, true, true),
            (65_536, 131_072, true, true),
            (65_536, 196_608, false, false),
            (1024, 1 << 20, true, true),
            (1024, 2 << 20, false, false),
        ] {
            for start in [0, 7 * 512] {
                let zeros = Zeros { start, range: start + members..start + end };
                assert_eq!((zeros.may_be_between(), zeros.may_be_last()), (between, last), "{members} {end}");
            }
        }
    }
}
