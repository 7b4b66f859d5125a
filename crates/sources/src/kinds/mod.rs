//! One file per upstream dataset: which fields it has, and what they mean.
//!
//! A reader turns the fields of a record into a [`Draft`]; everything that datasets share (shapes of conversations,
//! placement of visuals, checks) is outside. To add a dataset: a file here, a kind in `spec.rs`, a line below.

pub(crate) mod allava;
pub(crate) mod llava;
pub(crate) mod llava_video;
pub(crate) mod m4_instruct;
pub(crate) mod mantis;
pub(crate) mod sharegpt4v;
pub(crate) mod sharegpt4video;
pub(crate) mod text;
pub(crate) mod videochat2;

use manyframe_core::Rejection;

use crate::draft::Draft;
use crate::fields::TableRow;
use crate::placement::Unplaced;
use crate::value::Object;
use crate::{SourceKind, SourceOptions};

/// How a dataset is read.
pub(crate) struct Reader {
    /// Fields that hold the id, best first.
    pub(crate) ids: &'static [&'static str],
    /// What it means by media without any placeholder.
    pub(crate) unplaced: Unplaced,
    /// Understands the fields of a record.
    pub(crate) draft: for<'r> fn(&'r Object<'_>, &Setting<'_>) -> Result<Draft<'r>, Rejection>,
}

/// What a reader knows besides the record's fields.
pub(crate) struct Setting<'a> {
    pub(crate) options: &'a SourceOptions,
    /// Where the record stands, if it is a row of a table.
    pub(crate) table: Option<&'a TableRow>,
    /// The part of the source that its file belongs to; may be empty.
    pub(crate) subset: &'a str,
    pub(crate) upstream_id: &'a str,
}

/// The reader of a kind.
pub(crate) fn reader_of(kind: SourceKind) -> &'static Reader {
    match kind {
        SourceKind::Allava => &allava::READER,
        SourceKind::Sharegpt4v => &sharegpt4v::READER,
        SourceKind::Llava => &llava::READER,
        SourceKind::Mantis => &mantis::READER,
        SourceKind::Videochat2 => &videochat2::READER,
        SourceKind::Sharegpt4video => &sharegpt4video::READER,
        SourceKind::LlavaVideo => &llava_video::READER,
        SourceKind::M4Instruct => &m4_instruct::READER,
        SourceKind::Text => &text::READER,
    }
}
