//! An archive as a media root: identified by its first bytes, its members listed once.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use manyframe_base::{FileAccess, InputFile, url_of};
use manyframe_core::RejectCode;
use tracing::{debug, warn};

use super::directory::has_image_extension;
use super::index::{ArchiveMember, MemberCompression, MemberIndex, MemberLocation, base_name};
use super::listing::ListingCache;
use super::natural::absent_numbers;
use super::tar::{TarDamage, TarLoss, TarMembers, is_tar_header, list_tar_members};
use super::zip::{LOCAL_HEADER_BYTES, list_zip_members, local_header_length};
use crate::error::{MediaError, OpenError};
use crate::identity::MediaIdentity;
use crate::located::{ArchiveFile, Located};
use crate::sniff::describe;

/// An archive and where its members are.
#[derive(Debug)]
pub(crate) struct Archive {
    file: Arc<ArchiveFile>,
    /// Of the file when it was opened.
    identity: MediaIdentity,
    /// What rejections call it.
    name: String,
    index: MemberIndex,
    /// Where members are lost, in order.
    losses: Vec<LostMembers>,
}

/// Where members are lost.
#[derive(Debug)]
struct LostMembers {
    damage: TarDamage,
    /// The last member before the damage; empty if there is none.
    after: Box<str>,
    /// The first member behind it; empty if there is none.
    before: Box<str>,
}

impl LostMembers {
    fn of(loss: TarLoss, members: &[ArchiveMember]) -> Self {
        let name = |index: Option<usize>| {
            index.and_then(|index| members.get(index)).map_or_else(Box::default, |member| member.name.clone())
        };
        let (after, before) = (name(loss.num_before.checked_sub(1)), name(Some(loss.num_before)));
        Self { damage: loss.damage, after, before }
    }

    /// Whether a directory may have lost members.
    fn may_be_in(&self, directory: &str) -> bool {
        [&self.after, &self.before].into_iter().any(|name| directory_of(name) == Some(directory))
    }
}

/// Bytes that one byte of a deflated member can become, at most (zlib's documentation says 1032).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Number of bytes at the start of a file that identify it.
const HEAD_BYTES: u64 = 512;

impl Archive {
    /// Opens a zip or tar file, or object. Links in `path` are resolved. Listings of tars are cached in the directory `listings`.
    pub(crate) fn open(
        access: &FileAccess,
        path: &Path,
        name: String,
        listings: Option<&Path>,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let OpenHead { file: handle, identity, head } = OpenHead::read(access, path)?;
        let TarMembers { members, losses } = if is_tar_header(&head) {
            let list = || list_tar_members(&**handle.bytes(), handle.num_bytes());
            let cache = listings.map(|listings| ListingCache::of(listings, path, identity));
            cache.map_or_else(list, |cache| cache.members_or(list)).map_err(failed)?
        } else if is_zip(path, &head) {
            let members = list_zip_members(&handle).map_err(|error| zip_not_opened(path, &head, error))?;
            TarMembers { members, losses: Vec::new() }
        } else {
            let (found, advice) = other_kind(path, &head);
            return Err(OpenError::Unsupported { path: path.to_owned(), found, advice });
        };
        let losses: Vec<_> = losses.into_iter().map(|loss| LostMembers::of(loss, &members)).collect();
        let mut certain = losses.iter().filter(|lost| lost.damage.is_certain());
        if let Some(LostMembers { damage, after, .. }) = certain.next() {
            let num_more = certain.count();
            warn!(?path, damage = damage.as_str(), %after, num_more, "a damaged archive: members behind this one are missing");
        }
        let index = MemberIndex::new(members);
        debug!(?path, num_members = index.len(), "media archive opened");
        Ok(Self { file: Arc::new(ArchiveFile::of(&handle)), identity, name, index, losses })
    }

    /// Checks that a file is a zip or a tar, by its first bytes.
    pub(crate) fn check(access: &FileAccess, path: &Path) -> Result<(), OpenError> {
        let OpenHead { head, .. } = OpenHead::read(access, path)?;
        if is_tar_header(&head) || is_zip(path, &head) {
            return Ok(());
        }
        let (found, advice) = other_kind(path, &head);
        Err(OpenError::Unsupported { path: path.to_owned(), found, advice })
    }

