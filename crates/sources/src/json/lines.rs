//! JSON lines: each line is a record, whatever it contains.

use std::io::Read;

use memchr::memchr;

use crate::json::grammar;
use crate::json::located::{LocatedRecord, NextRecord, is_overlong, last, overlong, whole};
use crate::json::sniff::byte_order_mark_length;
use crate::json::window::ByteWindow;
use crate::raw::RawBody;

/// Reads the lines of a file that are not blank.
pub(crate) struct Lines<R> {
    window: ByteWindow<R>,
    is_started: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { window: ByteWindow::new(reader), is_started: false }
    }

    /// The lines of a window that begins with one.
    pub(crate) fn of_window(window: ByteWindow<R>) -> Self {
        Self { window, is_started: true }
    }

    /// The next line that is not blank.
    pub(crate) fn next_record(&mut self) -> NextRecord {
        if !self.is_started {
            self.window.grow()?;
            self.window.consume(byte_order_mark_length(self.window.bytes()));
            self.is_started = true;
        }
        if !self.window.consume_while(grammar::is_space)? {
            return Ok(None);
        }
        let mut searched = 0;
        loop {
            let bytes = self.window.bytes();
            if let Some(at) = memchr(b'\n', bytes.split_at(searched).1) {
                let line = bytes.split_at(searched + at).0.trim_ascii_end();
                let (num_bytes, body) = (line.len(), whole(line));
                return Ok(Some(self.take(num_bytes, body)));
            }
            searched = bytes.len();
            if is_overlong(searched) {
                return self.skip_line();
            }
            if !self.window.grow()? {
                let body = last(self.window.bytes());
                return Ok(Some(self.take(searched, body)));
            }
        }
    }

    fn take(&mut self, num_bytes: usize, body: RawBody) -> LocatedRecord {
        let position = self.window.position(num_bytes as u64);
        self.window.consume(num_bytes);
        LocatedRecord { position, body }
    }

    fn skip_line(&mut self) -> NextRecord {
        let body = overlong(self.window.bytes());
        let start = self.window.position(0);
        self.window.consume_while(|byte| byte != b'\n')?;
        Ok(Some(LocatedRecord { position: self.window.consumed_since(start), body }))
    }
}
