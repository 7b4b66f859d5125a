//! What the file of a dataset in `kinds/` provides, and what is passed to it.

use std::collections::BTreeSet;
use std::path::Path;

use manyframe_core::Rejection;

use crate::draft::Draft;
use crate::fields::Embedded;
use crate::options::SourceOptions;
use crate::placement::Unplaced;
use crate::value::Object;

/// How the records of a dataset are read.
pub(crate) struct KindReader {
    /// Fields that contain the id, best first.
    pub(crate) ids: &'static [&'static str],
    /// What a record with media and without any placeholder means.
    pub(crate) unplaced: Unplaced,
    /// Options that only the kinds which list them read. Options that no kind lists are read by all.
    pub(crate) own_options: &'static [&'static str],
    /// The part of the source that the path of an annotation file names; may be empty.
    pub(crate) subset_of_path: fn(&Path) -> String,
    /// Understands the fields of a record.
    pub(crate) draft: for<'r> fn(&'r Object<'_>, &RecordContext<'_>) -> Result<Draft<'r>, Rejection>,
}

/// What a reader is passed besides the fields of a record.
pub(crate) struct RecordContext<'a> {
    pub(crate) options: &'a SourceOptions,
    /// Where the record's file has media, if it is a table or an archive.
    pub(crate) table: Option<&'a Embedded<'a>>,
    /// Columns of its file whose bytes are `true`.
    pub(crate) columns_with_bytes: Option<&'a BTreeSet<String>>,
    /// The part of the source that its file belongs to; may be empty.
    pub(crate) subset: &'a str,
    /// May be empty.
    pub(crate) upstream_id: &'a str,
}

impl KindReader {
    /// A reader without additional options, of files whose paths name no subset, where a record with media always has
    /// placeholders.
    pub(crate) const fn new(
        ids: &'static [&'static str],
        draft: for<'r> fn(&'r Object<'_>, &RecordContext<'_>) -> Result<Draft<'r>, Rejection>,
    ) -> Self {
        Self { ids, unplaced: Unplaced::IsMismatch, own_options: &[], subset_of_path: |_| String::new(), draft }
    }
}
