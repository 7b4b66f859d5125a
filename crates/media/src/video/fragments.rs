//! Whether fragments of an MP4 are missing: what says where they are, and what is left of them behind the last box that is read
//! (ISO/IEC 14496-12, sections 8.8 and 8.16.3).

use std::io;
use std::ops::Range;

use super::boxes::OuterBoxes;
use super::input::ByteSource;

/// Upper bound on the bytes of a list of fragments that is read.
const MOST_LIST_BYTES: u64 = 1 << 26;

/// The number of a fragment, a box of one size. Its fragment is around it.
const FRAGMENT_NUMBER: [u8; 8] = *b"\0\0\0\x10mfhd";

/// What can follow the payload of a fragment.
const FOLLOWING: [&[u8; 4]; 10] =
    [b"moof", b"mfra", b"sidx", b"styp", b"emsg", b"prft", b"free", b"skip", b"uuid", b"mdat"];

/// Whether fragments are missing or damaged.
pub(super) fn lacks_fragments(source: &ByteSource, boxes: &OuterBoxes) -> io::Result<bool> {
    for index in &boxes.indexes {
        if stated_end(source, index)?.is_some_and(|end| end > source.num_bytes) {
            return Ok(true);
        }
    }
    Ok(source.contains_after(boxes.end, b"moof")?
        || source.contains_after(boxes.end, &FRAGMENT_NUMBER)?
        || has_payload_after(source, boxes.end)?
        || lacks_listed(source)?)
}

/// Where the last fragment ends that a `sidx` names.
fn stated_end(source: &ByteSource, index: &Range<u64>) -> io::Result<Option<u64>> {
    Ok(List::read(source, index)?.num_referenced().and_then(|num_bytes| index.end.checked_add(num_bytes)))
}

/// Whether a list at the end of the file (`mfra`) names fragments that are not where it says, and others that are.
fn lacks_listed(source: &ByteSource) -> io::Result<bool> {
    let mut last = [0; 16];
    source.read_at(source.num_bytes.saturating_sub(16), &mut last)?;
    let [0, 0, 0, 16, b'm', b'f', b'r', b'o', _, _, _, _, size @ ..] = last else { return Ok(false) };
    let Some(start) = source.num_bytes.checked_sub(u32::from_be_bytes(size).into()) else { return Ok(false) };
    let mut at_end = List::read(source, &(start..source.num_bytes))?;
    let Some(mut places) = at_end.fragments() else { return Ok(false) };
    places.sort_unstable();
    places.dedup();
    let mut num_found = 0;
    for place in &places {
        let mut head = [0; 8];
        source.read_at(*place, &mut head)?;
        num_found += usize::from(head.ends_with(b"moof"));
    }
    // One that is wrong altogether says nothing about the file.
    Ok((1..places.len()).contains(&num_found))
}

/// Whether payload of a fragment is somewhere after a position: a box that ends with the file, or before another.
fn has_payload_after(source: &ByteSource, mut start: u64) -> io::Result<bool> {
    const CHUNK_BYTES: usize = 1 << 16;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let num_bytes = source.read_at(start, &mut buffer)?;
        let (filled, _) = buffer.split_at(num_bytes);
        for at in memchr::memmem::find_iter(filled, b"mdat") {
            let size = at.checked_sub(4).and_then(|at| filled.get(at..)?.first_chunk());
            let Some(size) = size.map(|size| u64::from(u32::from_be_bytes(*size))).filter(|size| *size > 8) else {
                continue;
            };
            let end = start + at as u64 - 4 + size;
            let mut next = [0; 8];
            let is_followed =
                source.read_at(end, &mut next)? == next.len() && FOLLOWING.iter().any(|kind| next.ends_with(*kind));
            if end == source.num_bytes || is_followed {
                return Ok(true);
            }
        }
        if num_bytes < CHUNK_BYTES {
            return Ok(false);
        }
        start += (CHUNK_BYTES - 8) as u64;
    }
}

/// Bytes of a list that are read in order.
struct List {
    bytes: Vec<u8>,
    position: usize,
}

impl List {
    fn read(source: &ByteSource, range: &Range<u64>) -> io::Result<Self> {
        let num_bytes = range.end.saturating_sub(range.start).min(MOST_LIST_BYTES);
        let mut bytes = vec![0; usize::try_from(num_bytes).unwrap_or(0)];
        let filled = source.read_at(range.start, &mut bytes)?;
        bytes.truncate(filled);
        Ok(Self { bytes, position: 0 })
    }

    /// A number of so many bytes.
    fn number(&mut self, num_bytes: usize) -> Option<u64> {
        let end = self.position.checked_add(num_bytes)?;
        let bytes = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// How many bytes a `sidx` box refers to, from its end on.
    fn num_referenced(&mut self) -> Option<u64> {
        let is_long = self.number(4)? >> 24 > 0;
        let (_track, _ticks_per_second) = (self.number(4)?, self.number(4)?);
        let width = if is_long { 8 } else { 4 };
        let (_time, mut num_bytes) = (self.number(width)?, self.number(width)?);
        for _ in 0..self.number(4)? & 0xffff {
            let (size, _duration, _access) = (self.number(4)?, self.number(4)?, self.number(4)?);
            num_bytes = num_bytes.checked_add(size & 0x7fff_ffff)?;
        }
        Some(num_bytes)
    }

    /// Where the fragments of an `mfra` box are.
    fn fragments(&mut self) -> Option<Vec<u64>> {
        let is = |kind: &[u8; 4], number: u64| number == u64::from(u32::from_be_bytes(*kind));
        self.number(4)?;
        if !is(b"mfra", self.number(4)?) {
            return None;
        }
        let mut places = Vec::new();
        loop {
            let start = self.position;
            let (size, kind) = (usize::try_from(self.number(4)?).ok()?, self.number(4)?);
            if is(b"mfro", kind) {
                return Some(places);
            }
            if is(b"tfra", kind) {
                let width = if self.number(4)? >> 24 > 0 { 8 } else { 4 };
                let (_track, widths, number) = (self.number(4)?, self.number(4)? as usize, self.number(4)?);
                let further = (widths >> 4 & 3) + (widths >> 2 & 3) + (widths & 3) + 3;
                for _ in 0..number {
                    let (_time, place) = (self.number(width)?, self.number(width)?);
                    places.push(place);
                    self.number(further)?;
                }
            }
            self.position = start.checked_add(size.max(8))?;
        }
    }
}
