//! What a source is made of: its reader, its annotation files, its options. Plain data, as a plan carries it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_core::Origin;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SourceOptions;

macro_rules! source_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Which reader understands a dataset. The text form is the `kind` of a pipeline file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum SourceKind { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl SourceKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

source_kinds! {
    /// ALLaVA-4V: captions, instructions and text; one image a record.
    Allava = "allava",
    /// ShareGPT4V: captions; one image a record, its placeholder often last.
    Sharegpt4v = "sharegpt4v",
    /// LLaVA-1.5 mix, LLaVA-Pretrain, LLaVA-NeXT, and other files in LLaVA's format.
    Llava = "llava",
    /// Mantis-Instruct: several images anywhere in the conversation.
    Mantis = "mantis",
    /// VideoChat2-IT: questions and answers about a video or image, without placeholders and ids.
    Videochat2 = "videochat2",
    /// ShareGPT4Video: captions of videos, and the mix in LLaVA's format.
    Sharegpt4video = "sharegpt4video",
    /// LLaVA-Video-178K and the LongVILA set: conversations about a video.
    LlavaVideo = "llava_video",
    /// M4-Instruct: interleaved images of many datasets.
    M4Instruct = "m4_instruct",
    /// Conversations without any image or video, in every shape in common use; and documents.
    Text = "text",
}

/// A source of records: annotation files of one upstream dataset, and how to read them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Name of the source in the pipeline file; part of every record's identity.
    pub name: Arc<str>,
    /// Which reader understands the files.
    pub kind: SourceKind,
    /// The files, in the order in which they are read.
    pub annotations: Vec<AnnotationFile>,
    /// How the reader decides where upstream leaves a choice.
    pub options: SourceOptions,
}

/// One annotation file. Its format (JSON array, JSON lines, Parquet) is told by its content, never by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnotationFile {
    /// Where it is on this machine. It must be valid Unicode.
    pub path: PathBuf,
    /// What it is called in origins; unique in its source, and best the same on every machine.
    pub name: Arc<str>,
    /// Part of the source that its records belong to. If empty, the reader looks into the record or the path.
    pub subset: Arc<str>,
}

/// A piece of a source that can be read on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Name of the annotation file.
    pub file: Arc<str>,
    /// Rows of a Parquet file; `None` is all of a JSON file.
    pub rows: Option<Range<u64>>,
    /// Size in bytes, for progress and balance: of the file, or the share of it that the rows have.
    pub num_bytes: u64,
}

/// A record as it stands in its file: found, but not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where it was read.
    pub origin: Origin,
    /// Part of the source, as far as the file tells.
    pub subset: Arc<str>,
    /// What was read.
    pub body: RawBody,
}

/// The content of a record in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawBody {
    /// The text of one JSON value. It may still be malformed; parsing tells.
    Json(Vec<u8>),
    /// Something that no parser needs to look at: a record cut off by the end of the file, one without end, a table row
    /// that is not valid.
    Broken {
        /// What was found and expected, in words.
        detail: String,
        /// How it begins: at most [`crate::MAX_HEAD_BYTES`].
        head: Vec<u8>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_of_a_kind_is_its_serialized_form() {
        for &kind in SourceKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.as_str()));
        }
    }
}
