//! The units that streams of H.264 and HEVC consist of, in files and in packets.
//!
//! It does not look into them.

use std::io;

use ffmpeg_next::codec::Id;
use memchr::memmem;

use super::input::ByteSource;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Bytes of a unit that hold what is read of it.
const HEAD_BYTES: usize = 512;

/// What begins a unit of a bare stream.
const START_CODE: [u8; 3] = [0, 0, 1];

/// Visits the beginnings of all units of a bare stream, each with what follows it where it is short.
pub(super) fn visit_units(source: &ByteSource, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut start = 0;
    loop {
        let num_bytes = source.read_at(start, &mut buffer)?;
        let (filled, _) = buffer.split_at(num_bytes);
        let is_end = num_bytes < CHUNK_BYTES;
        // What is cut off here is whole in the next chunk.
        let last = if is_end { num_bytes } else { CHUNK_BYTES - HEAD_BYTES };
        for at in memmem::find_iter(filled, &START_CODE).take_while(|at| *at < last) {
            let unit = filled.get(at + START_CODE.len()..).unwrap_or_default();
            visit(beginning_of(unit));
        }
        if is_end {
            return Ok(());
        }
        start += last as u64;
    }
}

/// How the units of a packet are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Before each is its size, in so many bytes.
    Sizes(usize),
    /// Start codes are between them.
    StartCodes,
    Unknown,
}

impl Framing {
    /// As the headers say that a container keeps apart from packets (ISO/IEC 14496-15, sections 5.3.3.1 and 8.3.3.1).
    pub(super) fn of(codec: Id, headers: &[u8]) -> Self {
        let position = if codec == Id::H264 { 4 } else { 21 };
        match headers {
            [1, ..] => headers.get(position).map_or(Self::Unknown, |flags| Self::Sizes(usize::from(flags & 3) + 1)),
            [] | [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Self::StartCodes,
            _ => Self::Unknown,
        }
    }
}

/// The units of a packet, each after its size. Ends where a size is beyond the packet.
pub(super) fn sized_units(mut packet: &[u8], size_bytes: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, rest) = packet.split_at_checked(size_bytes)?;
        let num_bytes = size.iter().fold(0, |size: usize, byte| size << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(num_bytes)?;
        packet = rest;
        Some(unit)
    })
}

/// The beginnings of the units of a packet that start codes are between, each with what follows it where it is short.
pub(super) fn bare_units(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let after = |at| packet.get(at + START_CODE.len()..).unwrap_or_default();
    memmem::find_iter(packet, &START_CODE).map(move |at| beginning_of(after(at)))
}

fn beginning_of(unit: &[u8]) -> &[u8] {
    unit.get(..HEAD_BYTES - START_CODE.len()).unwrap_or(unit)
}
