//! Whether the pieces of an ASF (WMV) file follow each other: each packet of the file holds pieces of frames, and each piece says of
//! which frame of its stream it is, and where in it (Advanced Systems Format, revision 1.20.05, section 5.2).

use std::collections::BTreeMap;
use std::io;

use super::ending::ASF_FILE_PROPERTIES;
use super::input::{ByteSource, HEAD_BYTES};

/// The object that holds all packets.
const DATA: [u8; 16] = [0x36, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0x00, 0xaa, 0x00, 0x62, 0xce, 0x6c];

/// Bytes of that object before its first packet.
const DATA_HEADER_BYTES: u64 = 50;

/// Largest packet that is read, in bytes. Writers use up to 64 KiB.
const MAX_PACKET_BYTES: u64 = 1 << 20;

/// Where the packets of a file are.
struct Packets {
    start: u64,
    end: u64,
    packet_bytes: u64,
}

/// A piece of a frame.
struct Piece {
    stream: u8,
    /// The number of the frame in its stream, which starts again at 0 where it reaches `modulus`.
    number: u64,
    modulus: u64,
    /// How many more frames it holds, if it holds several.
    num_more: u64,
    /// Where the piece starts in the frame.
    start: u64,
    end: u64,
    frame_bytes: u64,
}

/// What is known of the last frame of a stream.
struct LastFrame {
    number: u64,
    end: u64,
    frame_bytes: u64,
}

/// Whether a piece is missing or unreadable.
pub(super) fn is_asf_broken(source: &ByteSource) -> io::Result<bool> {
    let Some(Packets { mut start, end, packet_bytes }) = Packets::find(source)? else { return Ok(false) };
    let mut streams: BTreeMap<u8, LastFrame> = BTreeMap::new();
    let mut packet = vec![0; usize::try_from(packet_bytes).unwrap_or_default()];
    while start.saturating_add(packet_bytes) <= end {
        source.read_at(start, &mut packet)?;
        let Some(pieces) = pieces(&packet) else { return Ok(true) };
        for piece in pieces {
            let is_next = |last: &LastFrame| piece.follows(last);
            if streams.get(&piece.stream).is_some_and(|last| !is_next(last)) {
                return Ok(true);
            }
            let number = (piece.number + piece.num_more) % piece.modulus;
            let last = LastFrame { number, end: piece.end, frame_bytes: piece.frame_bytes };
            streams.insert(piece.stream, last);
        }
        start += packet_bytes;
    }
    Ok(false)
}

impl Packets {
    /// `None` if the file does not say where they are, or how large.
    fn find(source: &ByteSource) -> io::Result<Option<Self>> {
        let mut head = vec![0; HEAD_BYTES];
        let num_bytes = source.read_at(0, &mut head)?;
        head.truncate(num_bytes);
        let number = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let packet_bytes = || {
            let properties = head.get(memchr::memmem::find(&head, &ASF_FILE_PROPERTIES)?..)?;
            let sizes = number(properties, 92)?;
            let (smallest, largest) = (sizes & 0xffff_ffff, sizes >> 32);
            (smallest == largest && (1..=MAX_PACKET_BYTES).contains(&largest)).then_some(largest)
        };
        let (Some(packet_bytes), Some(start)) = (packet_bytes(), number(&head, 16)) else { return Ok(None) };
        let mut data = [0; 24];
        source.read_at(start, &mut data)?;
        if !data.starts_with(&DATA) {
            return Ok(None);
        }
        // What was not finished states no size.
        let stated = number(&data, 16).filter(|&size| size > DATA_HEADER_BYTES);
        let end = stated.map_or(source.num_bytes, |size| start.saturating_add(size).min(source.num_bytes));
        Ok(Some(Self { start: start.saturating_add(DATA_HEADER_BYTES), end, packet_bytes }))
    }
}

impl Piece {
    fn follows(&self, last: &LastFrame) -> bool {
        if self.start > 0 {
            return self.number == last.number && self.start == last.end;
        }
        last.end == last.frame_bytes && self.number == (last.number + 1) % self.modulus
    }
}

/// The pieces in a packet; `None` if it is no packet.
fn pieces(packet: &[u8]) -> Option<Vec<Piece>> {
    let mut fields = Fields(packet);
    let first = fields.number(1)?;
    // Where there are bytes for the correction of errors, they come first.
    let flags = if first & 0x80 == 0 {
        first
    } else {
        fields.take(first & 15)?;
        fields.number(1)?
    };
    let kinds = fields.number(1)?;
    let _packet_bytes = fields.sized(flags >> 5)?;
    let _sequence = fields.sized(flags >> 1)?;
    let padding_bytes = fields.sized(flags >> 3)?;
    let _time = fields.take(6)?;
    let is_multiple = flags & 1 != 0;
    let count = if is_multiple { fields.number(1)? } else { 1 };
    let mut pieces = Vec::new();
    for _ in 0..count & 63 {
        let stream = (fields.number(1)? & 127) as u8;
        let modulus = 1 << (8 * width(kinds >> 4));
        let number = fields.sized(kinds >> 4)?;
        let start = fields.sized(kinds >> 2)?;
        let about_bytes = fields.sized(kinds)?;
        let mut about = Fields(fields.take(about_bytes)?);
        let num_bytes =
            if is_multiple { fields.sized(count >> 6)? } else { (fields.0.len() as u64).checked_sub(padding_bytes)? };
        let contents = fields.take(num_bytes)?;
        if about_bytes == 1 {
            // Several whole frames, each after its size; the number is that of the first.
            let num_more = Fields(contents).num_sized()?.saturating_sub(1);
            pieces.push(Piece { stream, number, modulus, num_more, start: 0, end: num_bytes, frame_bytes: num_bytes });
            continue;
        }
        let frame_bytes = if about_bytes >= 8 { about.number(4)? } else { start + num_bytes };
        pieces.push(Piece { stream, number, modulus, num_more: 0, start, end: start + num_bytes, frame_bytes });
    }
    Some(pieces)
}

/// Bytes of a field whose size is one of four.
fn width(kind: u64) -> u64 {
    match kind & 3 {
        3 => 4,
        bytes => bytes,
    }
}

/// The rest of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, num_bytes: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(num_bytes).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, num_bytes: u64) -> Option<u64> {
        Some(self.take(num_bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn sized(&mut self, kind: u64) -> Option<u64> {
        self.number(width(kind))
    }

    /// How many parts there are, each after its size in a byte.
    fn num_sized(mut self) -> Option<u64> {
        let mut count = 0;
        while !self.0.is_empty() {
            let num_bytes = self.number(1)?;
            self.take(num_bytes)?;
            count += 1;
        }
        Some(count)
    }
}
