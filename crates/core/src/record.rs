//! A conversation whose visuals are typed: between `sources` and `format`, no code sees a placeholder string.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, RecordId};
use crate::media::{MediaKind, MediaLocation, MediaRef};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions before the conversation.
    System,
    /// The person (`human`, `user`).
    User,
    /// The model (`gpt`, `assistant`).
    Assistant,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        })
    }
}

/// How a medium is shown to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VisualKind {
    /// One image.
    Image,
    /// Frames in time.
    Video,
    /// An overview and rows of tiles.
    Tiled,
}

/// A visual in a conversation: a medium of the record, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Visual {
    /// How the medium is shown.
    pub kind: VisualKind,
    /// Position in [`Record::media`].
    pub media: usize,
}

/// Text or a visual: what a turn consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Upstream's text, unchanged but for its placeholders. Strings in it that look like tags are text.
    Text(String),
    /// A visual.
    Visual(Visual),
}

/// What one side says before the other answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// Text and visuals in order.
    pub parts: Vec<Part>,
}

impl Turn {
    /// The visuals in order of appearance.
    pub fn visuals(&self) -> impl Iterator<Item = Visual> {
        self.parts.iter().filter_map(|part| if let Part::Visual(visual) = part { Some(*visual) } else { None })
    }

    /// Number of characters of all text.
    pub fn num_text_chars(&self) -> usize {
        self.parts.iter().map(|part| if let Part::Text(text) = part { num_chars(text) } else { 0 }).sum()
    }
}

/// Where a record was read, so that `manyframe why` can show the line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The annotation file.
    pub file: Arc<str>,
    /// The position in it.
    pub position: Position,
}

/// A position in an annotation file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Bytes of a JSON file.
    Bytes {
        /// First byte of the record.
        offset: u64,
        /// Number of bytes.
        num_bytes: u64,
        /// Line of the first byte, from 1.
        line: u64,
    },
    /// A row of a Parquet file, from 0.
    Row(u64),
    /// The whole file: what is wrong with it is not about one record.
    File,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            Position::Bytes { line, .. } => write!(f, "{}:{line}", self.file),
            Position::Row(row) => write!(f, "{} row {row}", self.file),
            Position::File => write!(f, "{}", self.file),
        }
    }
}

/// One conversation or document of an upstream dataset, in one form for all datasets.
///
/// # Invariants
/// * Every visual points into `media`, and every medium is pointed at exactly once, in order of appearance.
/// * Videos point at `MediaKind::Video`, images and tiled images at `MediaKind::Image`.
/// * Turns alternate between user and assistant, with an optional system turn first; the last one is the assistant's.
/// * Every answer has text; visuals are in user turns only.
/// * A document is a single assistant turn, without a question. It has text, and may have visuals anywhere in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Identity, derived from the other fields.
    pub id: RecordId,
    /// Name of the source in the pipeline file.
    pub source: Arc<str>,
    /// Part of the source, such as `video/reasoning/clevrer_qa`; may be empty.
    pub subset: Arc<str>,
    /// Its id in the upstream dataset; may be empty, and may repeat.
    pub upstream_id: String,
    /// The conversation.
    pub turns: Vec<Turn>,
    /// Its images and videos, in order of appearance.
    pub media: Vec<MediaRef>,
    /// Where it was read.
    pub origin: Origin,
}

/// The fields of a record that nobody has checked yet. The identity follows from them.
#[derive(Debug, Clone, PartialEq)]
pub struct UncheckedRecord {
    /// Name of the source in the pipeline file.
    pub source: Arc<str>,
    /// Part of the source; may be empty.
    pub subset: Arc<str>,
    /// Its id in the upstream dataset; may be empty.
    pub upstream_id: String,
    /// The conversation or document.
    pub turns: Vec<Turn>,
    /// Its images and videos, in order of appearance.
    pub media: Vec<MediaRef>,
    /// Where it was read.
    pub origin: Origin,
}

