//! MPEG transport streams, as far as their packets tell whether one is missing: each has a mark, and those of a stream are numbered.

use std::collections::BTreeMap;
use std::io;

use super::input::ByteSource;

/// The first byte of a packet.
const MARK: u8 = 0x47;

/// Streams below this are tables, which tell of the others.
const FIRST_STREAM: u16 = 0x20;

/// Marks in a row that are no accident.
const SURE_PACKETS: usize = 4;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// How packets are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransportForm {
    /// Bytes before the first packet: of those with a time before each.
    first: usize,
    /// Bytes from one packet to the next.
    step: usize,
}

impl TransportForm {
    /// Plain packets, packets with four bytes of time before each, and packets with sixteen bytes for the correction of errors.
    const ALL: [Self; 3] = [Self { first: 0, step: 188 }, Self { first: 4, step: 192 }, Self { first: 0, step: 204 }];

    /// That of a file which begins with these bytes; `None` if it is no transport stream.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let has_mark = |form: &Self, packet: usize| head.get(form.first + packet * form.step) == Some(&MARK);
        Self::ALL.into_iter().find(|form| (0..2).all(|packet| has_mark(form, packet)))
    }

    /// Whether the file ends within a packet.
    pub(super) fn is_cut(self, source: &ByteSource) -> io::Result<bool> {
        let step = self.step as u64;
        let last = source.num_bytes - source.num_bytes % step;
        for packet in 0..SURE_PACKETS as u64 {
            let mut mark = [0];
            let start = last.saturating_sub(packet * step) + self.first as u64;
            if source.read_at(start, &mut mark)? == 0 || mark != [MARK] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a packet is missing or unreadable. What follows the last one may be anything; of recordings that are joined, only what
    /// is between packets counts.
    pub(super) fn is_broken(self, source: &ByteSource, is_joined: bool) -> io::Result<bool> {
        let mut last_of_stream: BTreeMap<u16, u8> = BTreeMap::new();
        let mut pictures: BTreeMap<u16, Pictures> = BTreeMap::new();
        let mut buffer = vec![0; CHUNK_BYTES - CHUNK_BYTES % self.step];
        let mut start = self.first as u64;
        loop {
            let num_bytes = source.read_at(start, &mut buffer)?;
            let (filled, _) = buffer.split_at(num_bytes);
            for (packet, lost_at) in filled.chunks(self.step).zip((start..).step_by(self.step)) {
                let [MARK, high, low, flags, adaptation_bytes, adaptation, ..] = *packet else {
                    return self.goes_on_after(source, lost_at);
                };
                let stream = u16::from_be_bytes([high & 0x1f, low]);
                let (has_payload, number) = (flags & 0x10 != 0, flags & 15);
                let is_joint = flags & 0x20 != 0 && adaptation_bytes > 0 && adaptation & 0x80 != 0;
                if stream == 0x1fff || !has_payload {
                    continue;
                }
                if high & 0x40 != 0 {
                    let before = if flags & 0x20 != 0 { 5 + usize::from(adaptation_bytes) } else { 4 };
                    pictures.entry(stream).or_default().add(packet.get(before..).unwrap_or_default());
                }
                // An appended recording begins with its tables, and counts the packets of each stream from 0.
                if stream < FIRST_STREAM && number == 0 {
                    last_of_stream.clear();
                }
                let before = last_of_stream.insert(stream, number);
                // A packet may come twice.
                let follows = |before: u8| number == before || number == (before + 1) & 15;
                if !is_joined && !is_joint && before.is_some_and(|before| !follows(before)) {
                    return Ok(true);
                }
            }
            if num_bytes < buffer.len() {
                return Ok(pictures.values().any(Pictures::are_broken));
            }
            start += num_bytes as u64;
        }
    }

    /// Whether there are packets somewhere after a position: some in a row, or fewer at the very end, in step with those before.
    fn goes_on_after(self, source: &ByteSource, mut start: u64) -> io::Result<bool> {
        let step = self.step as u64;
        let is_in_step = (source.num_bytes + self.first as u64).saturating_sub(start).is_multiple_of(step);
        let mut last = [0];
        source.read_at(source.num_bytes.saturating_sub(step - self.first as u64), &mut last)?;
        if is_in_step && last == [MARK] {
            return Ok(true);
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let num_bytes = source.read_at(start, &mut buffer)?;
            let (filled, _) = buffer.split_at(num_bytes);
            let begins_packets = |at: usize| (0..SURE_PACKETS).all(|n| filled.get(at + n * self.step) == Some(&MARK));
            if memchr::memchr_iter(MARK, filled).any(begins_packets) {
                return Ok(true);
            }
            if num_bytes < buffer.len() {
                return Ok(false);
            }
            start += (CHUNK_BYTES - (SURE_PACKETS - 1) * self.step) as u64;
        }
    }
}

/// How the units of a stream of pictures begin (ISO/IEC 13818-1, section 2.4.3.6).
#[derive(Debug, Default)]
struct Pictures {
    /// Units with a time whose contents begin with a start code, as encoders of MPEG, H.264 and HEVC have them.
    aligned: usize,
    /// Those whose contents begin otherwise.
    others: usize,
    /// Those without a header.
    headless: usize,
}

impl Pictures {
    /// What begins each unit, and within most each picture.
    const START_CODE: [u8; 3] = [0, 0, 1];

    /// Units may be this many times those that begin otherwise, where these are damaged.
    const ALIGNED_PER_OTHER: usize = 4;

    /// Counts a unit, of which these are the first bytes.
    fn add(&mut self, unit: &[u8]) {
        let [0, 0, 1, 0xe0..=0xef, _, _, _, fields, header_bytes, rest @ ..] = unit else {
            // What is too short to be a header may go on in the next packet.
            self.headless += usize::from(unit.len() > 8);
            return;
        };
        // One without a time goes on with the picture of the one before.
        if fields & 0x80 == 0 {
            return;
        }
        let contents = rest.get(usize::from(*header_bytes)..).unwrap_or_default();
        // It may go on in the next packet.
        let begins =
            contents.iter().position(|byte| *byte > 0).and_then(|zeros| contents.get(zeros.saturating_sub(2)..));
        match begins {
            Some(begins) if begins.starts_with(&Self::START_CODE) => self.aligned += 1,
            Some(_) => self.others += 1,
            None => {}
        }
    }

    /// Whether some began as others do, until they were overwritten. Of tables and sound, nothing is said.
    fn are_broken(&self) -> bool {
        let others = self.others + self.headless;
        others > 0 && self.aligned >= Self::ALIGNED_PER_OTHER * others
    }
}