    /// What rejections call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// The member, or the directory of members, of exactly this name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Located>, MediaError> {
        if let Some(member) = self.index.exact(name) {
            return self.located(member).map(Some);
        }
        let Some(frames) = self.frames(name) else { return Ok(None) };
        if let Some(lost) = self.certain_losses().find(|lost| lost.may_be_in(name)) {
            let detail = format!("{name:?} in {} may have lost frames: {}", self.name, lost.damage.as_str());
            return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
        }
        let members: Vec<&ArchiveMember> = frames.collect();
        let absent = absent_numbers(members.iter().map(|member| &*member.name));
        let frames = members.into_iter().map(|member| self.located(member)).collect::<Result<_, _>>()?;
        Ok(Some(Located::Directory { frames, absent }))
    }

    /// The identity of what [`Self::find`] finds. Reads nothing.
    pub(crate) fn identify(&self, name: &str) -> Result<Option<MediaIdentity>, MediaError> {
        if let Some(member) = self.index.exact(name) {
            return self.identity(member).map(Some);
        }
        let Some(frames) = self.frames(name) else { return Ok(None) };
        let frames = frames.map(|member| Ok((&*member.name, self.identity(member)?)));
        let frames: Vec<(&str, MediaIdentity)> = frames.collect::<Result<_, MediaError>>()?;
        Ok(Some(MediaIdentity::of_frames(frames)))
    }

    /// The frames in a directory, as in one on disk; `None` if there is no such directory.
    fn frames(&self, name: &str) -> Option<impl Iterator<Item = &ArchiveMember>> {
        let mut members = self.index.directory(name);
        let is_directory = !members.is_empty();
        members.retain(|member| !base_name(&member.name).starts_with('.'));
        if members.iter().any(|member| has_image_extension(&member.name)) {
            members.retain(|member| has_image_extension(&member.name));
        }
        is_directory.then(|| members.into_iter())
    }

    /// The name below the directory that contains all members, if there is one.
    pub(crate) fn below_common_directory(&self, name: &str) -> Option<String> {
        self.index.below_common_directory(name)
    }

    /// Where members are missing for certain.
    fn certain_losses(&self) -> impl Iterator<Item = &LostMembers> {
        self.losses.iter().filter(|lost| lost.damage.is_certain())
    }

    /// Whether members are missing for certain.
    pub(crate) fn has_lost_members(&self) -> bool {
        self.certain_losses().next().is_some()
    }

    /// What rejections call it where something is not found in it, with its damage.
    pub(crate) fn name_and_damage(&self) -> String {
        match self.certain_losses().next().or(self.losses.first()) {
            None => self.name.clone(),
            Some(LostMembers { damage, after, .. }) if damage.is_certain() => {
                format!("{}, which is damaged: {}, and what follows {after:?} is lost", self.name, damage.as_str())
            }
            Some(LostMembers { after, .. }) => {
                format!("{}, which has no end: it may have lost what follows {after:?}", self.name)
            }
        }
    }

    /// The names of all members, sorted.
    pub(crate) fn member_names(&self) -> impl Iterator<Item = &str> {
        self.index.names()
    }

    /// All members of this base name.
    pub(crate) fn with_base_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ArchiveMember> {
        self.index.with_base_name(name)
    }

    /// The identity of a member of this archive.
    #[expect(clippy::unnecessary_wraps, reason = "it answers the same question as `located`, which can fail")]
    pub(crate) fn identity(&self, member: &ArchiveMember) -> Result<MediaIdentity, MediaError> {
        let archive = self.identity.0;
        Ok(match member.location {
            MemberLocation::Unreadable { .. } => MediaIdentity::of_parts("unreadable member", [archive]),
            MemberLocation::Range { offset, num_bytes } => {
                MediaIdentity::of_parts("member of a tar", [archive, offset, num_bytes])
            }
            MemberLocation::AfterHeader { num_bytes, crc32, .. } => {
                MediaIdentity::of_parts("member of a zip", [archive, num_bytes, u64::from(crc32)])
            }
        })
    }

    /// Where the bytes of a member of this archive are.
    pub(crate) fn located(&self, member: &ArchiveMember) -> Result<Located, MediaError> {
        let archive = Arc::clone(&self.file);
        match member.location {
            MemberLocation::Unreadable { code, reason } => Err(self.rejected(member, code, reason)),
            MemberLocation::Range { offset, num_bytes } => {
                self.check_range(member, offset, num_bytes)?;
                Ok(Located::Range { archive, offset, num_bytes, crc32: None })
            }
            MemberLocation::AfterHeader { header_offset, num_compressed_bytes, num_bytes, crc32, compression } => {
                let offset = self.data_offset(member, header_offset)?;
                self.check_range(member, offset, num_compressed_bytes)?;
                if compression == MemberCompression::Deflated && num_bytes / MAX_DEFLATE_RATIO > num_compressed_bytes {
                    return Err(self.rejected(
                        member,
                        RejectCode::MediaCorrupt,
                        "claims more bytes than it can inflate to",
                    ));
                }
                Ok(match compression {
                    MemberCompression::Stored => Located::Range { archive, offset, num_bytes, crc32: Some(crc32) },
                    MemberCompression::Deflated => {
                        Located::Deflated { archive, offset, num_compressed_bytes, num_bytes, crc32 }
                    }
                })
            }
        }
    }

    /// First byte of a zip member: its local header may be longer than the central directory says.
    fn data_offset(&self, member: &ArchiveMember, header_offset: u64) -> Result<u64, MediaError> {
        self.check_range(member, header_offset, LOCAL_HEADER_BYTES as u64)?;
        let mut header = [0; LOCAL_HEADER_BYTES];
        self.file
            .handle
            .read_exact_at(&mut header, header_offset)
            .map_err(|source| MediaError::storage(self.path(), source))?;
        local_header_length(&header)
            .map(|length| header_offset + length)
            .ok_or_else(|| self.rejected(member, RejectCode::MediaCorrupt, "has a damaged local header"))
    }

    fn check_range(&self, member: &ArchiveMember, offset: u64, num_bytes: u64) -> Result<(), MediaError> {
        if offset.checked_add(num_bytes).is_some_and(|end| end <= self.file.num_bytes) {
            return Ok(());
        }
        Err(self.rejected(member, RejectCode::MediaCorrupt, "lies beyond the end of the archive, which is cut short"))
    }

    fn rejected(&self, member: &ArchiveMember, code: RejectCode, reason: &str) -> MediaError {
        MediaError::rejected(code, format!("{:?} in {} {reason}", member.name, self.name))
    }
}

