//! The records of an array, or a sequence of objects: where each begins and ends, even after damage.
//!
//! Rules for damaged files:
//! * A record ends at its closing brace, if a comma, a bracket, another brace or the end of the file follows.
//! * Otherwise it is damaged. It then ends where the next record begins: see [`Anchors`], and [`first_in_row`] for records that begin
//!   in a new way. Its bytes are kept, and fail to parse.
//! * Without a known start of records, damage goes on to the end of the file.
//! * Brackets and commas between records are not checked, so that arrays written one after another can be read; but a
//!   file that begins with a bracket must end with one.

use std::io::{self, Read};

use crate::json::anchor::{Anchors, LearnedFrom, first_in_row};
use crate::json::grammar::{Grammar, ScanStep, is_space};
use crate::json::located::{LocatedRecord, NextRecord, is_overlong, last, overlong, unclosed, whole};
use crate::json::sniff::{NotRecords, SNIFFED_BYTES, byte_order_mark_length};
use crate::json::window::ByteWindow;
use crate::json::wrapper::lists_of;

/// How many bytes from its brace a record shows how records begin.
const OPENING_BYTES: usize = 4096;

/// Maximum number of bytes between two records that are kept to learn from.
const MAX_BETWEEN_BYTES: usize = 4096;

/// Reads the records of a file.
pub(crate) struct Elements<R> {
    window: ByteWindow<R>,
    /// What was between the last record and the one at the front of the window, or the first bytes of it.
    between: Vec<u8>,
    anchors: Anchors,
    state: ReaderState,
    brackets: Brackets,
    /// Where the array begins whose elements are the records, if an object is around it.
    wrapped_from: Option<u64>,
    /// Whether the array was named: others may follow it.
    is_named: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    NotStarted,
    AfterRecord,
    AfterDamage,
    Ended,
}

/// Which bracket was seen last between records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brackets {
    None,
    Open,
    Closed,
}

/// How the record at the front of the window continues.
enum Extent {
    /// It is whole.
    Whole(usize),
    /// It is damaged, and ends where the next one begins.
    Damaged(usize),
    /// The file ends inside it.
    CutOff,
    /// It is too large to be kept; it was followed to here, or is damaged if it was not.
    TooLong(Option<Grammar>),
}

