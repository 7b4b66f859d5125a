//! The members of a tar archive, found by reading its headers and skipping the contents between them.
//!
//! It supports ustar, GNU long names, and pax `path`, `linkpath` and `size`. A pax or long-name block is read up to a limit, so a header
//! cannot claim memory. Members after blocks of zeros are listed; those after a damaged header are not.

use std::collections::HashMap;
use std::io;

use manyframe_base::{InputFile, ReadAt};
use manyframe_core::RejectCode;
use tar::{EntryType, Header, PaxExtensions};

use super::index::{ArchiveMember, MemberLocation};
use super::links::{ArchiveLink, add_links};
use super::request::member_name;
use super::tar_zeros::{BLOCK_BYTES, Zeros, begin_within, end_of_zeros};

/// Longest name or pax block that is read, in bytes; longer ones are damage or an attack.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// The location of a member that is a device, a part of a sparse file …
pub(crate) const SPECIAL: MemberLocation = MemberLocation::Unreadable {
    code: RejectCode::UnsupportedMedia,
    reason: "is not a plain file, or only parts of it are stored",
};

/// A plain file in a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarMember {
    /// Its path in the archive.
    pub name: Box<str>,
    /// The position of its first byte.
    pub offset: u64,
    /// Its size. A tar that is cut off may have fewer bytes.
    pub num_bytes: u64,
}

/// Why a tar may have members that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TarDamage {
    /// It ends after a whole member, without the zeros that mark the end.
    NoEnd,
    /// It ends inside of a member or a header.
    CutOff,
    /// A header is no header, or claims what cannot be.
    Header,
    /// Zeros, and then something else than a header.
    Hole,
    /// More zeros than end an archive, or zeros that begin within a member.
    Zeros,
}

impl TarDamage {
    /// Every kind.
    pub(crate) const ALL: [Self; 5] = [Self::NoEnd, Self::CutOff, Self::Header, Self::Hole, Self::Zeros];

    /// What is wrong with the tar, as a sentence about it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoEnd => "it has no end",
            Self::CutOff => "it ends inside of a member",
            Self::Header => "a header is damaged",
            Self::Hole => "blocks of zeros are followed by something else than a member",
            Self::Zeros => "zeros are in place of members",
        }
    }

    /// Whether members are lost for certain. Some programs leave out the mark of the end.
    pub(crate) fn is_certain(self) -> bool {
        self != Self::NoEnd
    }
}

/// Members that a tar has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TarLoss {
    /// Why.
    pub damage: TarDamage,
    /// How many of its members are before them.
    pub num_before: usize,
}

/// All members of a tar, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct TarMembers {
    pub members: Vec<ArchiveMember>,
    /// Where others are lost, in order.
    pub losses: Vec<TarLoss>,
}

/// The plain files of a tar, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TarListing {
    /// The files.
    pub members: Vec<TarMember>,
    /// Why there may be others.
    pub damage: Option<&'static str>,
}

/// Whether a file begins with the header of a tar.
///
/// # Errors
/// If it cannot be read.
pub fn is_tar(file: &InputFile) -> io::Result<bool> {
    if file.num_bytes() < BLOCK_BYTES {
        return Ok(false);
    }
    let mut block = [0; BLOCK_BYTES as usize];
    file.bytes().read_exact_at(&mut block, 0)?;
    Ok(is_tar_header(&block))
}

/// Lists the plain files of a tar.
///
/// # Errors
/// If it cannot be read.
pub fn list_tar(file: &InputFile) -> io::Result<TarListing> {
    let TarMembers { members, losses } = list_tar_members(&**file.bytes(), file.num_bytes())?;
    let damage = losses.first().map(|loss| loss.damage.as_str());
    let mut listing = TarListing { members: Vec::with_capacity(members.len()), damage };
    for ArchiveMember { name, location } in members {
        match location {
            MemberLocation::Range { offset, num_bytes } => {
                listing.members.push(TarMember { name, offset, num_bytes });
            }
            MemberLocation::AfterHeader { .. } | MemberLocation::Unreadable { .. } => {
                listing.damage = listing.damage.or(Some("a member is no plain file"));
            }
        }
    }
    Ok(listing)
}

/// Lists the members of a tar of `file_bytes` bytes. An error is a storage failure.
pub(crate) fn list_tar_members(file: &dyn ReadAt, file_bytes: u64) -> io::Result<TarMembers> {
    let mut reading = Reading {
        file,
        file_bytes,
        position: 0,
        archive_start: 0,
        listed: TarMembers::default(),
        links: TarLinks::default(),
        extension: Extension::default(),
    };
    let damage = loop {
        if let Some(end) = reading.pass()? {
            break end;
        }
    };
    let Reading { mut listed, links, .. } = reading;
    listed.lose(damage);
    add_links(&mut listed.members, &links.pending);
    Ok(listed)
}

impl TarMembers {
    fn lose(&mut self, damage: Option<TarDamage>) {
        let num_before = self.members.len();
        self.losses.extend(damage.map(|damage| TarLoss { damage, num_before }));
    }
}

