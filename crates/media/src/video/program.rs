//! MPEG program streams, as far as their packets tell whether one is missing: each begins with a start code and states its size
//! (ISO/IEC 13818-1, section 2.5; ISO/IEC 11172-1, section 2.4).

use std::io;

use super::input::ByteSource;

/// What begins a pack, which holds packets.
const PACK: [u8; 4] = [0, 0, 1, 0xba];

/// How the packets of a program stream end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// With the file, or with something else that no packet follows.
    Whole,
    /// Within a packet.
    Cut,
    /// With something else, after which there are more.
    Lost,
}

/// Reads the headers of all packets.
pub(super) fn walk_program(source: &ByteSource) -> io::Result<Program> {
    let mut start = 0;
    while start < source.num_bytes {
        let mut head = [0; 14];
        let filled = source.read_at(start, &mut head)?;
        let num_bytes = match head {
            [0, 0, 1, 0xba, kind, .., stuffing] if kind & 0xc0 == 0x40 => 14 + u64::from(stuffing & 7),
            [0, 0, 1, 0xba, ..] => 12,
            // The end of a program. Another one may follow it.
            [0, 0, 1, 0xb9, ..] => 4,
            [0, 0, 1, kind, high, low, ..] if kind > 0xba => 6 + u64::from(u16::from_be_bytes([high, low])),
            // The end of a file may lie within a start code.
            _ if filled < 4 && PACK.starts_with(head.split_at(filled).0) => return Ok(Program::Cut),
            _ if source.contains_after(start, &PACK)? => return Ok(Program::Lost),
            // Of a file that was not completed, the rest is zeros; a packet that is whole hardly ends with some.
            _ if is_zero(source, start.saturating_sub(16))? => return Ok(Program::Cut),
            _ => return Ok(Program::Whole),
        };
        start += num_bytes;
    }
    Ok(if start > source.num_bytes { Program::Cut } else { Program::Whole })
}

/// Whether there are zeros from here on, as far as one looks.
fn is_zero(source: &ByteSource, start: u64) -> io::Result<bool> {
    let mut bytes = [0xff; 64];
    let filled = source.read_at(start, &mut bytes)?;
    Ok(bytes.iter().take(filled).all(|byte| *byte == 0))
}
