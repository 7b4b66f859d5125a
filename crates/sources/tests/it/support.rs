//! Reading small files, and showing records in one line.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{MediaKind, Part, Record, RejectedRecord, Role};
use manyframe_sources::{AnnotationFile, Raw, Source, SourceKind, SourceOptions, SourceSpec, open};

/// A source with one file.
pub(crate) fn source_of(kind: SourceKind, options: SourceOptions, path: &Path, subset: &str) -> Box<dyn Source> {
    let file =
        AnnotationFile { path: path.to_owned(), place: path.to_owned(), name: "file".into(), subset: subset.into() };
    open(SourceSpec { name: "source".into(), kind, annotations: vec![file], options }).unwrap()
}

/// Everything that a source finds; point reads must find the same.
pub(crate) fn read_all(source: &dyn Source) -> Vec<Raw> {
    let mut raws = Vec::new();
    for split in source.splits().unwrap() {
        raws.extend(source.read(&split).unwrap().map(Result::unwrap));
    }
    for raw in &raws {
        assert_eq!(&source.read_at(&raw.origin).unwrap(), raw);
    }
    raws
}

/// What a source makes of a file.
pub(crate) fn parse_all(source: &dyn Source) -> Vec<Result<Record, RejectedRecord>> {
    read_all(source).iter().map(|raw| source.parse(raw)).collect()
}

/// A temporary file.
pub(crate) fn file_of(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

/// What a kind of source makes of one JSON text.
pub(crate) fn parse_with(kind: SourceKind, options: SourceOptions, text: &str) -> Result<Record, RejectedRecord> {
    let file = file_of(text);
    let mut parsed = parse_all(source_of(kind, options, file.path(), "").as_ref());
    assert_eq!(parsed.len(), 1);
    parsed.remove(0)
}

pub(crate) fn parse(kind: SourceKind, text: &str) -> Result<Record, RejectedRecord> {
    parse_with(kind, SourceOptions::default(), text)
}

/// A record's turns in one line, such as `U [a.jpg] "what?" A "a cat"`; or its reason for rejection.
pub(crate) fn shown(parsed: &Result<Record, RejectedRecord>) -> String {
    match parsed {
        Ok(record) => turns_of(record),
        Err(reject) => reject.rejection.code.to_string(),
    }
}

pub(crate) fn turns_of(record: &Record) -> String {
    let mut shown = String::new();
    for turn in &record.turns {
        shown.push_str(match turn.role {
            Role::System => " S",
            Role::User => " U",
            Role::Assistant => " A",
        });
        for part in &turn.parts {
            match part {
                Part::Text(text) => write!(shown, " {text:?}").unwrap(),
                Part::Visual(visual) => {
                    let medium = &record.media[visual.media];
                    let kind = if medium.kind == MediaKind::Video { "video " } else { "" };
                    write!(shown, " [{kind}{}]", medium.location.name()).unwrap();
                }
            }
        }
    }
    shown.trim_start().to_owned()
}

/// Asserts what a kind of source makes of records.
pub(crate) fn check(kind: SourceKind, expected: &[(&str, &str)]) {
    check_with(kind, &SourceOptions::default(), expected);
}

pub(crate) fn check_with(kind: SourceKind, options: &SourceOptions, expected: &[(&str, &str)]) {
    for (text, expected) in expected {
        let parsed = parse_with(kind, options.clone(), text);
        assert_eq!(shown(&parsed), *expected, "{text}\n{parsed:?}");
    }
}

pub(crate) fn arc(text: &str) -> Arc<str> {
    text.into()
}
