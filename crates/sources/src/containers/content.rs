//! The bytes of an annotation file, inflated if it is compressed: read from its start, or at any position.
//!
//! A file that is read from start to end is inflated on the way. For positions it is inflated once, to a temporary file that has no
//! name. Nothing here knows what a record is.
//!
//! **Invariant:** a stream that is cut off or damaged ends with the bytes before the damage, which is kept as its [`Damage`]; errors are
//! those of storage.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::GzDecoder;
use manyframe_base::{InputFile, InputReader};
use once_cell::sync::OnceCell;

/// How many bytes are inflated at once. Always the same number: how much of a damaged stream is read must not depend on who reads.
const INFLATED_BYTES: usize = 1 << 16;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstandard,
}

impl Compression {
    fn of_head(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstandard),
            _ => None,
        }
    }
}

/// What is wrong with a compressed stream, once it has been read that far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Damage(Arc<Mutex<Option<String>>>);

impl Damage {
    fn set(&self, found: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// What was found, if anything.
    pub(crate) fn found(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An annotation file that may be compressed.
pub(crate) struct Content {
    file: InputFile,
    compression: Option<Compression>,
    /// Inflated once, whichever thread asks first.
    inflated: OnceCell<(InputFile, Damage)>,
}

impl Content {
    /// # Errors
    /// If its first bytes cannot be read.
    pub(crate) fn of(file: InputFile) -> io::Result<Self> {
        let mut head = Vec::new();
        file.reader(0).take(4).read_to_end(&mut head)?;
        Ok(Self { file, compression: Compression::of_head(&head), inflated: OnceCell::new() })
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    /// The file itself, which has the bytes of its records at their positions unless it is compressed.
    pub(crate) fn file(&self) -> &InputFile {
        &self.file
    }

    /// Its bytes from its start, and what is known to be wrong with them afterwards.
    pub(crate) fn reader(&self) -> io::Result<(Box<dyn Read + Send>, Damage)> {
        let damage = Damage::default();
        let Some(compression) = self.compression else { return Ok((Box::new(self.file.reader(0)), damage)) };
        let has_failed = Arc::new(AtomicBool::new(false));
        let noting = BufReader::new(NotingReader { reader: self.file.reader(0), has_failed: Arc::clone(&has_failed) });
        let decoder: Box<dyn Read + Send> = match compression {
            Compression::Gzip => Box::new(GzipMembers(Some(GzDecoder::new(noting)))),
            Compression::Zstandard => Box::new(zstd::stream::read::Decoder::with_buffer(noting)?),
        };
        let buffer = vec![0; INFLATED_BYTES];
        let reader = InflatingReader { decoder, has_failed, damage: damage.clone(), buffer, start: 0, end: 0 };
        Ok((Box::new(reader), damage))
    }

    /// Its bytes at any position, and what is wrong with them.
    pub(crate) fn at_any_position(&self) -> io::Result<(&InputFile, Option<String>)> {
        if !self.is_compressed() {
            return Ok((&self.file, None));
        }
        let (file, damage) = self.inflated.get_or_try_init(|| self.inflate())?;
        Ok((file, damage.found()))
    }

    fn inflate(&self) -> io::Result<(InputFile, Damage)> {
        let (mut reader, damage) = self.reader()?;
        let failed = |error: io::Error| {
            let place = std::env::temp_dir();
            let detail = format!("inflating it to a temporary file in {} (TMPDIR): {error}", place.display());
            io::Error::new(error.kind(), detail)
        };
        let mut file = tempfile::tempfile().map_err(failed)?;
        io::copy(&mut reader, &mut file).and_then(|_| file.flush()).map_err(failed)?;
        Ok((InputFile::of_file(self.file.path(), file)?, damage))
    }
}

/// The members of a gzip file, one after another. Zeros after a member fill a block up, and are no damage, as for Python and `gzip`.
struct GzipMembers<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.0.take() {
            let num_bytes = member.read(buffer)?;
            if num_bytes > 0 || buffer.is_empty() {
                self.0 = Some(member);
                return Ok(num_bytes);
            }
            let mut rest = member.into_inner();
            if pass_zeros(&mut rest)? {
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Passes over bytes that are zero; false if nothing follows them.
fn pass_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = reader.fill_buf()?;
        let num_bytes = bytes.len();
        match bytes.iter().position(|&byte| byte != 0) {
            Some(num_zeros) => {
                reader.consume(num_zeros);
                return Ok(true);
            }
            None if num_bytes == 0 => return Ok(false),
            None => reader.consume(num_bytes),
        }
    }
}

/// Notes whether reading the compressed bytes failed, as opposed to inflating them.
struct NotingReader {
    reader: InputReader,
    has_failed: Arc<AtomicBool>,
}

impl Read for NotingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))
    }
}

/// Ends where the stream is damaged.
struct InflatingReader {
    decoder: Box<dyn Read + Send>,
    has_failed: Arc<AtomicBool>,
    damage: Damage,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Read for InflatingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && self.damage.found().is_none() {
            self.start = 0;
            self.end = match self.decoder.read(&mut self.buffer) {
                Ok(num_bytes) => num_bytes,
                Err(error) if self.has_failed.load(Ordering::Relaxed) => return Err(error),
                Err(error) => {
                    self.damage.set(error.to_string());
                    0
                }
            };
        }
        let inflated = self.buffer.get(self.start..self.end).unwrap_or_default();
        let num_bytes = (&*inflated).read(buffer)?;
        self.start += num_bytes;
        Ok(num_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Content::of(InputFile::of_file(std::path::Path::new("a"), file).unwrap()).unwrap()
    }

    #[test]
    fn zeros_after_gzip_are_no_damage_and_anything_else_is() {
        let text = |bytes: &[u8]| {
            let content = content(bytes);
            let (mut reader, damage) = content.reader().unwrap();
            let mut found = Vec::new();
            reader.read_to_end(&mut found).unwrap();
            (String::from_utf8(found).unwrap(), damage.found().is_some())
        };
        let (first, second) = (gzip(b"one"), gzip(b"two"));
        assert_eq!(text(&[&first[..], &vec![0; 70_000]].concat()), ("one".to_owned(), false));
        assert_eq!(text(&[&first[..], &[0; 512], &second, &[0; 3]].concat()), ("onetwo".to_owned(), false));
        assert_eq!(text(&[&first[..], b"\0\0x"].concat()), ("one".to_owned(), true));
    }

    #[test]
    fn members_of_a_stream_follow_each_other_and_a_cut_is_said() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let zstandard = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
        for pack in [&gzip as &dyn Fn(&[u8]) -> Vec<u8>, &zstandard] {
            let (first, second) = text.split_at(70_001);
            let packed = [pack(first), pack(second)].concat();
            for (bytes, is_whole) in [(packed.as_slice(), true), (&packed[..packed.len() - 9], false)] {
                let content = content(bytes);
                let (mut reader, damage) = content.reader().unwrap();
                let mut found = Vec::new();
                reader.read_to_end(&mut found).unwrap();
                assert_eq!(damage.found().is_none(), is_whole);
                assert!(text.starts_with(&found) && (found == text || !is_whole));
                let (file, damage) = content.at_any_position().unwrap();
                assert_eq!((file.num_bytes(), damage.is_none()), (found.len() as u64, is_whole));
            }
        }
    }
}
