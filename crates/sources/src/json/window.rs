//! A window that moves over a file: bytes are added at its end, and consumed at its front.
//!
//! It knows its position (byte and line) but nothing about JSON.
//!
//! **Invariant:** it holds what has been added and not consumed, and no more than one chunk besides.

use std::io::{self, Read};

use manyframe_core::Position;

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Size of the buffer at first.
const LEAST_BUFFER_BYTES: usize = 1 << 16;

/// A part of a file in memory. Positions in it count from its first unconsumed byte.
pub(crate) struct ByteWindow<R> {
    reader: R,
    /// What was added, and behind it old bytes that the next read overwrites: clearing them each time would cost time.
    buffer: Vec<u8>,
    consumed: usize,
    /// How many bytes were added, those consumed included.
    added: usize,
    /// Position in the file of the first unconsumed byte.
    offset: u64,
    /// Its line, from 1.
    line: u64,
}

impl<R: Read> ByteWindow<R> {
    /// An empty window at the start of a file.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), consumed: 0, added: 0, offset: 0, line: 1 }
    }

    /// An empty window of a reader that is at this byte of a file, in this line.
    pub(crate) fn at(reader: R, offset: u64, line: u64) -> Self {
        Self { offset, line, ..Self::new(reader) }
    }

    /// The bytes in the window.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.consumed..self.added).unwrap_or_default()
    }

    /// Adds the next chunk of the file. False at its end.
    pub(crate) fn grow(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.consumed..self.added, 0);
        self.added -= self.consumed;
        self.consumed = 0;
        let (start, end) = (self.added, self.added + CHUNK_BYTES);
        while self.added < end {
            if self.added == self.buffer.len() {
                // Small files do not need a whole chunk.
                let room = (2 * self.added).max(LEAST_BUFFER_BYTES);
                self.buffer.resize(room.min(end), 0);
            }
            let end_of_room = end.min(self.buffer.len());
            let Some(room) = self.buffer.get_mut(self.added..end_of_room) else { break };
            match self.reader.read(room) {
                Ok(0) => break,
                Ok(num_bytes) => self.added += num_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.added > start)
    }

    /// Moves the front of the window by `num_bytes`, or to its end.
    pub(crate) fn consume(&mut self, num_bytes: usize) {
        let front = self.bytes();
        let front = front.get(..num_bytes).unwrap_or(front);
        let (num_bytes, num_lines) = (front.len(), memchr::memchr_iter(b'\n', front).count());
        self.consumed += num_bytes;
        self.offset += num_bytes as u64;
        self.line += num_lines as u64;
    }

    /// Consumes the bytes at the front that satisfy `skip`, growing as needed. False if that ends the file.
    pub(crate) fn consume_while(&mut self, skip: impl Fn(u8) -> bool) -> io::Result<bool> {
        loop {
            let bytes = self.bytes();
            match bytes.iter().position(|&byte| !skip(byte)) {
                Some(num_bytes) => {
                    self.consume(num_bytes);
                    return Ok(true);
                }
                None => self.consume(bytes.len()),
            }
            if !self.grow()? {
                return Ok(false);
            }
        }
    }

    /// The position of the first `num_bytes` bytes.
    pub(crate) fn position(&self, num_bytes: u64) -> Position {
        Position::Bytes { offset: self.offset, num_bytes, line: self.line }
    }

    /// The position of the bytes consumed since the front was at `start`.
    pub(crate) fn consumed_since(&self, start: Position) -> Position {
        match start {
            Position::Bytes { offset, line, .. } => Position::Bytes { offset, num_bytes: self.offset - offset, line },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_knows_its_line() {
        let mut window = ByteWindow::new(&b"a\n\n  b\nc"[..]);
        assert!(window.consume_while(|byte| byte != b'b').unwrap());
        assert_eq!(window.position(1), Position::Bytes { offset: 5, num_bytes: 1, line: 3 });
        assert!(!window.consume_while(|_| true).unwrap());
        assert_eq!(window.position(0), Position::Bytes { offset: 8, num_bytes: 0, line: 4 });
    }

    #[test]
    fn a_window_grows_by_a_chunk_however_little_is_read_at_once() {
        struct Slow(u8);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.wrapping_add(1);
                if self.0.is_multiple_of(5) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let num_bytes = buffer.len().min(1000);
                buffer[..num_bytes].fill(self.0);
                Ok(num_bytes)
            }
        }
        let mut window = ByteWindow::new(Slow(0));
        for kept in [0, 10, CHUNK_BYTES, 3 * CHUNK_BYTES / 2] {
            window.consume(window.bytes().len().saturating_sub(kept));
            let before = window.bytes().to_vec();
            assert!(window.grow().unwrap());
            assert_eq!(window.bytes().len(), before.len() + CHUNK_BYTES);
            assert!(window.bytes().starts_with(&before));
        }
        let mut small = ByteWindow::new(&b"few"[..]);
        assert!(small.grow().unwrap() && !small.grow().unwrap());
        assert_eq!((small.bytes(), small.buffer.capacity()), (&b"few"[..], LEAST_BUFFER_BYTES));
    }

    #[test]
    fn memory_is_bounded_by_what_is_not_consumed() {
        let mut window = ByteWindow::new(io::repeat(b'x'));
        for _ in 0..40 {
            assert!(window.grow().unwrap());
            window.consume(usize::MAX);
        }
        assert!(window.buffer.capacity() <= 4 << 20);
    }
}
