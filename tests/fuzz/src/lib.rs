//! What fuzz targets share.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_core::is_contained;
use manyframe_media::MediaRoot;
use manyframe_sources::{AnnotationFile, SourceKind, SourceOptions, SourceSpec, open};
use tempfile::NamedTempFile;

/// Records of a file that are looked at: a few bytes of Parquet can claim any number of rows.
const MAX_RECORDS: usize = 200;

/// Lets panics pass that the program contains. libFuzzer's own hook ends the process at every panic.
pub fn let_contained_panics_pass() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_contained() {
            report(panic);
        }
    }));
}

/// A temporary file with this content.
pub fn file_of(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content).expect("space for it");
    file
}

/// A directory or archive as the only root of media.
pub fn root_of(path: PathBuf) -> [MediaRoot; 1] {
    [MediaRoot { subset: None, path, name: String::new(), links: Vec::new() }]
}

/// Annotations of any bytes: every record is found once, read again the same, and understood or rejected.
///
/// The first byte chooses the reader; the rest is the file, JSON or Parquet.
pub fn read_annotations(bytes: &[u8]) {
    let Some((&kind, content)) = bytes.split_first() else { return };
    let kind = SourceKind::ALL[usize::from(kind) % SourceKind::ALL.len()];
    let file = file_of(content);
    let annotations = vec![AnnotationFile {
        path: file.path().into(),
        place: file.path().into(),
        name: Arc::from("a"),
        subset: Arc::from(""),
    }];
    let options = SourceOptions::default();
    let source = open(SourceSpec { name: Arc::from("s"), kind, annotations, options }).expect("plain options");
    // A file that holds no records at all is an error, which is fine.
    let Ok(splits) = source.splits() else { return };
    let records = splits.iter().filter_map(|split| source.read(split).ok()).flatten();
    let mut last = None;
    for raw in records.take(MAX_RECORDS) {
        // Later splits of a Parquet file may be whole.
        let Ok(raw) = raw else { continue };
        assert_ne!(last.as_ref(), Some(&raw.origin), "found twice");
        assert_eq!(source.read_at(&raw.origin).expect("it was there"), raw);
        match (source.parse(&raw), source.parse(&raw)) {
            (Ok(record), Ok(again)) => assert_eq!(record, again),
            (Err(reject), Err(again)) => assert_eq!(reject, again),
            _ => panic!("understood once, and rejected once"),
        }
        last = Some(raw.origin);
    }
}