/// An archive that is not part of a split one, and its first bytes.
struct OpenHead {
    file: InputFile,
    identity: MediaIdentity,
    head: Vec<u8>,
}

impl OpenHead {
    fn read(access: &FileAccess, path: &Path) -> Result<Self, OpenError> {
        let (file, identity) =
            open_identified(access, path).map_err(|source| OpenError::Open { path: path.to_owned(), source })?;
        let mut head = vec![0; file.num_bytes().min(HEAD_BYTES) as usize];
        let read = file.bytes().read_exact_at(&mut head, 0);
        read.map_err(|source| OpenError::Open { path: path.to_owned(), source })?;
        check_whole(path, &head)?;
        Ok(Self { file, identity, head })
    }
}

/// The directory that a member is in.
fn directory_of(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(directory, _)| directory)
}

fn open_identified(access: &FileAccess, path: &Path) -> io::Result<(InputFile, MediaIdentity)> {
    if let Some(url) = url_of(path) {
        let state = access.object(url)?;
        let file = InputFile::new(path, access.objects()?.open(url, &state)?);
        return Ok((file, MediaIdentity::of_object(&state)));
    }
    let handle = File::open(path)?;
    let identity = MediaIdentity::of_metadata(path, &handle.metadata()?);
    Ok((InputFile::of_file(path, handle)?, identity))
}

fn is_zip(path: &Path, head: &[u8]) -> bool {
    head.starts_with(b"PK") || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

/// Rejects parts of split archives, whose members are in several files.
fn check_whole(path: &Path, head: &[u8]) -> Result<(), OpenError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_part = extension.strip_prefix('z').is_some_and(|number| number.parse::<u32>().is_ok())
        || head.starts_with(b"PK\x07\x08");
    if is_part || (extension == "zip" && path.with_extension("z01").exists()) {
        return Err(split(path));
    }
    if extension == "001" {
        let whole = path.with_extension("");
        let advice = format!("join its parts: cat {0}.* > {0}", whole.display());
        return Err(OpenError::Unsupported { path: path.to_owned(), found: "the first part of a split file", advice });
    }
    Ok(())
}

fn split(path: &Path) -> OpenError {
    let last = path.with_extension("zip");
    let whole = path.with_file_name(format!("{}-whole.zip", path.file_stem().unwrap_or_default().display()));
    let advice = format!("join its parts: zip -s 0 {} --out {}", last.display(), whole.display());
    OpenError::Unsupported { path: path.to_owned(), found: "part of a split zip archive", advice }
}

fn zip_not_opened(path: &Path, head: &[u8], error: zip::result::ZipError) -> OpenError {
    let path = path.to_owned();
    match error {
        // In a damaged archive the reader reaches the end of the file early; that is no storage failure.
        zip::result::ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            OpenError::Open { path, source }
        }
        error if error.to_string().to_lowercase().contains("multi-disk") => split(&path),
        error if head.starts_with(b"PK") => OpenError::Damaged { path, source: error.into() },
        _ => OpenError::Unsupported { path, found: describe(head), advice: "download it again".to_owned() },
    }
}

fn other_kind(path: &Path, head: &[u8]) -> (&'static str, String) {
    let (name, directory) = (path.display(), path.with_extension("").with_extension(""));
    let unpack = |command: &str| format!("unpack it: mkdir {0} && {command} {0}", directory.display());
    match head {
        [0x1f, 0x8b, ..] => ("compressed with gzip", unpack(&format!("tar xzf {name} -C"))),
        [b'B', b'Z', b'h', ..] => ("compressed with bzip2", unpack(&format!("tar xjf {name} -C"))),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("compressed with xz", unpack(&format!("tar xJf {name} -C"))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("compressed with zstd", unpack(&format!("tar --zstd -xf {name} -C"))),
        [b'7', b'z', 0xbc, 0xaf, ..] => {
            ("a 7-Zip archive", format!("unpack it: 7z x {name} -o{}", directory.display()))
        }
        [b'R', b'a', b'r', b'!', ..] => ("a RAR archive", unpack(&format!("unrar x {name}"))),
        _ => (describe(head), "expected a directory, a zip or a tar".to_owned()),
    }
}
