//! A window that moves over a file: bytes are added at its end, and consumed at its front.
//!
//! It knows its position (byte and line) but nothing about JSON.
//!
//! **Invariant:** it holds what has been added and not consumed, and no more than one chunk besides.

use std::io::{self, Read};

use manyframe_core::Position;

/// How many bytes are read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// A part of a file in memory. Positions in it count from its first unconsumed byte.
pub(crate) struct ByteWindow<R> {
    reader: R,
    buffer: Vec<u8>,
    consumed: usize,
    /// Position in the file of the first unconsumed byte.
    offset: u64,
    /// Its line, from 1.
    line: u64,
}

impl<R: Read> ByteWindow<R> {
    /// An empty window at the start of a file.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), consumed: 0, offset: 0, line: 1 }
    }

    /// An empty window of a reader that is at this byte of a file, in this line.
    pub(crate) fn at(reader: R, offset: u64, line: u64) -> Self {
        Self { offset, line, ..Self::new(reader) }
    }

    /// The bytes in the window.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.split_at(self.consumed).1
    }

    /// Adds the next chunk of the file. False at its end.
    pub(crate) fn grow(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        Ok(self.reader.by_ref().take(CHUNK_BYTES).read_to_end(&mut self.buffer)? > 0)
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
    fn memory_is_bounded_by_what_is_not_consumed() {
        let mut window = ByteWindow::new(io::repeat(b'x'));
        for _ in 0..40 {
            assert!(window.grow().unwrap());
            window.consume(usize::MAX);
        }
        assert!(window.buffer.capacity() <= 4 << 20);
    }
}
