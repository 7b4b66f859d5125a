//! Whether the parts of a recording follow each other as they should: demuxers pass over what they do not understand, and the
//! frames in it are lost without a word.
//!
//! This reads headers of all parts, and is asked only where frames may be missing.

use std::collections::BTreeMap;
use std::io;

use super::ending::{
    FlvTags, MATROSKA_CLUSTER, MATROSKA_SEGMENT, contains_after, ends_with_tag, read_element, read_flv_tags,
};
use super::input::ByteSource;

/// `MATROSKA_CLUSTER`, as it is stored.
const CLUSTER_MARK: [u8; 4] = [0x1f, 0x43, 0xb6, 0x75];

/// Bytes of a packet of a transport stream.
const TRANSPORT_BYTES: u64 = 188;

/// Streams of a transport stream below this are tables, which tell of the others.
const FIRST_STREAM: u16 = 0x20;

/// Packets in a row that are no accident.
const SURE_PACKETS: usize = 3;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Whether a part of the file is damaged or missing, as far as its container can tell.
pub(super) fn is_broken(source: &ByteSource) -> io::Result<bool> {
    let mut head = [0; 196];
    source.read_at(0, &mut head)?;
    match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => is_matroska_broken(source),
        // Where a file does not end with a tag, something else follows the last one.
        [b'F', b'L', b'V', ..] => Ok(read_flv_tags(source)? == FlvTags::Lost && ends_with_tag(source)?),
        [b'O', b'g', b'g', b'S', ..] => is_ogg_broken(source),
        _ if is_transport(&head, 0, TRANSPORT_BYTES) => is_transport_broken(source, 0, TRANSPORT_BYTES),
        // With four bytes of time before each packet.
        _ if is_transport(&head, 4, TRANSPORT_BYTES + 4) => is_transport_broken(source, 4, TRANSPORT_BYTES + 4),
        _ => Ok(false),
    }
}

/// Elements of a segment and of its clusters lie within those that hold them.
fn is_matroska_broken(source: &ByteSource) -> io::Result<bool> {
    let (mut start, mut segment_end, mut cluster_end) = (0, source.num_bytes, 0);
    let mut is_sized = false;
    while start < segment_end {
        // What follows a segment without a stated size is not a part of it.
        let is_lost = || Ok(is_sized || contains_after(source, start, &CLUSTER_MARK)?);
        let Some((id, header_bytes, size)) = read_element(source, start)? else { return is_lost() };
        let contents = start + header_bytes;
        let holder_end = if start < cluster_end { cluster_end } else { segment_end };
        let end = size.map_or(holder_end, |size| contents.saturating_add(size));
        if end > holder_end {
            return is_lost();
        }
        match id {
            MATROSKA_SEGMENT => (segment_end, is_sized) = (end, size.is_some()),
            MATROSKA_CLUSTER => cluster_end = if size.is_some() { end } else { 0 },
            _ if size.is_none() => return is_lost(),
            _ => {}
        }
        start = if matches!(id, MATROSKA_SEGMENT | MATROSKA_CLUSTER) { contents } else { end };
    }
    Ok(false)
}

/// The pages of each stream are numbered, and have a checksum.
fn is_ogg_broken(source: &ByteSource) -> io::Result<bool> {
    const PAGE_HEADER_BYTES: usize = 27;
    let mut next_of_stream: BTreeMap<[u8; 4], u32> = BTreeMap::new();
    let mut start = 0;
    loop {
        let mut head = [0; PAGE_HEADER_BYTES + 255];
        if source.read_at(start, &mut head)? < PAGE_HEADER_BYTES {
            return Ok(false);
        }
        let (head, sizes) = head.split_at(PAGE_HEADER_BYTES);
        let [b'O', b'g', b'g', b'S', _, flags, .., num_sizes] = head else {
            // Something else may follow the last page.
            return contains_after(source, start, b"OggS");
        };
        let field = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        let (stream, number) = (field(14), u32::from_le_bytes(field(18)));
        let is_first = flags & 2 != 0;
        if next_of_stream.insert(stream, number.wrapping_add(1)).is_some_and(|next| next != number) && !is_first {
            return Ok(true);
        }
        let sizes = sizes.iter().take((*num_sizes).into());
        let num_bytes: u64 = sizes.clone().map(|size| u64::from(*size)).sum();
        let mut page = vec![0; PAGE_HEADER_BYTES + sizes.len() + num_bytes as usize];
        // A page that was cut short is the end.
        if source.read_at(start, &mut page)? < page.len() {
            return Ok(false);
        }
        start += page.len() as u64;
        // The checksum counts as zeros in what it is of.
        let expected = u32::from_le_bytes(field(22));
        page.iter_mut().skip(22).take(4).for_each(|byte| *byte = 0);
        if ogg_checksum(&page) != expected {
            return Ok(true);
        }
    }
}

/// CRC-32 of Ogg: the polynomial 0x04c11db7, highest bit first.
fn ogg_checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        let sum = sum ^ u32::from(*byte) << 24;
        (0..8).fold(sum, |sum, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 })
    })
}

fn is_transport(head: &[u8], first: usize, packet_bytes: u64) -> bool {
    [first, first + packet_bytes as usize].iter().all(|&start| head.get(start) == Some(&0x47))
}

/// The packets of each stream of a transport stream are numbered, modulo 16.
fn is_transport_broken(source: &ByteSource, first: u64, packet_bytes: u64) -> io::Result<bool> {
    let mut number_of_stream: BTreeMap<u16, u8> = BTreeMap::new();
    let mut buffer = vec![0; CHUNK_BYTES - CHUNK_BYTES % packet_bytes as usize];
    let mut start = first;
    // After something that is not a packet: how many packets follow.
    let mut num_resumed: Option<usize> = None;
    loop {
        let num_bytes = source.read_at(start, &mut buffer)?;
        let (filled, _) = buffer.split_at(num_bytes);
        for packet in filled.chunks(packet_bytes as usize) {
            let [0x47, high, low, flags, adaptation_bytes, adaptation, ..] = *packet else {
                // At the end it may be anything.
                num_resumed = Some(0);
                continue;
            };
            if let Some(number) = &mut num_resumed {
                *number += 1;
                if *number == SURE_PACKETS {
                    return Ok(true);
                }
                continue;
            }
            let stream = u16::from_be_bytes([high & 0x1f, low]);
            let (has_payload, number) = (flags & 0x10 != 0, flags & 15);
            let is_joint = flags & 0x20 != 0 && adaptation_bytes > 0 && adaptation & 0x80 != 0;
            if stream == 0x1fff || !has_payload {
                continue;
            }
            // An appended recording begins with its tables, and counts the packets of each stream from 0.
            if stream < FIRST_STREAM && number == 0 {
                number_of_stream.clear();
            }
            let before = number_of_stream.insert(stream, number);
            // A packet may come twice.
            let follows = |before: u8| number == before || number == (before + 1) & 15;
            if !is_joint && before.is_some_and(|before| !follows(before)) {
                return Ok(true);
            }
        }
        if num_bytes < buffer.len() {
            return Ok(false);
        }
        start += num_bytes as u64;
    }
}
