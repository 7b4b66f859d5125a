//! A sink that counts and digests what is written to it.

use std::io::{self, BufWriter, Write};

use manyframe_core::Digest;

use crate::error::ShardError;
use crate::format::ShardSummary;

/// Bytes gathered before the sink is written to.
const BUFFER_BYTES: usize = 1 << 20;

/// Buffers, counts and digests.
pub(crate) struct DigestWriter {
    sink: BufWriter<Box<dyn Write + Send>>,
    hasher: blake3::Hasher,
    num_bytes: u64,
}

impl DigestWriter {
    pub(crate) fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: BufWriter::with_capacity(BUFFER_BYTES, sink), hasher: blake3::Hasher::new(), num_bytes: 0 }
    }

    /// How much was written.
    pub(crate) fn position(&self) -> u64 {
        self.num_bytes
    }

    /// Flushes and closes the sink.
    pub(crate) fn finish(mut self, num_samples: u64) -> Result<ShardSummary, ShardError> {
        self.sink.flush().map_err(|source| ShardError::Write { source })?;
        let digest = Digest(*self.hasher.finalize().as_bytes());
        Ok(ShardSummary { num_samples, num_bytes: self.num_bytes, digest })
    }
}

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let num_bytes = self.sink.write(bytes)?;
        #[expect(clippy::indexing_slicing, reason = "a sink takes no more bytes than it is offered")]
        self.hasher.update(&bytes[..num_bytes]);
        self.num_bytes += num_bytes as u64;
        Ok(num_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