/// A tar while it is listed.
struct Reading<'a> {
    file: &'a dyn ReadAt,
    file_bytes: u64,
    position: u64,
    /// Where the archive begins that is read: several may be joined.
    archive_start: u64,
    listed: TarMembers,
    links: TarLinks,
    extension: Extension,
}

/// That a listing is at its end, and what is wrong there.
type End = Option<TarDamage>;

impl Reading<'_> {
    /// Passes a member, or blocks of zeros.
    fn pass(&mut self) -> io::Result<Option<End>> {
        if self.position.checked_add(BLOCK_BYTES).is_none_or(|end| end > self.file_bytes) {
            let is_whole = self.position == self.file_bytes;
            return Ok(Some(Some(if is_whole { TarDamage::NoEnd } else { TarDamage::CutOff })));
        }
        let mut block = [0; BLOCK_BYTES as usize];
        self.file.read_exact_at(&mut block, self.position)?;
        if block.iter().all(|&byte| byte == 0) {
            return self.pass_zeros();
        }
        let header = Header::from_byte_slice(&block);
        let Some(claimed_bytes) = is_intact(header, &block).then(|| size(header)).flatten() else {
            return Ok(Some(Some(TarDamage::Header)));
        };
        let offset = self.position + BLOCK_BYTES;
        let num_bytes = match self.enter(header, offset, claimed_bytes)? {
            Ok(num_bytes) => num_bytes,
            Err(damage) => return Ok(Some(Some(damage))),
        };
        let length = num_bytes.checked_next_multiple_of(BLOCK_BYTES);
        let Some(end) = length.and_then(|length| offset.checked_add(length)) else {
            return Ok(Some(Some(TarDamage::Header)));
        };
        self.position = end;
        Ok(None)
    }

    /// Adds what a header describes; returns the size of its content.
    fn enter(&mut self, header: &Header, offset: u64, claimed_bytes: u64) -> io::Result<Result<u64, TarDamage>> {
        match header.entry_type() {
            kind @ (EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader) => {
                if claimed_bytes > MAX_EXTENSION_BYTES {
                    return Ok(Err(TarDamage::Header));
                }
                if offset + claimed_bytes > self.file_bytes {
                    return Ok(Err(TarDamage::CutOff));
                }
                let mut bytes = vec![0; claimed_bytes as usize];
                self.file.read_exact_at(&mut bytes, offset)?;
                self.extension.read(kind, &bytes);
            }
            EntryType::XGlobalHeader => {}
            EntryType::GNUSparse => {
                self.listed.members.extend(std::mem::take(&mut self.extension).member(header, SPECIAL));
                return Ok(self
                    .blocks_of_sparse(header, offset)?
                    .map(|num_bytes| num_bytes.saturating_add(claimed_bytes)));
            }
            EntryType::Symlink | EntryType::Link => {
                let link = std::mem::take(&mut self.extension).link(header);
                self.links.add(link, header.entry_type(), &mut self.listed.members);
            }
            _ => {
                let extension = std::mem::take(&mut self.extension);
                let num_bytes = extension.num_bytes.unwrap_or(claimed_bytes);
                self.listed.members.extend(extension.member(header, MemberLocation::Range { offset, num_bytes }));
                return Ok(Ok(num_bytes));
            }
        }
        Ok(Ok(claimed_bytes))
    }

    /// Bytes behind the header of a sparse file that list more of its pieces, and that its size does not count.
    fn blocks_of_sparse(&self, header: &Header, offset: u64) -> io::Result<Result<u64, TarDamage>> {
        /// Where a header, and a block behind it, says that another block follows.
        const IS_EXTENDED: [usize; 2] = [482, 504];
        let [of_header, of_block] = IS_EXTENDED;
        let (mut num_bytes, mut is_extended) = (0, header.as_bytes().get(of_header).is_some_and(|&flag| flag != 0));
        while is_extended {
            if offset + num_bytes + BLOCK_BYTES > self.file_bytes {
                return Ok(Err(TarDamage::CutOff));
            }
            let mut block = [0; BLOCK_BYTES as usize];
            self.file.read_exact_at(&mut block, offset + num_bytes)?;
            is_extended = block.get(of_block).is_some_and(|&flag| flag != 0);
            num_bytes += BLOCK_BYTES;
        }
        Ok(Ok(num_bytes))
    }

    /// Passes blocks of zeros. Members go on after them in archives that were joined (`tar -i` and `ignore_zeros` of Python read
    /// them, too); or behind a hole.
    fn pass_zeros(&mut self) -> io::Result<Option<End>> {
        let next = end_of_zeros(self.file, self.position..self.file_bytes)?;
        let zeros = Zeros { start: self.archive_start, range: self.position..next };
        let begin_within = match self.listed.members.last() {
            Some(&ArchiveMember { ref name, location: MemberLocation::Range { offset, num_bytes } }) => {
                // Zeros are passed where a member ended within the file.
                let content = offset..offset.saturating_add(num_bytes).min(self.position);
                begin_within(self.file, name, content)?
            }
            _ => false,
        };
        if next == self.file_bytes {
            let is_end = zeros.may_be_last() && !begin_within;
            return Ok(Some((!is_end).then_some(TarDamage::Zeros)));
        }
        let mut block = [0; BLOCK_BYTES as usize];
        if next + BLOCK_BYTES <= self.file_bytes {
            self.file.read_exact_at(&mut block, next)?;
        }
        if !is_tar_header(&block) {
            // As where a download left a hole.
            return Ok(Some(Some(TarDamage::Hole)));
        }
        if begin_within || !zeros.may_be_between() {
            self.listed.lose(Some(TarDamage::Zeros));
        }
        if next - self.position > BLOCK_BYTES {
            self.archive_start = next;
        }
        self.position = next;
        Ok(None)
    }
}

