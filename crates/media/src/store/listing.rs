//! Listings of tars that are kept: a tar has no directory of its members, and to find them all takes a read for each.
//!
//! A listing is told by the path, size and modification time of its archive. One that cannot be kept or read costs time only.
//!
//! ```text
//! kind offset num_bytes name ␀ … ␀ end number_of_members ␀
//! ```

use std::fs::Metadata;
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use manyframe_base::{AtomicFile, FileError};
use tracing::debug;

use super::index::{Member, Place};
use super::tar;

/// Raised whenever a tar would be listed differently.
const VERSION: u32 = 1;

/// Kinds of members.
const RANGE: u8 = 0;
const LINK: u8 = 1;
const SPECIAL: u8 = 2;

/// The members of a tar as they are kept in a directory; listed, and then kept, if they are not.
pub(crate) fn kept_or_listed(
    directory: Option<&Path>,
    archive: &Path,
    metadata: &Metadata,
    list: impl FnOnce() -> io::Result<Vec<Member>>,
) -> io::Result<Vec<Member>> {
    let Some(path) = directory.and_then(|directory| Some(directory.join(file_name(archive, metadata)?))) else {
        return list();
    };
    if let Some(members) = std::fs::read(&path).ok().and_then(|bytes| read(&bytes)) {
        return Ok(members);
    }
    let members = list()?;
    if let Err(error) = write(&path, &members) {
        debug!(?path, %error, "the listing of a tar is not kept");
    }
    Ok(members)
}

fn file_name(archive: &Path, metadata: &Metadata) -> Option<String> {
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let told_by = format!("{VERSION} {} {} {}", archive.display(), metadata.len(), modified.as_nanos());
    Some(format!("{}.members", blake3::hash(told_by.as_bytes()).to_hex().get(..24)?))
}

fn write(path: &Path, members: &[Member]) -> Result<(), FileError> {
    let write_error = |error| FileError::write(path)(error);
    let mut file = AtomicFile::create(path)?;
    for member in members {
        let (kind, offset, num_bytes) = match member.place {
            Place::Range { offset, num_bytes } => (RANGE, offset, num_bytes),
            place if place == tar::LINK => (LINK, 0, 0),
            _ => (SPECIAL, 0, 0),
        };
        write!(file, "{kind} {offset} {num_bytes} {}\0", member.name).map_err(write_error)?;
    }
    write!(file, "end {}\0", members.len()).map_err(write_error)?;
    file.publish()
}

/// `None` if it is not whole.
fn read(bytes: &[u8]) -> Option<Vec<Member>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (listing, end) = text.strip_suffix('\0')?.rsplit_once("end ")?;
    let lines = listing.split_terminator('\0');
    let members: Vec<Member> = lines.map(member).collect::<Option<_>>()?;
    (members.len() == end.parse::<usize>().ok()?).then_some(members)
}

fn member(line: &str) -> Option<Member> {
    let mut fields = line.splitn(4, ' ');
    let kind = fields.next()?.parse().ok()?;
    let (offset, num_bytes) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let place = match kind {
        RANGE => Place::Range { offset, num_bytes },
        LINK => tar::LINK,
        SPECIAL => tar::SPECIAL,
        _ => return None,
    };
    Some(Member { name: fields.next()?.into(), place })
}
