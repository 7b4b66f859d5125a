//! The subset of tar that shards need: regular files in POSIX ustar.
//!
//! Written headers contain nothing about the machine: time 0, owner 0, mode 0444, no names of users. The end is two
//! blocks of zeros, without the padding to 20 blocks that `tar` adds. What is read may also come from another `tar`, as
//! long as it holds plain files with short names. IEEE Std 1003.1-2017, pax, "ustar Interchange Format".

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use manyframe_base::{InputFile, InputReader};

use crate::error::ShardError;

const BLOCK: usize = 512;
/// A header before the bytes of each member.
pub(crate) const HEADER_BYTES: u64 = BLOCK as u64;
/// Largest size that eleven octal digits hold: 8 GiB − 1.
const MAX_MEMBER_BYTES: u64 = (1 << 33) - 1;
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;

/// The bytes that the content of a member takes with its padding.
pub(crate) fn padded(num_bytes: u64) -> u64 {
    num_bytes.next_multiple_of(BLOCK as u64)
}

/// Writes a member with its header and padding.
pub(crate) fn write_member(sink: &mut impl Write, name: &str, content: &[u8]) -> io::Result<()> {
    sink.write_all(&header(name, content.len() as u64)?)?;
    sink.write_all(content)?;
    let padding = content.len().next_multiple_of(BLOCK) - content.len();
    #[expect(clippy::indexing_slicing, reason = "padding is shorter than a block")]
    sink.write_all(&[0; BLOCK][..padding])
}

/// Writes the end of the archive.
pub(crate) fn write_end(sink: &mut impl Write) -> io::Result<()> {
    sink.write_all(&[0; 2 * BLOCK])
}

fn header(name: &str, num_bytes: u64) -> io::Result<[u8; BLOCK]> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} {text}"));
    if name.is_empty() || name.len() > NAME.len() || num_bytes > MAX_MEMBER_BYTES {
        return Err(invalid("does not fit a tar header"));
    }
    let mut header = [0; BLOCK];
    let size = format!("{num_bytes:011o}\0");
    for (start, text) in [
        (0, name),
        (100, "0000444\0"), // mode
        (108, "0000000\0"), // user
        (116, "0000000\0"), // group
        (SIZE.start, size.as_str()),
        (136, "00000000000\0"), // time
        (CHECKSUM.start, "        "),
        (KIND, "0"),          // regular file
        (257, "ustar\x0000"), // magic and version
        (329, "0000000\0"),   // device
        (337, "0000000\0"),
    ] {
        put(&mut header, start, text).ok_or_else(|| invalid("does not fit a tar header"))?;
    }
    let checksum = format!("{:06o}\0 ", checksum(&header));
    put(&mut header, CHECKSUM.start, &checksum).ok_or_else(|| invalid("does not fit a tar header"))?;
    Ok(header)
}

fn put(header: &mut [u8; BLOCK], start: usize, text: &str) -> Option<()> {
    header.get_mut(start..start + text.len())?.copy_from_slice(text.as_bytes());
    Some(())
}

/// The sum of a header's bytes, with blanks for its checksum field.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let bytes = header.iter().enumerate();
    bytes.map(|(index, &byte)| u64::from(if CHECKSUM.contains(&index) { b' ' } else { byte })).sum()
}

/// A member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its first byte in the file.
    pub(crate) offset: u64,
    pub(crate) num_bytes: u64,
}

/// Where bytes are in a tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) offset: u64,
    pub(crate) num_bytes: u64,
}

/// Goes through the members of a tar in order. The content of a member is read on request.
pub(crate) struct TarReader {
    path: PathBuf,
    file: BufReader<InputReader>,
    num_bytes: u64,
    /// Position of the next header.
    next: u64,
}

impl Member {
    /// Where its header begins.
    pub(crate) fn header_offset(&self) -> u64 {
        self.offset - HEADER_BYTES
    }
}