/// The size that a header claims; none where the field is empty, as in the label of a volume.
fn size(header: &Header) -> Option<u64> {
    let is_empty = header.as_old().size.iter().all(|byte| matches!(byte, 0 | b' '));
    if is_empty { Some(0) } else { header.entry_size().ok() }
}

/// Whether the first block of a file is a tar header with the right checksum.
pub(crate) fn is_tar_header(block: &[u8]) -> bool {
    <&[u8; BLOCK_BYTES as usize]>::try_from(block).is_ok_and(|block| is_intact(Header::from_byte_slice(block), block))
}

fn is_intact(header: &Header, block: &[u8; BLOCK_BYTES as usize]) -> bool {
    // The checksum field itself counts as eight spaces.
    let sum: u32 =
        block.iter().enumerate().map(|(i, &byte)| u32::from(if (148..156).contains(&i) { b' ' } else { byte })).sum();
    header.cksum().is_ok_and(|claimed| claimed == sum)
}

/// The links of a tar.
#[derive(Default)]
struct TarLinks {
    /// Those whose targets are looked for when all members are known.
    pending: Vec<ArchiveLink>,
    /// The members so far, by name.
    known: HashMap<String, MemberLocation>,
    /// Number of members that are known.
    num_known: usize,
}

impl TarLinks {
    /// A hard link is the file that had the name of its target until then; a later one of that name is another file.
    fn add(&mut self, link: Option<ArchiveLink>, kind: EntryType, members: &mut Vec<ArchiveMember>) {
        let Some(link) = link else { return };
        if kind == EntryType::Link {
            let new = members.get(self.num_known..).unwrap_or_default();
            self.known.extend(new.iter().map(|member| (member.name.to_string(), member.location)));
            self.num_known = members.len();
            if let Some(&location) = link.target.as_ref().and_then(|target| self.known.get(target)) {
                members.push(ArchiveMember { name: link.name.into(), location });
                return;
            }
        }
        self.pending.push(link);
    }
}

/// Fields of the extension headers before a member.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    /// The target of a link.
    target: Option<String>,
    num_bytes: Option<u64>,
    is_sparse: bool,
    /// The name of a sparse file, beside which that of the header is made up.
    sparse_name: Option<String>,
}

impl Extension {
    /// The member with these extensions, whose contents follow its header; `None` for directories.
    fn member(self, header: &Header, contents: MemberLocation) -> Option<ArchiveMember> {
        let location = match header.entry_type() {
            _ if self.is_sparse => SPECIAL,
            EntryType::Regular | EntryType::Continuous => contents,
            EntryType::Directory => return None,
            _ => SPECIAL,
        };
        let name = self.sparse_name.or(self.name);
        let name = name.unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
        // `member_name` knows that in the first tar headers, which had no types, a directory is a name that ends with a slash.
        Some(ArchiveMember { name: member_name(&name)?.into(), location })
    }

    /// The link with these extensions; `None` if its name is unsafe.
    fn link(self, header: &Header) -> Option<ArchiveLink> {
        let name = self.name.unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
        let of_header = || header.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let target = self.target.or_else(of_header).unwrap_or_default();
        let name = member_name(&name)?;
        Some(if header.entry_type() == EntryType::Link {
            ArchiveLink::hard(name, &target)
        } else {
            ArchiveLink::soft(name, &target)
        })
    }

    fn read(&mut self, entry_type: EntryType, bytes: &[u8]) {
        if entry_type != EntryType::XHeader {
            let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            let text = String::from_utf8_lossy(bytes.split_at(length).0).into_owned();
            let field = if entry_type == EntryType::GNULongName { &mut self.name } else { &mut self.target };
            *field = Some(text);
            return;
        }
        for record in PaxExtensions::new(bytes).flatten() {
            match record.key_bytes() {
                // Only parts of a sparse file are stored, which are not its bytes.
                key if key.starts_with(b"GNU.sparse.") => {
                    self.is_sparse = true;
                    if key == b"GNU.sparse.name" {
                        self.sparse_name = Some(String::from_utf8_lossy(record.value_bytes()).into_owned());
                    }
                }
                b"path" => self.name = Some(String::from_utf8_lossy(record.value_bytes()).into_owned()),
                b"linkpath" => self.target = Some(String::from_utf8_lossy(record.value_bytes()).into_owned()),
                b"size" => self.num_bytes = record.value().ok().and_then(|text| text.parse().ok()),
                _ => {}
            }
        }
    }
}
