//! The size of an MP4's tables, before FFmpeg opens it: it makes an entry of each sample, in memory, for each edit that shows
//! it, and cannot be interrupted. A few bytes can claim billions.
//!
//! Nothing but counts is read here.

use manyframe_core::RejectCode;

use super::input::ByteSource;
use super::packet::MAX_PACKETS;
use crate::error::MediaError;

/// Upper bound on samples of all tracks, those of uncompressed sound excepted: FFmpeg groups these.
const MAX_SAMPLES: u64 = 2 * MAX_PACKETS as u64;

/// Upper bound on a track's samples times the edits that may show them.
const MAX_EDITED_SAMPLES: u64 = 2 * MAX_PACKETS as u64;

/// Samples of uncompressed sound that FFmpeg makes one entry of.
const GROUPED_SAMPLES: u64 = 1024;

/// Boxes that hold other boxes.
const PARENTS: [&[u8; 4]; 13] = [
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"udta", b"clip", b"tref", b"sinf",
];

/// Upper bound on boxes within boxes.
const MAX_DEPTH: usize = 16;

/// Boxes with a number of entries.
const TABLES: [&[u8; 4]; 9] = [b"stsz", b"stz2", b"elst", b"stts", b"hdlr", b"stco", b"co64", b"stsc", b"trun"];

/// Upper bound on boxes: 70 hours of fragments of a second.
const MAX_BOXES: u64 = 1 << 21;

/// The tables of a track: numbers of their entries, as far as there are bytes for them.
#[derive(Debug, Default)]
struct TrackTables {
    num_samples: u64,
    num_edits: u64,
    is_sound: bool,
    /// Whether each sample takes one tick, as those of uncompressed sound do.
    is_one_tick: bool,
    num_chunks: u64,
    samples_per_chunk: u64,
}

/// All tables of a file.
struct Tables<'s> {
    source: &'s ByteSource,
    num_boxes: u64,
    num_samples: u64,
    track: TrackTables,
}

/// Rejects an MP4 with tables that FFmpeg would need very much time or memory for.
pub(super) fn check_tables(source: &ByteSource) -> Result<(), MediaError> {
    let mut tables = Tables { source, num_boxes: 0, num_samples: 0, track: TrackTables::default() };
    tables.read_boxes(0, source.num_bytes, 0)
}

impl Tables<'_> {
    /// Reads the boxes from `start` to `end`.
    fn read_boxes(&mut self, mut start: u64, end: u64, depth: usize) -> Result<(), MediaError> {
        while start.saturating_add(8) <= end {
            self.num_boxes += 1;
            if self.num_boxes > MAX_BOXES {
                let detail = format!("an MP4 of more than {MAX_BOXES} boxes");
                return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
            }
            let mut head = [0; 16];
            self.read(start, &mut head)?;
            let [s0, s1, s2, s3, k0, k1, k2, k3, large @ ..] = head;
            let (head_bytes, num_bytes) = match u32::from_be_bytes([s0, s1, s2, s3]) {
                0 => (8, end - start),
                1 => (16, u64::from_be_bytes(large)),
                small => (8, u64::from(small)),
            };
            if num_bytes < head_bytes {
                return Ok(());
            }
            let (contents, next) = (start + head_bytes, start.saturating_add(num_bytes));
            self.read_box([k0, k1, k2, k3], contents, next.min(end), depth)?;
            start = next;
        }
        Ok(())
    }

    fn read_box(&mut self, kind: [u8; 4], start: u64, end: u64, depth: usize) -> Result<(), MediaError> {
        if &kind == b"cmov" {
            let detail = "its index (moov) is compressed, which is not read: it may inflate without a bound";
            return Err(MediaError::rejected(RejectCode::MediaType, detail));
        }
        if PARENTS.contains(&&kind) && depth < MAX_DEPTH {
            if &kind == b"trak" {
                self.track = TrackTables::default();
            }
            self.read_boxes(start, end, depth + 1)?;
            return if &kind == b"trak" { self.check_track() } else { Ok(()) };
        }
        if !TABLES.contains(&&kind) {
            return Ok(());
        }
        let num_bytes = end.saturating_sub(start);
        let mut words = [0; 20];
        self.read(start, &mut words)?;
        let word = |number: usize| {
            let bytes = words.get(4 * number..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)))
        };
        let track = &mut self.track;
        match &kind {
            // Samples of one size have no entries.
            b"stsz" if word(1) != 0 => track.num_samples = track.num_samples.max(word(2)),
            b"stsz" | b"stz2" => track.num_samples = track.num_samples.max(word(2).min(num_bytes.saturating_mul(2))),
            b"elst" => track.num_edits = track.num_edits.max(word(1).min(num_bytes / 12)),
            b"stts" => track.is_one_tick = word(1) == 1 && word(3) == 1,
            b"hdlr" => track.is_sound |= words.get(8..12) == Some(&b"soun"[..]),
            b"stco" | b"co64" => track.num_chunks = word(1).min(num_bytes / 4),
            b"stsc" => {
                self.track.samples_per_chunk = self.most_samples_per_chunk(start, word(1).min(num_bytes / 12))?;
            }
            b"trun" => return self.add_samples(word(1)),
            _ => {}
        }
        Ok(())
    }

    fn most_samples_per_chunk(&self, start: u64, num_entries: u64) -> Result<u64, MediaError> {
        // Each entry takes 12 bytes of the file.
        let mut entries = vec![0; usize::try_from(num_entries * 12).unwrap_or(0)];
        self.read(start + 8, &mut entries)?;
        let (entries, _) = entries.as_chunks::<12>();
        let number = |entry: &[u8; 12]| {
            let [_, _, _, _, samples @ .., _, _, _, _] = *entry;
            u64::from(u32::from_be_bytes(samples))
        };
        Ok(entries.iter().map(number).max().unwrap_or(0))
    }

    fn check_track(&mut self) -> Result<(), MediaError> {
        let TrackTables { num_samples, num_edits, is_sound, is_one_tick, num_chunks, samples_per_chunk } = self.track;
        let num_entries = if is_sound && is_one_tick {
            num_chunks.saturating_mul(samples_per_chunk.div_ceil(GROUPED_SAMPLES))
        } else {
            num_samples
        };
        if num_edits.saturating_mul(num_entries) > MAX_EDITED_SAMPLES {
            let detail = format!(
                "an edit list of {num_edits} entries for {num_entries} samples, at most {MAX_EDITED_SAMPLES} edited samples \
                 are read"
            );
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        self.add_samples(num_entries)
    }

    fn add_samples(&mut self, number: u64) -> Result<(), MediaError> {
        self.num_samples = self.num_samples.saturating_add(number);
        if self.num_samples > MAX_SAMPLES {
            let detail = format!("its tables claim {} samples, at most {MAX_SAMPLES} are read", self.num_samples);
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        Ok(())
    }

    fn read(&self, position: u64, buffer: &mut [u8]) -> Result<usize, MediaError> {
        self.source.read_at(position, buffer).map_err(|error| MediaError::storage(self.source.file.path(), error))
    }
}
