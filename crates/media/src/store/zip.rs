//! The members of a zip archive, from its central directory. Local headers and member bytes are not read here.

use std::io::{BufReader, Read};

use manyframe_base::{InputFile, InputReader, is_store_failure};
use manyframe_core::RejectCode;
use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::index::{ArchiveMember, MemberCompression, MemberLocation};
use super::links::{ArchiveLink, add_links};
use super::request::member_name;

/// Size of a local file header without its name and extra field (APPNOTE 4.3.7).
pub(crate) const LOCAL_HEADER_BYTES: usize = 30;

/// Lists the members of a zip.
pub(crate) fn list_zip_members(file: &InputFile) -> Result<Vec<ArchiveMember>, ZipError> {
    let mut archive = ZipArchive::new(BufReader::with_capacity(1 << 16, file.reader(0)))?;
    let mut members = Vec::with_capacity(archive.len());
    let mut links = Vec::new();
    for position in 0..archive.len() {
        let entry = archive.by_index_data(position)?;
        if entry.is_dir() {
            continue;
        }
        // A name that cannot be decoded or leaves the archive is never requested.
        let Some(name) = entry.name().ok().and_then(|name| member_name(&name)) else { continue };
        if entry.is_symlink() {
            links.push((position, name));
        } else {
            members.push(ArchiveMember { name: name.into(), location: location(&entry) });
        }
    }
    let links = links.into_iter().map(|(position, name)| link(&mut archive, position, name));
    add_links(&mut members, &links.collect::<Result<Vec<ArchiveLink>, ZipError>>()?);
    Ok(members)
}

/// A symbolic link; its target is its content.
fn link(
    archive: &mut ZipArchive<BufReader<InputReader>>,
    position: usize,
    name: String,
) -> Result<ArchiveLink, ZipError> {
    const MAX_TARGET_BYTES: u64 = 4096;
    let mut target = String::new();
    let read = archive.by_index(position).map(|member| member.take(MAX_TARGET_BYTES).read_to_string(&mut target));
    match read {
        Ok(Ok(_)) => Ok(ArchiveLink::soft(name, &target)),
        Ok(Err(error)) | Err(ZipError::Io(error)) if is_store_failure(&error) => Err(ZipError::Io(error)),
        _ => Ok(ArchiveLink { name, target: None }),
    }
}

/// Length of the local header whose first bytes these are; `None` if they are not a local header.
pub(crate) fn local_header_length(header: &[u8; LOCAL_HEADER_BYTES]) -> Option<u64> {
    let [b'P', b'K', 3, 4, .., name_0, name_1, extra_0, extra_1] = *header else { return None };
    let variable = u64::from(u16::from_le_bytes([name_0, name_1])) + u64::from(u16::from_le_bytes([extra_0, extra_1]));
    Some(LOCAL_HEADER_BYTES as u64 + variable)
}

fn location(entry: &ZipFileEntry<'_>) -> MemberLocation {
    let unreadable = |code, reason| MemberLocation::Unreadable { code, reason };
    if entry.encrypted() {
        return unreadable(RejectCode::UnsupportedMedia, "is encrypted");
    }
    let compression = match entry.compression() {
        CompressionMethod::Stored if entry.compressed_size() == entry.size() => MemberCompression::Stored,
        CompressionMethod::Stored => return unreadable(RejectCode::MediaCorrupt, "has two different sizes"),
        CompressionMethod::Deflated => MemberCompression::Deflated,
        _ => return unreadable(RejectCode::UnsupportedMedia, "is neither stored nor deflated; repack the archive"),
    };
    MemberLocation::AfterHeader {
        header_offset: entry.header_start(),
        num_compressed_bytes: entry.compressed_size(),
        num_bytes: entry.size(),
        crc32: entry.crc32(),
        compression,
    }
}
