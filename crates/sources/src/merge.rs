//! One conversation of records that follow each other and show the same images or videos.
//!
//! ```text
//! records in order ──▶ Merging ──▶ one Raw for each run of records with equal media, at most so many turns
//!                                  its position is that of all of them; parsed, it is one record
//! ```
//!
//! Records are compared by what they name: paths, clips, frame rates. Those with other media, without any, of another subset or with
//! another system turn stay as they are, and so do those that are rejected; these end no run, and come after the one that they are in.
//!
//! **Invariant:** which records are merged depends on the records alone, so that a run is found again from its position.

use std::collections::VecDeque;
use std::sync::Arc;

use manyframe_core::{
    Origin, Part, Position, Record, RejectedRecord, Rejection, Role, Turn, UncheckedRecord, is_document,
};

use crate::error::SourceError;
use crate::raw::{Raw, RawBody};

/// Rejected records that a run may have in it.
const MAX_REJECTED: usize = 100;

/// What parses a record.
type Parse<'s> = Box<dyn Fn(&Raw) -> Result<Record, RejectedRecord> + Send + 's>;

/// Merges the records of an iterator.
pub(crate) struct Merging<'s, Records> {
    records: Records,
    parse: Parse<'s>,
    max_turns: usize,
    /// What was read after the last run began, and is not part of it.
    next: VecDeque<Found>,
}

/// A record, and what can be done with it.
type Found = (Raw, Use);

/// What can be done with a record.
enum Use {
    /// It can be merged with others.
    Merged(Record),
    /// It stays as it is.
    Alone,
    /// It is rejected.
    Rejected,
}

impl<'s, Records: Iterator<Item = Result<Raw, SourceError>>> Merging<'s, Records> {
    pub(crate) fn new(
        records: Records,
        max_turns: usize,
        parse: impl Fn(&Raw) -> Result<Record, RejectedRecord> + Send + 's,
    ) -> Self {
        Self { records, parse: Box::new(parse), max_turns, next: VecDeque::new() }
    }

    /// The next record that was not looked at yet.
    fn read(&mut self) -> Option<Result<Found, SourceError>> {
        Some(self.records.next()?.map(|raw| {
            let found = match (self.parse)(&raw) {
                Ok(record) if shows_media_first(&record) => Use::Merged(record),
                Ok(_) => Use::Alone,
                Err(_) => Use::Rejected,
            };
            (raw, found)
        }))
    }

    fn next_run(&mut self) -> Option<Result<Raw, SourceError>> {
        let (first, record) = match self.next.pop_front().map(Ok).or_else(|| self.read())? {
            Ok((first, Use::Merged(record))) => (first, record),
            Ok((first, Use::Alone | Use::Rejected)) => return Some(Ok(first)),
            Err(error) => return Some(Err(error)),
        };
        let mut num_turns = record.turns.len();
        let mut run = vec![first];
        // Rejected records that were read before are in front of the others, which none of them separates from the run.
        let mut set_aside = std::mem::take(&mut self.next);
        let mut waiting: VecDeque<Found> = VecDeque::new();
        loop {
            let found = match set_aside.pop_front().map(Ok).or_else(|| self.read()) {
                None => break,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(found)) => found,
            };
            match found {
                (raw, Use::Merged(other))
                    if is_one(&record, &other) && num_turns + other.turns.len() <= self.max_turns =>
                {
                    num_turns += other.turns.len();
                    run.push(raw);
                }
                (raw, Use::Rejected) if waiting.len() < MAX_REJECTED => waiting.push_back((raw, Use::Rejected)),
                found => {
                    waiting.push_back(found);
                    break;
                }
            }
        }
        waiting.append(&mut set_aside);
        self.next = waiting;
        Some(Ok(raw_of_run(run)?))
    }
}

impl<Records: Iterator<Item = Result<Raw, SourceError>>> Iterator for Merging<'_, Records> {
    type Item = Result<Raw, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_run()
    }
}