impl TarReader {
    pub(crate) fn new(file: &InputFile) -> Self {
        let (path, num_bytes) = (file.path().to_owned(), file.num_bytes());
        Self { path, file: BufReader::with_capacity(1 << 16, file.reader(0)), num_bytes, next: 0 }
    }

    /// Continues with the member whose header begins at a position.
    pub(crate) fn go_to(&mut self, position: u64) {
        self.next = position;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next member; `None` at the end of the archive. A file without that end is damaged.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>, ShardError> {
        let header = self.read_block()?;
        if header == [0; BLOCK] {
            if self.read_block()? != [0; BLOCK] {
                return Err(self.damaged("one block of zeros where two end the archive"));
            }
            return Ok(None);
        }
        let start = self.next - BLOCK as u64;
        let (name, num_bytes) =
            parse(&header).map_err(|detail| ShardError::Tar { path: self.path.clone(), offset: start, detail })?;
        let padded = padded(num_bytes);
        if padded > self.num_bytes - self.next {
            return Err(ShardError::Member {
                path: self.path.clone(),
                member: name,
                detail: format!("{num_bytes} bytes expected, the file ends before"),
            });
        }
        let member = Member { name, offset: self.next, num_bytes };
        self.next += padded;
        Ok(Some(member))
    }

    /// The content of a member.
    pub(crate) fn read(&mut self, member: &Member) -> Result<Vec<u8>, ShardError> {
        // `next_member` has checked that the file has this many bytes.
        let mut content = vec![0; member.num_bytes as usize];
        self.read_at(member.offset, &mut content)?;
        Ok(content)
    }

    /// The bytes of a range, which is within a member.
    pub(crate) fn read_range(&mut self, range: ByteRange) -> Result<Vec<u8>, ShardError> {
        let mut content = vec![0; range.num_bytes as usize];
        self.read_at(range.offset, &mut content)?;
        Ok(content)
    }

    fn read_block(&mut self) -> Result<[u8; BLOCK], ShardError> {
        if self.num_bytes.saturating_sub(self.next) < BLOCK as u64 {
            return Err(self.damaged("the file ends without the end of the archive"));
        }
        let mut block = [0; BLOCK];
        self.read_at(self.next, &mut block)?;
        self.next += BLOCK as u64;
        Ok(block)
    }

    /// Fills a buffer with the bytes from an offset on.
    pub(crate) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), ShardError> {
        let mut read = || {
            // Short steps stay within the buffer.
            let position = self.file.stream_position()?;
            match i64::try_from(offset).ok().zip(i64::try_from(position).ok()) {
                Some((offset, position)) => self.file.seek_relative(offset - position)?,
                None => drop(self.file.seek(SeekFrom::Start(offset))?),
            }
            self.file.read_exact(bytes)
        };
        read().map_err(|source| ShardError::Read { path: self.path.clone(), source })
    }

    fn damaged(&self, detail: &str) -> ShardError {
        ShardError::Tar { path: self.path.clone(), offset: self.next, detail: detail.to_owned() }
    }
}

/// The name and the size of a member.
#[expect(clippy::indexing_slicing, reason = "the fields of a header lie within its block")]
fn parse(header: &[u8; BLOCK]) -> Result<(String, u64), String> {
    let field = |range: std::ops::Range<usize>| &header[range];
    if octal(field(CHECKSUM)) != Some(checksum(header)) {
        return Err("not a tar header: its checksum is wrong".to_owned());
    }
    let kind = header[KIND];
    if !matches!(kind, b'0' | 0) {
        return Err(format!("a member of kind {:?}, expected a regular file", char::from(kind)));
    }
    let name = field(NAME);
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = std::str::from_utf8(&name[..end]).map_err(|utf8| format!("a name that is not UTF-8: {utf8}"))?;
    let num_bytes = octal(field(SIZE)).ok_or("a size that is not octal digits")?;
    Ok((name.to_owned(), num_bytes))
}

/// The value of octal digits, with blanks before and blanks or zeros after.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if !text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}
