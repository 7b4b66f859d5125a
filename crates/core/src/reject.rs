//! Why a record is not delivered. A rejection is data to be counted, not an error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Origin, RecordError};

/// Why a record is not delivered: a code to count, and what was found and expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The reason, from a closed list.
    pub code: RejectCode,
    /// What was found and what was expected: lower case, no final period.
    pub detail: String,
}

impl Rejection {
    /// A rejection for a reason, with what was found and expected.
    pub fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The same reason with another detail, which is made from the present one.
    #[must_use]
    pub fn map_detail(self, rewrite: impl FnOnce(String) -> String) -> Self {
        Self { code: self.code, detail: rewrite(self.detail) }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl From<RecordError> for Rejection {
    fn from(error: RecordError) -> Self {
        let code = match error {
            RecordError::NoTurns => RejectCode::EmptyConversation,
            RecordError::TurnOrder { .. } => RejectCode::TurnOrder,
            RecordError::EmptyTurn { .. } => RejectCode::EmptyTurn,
            RecordError::VisualOutsideUserTurn { .. } => RejectCode::PlaceholderOutsideUserTurn,
            RecordError::VisualsAndMedia { .. } => RejectCode::PlaceholderMismatch,
            RecordError::VisualKind { .. } => RejectCode::UnexpectedSchema,
        };
        Self::new(code, error.to_string())
    }
}

/// A record that was rejected while it was parsed: why, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Why it is not delivered.
    pub rejection: Rejection,
    /// Part of the source; may be empty.
    pub subset: String,
    /// Its id in the upstream dataset; empty if there is none, or if it could not be read.
    pub upstream_id: String,
    /// Where it was read.
    pub origin: Origin,
}

macro_rules! reject_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a record is not delivered. The text form is stable: ledgers and scripts count it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum RejectCode { $($(#[$doc])* $name,)* }

        impl RejectCode {
            /// Every code, in the order of the pipeline's steps.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code of a text form.
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reject_codes! {
    /// The bytes of the record are not JSON, or not valid UTF-8.
    MalformedRecord = "malformed_record",
    /// An annotation file cannot be opened, or ends inside of a record or list: an unknown number of records is missing.
    IncompleteFile = "incomplete_file",
    /// The record is JSON, but lacks what its dataset always has, or has it in another shape.
    UnexpectedSchema = "unexpected_schema",
    /// A table that is joined to the records has no row for it.
    NotJoined = "not_joined",
    /// The conversation is missing or has no turn.
    EmptyConversation = "empty_conversation",
    /// A role that is neither user, assistant nor system.
    UnknownRole = "unknown_role",
    /// Turns do not alternate, start with an answer, or end with a question.
    TurnOrder = "turn_order",
    /// A question or answer without text.
    EmptyTurn = "empty_turn",
    /// The answer is a known artefact of the upstream's generation, not an answer.
    ArtefactText = "artefact_text",
    /// Fewer placeholders than images, or more.
    PlaceholderMismatch = "placeholder_mismatch",
    /// A placeholder is in an answer or in system text.
    PlaceholderOutsideUserTurn = "placeholder_outside_user_turn",
    /// The record refers to a kind of media that is not supported, such as audio.
    UnsupportedMedia = "unsupported_media",
    /// Start and end of a clip are not times in order, or lie outside the video.
    ClipRange = "clip_range",
    /// A path that leaves the media roots: absolute, `..`, a link to the outside, another scheme.
    UnsafePath = "unsafe_path",
    /// No media root has the file.
    MediaMissing = "media_missing",
    /// The file is there and may not be read.
    MediaUnreadable = "media_unreadable",
    /// The file has no bytes.
    MediaEmpty = "media_empty",
    /// The bytes are not of a supported image or video type.
    MediaType = "media_type",
    /// The image or video has more pixels or bytes than allowed.
    MediaTooLarge = "media_too_large",
    /// The image is smaller, or more elongated, than allowed.
    MediaShape = "media_shape",
    /// The bytes are of a supported type but cannot be decoded.
    MediaCorrupt = "media_corrupt",
    /// Its decoder ended the process, twice: once among others, once alone.
    DecoderCrashed = "decoder_crashed",
    /// Its decoder did not end within the time that a record may take, twice: once among others, once alone; or reading it did
    /// not end within the time that any good file needs.
    DecoderStalled = "decoder_stalled",
    /// The video has no frame that can be decoded.
    NoFrames = "no_frames",
    /// The sample is longer than the sequence length.
    TooLong = "too_long",
    /// A filter of its source left it out.
    Filtered = "filtered",
    /// Decontamination: one of its images is a near-duplicate of one that no sample may show.
    Excluded = "excluded",
    /// The text contains a placeholder or template token, and the pipeline file asks to reject such records.
    LiteralTag = "literal_tag",
    /// The chat template fails on the conversation, or leaves out a part of it.
    RefusedByTemplate = "refused_by_template",
}

impl RejectCode {
    /// Whether a change of the media alone, and not of the annotations, could make the record deliverable.
    pub fn depends_on_media(self) -> bool {
        match self {
            Self::UnsafePath
            | Self::MediaMissing
            | Self::MediaUnreadable
            | Self::MediaEmpty
            | Self::MediaType
            | Self::MediaTooLarge
            | Self::MediaShape
            | Self::MediaCorrupt
            | Self::DecoderCrashed
            | Self::DecoderStalled
            | Self::NoFrames
            // The video may have been cut short.
            | Self::ClipRange => true,
            Self::MalformedRecord
            | Self::IncompleteFile
            | Self::UnexpectedSchema
            | Self::NotJoined
            | Self::EmptyConversation
            | Self::UnknownRole
            | Self::TurnOrder
            | Self::EmptyTurn
            | Self::ArtefactText
            | Self::PlaceholderMismatch
            | Self::PlaceholderOutsideUserTurn
            | Self::UnsupportedMedia
            | Self::LiteralTag
            | Self::RefusedByTemplate
            // Their media are good, and good media are not read again.
            | Self::TooLong
            | Self::Filtered
            | Self::Excluded => false,
        }
    }
}

impl std::fmt::Display for RejectCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_texts_correspond() {
        for &code in RejectCode::ALL {
            assert_eq!(RejectCode::from_text(code.as_str()), Some(code));
            assert_eq!(code_of_serde(code.as_str()), code);
        }
    }

    #[test]
    fn a_clip_outside_of_its_video_is_a_matter_of_the_video() {
        assert!(RejectCode::ClipRange.depends_on_media());
        assert!(RejectCode::MediaMissing.depends_on_media());
        assert!(!RejectCode::TurnOrder.depends_on_media());
    }

    // The serde form must be the text form; names that serde derives would drift from the literals silently.
    fn code_of_serde(text: &str) -> RejectCode {
        use serde::de::IntoDeserializer;
        use serde::de::value::{Error, StrDeserializer};
        let text: StrDeserializer<'_, Error> = text.into_deserializer();
        RejectCode::deserialize(text).unwrap()
    }
}
