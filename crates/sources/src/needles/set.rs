//! An annotation file of needles as a container of questions.

use std::ops::Range;

use manyframe_core::Position;

use crate::containers::{Container, LocatedRecords, parts_of_rows, rows_from};
use crate::json::{LocatedRecord, ReadError};
use crate::raw::RawBody;

use super::check::check;
use super::definition::Needle;
use super::grid::{cell, num_records};
use super::options::NeedleOptions;
use super::question::Questions;

/// The questions about the needles of a file.
#[derive(Debug, Clone)]
pub(crate) struct NeedleSet {
    options: NeedleOptions,
    needles: Vec<Needle>,
}

impl NeedleSet {
    /// Reads the needles of a file. The inner error says what is wrong with them.
    pub(crate) fn read(file: Box<dyn Container>, options: &NeedleOptions) -> Result<Result<Self, String>, ReadError> {
        let mut needles = Vec::new();
        for (number, record) in (1_u64..).zip(file.records(None)?) {
            match Needle::read(&record?.body) {
                Ok(needle) => needles.push(needle),
                Err(detail) => return Ok(Err(format!("needle {number}: {detail}"))),
            }
        }
        let set = Self { options: options.clone(), needles };
        Ok(check(&set.needles, options).and_then(|()| set.check_lengths()).map(|()| set))
    }

    /// Whether the first question of each length and task can be made: what it lacks, others lack, too. Of short haystacks, every
    /// question: some have more needles than others.
    fn check_lengths(&self) -> Result<(), String> {
        let num_records = num_records(&self.options);
        let mut last = None;
        for record in (0..num_records).filter_map(|record| cell(&self.options, record)) {
            let is_short = record.permutation == 0 && record.length <= self.longest_short_haystack();
            if last != Some((record.length, record.task)) || is_short {
                last = Some((record.length, record.task));
                self.questions().record(&record)?;
            }
        }
        Ok(())
    }

    /// The frames that all needles take which a question may show, with others between them.
    fn longest_short_haystack(&self) -> u32 {
        let longest = self.needles.iter().map(Needle::num_frames).max().unwrap_or(1);
        (longest + 1).saturating_mul(self.options.num_needles)
    }

    fn questions(&self) -> Questions<'_> {
        Questions { options: &self.options, needles: &self.needles }
    }

    fn body(&self, row: u64) -> Result<Option<RawBody>, ReadError> {
        let Some(cell) = cell(&self.options, row) else { return Ok(None) };
        let text = self.questions().record(&cell).map_err(std::io::Error::other)?;
        Ok(Some(RawBody::Json(text)))
    }
}

impl Container for NeedleSet {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        parts_of_rows(num_records(&self.options))
    }

    fn records(self: Box<Self>, rows: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        let rows = rows.unwrap_or(0..num_records(&self.options));
        Ok(Box::new(rows.filter_map(move |row| {
            let located = |body| LocatedRecord { position: Position::Row(row), body };
            Some(self.body(row).transpose()?.map(located))
        })))
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        match position {
            Position::Row(row) => self.body(row),
            _ => Ok(None),
        }
    }

    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError> {
        match rows_from(position, &self.parts()) {
            Some(rows) => Box::new(self.clone()).records(Some(rows)),
            None => Ok(Box::new(std::iter::empty())),
        }
    }
}
