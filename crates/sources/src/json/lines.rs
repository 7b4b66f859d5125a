//! JSON lines: each line is a record, whatever it contains; but where objects follow each other in a line, as where a line feed was lost,
//! each of them is one.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter};

use crate::json::grammar::{self, first_of_several};
use crate::json::located::{LocatedRecord, NextRecord, is_overlong, last, overlong, whole};
use crate::json::sniff::byte_order_mark_length;
use crate::json::window::ByteWindow;

/// Reads the lines of a file that are not blank.
pub(crate) struct Lines<R> {
    window: ByteWindow<R>,
    is_started: bool,
    /// What is left of a line of several objects: it begins with one.
    rest: Option<LineEnd>,
}

/// Where the line at the front of the window ends.
#[derive(Clone, Copy)]
struct LineEnd {
    num_bytes: usize,
    /// Whether the file ends there, without a line feed.
    is_last: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { window: ByteWindow::new(reader), is_started: false, rest: None }
    }

    /// The lines of a window that begins with one.
    pub(crate) fn of_window(window: ByteWindow<R>) -> Self {
        Self { window, is_started: true, rest: None }
    }

    /// The next line that is not blank, or the next object of a line.
    pub(crate) fn next_record(&mut self) -> NextRecord {
        if let Some(end) = self.rest.take() {
            return Ok(Some(self.take(end, true)));
        }
        if !self.is_started {
            self.window.grow()?;
            self.window.consume(byte_order_mark_length(self.window.bytes()));
            self.is_started = true;
        }
        if !self.window.consume_while(grammar::is_space)? {
            return Ok(None);
        }
        match self.line_end()? {
            Some(end) => {
                let line = self.window.bytes().split_at(end.num_bytes).0;
                let is_of_several = may_be_several(line);
                Ok(Some(self.take(end, is_of_several)))
            }
            None => self.skip_line(),
        }
    }

    /// Where the line at the front ends; `None` if it is too long to be kept.
    fn line_end(&mut self) -> io::Result<Option<LineEnd>> {
        let mut searched = 0;
        loop {
            let bytes = self.window.bytes();
            if let Some(at) = memchr(b'\n', bytes.split_at(searched).1) {
                return Ok(Some(LineEnd { num_bytes: searched + at, is_last: false }));
            }
            searched = bytes.len();
            if is_overlong(searched) {
                return Ok(None);
            }
            if !self.window.grow()? {
                return Ok(Some(LineEnd { num_bytes: searched, is_last: true }));
            }
        }
    }

    /// Takes a line, or its first object if others follow.
    fn take(&mut self, end: LineEnd, is_of_several: bool) -> LocatedRecord {
        let bytes = self.window.bytes().split_at(end.num_bytes).0;
        let line = if end.is_last { bytes } else { bytes.trim_ascii_end() };
        let (num_bytes, body) = match is_of_several.then(|| first_of_several(line)).flatten() {
            Some(num_bytes) => (num_bytes, whole(line.split_at(num_bytes).0)),
            None if end.is_last => (line.len(), last(line)),
            None => (line.len(), whole(line)),
        };
        let position = self.window.position(num_bytes as u64);
        let rest = bytes.split_at(num_bytes).1.trim_ascii_start().len();
        self.window.consume(end.num_bytes - rest);
        self.rest = (rest > 0).then_some(LineEnd { num_bytes: rest, ..end });
        LocatedRecord { position, body }
    }

    fn skip_line(&mut self) -> NextRecord {
        let body = overlong(self.window.bytes());
        let start = self.window.position(0);
        self.window.consume_while(|byte| byte != b'\n')?;
        Ok(Some(LocatedRecord { position: self.window.consumed_since(start), body }))
    }
}

/// Whether something in a line looks like the end of an object before another: rarely text, and never values of one object.
fn may_be_several(line: &[u8]) -> bool {
    memchr_iter(b'{', line).any(|at| line.split_at(at).0.trim_ascii_end().ends_with(b"}"))
}