/// Why turns and media do not make a record; a [`Rejection`](crate::Rejection) is made from each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is no turn at all.
    #[error("the conversation is empty")]
    NoTurns,
    /// Turns do not alternate.
    #[error("turn {turn}, counted from 0, is the {found}'s, expected the {expected}'s")]
    TurnOrder {
        /// Position of the turn, from 0.
        turn: usize,
        /// The role found.
        found: Role,
        /// The role expected there.
        expected: Role,
    },
    /// The conversation does not end with an answer.
    #[error("the last turn is the {last}'s, expected an answer of the assistant after it")]
    Unanswered {
        /// Whose the last turn is.
        last: Role,
    },
    /// An answer, or a user turn without visuals, has no text.
    #[error("turn {turn}, counted from 0, of the {role}, is empty")]
    EmptyTurn {
        /// Position of the turn, from 0.
        turn: usize,
        /// Who should have spoken.
        role: Role,
    },
    /// A visual is in a turn that is not the user's.
    #[error("turn {turn}, counted from 0, of the {role}, contains an image or video")]
    VisualOutsideUserTurn {
        /// Position of the turn, from 0.
        turn: usize,
        /// Whose turn it is.
        role: Role,
    },
    /// Visuals do not refer to the media one by one and in order.
    #[error("{num_visuals} placeholders for {num_media} images or videos")]
    VisualsAndMedia {
        /// Visuals in the turns.
        num_visuals: usize,
        /// Media of the record.
        num_media: usize,
    },
    /// A visual shows a medium of the wrong kind.
    #[error("visual {visual} is of a different kind from its medium")]
    VisualKind {
        /// Position of the visual, from 0.
        visual: usize,
    },
}

impl Record {
    /// Checks the invariants and derives the identity, in which media count by the paths that upstream wrote.
    ///
    /// # Errors
    /// Names the first invariant that does not hold. An answer that is the only turn lacks its question.
    pub fn try_new(record: UncheckedRecord) -> Result<Self, RecordError> {
        check_turns(&record.turns)?;
        Self::with_checked_turns(record)
    }

    /// As [`Self::try_new`], but an answer that is the only turn is a document. Only the reader of a dataset knows that
    /// such a record is not a conversation without its question.
    ///
    /// # Errors
    /// Names the first invariant that does not hold.
    pub fn try_document(record: UncheckedRecord) -> Result<Self, RecordError> {
        if is_document(record.turns.iter().map(|turn| turn.role)) {
            record.turns.iter().try_for_each(check_document)?;
        } else {
            check_turns(&record.turns)?;
        }
        Self::with_checked_turns(record)
    }

    fn with_checked_turns(record: UncheckedRecord) -> Result<Self, RecordError> {
        check_visuals(&record.turns, &record.media)?;
        let id = record_id(&record);
        let UncheckedRecord { source, subset, upstream_id, turns, media, origin } = record;
        Ok(Self { id, source, subset, upstream_id, turns, media, origin })
    }

    /// The visuals in order of appearance.
    pub fn visuals(&self) -> impl Iterator<Item = Visual> {
        visuals_of(&self.turns)
    }

    /// Number of characters of all text.
    pub fn num_text_chars(&self) -> usize {
        self.turns.iter().map(Turn::num_text_chars).sum()
    }
}

/// Whether these are the roles of a document: one assistant turn, which is trained on without a question.
pub fn is_document(mut roles: impl Iterator<Item = Role>) -> bool {
    roles.next() == Some(Role::Assistant) && roles.next().is_none()
}

