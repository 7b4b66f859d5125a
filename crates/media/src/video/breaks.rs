//! Whether the parts of a recording follow each other as they should: demuxers pass over what they do not understand, and the
//! frames in it are lost without a word.
//!
//! This reads headers of all parts, and is asked only where frames may be missing.

use std::collections::BTreeMap;
use std::io;

use super::asf::is_asf_broken;
use super::ending::{
    FlvTags, KEY_MARK, MATROSKA_CLUSTER, MATROSKA_SEGMENT, ends_with_tag, read_element, read_flv_tags, read_key,
};
use super::hevc::lacks_pictures;
use super::input::ByteSource;
use super::program::{Program, walk_program};
use super::transport::TransportForm;

/// `MATROSKA_CLUSTER`, as it is stored.
const CLUSTER_MARK: [u8; 4] = [0x1f, 0x43, 0xb6, 0x75];

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Bytes at the start of a file by which its container is known.
const HEAD_BYTES: usize = 512;

/// Whether a part of the file is damaged or missing, as far as its container can tell. Of what is joined from several recordings, each
/// counts its packets anew.
pub(super) fn is_broken(source: &ByteSource, is_joined: bool) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    source.read_at(0, &mut head)?;
    match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => is_matroska_broken(source),
        // Where a file does not end with a tag, something else follows the last one.
        [b'F', b'L', b'V', ..] => Ok(read_flv_tags(source)? == FlvTags::Lost && ends_with_tag(source)?),
        [b'O', b'g', b'g', b'S', ..] => is_ogg_broken(source),
        [0x30, 0x26, 0xb2, 0x75, ..] => is_asf_broken(source),
        [0x06, 0x0e, 0x2b, 0x34, ..] => is_mxf_broken(source),
        [0, 0, 1, 0xba, ..] => Ok(walk_program(source)? == Program::Lost),
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Ok(has_hole(source)? || lacks_pictures(source)?),
        _ => TransportForm::of(&head).map_or(Ok(false), |form| form.is_broken(source, is_joined)),
    }
}

/// Elements of a segment and of its clusters lie within those that hold them.
fn is_matroska_broken(source: &ByteSource) -> io::Result<bool> {
    let (mut start, mut segment_end, mut cluster_end) = (0, source.num_bytes, 0);
    let mut is_sized = false;
    while start < segment_end {
        // What follows a segment without a stated size is not a part of it.
        let is_lost = || Ok(is_sized || source.contains_after(start, &CLUSTER_MARK)?);
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

/// Keys follow each other to the end.
fn is_mxf_broken(source: &ByteSource) -> io::Result<bool> {
    let mut start = 0;
    while start < source.num_bytes {
        let Some((header_bytes, num_bytes)) = read_key(source, start)? else {
            return source.contains_after(start, &KEY_MARK);
        };
        start = start.saturating_add(header_bytes).saturating_add(num_bytes);
    }
    Ok(false)
}

/// Whether a bare stream has zeros that no encoder writes: many, or before something that is no start code. At the end they may be
/// there.
fn has_hole(source: &ByteSource) -> io::Result<bool> {
    const MOST_ZEROS: u64 = 64;
    let (mut start, mut num_zeros) = (0, 0);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let num_bytes = source.read_at(start, &mut buffer)?;
        let (filled, _) = buffer.split_at(num_bytes);
        for &byte in filled {
            if byte == 0 {
                num_zeros += 1;
                continue;
            }
            if num_zeros > MOST_ZEROS || (num_zeros > 2 && byte > 1) {
                return Ok(true);
            }
            num_zeros = 0;
        }
        if num_bytes < buffer.len() {
            return Ok(false);
        }
        start += num_bytes as u64;
    }
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
            return source.contains_after(start, b"OggS");
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
