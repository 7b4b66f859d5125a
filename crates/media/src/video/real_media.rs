//! `RealMedia` files, as far as their parts tell whether packets are missing: one has all packets, each after its size, and says how
//! many there are.

use std::io;

use super::input::ByteSource;

/// Bytes of the head of the part that has the packets: its name and size, a version, the number of packets, and where the next such
/// part is.
const DATA_HEAD_BYTES: u64 = 18;

/// How the packets of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RealMedia {
    /// As is stated, or nothing is.
    Whole,
    /// The file ends before they do.
    Cut,
    /// Something is between them that is no packet.
    Lost,
}

/// Reads the heads of parts and packets.
pub(super) fn walk_real_media(source: &ByteSource) -> io::Result<RealMedia> {
    let mut start = 0;
    loop {
        let mut head = [0; DATA_HEAD_BYTES as usize];
        if source.read_at(start, &mut head)? < 8 {
            return Ok(RealMedia::Whole);
        }
        let [name @ .., s0, s1, s2, s3, _, _, n0, n1, n2, n3, _, _, _, _] = head;
        let num_bytes = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
        match &name {
            // What was not finished states neither size nor number.
            b"DATA" if num_bytes > DATA_HEAD_BYTES => {
                return match u32::from_be_bytes([n0, n1, n2, n3]) {
                    0 if start + num_bytes > source.num_bytes => Ok(RealMedia::Cut),
                    number => walk_packets(source, start + DATA_HEAD_BYTES, number),
                };
            }
            b".RMF" | b"PROP" | b"MDPR" | b"CONT" | b"INDX" if num_bytes >= 8 => start += num_bytes,
            _ => return Ok(RealMedia::Whole),
        }
    }
}

/// Reads so many packets. Sizes of the part around them are not compared: FFmpeg states ten bytes more than there are.
fn walk_packets(source: &ByteSource, mut start: u64, number: u32) -> io::Result<RealMedia> {
    /// Bytes of a packet before its contents.
    const HEAD_BYTES: u64 = 12;
    for _ in 0..number {
        let mut head = [0; 4];
        if source.read_at(start, &mut head)? < head.len() {
            return Ok(RealMedia::Cut);
        }
        let [0, 0 | 1, high, low] = head else { return Ok(RealMedia::Lost) };
        let num_bytes = u64::from(u16::from_be_bytes([high, low]));
        if num_bytes < HEAD_BYTES {
            return Ok(RealMedia::Lost);
        }
        start += num_bytes;
        if start > source.num_bytes {
            return Ok(RealMedia::Cut);
        }
    }
    Ok(RealMedia::Whole)
}
