//! Parquet annotations of any bytes: every row is found once, read again the same, and understood or rejected.
//!
//! The first byte chooses the reader; the rest is the file.
#![no_main]

use std::io::Write;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use manyframe_sources::{AnnotationFile, SourceKind, SourceOptions, SourceSpec, open};

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, content)) = bytes.split_first() else { return };
    let kind = SourceKind::ALL[usize::from(kind) % SourceKind::ALL.len()];
    let mut file = tempfile::Builder::new().suffix(".parquet").tempfile().expect("a temporary file");
    file.write_all(content).expect("space for it");
    let annotations = vec![AnnotationFile {
        path: file.path().into(),
        place: file.path().into(),
        name: Arc::from("a"),
        subset: Arc::from(""),
    }];
    let options = SourceOptions::default();
    let source = open(SourceSpec { name: Arc::from("s"), kind, annotations, options }).expect("plain options");
    let Ok(splits) = source.splits() else { return };
    for split in splits {
        let Ok(raws) = source.read(&split) else { continue };
        // A few bytes can claim any number of empty rows.
        for raw in raws.take(100) {
            let Ok(raw) = raw else { break };
            assert_eq!(source.read_at(&raw.origin).expect("it was there"), raw);
            match (source.parse(&raw), source.parse(&raw)) {
                (Ok(record), Ok(again)) => assert_eq!(record, again),
                (Err(reject), Err(again)) => assert_eq!(reject, again),
                _ => panic!("understood once, and rejected once"),
            }
        }
    }
});
