//! The media that an index was made of: a table beside each index file, one row per record with media.
//!
//! It says which version of each medium was measured, so that a build notices those that were replaced, completed, deleted or
//! restored since, at the price of one `stat` each.

use std::iter::Peekable;
use std::path::Path;

use manyframe_columnar::table;
use manyframe_core::{BlobRef, Digest, MediaLocation, MediaRef, Origin, Record, Rejection};
use manyframe_dataset::columns::OriginColumns;
use manyframe_dataset::{DatasetError, read_table_file};
use manyframe_media::MediaIdentity;
use rustc_hash::FxHashMap;

use crate::index::file::media_path;
use crate::media::SourceMedia;

/// The media of a record, and which version of each was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecordMedia {
    /// Part of the source, which decides about media roots; may be empty.
    pub(crate) subset: String,
    /// Paths as upstream wrote them, to be looked up in the media roots.
    pub(crate) paths: Vec<String>,
    /// Files that hold media: Parquet files and shards.
    pub(crate) files: Vec<String>,
    /// The identity of each path, then of each file.
    pub(crate) identities: Vec<u64>,
    /// Equal if the record shows the same of them: what its annotation says that is no part of its id.
    pub(crate) shown: u64,
}

impl RecordMedia {
    /// The media of a record as they are now; `None` if it has none.
    pub(crate) fn of(record: &Record, media: &SourceMedia) -> Option<Self> {
        if record.media.is_empty() {
            return None;
        }
        let mut found = Self { subset: record.subset.to_string(), ..Self::default() };
        for medium in &record.media {
            match &medium.location {
                MediaLocation::Path(path) => found.paths.push(path.clone()),
                MediaLocation::Blob(blob) => found.add_file(blob),
                MediaLocation::Prepared { images, .. } => images.iter().for_each(|blob| found.add_file(blob)),
                MediaLocation::PreparedClip(clip) => found.add_file(&clip.file),
                MediaLocation::Composed(composed) => found.paths.extend(composed.paths().cloned()),
            }
        }
        found.identities = found.identities_now(media);
        let shown: Vec<u8> = record.media.iter().flat_map(shown_bytes).collect();
        found.shown = Digest::of(&shown).first_bits();
        Some(found)
    }

    fn add_file(&mut self, blob: &BlobRef) {
        let (BlobRef::Range { file, .. } | BlobRef::Cell { file, .. }) = blob;
        if !self.files.iter().any(|known| **known == **file) {
            self.files.push(file.to_string());
        }
    }

    fn identities_now(&self, media: &SourceMedia) -> Vec<u64> {
        let of_paths = self.paths.iter().map(|path| media.identity_of_path(&self.subset, path));
        let of_file = |file: &String| media.identity_of_file(file);
        of_paths.chain(self.files.iter().map(of_file)).map(|identity| identity.0).collect()
    }

    /// Equal for the same versions of the same media.
    pub(crate) fn version(&self) -> u64 {
        let numbers = self.identities.iter().chain([&self.shown]);
        Digest::of(&numbers.flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()).first_bits()
    }

    /// Fails unless there is an identity of each medium.
    fn check_identities(&self) -> Result<(), String> {
        if self.identities.len() == self.paths.len() + self.files.len() {
            return Ok(());
        }
        Err("its media and their identities differ in number".to_owned())
    }

    /// Paths and files, in the order of their identities.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().chain(&self.files)
    }

    /// The first medium that is not what it was; `None` if all are.
    pub(crate) fn first_changed(&self, media: &SourceMedia, recent: &mut RecentIdentities) -> Option<&str> {
        let of_paths = self.paths.iter().map(|path| (Some(&*self.subset), path));
        let of_files = self.files.iter().map(|file| (None, file));
        let mut compared = of_paths.chain(of_files).zip(&self.identities);
        let changed = compared.find(|((subset, name), before)| {
            let now = recent.get_or_ask(*subset, name, media);
            **before != now.0 || now == MediaIdentity::UNKNOWN
        });
        changed.map(|((_, name), _)| name.as_str())
    }
}

/// Identities that were asked for a moment ago: records near each other often show the same media.
#[derive(Debug, Default)]
pub(crate) struct RecentIdentities {
    /// By subset.
    paths: FxHashMap<Box<str>, FxHashMap<Box<str>, MediaIdentity>>,
    files: FxHashMap<Box<str>, MediaIdentity>,
    num_known: usize,
}

/// When so many identities are known, all are forgotten: about a megabyte.
const MOST_RECENT: usize = 1 << 13;

impl RecentIdentities {
    /// The identity of a path in a subset, or of a file.
    fn get_or_ask(&mut self, subset: Option<&str>, name: &str, media: &SourceMedia) -> MediaIdentity {
        let of_subset = |subset| self.paths.get(subset);
        if let Some(known) = subset.map_or(Some(&self.files), of_subset).and_then(|known| known.get(name)) {
            return *known;
        }
        if self.num_known >= MOST_RECENT {
            *self = Self::default();
        }
        self.num_known += 1;
        let (known, identity) = match subset {
            Some(subset) => (self.paths.entry(subset.into()).or_default(), media.identity_of_path(subset, name)),
            None => (&mut self.files, media.identity_of_file(name)),
        };
        known.insert(name.into(), identity);
        identity
    }
}

