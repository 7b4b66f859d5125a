//! Lists of byte strings as Python pickles, protocol 4: what Megatron-Bridge's loader unpickles from a member of a tar.
//!
//! ```text
//! 80 04  ] ( B LEN bytes … e  .           a list: EMPTY_LIST MARK BINBYTES … APPENDS STOP
//! 80 04  ] ( ] ( B LEN bytes … e … e  .   a list of lists
//! ```
//!
//! Read back are only pickles as they are written here: opcodes, which could run code in Python, are compared, not executed.

use crate::error::ShardError;
use crate::tar::{ByteRange, Member, TarReader};

const START: &[u8] = b"\x80\x04";
const STOP: &[u8] = b".";
const EMPTY_LIST: &[u8] = b"]";
const MARK: &[u8] = b"(";
const APPENDS: &[u8] = b"e";
/// Followed by the number of bytes, 32 bits, little-endian.
const BYTES: &[u8] = b"B";

/// A list of byte strings.
pub(crate) fn list(items: &[&[u8]]) -> Result<Vec<u8>, String> {
    let mut pickle = START.to_vec();
    push_list(&mut pickle, items, push_bytes)?;
    Ok([&pickle, STOP].concat())
}

/// A list of lists of byte strings.
pub(crate) fn list_of_lists(lists: &[Vec<&[u8]>]) -> Result<Vec<u8>, String> {
    let mut pickle = START.to_vec();
    push_list(&mut pickle, lists, |pickle, items| push_list(pickle, items, push_bytes))?;
    Ok([&pickle, STOP].concat())
}

fn push_list<T>(
    pickle: &mut Vec<u8>,
    items: &[T],
    push: impl Fn(&mut Vec<u8>, &T) -> Result<(), String>,
) -> Result<(), String> {
    pickle.extend(EMPTY_LIST);
    if items.is_empty() {
        return Ok(());
    }
    pickle.extend(MARK);
    items.iter().try_for_each(|item| push(pickle, item))?;
    pickle.extend(APPENDS);
    Ok(())
}

fn push_bytes(pickle: &mut Vec<u8>, bytes: &&[u8]) -> Result<(), String> {
    let num_bytes = u32::try_from(bytes.len()).map_err(|_large| format!("an image of {} bytes", bytes.len()))?;
    pickle.extend(BYTES);
    pickle.extend(num_bytes.to_le_bytes());
    pickle.extend(*bytes);
    Ok(())
}

/// Goes through a pickle in a member of a tar, without reading the byte strings in it.
pub(crate) struct PickleReader<'t> {
    tar: &'t mut TarReader,
    member: &'t Member,
    position: u64,
}

impl<'t> PickleReader<'t> {
    /// The byte strings of a list of so many.
    pub(crate) fn read_list(
        tar: &'t mut TarReader,
        member: &'t Member,
        num_items: usize,
    ) -> Result<Vec<ByteRange>, ShardError> {
        let mut reader = Self { tar, member, position: member.offset };
        reader.expect(START)?;
        let items = reader.list(0..num_items, |reader, _| reader.bytes())?;
        reader.end()?;
        Ok(items)
    }

    /// The byte strings of a list of lists, of which each has so many.
    pub(crate) fn read_lists(
        tar: &'t mut TarReader,
        member: &'t Member,
        num_items: &[usize],
    ) -> Result<Vec<Vec<ByteRange>>, ShardError> {
        let mut reader = Self { tar, member, position: member.offset };
        reader.expect(START)?;
        let lists = reader
            .list(num_items.iter(), |reader, num_items| reader.list(0..*num_items, |reader, _| reader.bytes()))?;
        reader.end()?;
        Ok(lists)
    }

    /// A list with an item for each of those that are expected.
    fn list<E, T>(
        &mut self,
        expected: impl ExactSizeIterator<Item = E>,
        mut item: impl FnMut(&mut Self, E) -> Result<T, ShardError>,
    ) -> Result<Vec<T>, ShardError> {
        self.expect(EMPTY_LIST)?;
        if expected.len() == 0 {
            return Ok(Vec::new());
        }
        self.expect(MARK)?;
        // Not reserved: the number is that of a foreign file.
        let mut items = Vec::new();
        for expected in expected {
            items.push(item(self, expected)?);
        }
        self.expect(APPENDS)?;
        Ok(items)
    }

