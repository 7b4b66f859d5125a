//! A sink that counts and digests what is written to it: BLAKE3 for manyframe, SHA-256 for readers that others wrote.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use manyframe_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::ShardError;
use crate::format::{ShardNotes, ShardSummary, WrittenShard};

/// Bytes gathered before the sink is written to.
const BUFFER_BYTES: usize = 1 << 20;

/// Buffers, counts and digests.
pub(crate) struct DigestWriter {
    sink: BufWriter<Box<dyn Write + Send>>,
    hasher: blake3::Hasher,
    sha256: Sha256,
    num_bytes: u64,
}

impl DigestWriter {
    pub(crate) fn new(sink: Box<dyn Write + Send>) -> Self {
        let sink = BufWriter::with_capacity(BUFFER_BYTES, sink);
        Self { sink, hasher: blake3::Hasher::new(), sha256: Sha256::new(), num_bytes: 0 }
    }

    /// How much was written.
    pub(crate) fn position(&self) -> u64 {
        self.num_bytes
    }

    /// Flushes and closes the sink.
    pub(crate) fn finish(mut self, num_samples: u64, notes: ShardNotes) -> Result<WrittenShard, ShardError> {
        self.sink.flush().map_err(|source| ShardError::Write { source })?;
        let digest = Digest(*self.hasher.finalize().as_bytes());
        let sha256 = hex(&self.sha256.finalize());
        let summary = ShardSummary { num_samples, num_bytes: self.num_bytes, digest };
        Ok(WrittenShard { summary, notes: ShardNotes { sha256, ..notes } })
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
        let num_bytes = self.sink.write(bytes)?;
        #[expect(clippy::indexing_slicing, reason = "a sink takes no more bytes than it is offered")]
        let written = &bytes[..num_bytes];
        self.hasher.update(written);
        self.sha256.update(written);
        self.num_bytes += num_bytes as u64;
        Ok(num_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
