//! Checksums that files keep of videos: of members of zips, and of the clusters of Matroska (RFC 8794, section 11.3.1), as FFmpeg
//! writes them.
//!
//! Decoders notice half of all damage at best: arithmetic codes turn any bits into a picture. Where nobody kept a sum, that is all there
//! is.

use std::io;
use std::ops::Range;

use flate2::Crc;
use manyframe_core::RejectCode;

use super::ending::{MATROSKA_CLUSTER, MATROSKA_SEGMENT, read_element};
use super::index::{Identity, VideoIndex};
use super::input::ByteSource;
use super::packet::VideoPacket;
use super::runs::{PacketRun, plan_runs};
use crate::error::MediaError;

/// The element with the checksum of those that follow it in the same element.
const MATROSKA_CRC_32: u64 = 0xbf;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Compares a stored member of a zip with its checksum.
///
/// # Errors
/// A rejection if it has another one, or [`MediaError::Storage`].
pub(super) fn check_member(source: &ByteSource) -> Result<(), MediaError> {
    let Some(expected) = source.crc32 else { return Ok(()) };
    let found = sum_of(source, 0..source.num_bytes).map_err(|error| MediaError::storage(source.file.path(), error))?;
    if found == expected {
        return Ok(());
    }
    let detail = format!("the checksum of the archive's member is {found:08x}, expected {expected:08x}");
    Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
}

/// The clusters of a Matroska file that these packets need, and that have another checksum than they state.
///
/// # Errors
/// [`MediaError::Storage`].
pub(super) fn damaged_clusters(
    source: &ByteSource,
    index: &VideoIndex,
    needed_packets: &[usize],
) -> Result<Vec<Range<u64>>, MediaError> {
    let range_of = |run: &PacketRun| {
        let packets = index.packets.get(run.first..=run.last).unwrap_or_default();
        let start = packets.iter().map(|packet| u64::try_from(packet.position).unwrap_or_default()).min()?;
        Some(start..packets.iter().map(VideoPacket::end).max()?)
    };
    let needed: Vec<Range<u64>> = match index.identity {
        Identity::Packet => plan_runs(&index.packets, needed_packets).iter().filter_map(range_of).collect(),
        // Frames are counted from the start.
        Identity::Order => std::iter::once(0..source.num_bytes).collect(),
    };
    damaged_among(source, &needed).map_err(|error| MediaError::storage(source.file.path(), error))
}

/// The damaged clusters that hold some of these bytes.
fn damaged_among(source: &ByteSource, needed: &[Range<u64>]) -> io::Result<Vec<Range<u64>>> {
    let mut damaged = Vec::new();
    let mut start = 0;
    while start < source.num_bytes {
        let Some((id, header_bytes, size)) = read_element(source, start)? else { break };
        let contents = start + header_bytes;
        if id == MATROSKA_SEGMENT {
            start = contents;
            continue;
        }
        // Without a size, the next element is not known. Elements of a file that was cut are known to be incomplete.
        let end = size.and_then(|size| contents.checked_add(size)).filter(|end| *end <= source.num_bytes);
        let Some(end) = end else { break };
        let is_needed = || needed.iter().any(|range| range.start < end && start < range.end);
        if id == MATROSKA_CLUSTER && is_needed() && !is_as_stated(source, contents..end)? {
            damaged.push(start..end);
        }
        start = end;
    }
    Ok(damaged)
}

/// Whether the contents of an element have the checksum that they begin with, if they do.
fn is_as_stated(source: &ByteSource, contents: Range<u64>) -> io::Result<bool> {
    let Some((MATROSKA_CRC_32, header_bytes, Some(4))) = read_element(source, contents.start)? else { return Ok(true) };
    let mut stated = [0; 4];
    let sum_at = contents.start + header_bytes;
    source.read_at(sum_at, &mut stated)?;
    Ok(sum_of(source, sum_at + 4..contents.end)? == u32::from_le_bytes(stated))
}

fn sum_of(source: &ByteSource, range: Range<u64>) -> io::Result<u32> {
    let (mut crc, mut chunk) = (Crc::new(), vec![0; CHUNK_BYTES]);
    let mut position = range.start;
    while position < range.end {
        let wanted = (range.end - position).min(CHUNK_BYTES as u64) as usize;
        let filled = source.read_at(position, chunk.split_at_mut(wanted).0)?;
        if filled == 0 {
            break;
        }
        crc.update(chunk.split_at(filled).0);
        position += filled as u64;
    }
    Ok(crc.sum())
}
