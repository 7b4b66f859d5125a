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
            RecordError::TurnOrder { .. } | RecordError::Unanswered { .. } => RejectCode::TurnOrder,
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
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, cure: $cure:literal,)*) => {
        /// Why a record is not delivered. The text form is stable: ledgers and scripts count it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum RejectCode { $($(#[doc = $doc])* $name,)* }

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

            /// What it means, as a sentence.
            pub fn cause(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// What whoever wants the record does about it, in lower case, in Markdown.
            pub fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)* }
            }
        }
    };
}

reject_codes! {
    /// The bytes of the record are not JSON, or not valid UTF-8, or have blanks where something was written over the file.
    MalformedRecord = "malformed_record",
        cure: "mend the record in the annotation file, or write the file again with a JSON writer; `manyframe why` shows its bytes",
    /// An annotation file cannot be opened, ends inside of a record, list, compressed stream or tar, or has zeros or noise in place of
    /// text: an unknown number of records is missing.
    IncompleteFile = "incomplete_file",
        cure: "download or copy the annotation file again; nothing is published until it is whole, unless with `--accept-rejects`",
    /// The record is JSON, but lacks what its dataset always has, or has it in another shape.
    UnexpectedSchema = "unexpected_schema",
        cure: "choose the `kind` that reads this form, name other fields with `fields`, or mend the record; the detail says what was found and what is known",
    /// A table of `join` or `scores` has no row for it.
    NotJoined = "not_joined",
        cure: "add the row to the table, or mend the field that they are joined by; the detail says which",
    /// The conversation is missing or has no turn.
    EmptyConversation = "empty_conversation",
        cure: "leave the record out, or fill in its turns",
    /// A role that is neither user, assistant nor system.
    UnknownRole = "unknown_role",
        cure: "call the roles user, assistant and system, or human and gpt",
    /// Turns do not alternate, start with an answer, or end with a question.
    TurnOrder = "turn_order",
        cure: r#"begin with a question and end with an answer; where conversations begin with an answer, `leading_answer = "drop"` leaves it out"#,
    /// A question or answer without text.
    EmptyTurn = "empty_turn",
        cure: "fill in the text, or leave the turn and the one before it out",
    /// The answer is a known artefact of the upstream's generation, not an answer.
    ArtefactText = "artefact_text",
        cure: "leave the record out: its answer is debris of a generator",
    /// Fewer placeholders than images, or more.
    PlaceholderMismatch = "placeholder_mismatch",
        cure: "write one `<image>` or `<video>` for each image or video, or let `missing_placeholders` put those that lack before the first question",
    /// A placeholder is in an answer or in system text.
    PlaceholderOutsideUserTurn = "placeholder_outside_user_turn",
        cure: r#"move the placeholder into the question; where questions and answers changed places, `swapped_roles = "fix"` turns them"#,
    /// The record refers to a kind of media that is not supported, such as audio.
    UnsupportedMedia = "unsupported_media",
        cure: "use a build with FFmpeg for videos; leave audio out; pack archives again without encryption, with stored or deflated members",
    /// Start and end of a clip are not times in order, or lie outside the video.
    ClipRange = "clip_range",
        cure: "mend start and end of the clip, in seconds; or get the whole video, if it was cut short",
    /// A path that leaves the media roots: an absolute one that is not below them, `..`, a link to the outside, another scheme.
    UnsafePath = "unsafe_path",
        cure: "write paths relative to `media`; name directories that links lead to in `links`",
    /// No media root has the file.
    MediaMissing = "media_missing",
        cure: "point `media` at the directory that the paths start in, unpack the rest of the archive, or download the file, or an archive that is cut off, again; the next build finds it",
    /// The file is there and may not be read.
    MediaUnreadable = "media_unreadable",
        cure: "give the build permission to read the file, and room in the directory for temporary files",
    /// The file has no bytes.
    MediaEmpty = "media_empty",
        cure: "download the file again; the next build reads it",
    /// The bytes are not of a supported image or video type.
    MediaType = "media_type",
        cure: "look at the file: it may be a page that says why the download failed; convert other kinds to JPEG, PNG or WebP",
    /// The image or video has more pixels or bytes than allowed.
    MediaTooLarge = "media_too_large",
        cure: "raise `max_pixels`, `max_bytes` or `max_video_bytes` in `[limits]`, or make the file smaller",
    /// The image is smaller, or more elongated, than allowed.
    MediaShape = "media_shape",
        cure: "leave the record out; slivers and specks show nothing",
    /// The bytes are of a supported type but cannot be decoded.
    MediaCorrupt = "media_corrupt",
        cure: "download the file again, or encode it again; the next build reads it",
    /// Its decoder ended the process, twice: once among others, once alone.
    DecoderCrashed = "decoder_crashed",
        cure: "encode the file again with another program, or leave the record out; it is tried again by `build --fresh`",
    /// Its decoder did not end, and no image or frame more came of it, within `--record-timeout`, twice: once among others, once
    /// alone; or reading it did not end within the time that any good file needs.
    DecoderStalled = "decoder_stalled",
        cure: "raise `--record-timeout` if the disk is slow, or encode the file again; it is tried again by `build --fresh`",
    /// The video has no frame that can be decoded.
    NoFrames = "no_frames",
        cure: "download or encode the video again",
    /// The videos of a haystack have fewer frames than are to be shown.
    HaystackTooShort = "haystack_too_short",
        cure: "add videos to `haystacks`, lower the largest of `lengths`, or take frames more often by `interval_s`",
    /// A clip is to be shown as a needle, and has too few frames.
    NeedleTooShort = "needle_too_short",
        cure: "lower `num_frames` of the needle, let it start earlier, or take frames more often by `interval_s`",
    /// A needle looks like an image of its haystack, so that a question about it has two answers.
    NeedleInHaystack = "needle_in_haystack",
        cure: "use another image or clip as a needle, or lower `max_distance` of `[source.needles]`; the detail says which frame it is like",
    /// Two needles of a question look alike, so that nobody can tell which of them is where.
    NeedlesAlike = "needles_alike",
        cure: "use needles that differ more, or lower `max_distance` of `[source.needles]`; the detail names both",
    /// A text is to be written on a frame, and its script is not written letter by letter from left to right, or the font lacks a letter.
    UnwritableText = "unwritable_text",
        cure: "write the needle in another script, with composed letters, or use an image of the text; the detail names the letter",
    /// The sample is longer than the sequence length.
    TooLong = "too_long",
        cure: "raise `format.max_tokens`, or let `[overlength]` take fewer frames, tiles, pixels or turns",
    /// A filter of its source left it out.
    Filtered = "filtered",
        cure: "nothing, if that is wanted: `filter`, `where` or `delivered_in` left it out; the detail says which",
    /// Decontamination: one of its images is a near-duplicate of one that no sample may show.
    Excluded = "excluded",
        cure: "nothing, if that is wanted: an image is too much like one of `[decontamination]`; `max_distance` says how much",
    /// The text contains a placeholder or template token, and the pipeline file asks to reject such records.
    LiteralTag = "literal_tag",
        cure: "nothing, if that is wanted: `format.literal_tags` asks for it; other values of it keep such texts as text",
    /// The chat template fails on the conversation, or leaves out a part of it.
    RefusedByTemplate = "refused_by_template",
        cure: "use another `format.template`, or write the conversation as the template expects it; the detail says what it refuses",
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
            | Self::ClipRange
            | Self::HaystackTooShort
            | Self::NeedleTooShort
            | Self::NeedleInHaystack
            | Self::NeedlesAlike => true,
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
            | Self::UnwritableText
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