/// Records as one. `None` if there are none.
fn raw_of_run(run: Vec<Raw>) -> Option<Raw> {
    let (first, last) = (run.first()?, run.last()?);
    if run.len() == 1 {
        return run.into_iter().next();
    }
    let position = match (first.origin.position, last.origin.position) {
        (Position::Bytes { offset, line, .. }, Position::Bytes { offset: last, num_bytes, .. }) => {
            Position::Bytes { offset, num_bytes: last.saturating_add(num_bytes).saturating_sub(offset), line }
        }
        (position, _) => position,
    };
    let origin = Origin { file: Arc::clone(&first.origin.file), position };
    let subset = Arc::clone(&first.subset);
    Some(Raw { origin, subset, body: RawBody::Merged(run.into_iter().map(|raw| raw.body).collect()) })
}

/// The record that several become.
///
/// # Errors
/// Why they cannot be one, which those that were merged are.
pub(crate) fn merged(records: Vec<Record>, origin: &Origin) -> Result<Record, RejectedRecord> {
    let ids: Vec<&str> = records.iter().map(|record| record.upstream_id.as_str()).filter(|id| !id.is_empty()).collect();
    let upstream_id = ids.join("+");
    let mut records = records.into_iter();
    let Some(first) = records.next() else {
        let rejection = Rejection::new(manyframe_core::RejectCode::EmptyConversation, "no record is left");
        return Err(RejectedRecord { rejection, subset: String::new(), upstream_id, origin: origin.clone() });
    };
    let (subset, mut turns) = (Arc::clone(&first.subset), first.turns);
    for record in records {
        let of_conversation = record.turns.into_iter().filter(|turn| turn.role != Role::System);
        turns.extend(of_conversation.map(without_visuals));
    }
    let record = UncheckedRecord {
        source: first.source,
        subset: first.subset,
        upstream_id: upstream_id.clone(),
        turns,
        media: first.media,
        origin: origin.clone(),
    };
    Record::try_new(record).map_err(|error| RejectedRecord {
        rejection: error.into(),
        subset: subset.to_string(),
        upstream_id,
        origin: origin.clone(),
    })
}

/// Whether it is a conversation that shows all of its media in its first question, which says something, too.
fn shows_media_first(record: &Record) -> bool {
    let mut questions = record.turns.iter().filter(|turn| turn.role == Role::User);
    let asks = |turn: &Turn| turn.parts.iter().any(|part| matches!(part, Part::Text(text) if !text.trim().is_empty()));
    let is_first = questions.next().is_some_and(|turn| turn.visuals().count() == record.media.len() && asks(turn));
    !record.media.is_empty() && is_first && !is_document(record.turns.iter().map(|turn| turn.role))
}

fn is_one(record: &Record, other: &Record) -> bool {
    fn system(record: &Record) -> Option<&Turn> {
        record.turns.first().filter(|turn| turn.role == Role::System)
    }
    let kinds = |record: &Record| record.visuals().map(|visual| visual.kind).collect::<Vec<_>>();
    let has_same_system = system(other).is_none() || system(record) == system(other);
    has_same_system && record.subset == other.subset && record.media == other.media && kinds(record) == kinds(other)
}

/// A question about what is shown before it; a newline beside a visual goes with it.
fn without_visuals(turn: Turn) -> Turn {
    let mut text = String::new();
    let mut follows_visual = false;
    for part in turn.parts {
        match part {
            Part::Text(of_turn) => {
                let of_turn = if follows_visual { of_turn.strip_prefix('\n').unwrap_or(&of_turn) } else { &of_turn };
                text.push_str(of_turn);
                follows_visual = false;
            }
            Part::Visual(_) => {
                text.truncate(text.strip_suffix('\n').unwrap_or(&text).len());
                follows_visual = true;
            }
        }
    }
    Turn { role: turn.role, parts: vec![Part::Text(text)] }
}
