//! Whether the parts of a recording follow each other as they should: demuxers pass over what they do not understand, and the
//! frames in it are lost without a word.
//!
//! This reads headers of all parts, and is asked only where frames may be missing.

use std::io;

use ffmpeg_next::codec::Id;

use super::asf::is_asf_broken;
use super::ending::{KEY_MARK, MATROSKA_CLUSTER, MATROSKA_SEGMENT, ivf_header_bytes, read_element, read_key};
use super::flv::is_flv_broken;
use super::h264;
use super::hevc;
use super::input::ByteSource;
use super::ogg::is_ogg_broken;
use super::program::{Program, walk_program};
use super::real_media::{RealMedia, walk_real_media};
use super::transport::TransportForm;

/// `MATROSKA_CLUSTER`, as it is stored.
const CLUSTER_MARK: [u8; 4] = [0x1f, 0x43, 0xb6, 0x75];

/// Blocks of a Matroska cluster with what belongs to them.
const MATROSKA_GROUP: u64 = 0xa0;

/// Bytes of the longest header of a Matroska element.
const MOST_HEADER_BYTES: u64 = 12;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Bytes at the start of a file by which its container is known.
const HEAD_BYTES: usize = 512;

/// Whether a part of the file is damaged or missing, as far as its container, or the codec of a bare stream, can tell. Where several
/// recordings are joined, the numbers of packets start again in each.
pub(super) fn is_broken(source: &ByteSource, codec: Id, is_joined: bool) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    source.read_at(0, &mut head)?;
    match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => is_matroska_broken(source),
        [b'R', b'I', b'F', b'F', ..] => is_riff_broken(source),
        [b'F', b'L', b'V', ..] => is_flv_broken(source),
        [b'.', b'R', b'M', b'F', ..] => Ok(walk_real_media(source)? == RealMedia::Lost),
        [b'O', b'g', b'g', b'S', ..] => is_ogg_broken(source),
        [0x30, 0x26, 0xb2, 0x75, ..] => is_asf_broken(source),
        [0x06, 0x0e, 0x2b, 0x34, ..] => is_mxf_broken(source),
        [b'D', b'K', b'I', b'F', ..] => is_ivf_broken(source),
        [0, 0, 1, 0xba, ..] => Ok(walk_program(source)? == Program::Lost),
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Ok(has_hole(source)? || lacks_pictures(source, codec)?),
        _ => TransportForm::of(&head).map_or(Ok(false), |form| form.is_broken(source, is_joined)),
    }
}

/// Whether the pictures of a bare stream say that others are missing.
fn lacks_pictures(source: &ByteSource, codec: Id) -> io::Result<bool> {
    match codec {
        Id::H264 => h264::lacks_pictures(source),
        Id::HEVC => hevc::lacks_pictures(source),
        _ => Ok(false),
    }
}

/// Elements of a segment, of its clusters and of the groups in them lie within those that hold them.
fn is_matroska_broken(source: &ByteSource) -> io::Result<bool> {
    let (mut start, mut segment_end, mut cluster_end, mut group_end) = (0, u64::MAX, 0, 0);
    let mut is_sized = false;
    while start < segment_end.min(source.num_bytes) {
        // What follows a segment without a stated size is not a part of it, but what is in a cluster is.
        let is_lost = || Ok(is_sized || start < cluster_end || source.contains_after(start, &CLUSTER_MARK)?);
        let Some((id, header_bytes, size)) = read_element(source, start)? else {
            // An element that was cut within its header is the end.
            return if start + MOST_HEADER_BYTES > source.num_bytes { Ok(false) } else { is_lost() };
        };
        let contents = start + header_bytes;
        let holders = [group_end, cluster_end];
        let holder_end = holders.into_iter().find(|end| start < *end).unwrap_or(segment_end);
        let end = size.map_or(holder_end, |size| contents.saturating_add(size));
        if end > holder_end {
            return is_lost();
        }
        match id {
            MATROSKA_SEGMENT => (segment_end, is_sized) = (end, size.is_some()),
            MATROSKA_CLUSTER => cluster_end = if size.is_some() { end } else { 0 },
            _ if size.is_none() => return is_lost(),
            MATROSKA_GROUP => group_end = end,
            // The file was cut within this element, unless others follow.
            _ if end > source.num_bytes => return source.contains_after(contents, &CLUSTER_MARK),
            _ => {}
        }
        start = if matches!(id, MATROSKA_SEGMENT | MATROSKA_CLUSTER | MATROSKA_GROUP) { contents } else { end };
    }
    Ok(false)
}

/// Chunks of an AVI have names, and follow each other to the end of their `RIFF`.
fn is_riff_broken(source: &ByteSource) -> io::Result<bool> {
    let (mut start, mut riff_end) = (0, source.num_bytes);
    loop {
        let mut header = [0; 8];
        if source.read_at(start, &mut header)? < header.len() {
            return Ok(false);
        }
        let [name @ .., s0, s1, s2, s3] = header;
        let size = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        match &name {
            b"RIFF" => {
                // What was not finished states no size.
                let stated = Some(start + 8 + size).filter(|_| size > 0 && size < u64::from(u32::MAX));
                riff_end = stated.unwrap_or(source.num_bytes);
                start += 12;
            }
            // Something else may follow.
            _ if start >= riff_end => return Ok(false),
            b"LIST" => start += 12,
            _ if is_chunk_name(name) => {
                start += 8 + size;
                if size % 2 == 1 {
                    // It is padded, but not by all writers.
                    let mut next = [0; 4];
                    source.read_at(start, &mut next)?;
                    start += u64::from(!is_chunk_name(next));
                }
            }
            _ => return Ok(true),
        }
    }
}

fn is_chunk_name(name: [u8; 4]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ')
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

/// Whether a frame is empty, or its time is before that of the frame before it.
fn is_ivf_broken(source: &ByteSource) -> io::Result<bool> {
    let mut last_time = 0;
    let mut start = ivf_header_bytes(source)?;
    loop {
        let mut header = [0; 12];
        if source.read_at(start, &mut header)? < header.len() {
            return Ok(false);
        }
        let [s0, s1, s2, s3, time @ ..] = header;
        let (num_bytes, time) = (u32::from_le_bytes([s0, s1, s2, s3]), u64::from_le_bytes(time));
        if num_bytes == 0 || time < last_time {
            return Ok(true);
        }
        last_time = time;
        start = start.saturating_add(12 + u64::from(num_bytes));
    }
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
