//! Annotation files, and their records as they are found: bytes and origin, not yet parsed.

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_core::{Origin, Rejection};
use serde::{Deserialize, Serialize};

/// One annotation file. Its content decides its format (JSON array, JSON lines, Parquet, tar), not its name; only CSV and TSV are known
/// by theirs. It may be a directory with texts beside images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnotationFile {
    /// Its path on this machine. Must be valid Unicode.
    pub path: PathBuf,
    /// Its name in origins: unique in its source, and best the same on every machine.
    pub name: Arc<str>,
    /// The path by which a reader may name a part of the source: without what only says where this machine keeps it.
    pub place: PathBuf,
    /// The part of the source that its records belong to. If empty, the place or the record decides.
    pub subset: Arc<str>,
}

/// A part of a source that can be read independently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Name of the annotation file.
    pub file: Arc<str>,
    /// Rows of a Parquet file, or samples of a directory; `None` is all of another file.
    pub rows: Option<Range<u64>>,
    /// Size in bytes, for progress and balance: of the file, or the rows' share of it.
    pub num_bytes: u64,
}

/// A record as it is in its file, not yet parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where it was read.
    pub origin: Origin,
    /// Part of the source, if the file decides it; otherwise empty.
    pub subset: Arc<str>,
    /// Its content.
    pub body: RawBody,
}

/// An image or video in an archive that also has the texts of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The field that it is in.
    pub field: &'static str,
    /// Its position in the list, if the field is one.
    pub index: usize,
    /// The position of its first byte in the archive.
    pub offset: u64,
    /// Its size.
    pub num_bytes: u64,
}

/// The content of a record in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawBody {
    /// The text of one JSON value, which may still be malformed.
    Json(Vec<u8>),
    /// Files with one name, in an archive or a directory.
    Sample {
        /// The text of a JSON object, in which `true` stands for a member.
        text: Vec<u8>,
        /// The images and videos in the archive.
        members: Vec<Member>,
    },
    /// Records that follow each other and become one.
    Merged(Vec<RawBody>),
    /// Known to be damaged: a record cut off by the end of the file, one without an end, an invalid table row, a file that
    /// cannot be opened.
    Broken {
        /// Why it cannot be delivered.
        rejection: Rejection,
        /// Its first bytes, at most [`MAX_HEAD_BYTES`](crate::MAX_HEAD_BYTES); of files with one name, an object with that name.
        head: Vec<u8>,
    },
}

impl RawBody {
    /// Its text, or of a damaged record what is kept of it.
    pub fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Json(text) | Self::Sample { text, .. } => Cow::Borrowed(text),
            Self::Merged(bodies) => {
                let texts: Vec<Cow<'_, [u8]>> = bodies.iter().map(Self::text).collect();
                Cow::Owned(texts.join(&b'\n'))
            }
            Self::Broken { head, .. } => Cow::Borrowed(head),
        }
    }
}