impl<R: Read> Elements<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self::of_window(ByteWindow::new(reader))
    }

    /// The records of a window that begins with one.
    pub(crate) fn of_window(window: ByteWindow<R>) -> Self {
        Self {
            window,
            between: Vec::new(),
            anchors: Anchors::default(),
            state: ReaderState::NotStarted,
            brackets: Brackets::None,
            wrapped_from: None,
            is_named: false,
        }
    }

    /// The elements of an array within an object: `start` is the position after its bracket.
    pub(crate) fn within(reader: R, start: u64) -> Self {
        Self { wrapped_from: Some(start), ..Self::new(reader) }
    }

    /// As [`Self::within`], of one of several arrays: what follows it is not looked at.
    pub(crate) fn of_list(reader: R, start: u64) -> Self {
        Self { is_named: true, ..Self::within(reader, start) }
    }

    /// The next record.
    pub(crate) fn next_record(&mut self) -> NextRecord {
        if self.state == ReaderState::Ended {
            return Ok(None);
        }
        self.consume_between()?;
        if self.wrapped_from.is_some() && self.brackets == Brackets::Closed {
            return self.end_of_wrapper();
        }
        if self.window.bytes().is_empty() {
            self.state = ReaderState::Ended;
            let end = LocatedRecord { position: self.window.position(0), body: unclosed() };
            return Ok((self.brackets == Brackets::Open).then_some(end));
        }
        self.learn()?;
        let found = match self.extent()? {
            Extent::Whole(num_bytes) => {
                self.state = ReaderState::AfterRecord;
                self.take(num_bytes)
            }
            Extent::Damaged(num_bytes) => {
                self.state = ReaderState::AfterDamage;
                self.take(num_bytes)
            }
            Extent::CutOff => {
                self.state = ReaderState::Ended;
                let bytes = self.window.bytes();
                LocatedRecord { position: self.window.position(bytes.len() as u64), body: last(bytes) }
            }
            Extent::TooLong(grammar) => {
                self.state = ReaderState::AfterDamage;
                self.skip(grammar)?
            }
        };
        Ok(Some(found))
    }

    /// Moves to the next record, or the end of the file.
    fn consume_between(&mut self) -> io::Result<()> {
        self.between.clear();
        if self.state == ReaderState::NotStarted {
            self.window.grow()?;
            if let Some(start) = self.wrapped_from {
                let mut num_left = start;
                while num_left > 0 && (!self.window.bytes().is_empty() || self.window.grow()?) {
                    let num_passed = num_left.min(self.window.bytes().len() as u64);
                    self.window.consume(num_passed as usize);
                    num_left -= num_passed;
                }
                self.brackets = Brackets::Open;
            }
            self.window.consume(byte_order_mark_length(self.window.bytes()));
            // The start of the file is the start of a line.
            self.between.push(b'\n');
        }
        loop {
            let bytes = self.window.bytes();
            let length = bytes.iter().position(|&byte| !is_between(byte)).unwrap_or(bytes.len());
            let (passed, rest) = bytes.split_at(length);
            match passed.iter().rfind(|byte| matches!(byte, b'[' | b']')) {
                Some(b'[') => self.brackets = Brackets::Open,
                Some(_) => self.brackets = Brackets::Closed,
                None => {}
            }
            self.between.extend(passed.iter().take(MAX_BETWEEN_BYTES.saturating_sub(self.between.len())));
            let is_all = rest.is_empty();
            self.window.consume(length);
            if !is_all || !self.window.grow()? {
                return Ok(());
            }
        }
    }

    /// What follows the records in the object around them: it must end, and have no other list that could be the records.
    fn end_of_wrapper(&mut self) -> NextRecord {
        self.state = ReaderState::Ended;
        if self.is_named {
            return Ok(None);
        }
        while self.window.bytes().len() < SNIFFED_BYTES as usize && self.window.grow()? {}
        let rest = self.window.bytes();
        let found = lists_of(rest, 0);
        let is_last = found.end.is_some_and(|end| rest.split_at(end).1.trim_ascii().is_empty());
        let is_cut_off = found.end.is_none() && rest.len() < SNIFFED_BYTES as usize;
        if !found.lists.is_empty() || !(is_last || is_cut_off) {
            let others = found.lists.iter().map(|(name, _)| name.as_str());
            return Err(NotRecords::several_lists(std::iter::once("…").chain(others)).into());
        }
        self.window.consume(rest.len());
        let end = LocatedRecord { position: self.window.position(0), body: unclosed() };
        Ok(is_cut_off.then_some(end))
    }

    fn learn(&mut self) -> io::Result<()> {
        let place = match self.state {
            ReaderState::NotStarted => LearnedFrom::First,
            ReaderState::AfterRecord => LearnedFrom::AfterRecord,
            ReaderState::AfterDamage | ReaderState::Ended => return Ok(()),
        };
        while self.window.bytes().len() < OPENING_BYTES && self.window.grow()? {}
        let record = self.window.bytes();
        let bracket = self.between.iter().rposition(|&byte| byte == b'[');
        let between = self.between.split_at(bracket.map_or(0, |at| at + 1)).1;
        self.anchors.learn(between, record.get(..OPENING_BYTES).unwrap_or(record), place);
        Ok(())
    }

    /// Follows the record at the front of the window.
    fn extent(&mut self) -> io::Result<Extent> {
        let mut grammar = Grammar::new();
        loop {
            match grammar.advance(self.window.bytes()) {
                ScanStep::Complete(end) if self.may_follow(end)? => return Ok(Extent::Whole(end)),
                ScanStep::Complete(_) | ScanStep::Broken => return self.damaged_extent(),
                ScanStep::Unfinished if is_overlong(self.window.bytes().len()) => {
                    return Ok(Extent::TooLong(Some(grammar)));
                }
                ScanStep::Unfinished => {}
            }
            if !self.window.grow()? {
                // An extra quote can hide everything after it; only what contains no other record was cut off.
                return Ok(match self.anchors.find(self.window.bytes(), 1) {
                    Some(next) => Extent::Damaged(self.end_before(next)),
                    None => Extent::CutOff,
                });
            }
        }
    }

    /// Whether the bytes from `end` on show that a record ended there.
    fn may_follow(&mut self, end: usize) -> io::Result<bool> {
        let mut from = end;
        loop {
            let rest = self.window.bytes().split_at(from).1;
            if let Some(byte) = rest.iter().find(|&&byte| !is_space(byte)) {
                return Ok(matches!(byte, b',' | b']' | b'[' | b'{'));
            }
            from = self.window.bytes().len();
            if is_overlong(from) || !self.window.grow()? {
                return Ok(true);
            }
        }
    }

    /// Looks for the start of the next record.
    fn damaged_extent(&mut self) -> io::Result<Extent> {
        let mut from = 1;
        loop {
            let bytes = self.window.bytes();
            if let Some(next) = self.anchors.find(bytes, from) {
                let next = first_in_row(bytes.split_at(next).0).unwrap_or(next);
                return Ok(Extent::Damaged(self.end_before(next)));
            }
            if is_overlong(bytes.len()) {
                return Ok(Extent::TooLong(None));
            }
            from = bytes.len().saturating_sub(self.anchors.max_length()).max(1);
            if !self.window.grow()? {
                let end = self.end_of_last();
                let next = first_in_row(self.window.bytes().get(..end).unwrap_or_default());
                return Ok(Extent::Damaged(next.map_or(end, |next| self.end_before(next))));
            }
        }
    }

    /// The end of a damaged record before another: white space and commas between them are not part of it.
    fn end_before(&self, next: usize) -> usize {
        let bytes = self.window.bytes().split_at(next).0;
        bytes.iter().rposition(|&byte| !is_space(byte) && byte != b',').map_or(1, |last| last + 1)
    }

    /// The end of a damaged record before the end of the file: the bracket that closes the array is not part of it.
    fn end_of_last(&self) -> usize {
        let bytes = self.window.bytes().trim_ascii_end();
        let bytes = match bytes.strip_suffix(b"]") {
            Some(bytes) if self.brackets == Brackets::Open => bytes.trim_ascii_end(),
            _ => bytes,
        };
        bytes.len().max(1)
    }

    fn take(&mut self, num_bytes: usize) -> LocatedRecord {
        let bytes = self.window.bytes();
        let bytes = bytes.get(..num_bytes).unwrap_or(bytes);
        let (position, body) = (self.window.position(bytes.len() as u64), whole(bytes));
        self.window.consume(num_bytes);
        LocatedRecord { position, body }
    }

    /// Drops a record that is too large while following it to its end, or to the next record if it is damaged.
    fn skip(&mut self, mut whole: Option<Grammar>) -> io::Result<LocatedRecord> {
        let start = self.window.position(0);
        let body = overlong(self.window.bytes());
        loop {
            let length = self.window.bytes().len();
            let step = whole.as_mut().map_or(ScanStep::Broken, |grammar| grammar.advance(self.window.bytes()));
            let (end, is_end) = match step {
                ScanStep::Complete(end) => (end, true),
                ScanStep::Unfinished => (length, false),
                ScanStep::Broken => match self.anchors.find(self.window.bytes(), 1) {
                    Some(next) => (self.end_before(next), true),
                    None => (length.saturating_sub(self.anchors.max_length()), false),
                },
            };
            whole = whole.filter(|_| step == ScanStep::Unfinished);
            if let Some(grammar) = &mut whole {
                grammar.forget(end);
            }
            self.window.consume(end);
            if is_end {
                break;
            }
            if !self.window.grow()? {
                self.window.consume(length);
                break;
            }
        }
        Ok(LocatedRecord { position: self.window.consumed_since(start), body })
    }
}

/// Whether a byte may occur between records: white space, commas, and the brackets around them.
fn is_between(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b',' | b'[' | b']')
}
