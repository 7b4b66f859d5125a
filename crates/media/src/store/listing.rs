//! Cached listings of tars: a tar has no central directory, so listing its members takes one read per member.
//!
//! A listing is identified by path and identity of its archive, and ends with its digest. One that cannot be
//! written or read, or is damaged, costs only time.
//!
//! ```text
//! kind offset num_bytes name ␀ … ␀ end digest ␀
//! ```
//!
//! A loss of members is a line of its own kind: its offset is the number of members before it, and its name says what is wrong.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use manyframe_base::{AtomicFile, FileError};
use tracing::debug;

use super::index::{ArchiveMember, MemberLocation};
use super::tar::{TarDamage, TarLoss, TarMembers};
use super::{links, tar};
use crate::identity::MediaIdentity;

/// Incremented whenever the listing of a tar changes.
const VERSION: u32 = 8;

/// Kinds of members.
const RANGE: u8 = 0;
const LINK: u8 = 1;
const SPECIAL: u8 = 2;

/// The kind of lines about losses.
const LOSS: &str = "3 ";

/// A file that caches the listing of a tar.
pub(crate) struct ListingCache {
    path: PathBuf,
}

impl ListingCache {
    /// The file for an archive in a directory of listings.
    pub(crate) fn of(directory: &Path, archive: &Path, identity: MediaIdentity) -> Self {
        let key = format!("{VERSION} {} {:x}", archive.display(), identity.0);
        let digest = blake3::hash(key.as_bytes()).to_hex();
        Self { path: directory.join(format!("{digest:.24}.members")) }
    }

    /// The cached members, or those that `list` returns, which are then cached.
    pub(crate) fn members_or(self, list: impl FnOnce() -> io::Result<TarMembers>) -> io::Result<TarMembers> {
        if let Some(members) = std::fs::read(&self.path).ok().and_then(|bytes| read(&bytes)) {
            return Ok(members);
        }
        let members = list()?;
        if let Err(error) = write(&self.path, &members) {
            debug!(path = ?self.path, %error, "the listing of a tar is not cached");
        }
        Ok(members)
    }
}

fn write(path: &Path, listed: &TarMembers) -> Result<(), FileError> {
    let write_error = |error| FileError::write(path)(error);
    let mut file = AtomicFile::create(path)?;
    let mut digest = blake3::Hasher::new();
    let mut write_line = |file: &mut AtomicFile, line: String| {
        digest.update(line.as_bytes());
        file.write_all(line.as_bytes()).map_err(write_error)
    };
    for member in &listed.members {
        let (kind, offset, num_bytes) = match member.location {
            MemberLocation::Range { offset, num_bytes } => (RANGE, offset, num_bytes),
            location if location == links::LINK => (LINK, 0, 0),
            _ => (SPECIAL, 0, 0),
        };
        write_line(&mut file, format!("{kind} {offset} {num_bytes} {}\0", member.name))?;
    }
    for TarLoss { damage, num_before } in &listed.losses {
        write_line(&mut file, format!("{LOSS}{num_before} 0 {}\0", damage.as_str()))?;
    }
    write!(file, "end {}\0", digest.finalize().to_hex()).map_err(write_error)?;
    file.publish()
}

/// Parses a listing; `None` if it is damaged.
fn read(bytes: &[u8]) -> Option<TarMembers> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (listing, end) = text.strip_suffix('\0')?.rsplit_once("end ")?;
    if blake3::hash(listing.as_bytes()).to_hex().as_str() != end {
        return None;
    }
    let mut listed = TarMembers::default();
    for line in listing.split_terminator('\0') {
        match line.strip_prefix(LOSS) {
            Some(text) => listed.losses.push(loss(text)?),
            None => listed.members.push(member(line)?),
        }
    }
    Some(listed)
}

fn loss(text: &str) -> Option<TarLoss> {
    let (num_before, text) = text.split_once(" 0 ")?;
    let damage = TarDamage::ALL.into_iter().find(|damage| damage.as_str() == text)?;
    Some(TarLoss { damage, num_before: num_before.parse().ok()? })
}

fn member(line: &str) -> Option<ArchiveMember> {
    let mut fields = line.splitn(4, ' ');
    let kind = fields.next()?.parse().ok()?;
    let (offset, num_bytes) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let location = match kind {
        RANGE => MemberLocation::Range { offset, num_bytes },
        LINK => links::LINK,
        SPECIAL => tar::SPECIAL,
        _ => return None,
    };
    Some(ArchiveMember { name: fields.next()?.into(), location })
}
