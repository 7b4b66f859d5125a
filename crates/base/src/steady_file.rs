//! A file whose bytes go to the disk while more are written. Otherwise the system keeps most of them in memory until the file is
//! flushed, and a slow disk has nothing to do before.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Bytes that are written before the disk gets them.
const STEP_BYTES: u64 = 8 << 20;

/// A file that is written from its start to its end.
#[derive(Debug)]
pub struct SteadyFile {
    file: File,
    num_bytes: u64,
    /// The disk was told to take the bytes before this one.
    num_begun: u64,
}

impl SteadyFile {
    /// Writes to a file that is empty.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, num_bytes: 0, num_begun: 0 }
    }

    /// Has the disk take what was written since the last time. Linux begins to write a range that it is told not to keep, and does
    /// not wait for it (`mm/fadvise.c`).
    fn begin(&mut self) {
        // Only advice: file systems that cannot follow it write later.
        _ = fadvise(&self.file, self.num_begun, NonZeroU64::new(self.num_bytes - self.num_begun), Advice::DontNeed);
        self.num_begun = self.num_bytes;
    }
}

impl Write for SteadyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let num_bytes = self.file.write(bytes)?;
        self.num_bytes += num_bytes as u64;
        if self.num_bytes - self.num_begun >= STEP_BYTES {
            self.begin();
        }
        Ok(num_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_many_steps_has_all_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = SteadyFile::new(File::create(&path).unwrap());
        let piece: Vec<u8> = (0..=u8::MAX).cycle().take(3 << 20).collect();
        for _ in 0..7 {
            file.write_all(&piece).unwrap();
        }
        assert_eq!((file.num_bytes, file.num_begun), (21 << 20, 18 << 20), "steps end between writes");
        drop(file);
        assert!(std::fs::read(&path).unwrap() == piece.repeat(7));
    }
}