    fn bytes(&mut self) -> Result<ByteRange, ShardError> {
        self.expect(BYTES)?;
        let num_bytes = u64::from(u32::from_le_bytes(self.read()?));
        let range = ByteRange { offset: self.position, num_bytes };
        if num_bytes > self.num_left() {
            return Err(self.damaged(format!("a byte string of {num_bytes} bytes, {} are left", self.num_left())));
        }
        self.position += num_bytes;
        Ok(range)
    }

    fn expect(&mut self, opcodes: &[u8]) -> Result<(), ShardError> {
        for &expected in opcodes {
            let [found] = self.read()?;
            if found != expected {
                let position = self.position - 1 - self.member.offset;
                return Err(self.damaged(format!("opcode {found:#04x} at byte {position}, expected {expected:#04x}")));
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), ShardError> {
        self.expect(STOP)?;
        match self.num_left() {
            0 => Ok(()),
            num_left => Err(self.damaged(format!("{num_left} bytes follow its end"))),
        }
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], ShardError> {
        if (N as u64) > self.num_left() {
            return Err(self.damaged("it ends too early".to_owned()));
        }
        let mut bytes = [0; N];
        self.tar.read_at(self.position, &mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn num_left(&self) -> u64 {
        (self.member.offset + self.member.num_bytes).saturating_sub(self.position)
    }

    fn damaged(&self, detail: String) -> ShardError {
        ShardError::Member { path: self.tar.path().to_owned(), member: self.member.name.clone(), detail }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use manyframe_base::InputFile;

    use super::*;
    use crate::tar::{write_end, write_member};

    fn read<T>(
        pickle: &[u8],
        read: impl FnOnce(&mut TarReader, &Member) -> Result<T, ShardError>,
    ) -> Result<T, ShardError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write_member(&mut file, "key.jpgs", pickle).unwrap();
        write_end(&mut file).unwrap();
        file.flush().unwrap();
        let mut tar = TarReader::new(&InputFile::open(file.path()).unwrap());
        let member = tar.next_member().unwrap().unwrap();
        read(&mut tar, &member)
    }

    #[test]
    fn lists_are_found_where_they_are() {
        let pickle = list(&[b"one", b"", b"three"]).unwrap();
        assert_eq!(pickle, b"\x80\x04](B\x03\0\0\0oneB\0\0\0\0B\x05\0\0\0threee.");
        let found = read(&pickle, |tar, member| PickleReader::read_list(tar, member, 3)).unwrap();
        let texts = found.iter().map(|range| {
            let start = (range.offset - 512) as usize;
            &pickle[start..start + range.num_bytes as usize]
        });
        assert_eq!(texts.collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        let pickle = list_of_lists(&[vec![b"a", b"b"], vec![], vec![b"c"]]).unwrap();
        let found = read(&pickle, |tar, member| PickleReader::read_lists(tar, member, &[2, 0, 1])).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 1]);
        assert_eq!(list(&[]).unwrap(), b"\x80\x04].");
        assert!(read(b"\x80\x04].", |tar, member| PickleReader::read_list(tar, member, 0)).unwrap().is_empty());
    }

    #[test]
    fn other_pickles_are_refused() {
        let pickle = list(&[b"one"]).unwrap();
        let error = |pickle: &[u8], num_items| {
            read(pickle, |tar, member| PickleReader::read_list(tar, member, num_items)).unwrap_err().to_string()
        };
        assert!(error(&pickle, 2).contains("opcode 0x65 at byte 12, expected 0x42"), "{}", error(&pickle, 2));
        assert!(error(&pickle, 0).contains("opcode 0x28 at byte 3, expected 0x2e"));
        assert!(error(&pickle[..9], 1).contains("a byte string of 3 bytes, 0 are left"));
        assert!(error(&pickle[..7], 1).contains("ends too early"));
        assert!(error(&[&pickle[..], b"x"].concat(), 1).contains("1 bytes follow its end"));
        assert!(error(b"\x80\x04cposix\nsystem\n.", 1).contains("opcode 0x63 at byte 2, expected 0x5d"));
    }
}
