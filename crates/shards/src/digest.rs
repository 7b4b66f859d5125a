//! A sink that counts and digests what is written to it: BLAKE3 for manyframe, SHA-256 for readers that others wrote.

use std::fmt::Write as _;
use std::io::{self, Write};

use manyframe_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::ShardError;
use crate::format::{ShardNotes, ShardSummary, WrittenShard};

/// Bytes gathered before they are digested and the sink is written to: enough that BLAKE3 digests many chunks at once, and few
/// enough that all of them are still in a processor's cache.
const BUFFER_BYTES: usize = 256 << 10;

/// Buffers, counts and digests.
pub(crate) struct DigestWriter {
    sink: Box<dyn Write + Send>,
    /// What is neither digested nor written yet.
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    sha256: Sha256,
    num_bytes: u64,
}

impl DigestWriter {
    pub(crate) fn new(sink: Box<dyn Write + Send>) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { sink, buffer, hasher: blake3::Hasher::new(), sha256: Sha256::new(), num_bytes: 0 }
    }

    /// How much was written.
    pub(crate) fn position(&self) -> u64 {
        self.num_bytes
    }

    /// Flushes and closes the sink.
    pub(crate) fn finish(mut self, num_samples: u64, notes: ShardNotes) -> Result<WrittenShard, ShardError> {
        self.flush().map_err(|source| ShardError::Write { source })?;
        let digest = Digest(*self.hasher.finalize().as_bytes());
        let sha256 = hex(&self.sha256.finalize());
        let summary = ShardSummary { num_samples, num_bytes: self.num_bytes, digest };
        Ok(WrittenShard { summary, notes: ShardNotes { sha256, ..notes } })
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.sha256.update(&self.buffer);
        self.sink.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a string cannot fail.
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.write_buffer()?;
        }
        if bytes.len() > BUFFER_BYTES {
            self.hasher.update(bytes);
            self.sha256.update(bytes);
            self.sink.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.num_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_buffer()?;
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn pieces_of_every_size_are_written_and_digested_in_order() {
        let sink = Shared::default();
        let mut writer = DigestWriter::new(Box::new(sink.clone()));
        let mut expected = Vec::new();
        for (number, size) in
            (0_u8..).zip([1, 0, BUFFER_BYTES - 1, BUFFER_BYTES, 512, BUFFER_BYTES + 1, 3 * BUFFER_BYTES, 7])
        {
            writer.write_all(&vec![number; size]).unwrap();
            expected.extend(vec![number; size]);
            assert_eq!(writer.position(), expected.len() as u64);
        }
        let written = writer.finish(1, ShardNotes::default()).unwrap();
        assert_eq!(*sink.0.lock().unwrap(), expected);
        assert_eq!(written.summary.num_bytes, expected.len() as u64);
        assert_eq!(written.summary.digest, Digest::of(&expected));
        assert_eq!(written.notes.sha256, hex(&Sha256::digest(&expected)));
    }
}