/// The frame rate of a medium, and its place inside of a file.
fn shown_bytes(medium: &MediaRef) -> Vec<u8> {
    let mut bytes = format!("{:?};", medium.fps.map(f64::to_bits)).into_bytes();
    let mut add = |blob: &BlobRef| match blob {
        BlobRef::Range { offset, num_bytes, .. } => bytes.extend(format!("{offset}+{num_bytes};").bytes()),
        BlobRef::Cell { column, row, index, .. } => bytes.extend(format!("{row}.{column}[{index}];").bytes()),
    };
    match &medium.location {
        // The id of a record has all of it.
        MediaLocation::Path(_) | MediaLocation::Composed(_) => {}
        MediaLocation::Blob(blob) => add(blob),
        MediaLocation::Prepared { images, .. } => images.iter().for_each(add),
        MediaLocation::PreparedClip(clip) => add(&clip.file),
    }
    bytes
}

/// A row of the table: a record with media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaRow {
    /// Position of its first entry in the index file.
    pub(crate) first_entry: u64,
    /// Its number of entries: more than one if it is in pieces.
    pub(crate) num_entries: u64,
    pub(crate) origin: Origin,
    /// What it was rejected for if another medium could mend that, as [`rejection_digest`] has it.
    pub(crate) rejection: Option<u64>,
    pub(crate) media: RecordMedia,
}

impl MediaRow {
    /// Whether an entry of the index file is of this record.
    pub(crate) fn has_entry(&self, entry: u64) -> bool {
        (self.first_entry..self.first_entry + self.num_entries).contains(&entry)
    }
}

/// Equal for equal rejections.
pub(crate) fn rejection_digest(rejection: &Rejection) -> u64 {
    Digest::of_fields([rejection.code.as_str().as_bytes(), rejection.detail.as_bytes()]).first_bits()
}

table! {
    /// The columns of the table of media.
    pub(crate) struct MediaTable<'r>(row: &'r MediaRow) -> MediaRow {
        first_entry: u64 as Distinct = row.first_entry,
        num_entries: u64 = row.num_entries,
        origin: OriginColumns = &row.origin,
        rejection: Option<u64> = row.rejection,
        subset: String = &row.media.subset,
        paths: Vec<String> as Distinct = &row.media.paths,
        files: Vec<String> = &row.media.files,
        identities: Vec<u64> as Distinct = &row.media.identities,
        shown: u64 = row.media.shown,
    }
    read {
        let media = RecordMedia { subset, paths, files, identities, shown };
        media.check_identities()?;
        Ok(MediaRow { first_entry, num_entries, origin, rejection, media })
    }
}

/// The rows of the table beside an index file, in order.
pub(crate) fn read_media(
    index: &Path,
) -> Result<impl Iterator<Item = Result<MediaRow, DatasetError>> + use<>, DatasetError> {
    read_table_file::<MediaTable>(&media_path(index))
}

/// A [`MediaRow`] without what only tells whether to measure the record again. Subsets are left out.
#[derive(Debug, PartialEq, Eq)]
struct ShownRow {
    first_entry: u64,
    num_entries: u64,
    media: RecordMedia,
}

table! {
    /// The columns of the table of media that say what a record shows. The others are not read.
    struct ShownTable<'r>(row: &'r ShownRow) -> ShownRow {
        first_entry: u64 as Distinct = row.first_entry,
        num_entries: u64 = row.num_entries,
        paths: Vec<String> as Distinct = &row.media.paths,
        files: Vec<String> = &row.media.files,
        identities: Vec<u64> as Distinct = &row.media.identities,
        shown: u64 = row.media.shown,
    }
    read {
        let media = RecordMedia { subset: String::new(), paths, files, identities, shown };
        media.check_identities()?;
        Ok(ShownRow { first_entry, num_entries, media })
    }
}

/// Finds the media of entries of an index file, whose entries have to be asked for in order. Subsets are left out.
pub(crate) struct MediaOfEntries {
    rows: Peekable<Box<dyn Iterator<Item = Result<ShownRow, DatasetError>>>>,
}

impl MediaOfEntries {
    pub(crate) fn open(index: &Path) -> Result<Self, DatasetError> {
        let rows: Box<dyn Iterator<Item = _>> = Box::new(read_table_file::<ShownTable>(&media_path(index))?);
        Ok(Self { rows: rows.peekable() })
    }

    /// The media of the record that an entry is of; `None` if it has none.
    pub(crate) fn of(&mut self, entry: u64) -> Result<Option<&RecordMedia>, DatasetError> {
        let is_passed = |row: &Result<ShownRow, DatasetError>| {
            row.as_ref().map_or(true, |row| row.first_entry + row.num_entries <= entry)
        };
        while let Some(passed) = self.rows.next_if(is_passed) {
            passed?;
        }
        let row = self.rows.peek().and_then(|row| row.as_ref().ok());
        Ok(row.filter(|row| row.first_entry <= entry).map(|row| &row.media))
    }
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;
    use manyframe_core::Position;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let media = RecordMedia {
            subset: "subset".into(),
            paths: vec!["a.jpg".into(), "b.jpg".into()],
            files: vec!["c.parquet".into()],
            identities: vec![1, 2, 3],
            shown: 11,
        };
        let row = MediaRow {
            first_entry: 4,
            num_entries: 5,
            origin: Origin { file: "a.json".into(), position: Position::Bytes { line: 6, offset: 7, num_bytes: 8 } },
            rejection: Some(9),
            media,
        };
        let by_row = Origin { file: "a.json".into(), position: Position::Row(10) };
        let folder = tempfile::tempdir().unwrap();
        let media = RecordMedia { subset: String::new(), ..row.media.clone() };
        let shown = ShownRow { first_entry: row.first_entry, num_entries: row.num_entries, media };
        check_round_trip::<ShownTable, _>(folder.path(), &[shown]).unwrap();
        let rows = [row.clone(), MediaRow { origin: by_row, rejection: None, ..row }];
        check_round_trip::<MediaTable, _>(folder.path(), &rows).unwrap();
    }
}