fn num_chars(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

fn visuals_of(turns: &[Turn]) -> impl Iterator<Item = Visual> {
    turns.iter().flat_map(Turn::visuals)
}

fn check_turns(turns: &[Turn]) -> Result<(), RecordError> {
    let Some(last) = turns.last() else { return Err(RecordError::NoTurns) };
    let first_user = usize::from(turns.first().is_some_and(|turn| turn.role == Role::System));
    for (index, turn) in turns.iter().enumerate() {
        let expected = match index {
            _ if index < first_user => Role::System,
            _ if (index - first_user).is_multiple_of(2) => Role::User,
            _ => Role::Assistant,
        };
        if turn.role != expected {
            return Err(RecordError::TurnOrder { turn: index, found: turn.role, expected });
        }
        check_turn(index, turn)?;
    }
    match last.role {
        Role::Assistant => Ok(()),
        last => Err(RecordError::Unanswered { last }),
    }
}

/// Of a document all text is trained, so that one without text teaches nothing.
fn check_document(turn: &Turn) -> Result<(), RecordError> {
    if has_text(turn) { Ok(()) } else { Err(RecordError::EmptyTurn { turn: 0, role: turn.role }) }
}

fn has_text(turn: &Turn) -> bool {
    turn.parts.iter().any(|part| matches!(part, Part::Text(text) if !text.trim().is_empty()))
}

fn check_turn(index: usize, turn: &Turn) -> Result<(), RecordError> {
    let has_visual = turn.parts.iter().any(|part| matches!(part, Part::Visual(_)));
    if has_visual && turn.role != Role::User {
        return Err(RecordError::VisualOutsideUserTurn { turn: index, role: turn.role });
    }
    if !has_text(turn) && !has_visual {
        return Err(RecordError::EmptyTurn { turn: index, role: turn.role });
    }
    Ok(())
}

fn check_visuals(turns: &[Turn], media: &[MediaRef]) -> Result<(), RecordError> {
    let num_visuals = visuals_of(turns).count();
    if num_visuals != media.len() || visuals_of(turns).enumerate().any(|(index, visual)| visual.media != index) {
        return Err(RecordError::VisualsAndMedia { num_visuals, num_media: media.len() });
    }
    for (index, (visual, medium)) in visuals_of(turns).zip(media).enumerate() {
        let fits = match visual.kind {
            VisualKind::Video => medium.kind == MediaKind::Video,
            VisualKind::Image | VisualKind::Tiled => medium.kind == MediaKind::Image,
        };
        if !fits {
            return Err(RecordError::VisualKind { visual: index });
        }
    }
    Ok(())
}

/// Fields, each after its length, in one buffer: one long hash is faster than many short ones.
struct Fields(Vec<u8>);

/// Bytes of a turn besides its text: its role, and the lengths of both.
const TURN_BYTES: usize = 32;
/// Bytes of the other fields, most of the time.
const OTHER_BYTES: usize = 256;

impl Fields {
    /// No fields, with room for those of a record of these turns.
    fn with_room_for(turns: &[Turn]) -> Self {
        let num_bytes = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
        let of_text: usize = turns.iter().flat_map(|turn| &turn.parts).map(num_bytes).sum();
        Self(Vec::with_capacity(of_text + TURN_BYTES * turns.len() + OTHER_BYTES))
    }

    fn push(&mut self, field: &[u8]) {
        self.0.extend_from_slice(&(field.len() as u64).to_le_bytes());
        self.0.extend_from_slice(field);
    }

    fn push_turns(&mut self, turns: &[Turn]) {
        for turn in turns {
            self.push(match turn.role {
                Role::System => b"System",
                Role::User => b"User",
                Role::Assistant => b"Assistant",
            });
            for part in &turn.parts {
                match part {
                    Part::Text(text) => self.push(text.as_bytes()),
                    // How an image is shown (whole or tiled) is a setting, not part of what the record says.
                    Part::Visual(visual) if visual.kind == VisualKind::Video => self.push(b"\0video"),
                    Part::Visual(_) => self.push(b"\0image"),
                }
            }
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

fn record_id(record: &UncheckedRecord) -> RecordId {
    let mut fields = Fields::with_room_for(&record.turns);
    for text in [&record.source, &record.subset, record.upstream_id.as_str()] {
        fields.push(text.as_bytes());
    }
    fields.push_turns(&record.turns);
    for medium in &record.media {
        // Upstream's own paths identify a record; where this machine keeps a file does not.
        match &medium.location {
            MediaLocation::Path(path) => fields.push(path.as_bytes()),
            MediaLocation::Blob(_) | MediaLocation::Prepared { .. } | MediaLocation::PreparedClip(_) => {
                fields.push(b"\0embedded");
            }
            MediaLocation::Composed(composed) => fields.push(format!("\0composed{composed:?}").as_bytes()),
        }
        if let Some(clip) = medium.clip {
            fields.push(format!("{}-{:?}", clip.start_s, clip.end_s).as_bytes());
        }
    }
    RecordId::from_digest(fields.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, parts: Vec<Part>) -> Turn {
        Turn { role, parts }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn image(media: usize) -> Part {
        Part::Visual(Visual { kind: VisualKind::Image, media })
    }

    fn unchecked(turns: Vec<Turn>, media: Vec<MediaRef>) -> UncheckedRecord {
        let origin = Origin { file: "a.json".into(), position: Position::File };
        UncheckedRecord { source: "s".into(), subset: "".into(), upstream_id: "1".into(), turns, media, origin }
    }

    fn medium(number: usize) -> MediaRef {
        let location = MediaLocation::Path(format!("{number}.jpg"));
        MediaRef { kind: MediaKind::Image, location, clip: None, fps: None }
    }

    fn record(turns: Vec<Turn>, num_media: usize) -> Result<Record, RecordError> {
        Record::try_new(unchecked(turns, (0..num_media).map(medium).collect()))
    }

    #[test]
    fn a_conversation_alternates_and_ends_with_an_answer() {
        let ask = || turn(Role::User, vec![image(0), text("what?")]);
        let answer = || turn(Role::Assistant, vec![text("a cat")]);
        assert!(record(vec![ask(), answer()], 1).is_ok());
        assert_eq!(record(vec![ask()], 1), Err(RecordError::Unanswered { last: Role::User }));
        assert_eq!(
            record(vec![answer()], 0),
            Err(RecordError::TurnOrder { turn: 0, found: Role::Assistant, expected: Role::User })
        );
        assert_eq!(record(vec![], 0), Err(RecordError::NoTurns));
        let message = |turns| record(turns, 1).unwrap_err().to_string();
        assert_eq!(message(vec![ask(), ask()]), "turn 1, counted from 0, is the user's, expected the assistant's");
        assert_eq!(message(vec![ask()]), "the last turn is the user's, expected an answer of the assistant after it");
    }

    #[test]
    fn a_single_answer_is_a_document_only_where_a_reader_says_so() {
        let document = |turns| Record::try_document(unchecked(turns, vec![]));
        assert!(document(vec![turn(Role::Assistant, vec![text("Once.")])]).is_ok());
        let empty = Err(RecordError::EmptyTurn { turn: 0, role: Role::Assistant });
        assert_eq!(document(vec![turn(Role::Assistant, vec![text(" ")])]), empty);
        let shown = |parts| Record::try_document(unchecked(vec![turn(Role::Assistant, parts)], vec![medium(0)]));
        assert!(shown(vec![text("Once."), image(0), text("Twice.")]).is_ok());
        assert_eq!(shown(vec![image(0), text("\n")]), empty);
        let unasked = Err(RecordError::TurnOrder { turn: 0, found: Role::Assistant, expected: Role::User });
        assert_eq!(record(vec![turn(Role::Assistant, vec![text("Once.")])], 0), unasked);
    }

    #[test]
    fn an_empty_answer_is_named() {
        let turns = vec![turn(Role::User, vec![text("hi")]), turn(Role::Assistant, vec![text(" \n")])];
        assert_eq!(record(turns, 0), Err(RecordError::EmptyTurn { turn: 1, role: Role::Assistant }));
    }

    #[test]
    fn every_medium_is_shown_once_and_in_order() {
        let turns = |a, b| vec![turn(Role::User, vec![image(a), image(b)]), turn(Role::Assistant, vec![text("x")])];
        assert!(record(turns(0, 1), 2).is_ok());
        assert_eq!(record(turns(1, 0), 2), Err(RecordError::VisualsAndMedia { num_visuals: 2, num_media: 2 }));
        assert_eq!(record(turns(0, 1), 3), Err(RecordError::VisualsAndMedia { num_visuals: 2, num_media: 3 }));
    }

    #[test]
    fn the_identity_ignores_where_the_record_was_read() {
        let turns = vec![turn(Role::User, vec![text("hi")]), turn(Role::Assistant, vec![text("ho")])];
        let here = unchecked(turns, vec![]);
        let mut there = here.clone();
        there.origin = Origin { file: "b.json".into(), position: Position::Row(7) };
        assert_eq!(Record::try_new(here).unwrap().id, Record::try_new(there).unwrap().id);
    }
}
