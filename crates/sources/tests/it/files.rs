//! Files: formats recognised by content, damage, point reads, and what is refused.

use std::path::PathBuf;

use manyframe_core::{Origin, Position};
use manyframe_sources::{AnnotationFile, RawBody, SourceError, SourceKind, SourceOptions, SourceSpec, open};

use crate::support::{arc, file_of, parse_all, read_all, shown, source_of};

fn shown_file(text: &str) -> Vec<String> {
    let file = file_of(text);
    let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
    parsed.iter().map(shown).collect()
}

#[test]
fn layouts_make_no_difference() {
    let expected = [r#"U "a" A "b""#, r#"U "c" A "d""#];
    for text in [
        "[{\"data\": [\"a\", \"b\"]}, {\"data\": [\"c\", \"d\"]}]",
        "\u{feff}[\r\n  {\"data\": [\"a\", \"b\"]},\r\n  {\"data\": [\"c\", \"d\"]}\r\n]\r\n",
        "{\"data\": [\"a\", \"b\"]}\n{\"data\": [\"c\", \"d\"]}",
        "\u{feff}{\"data\": [\"a\", \"b\"]}\r\n\r\n{\"data\": [\"c\", \"d\"]}\r\n",
        "{\n \"data\": [\n  \"a\",\n  \"b\"\n ]\n}\n{\n \"data\": [\n  \"c\",\n  \"d\"\n ]\n}\n",
        "[{\"data\": [\"a\", \"b\"]},\n{\"data\": [\"c\", \"d\"]}]",
        "\u{feff}{\"version\": 1, \"rows\": [{\"data\": [\"a\", \"b\"]}, {\"data\": [\"c\", \"d\"]}]}",
        "{\n \"rows\": [\n  {\n   \"data\": [\"a\", \"b\"]\n  },\n  {\"data\": [\"c\", \"d\"]}\n ],\n \"tags\": [\"x\"]\n}\n",
    ] {
        assert_eq!(shown_file(text), expected, "{text}");
    }
}

#[test]
fn a_damaged_record_costs_itself_and_says_where() {
    let text = "[\n  {\n    \"id\": 1,\n    \"data\": [\"a\", \"two\nlines\"]\n  },\n  {\n    \"data\": [\"c\", \"d\"]\n  }\n]";
    let file = file_of(text);
    let source = source_of(SourceKind::Text, SourceOptions::default(), file.path(), "");
    let parsed = parse_all(source.as_ref());
    assert_eq!(parsed.iter().map(shown).collect::<Vec<_>>(), ["malformed_record", r#"U "c" A "d""#]);
    let reject = parsed[0].as_ref().unwrap_err();
    assert!(reject.rejection.detail.contains("in line 5 of the file"), "{}", reject.rejection.detail);
    assert_eq!(reject.origin.to_string(), "file:2");
}

#[test]
fn a_cut_file_keeps_its_whole_records() {
    assert_eq!(shown_file("[{\"data\": [\"a\", \"b\"]}, {\"data\": [\"c\""), [r#"U "a" A "b""#, "incomplete_file"]);
    assert_eq!(shown_file("[{\"data\": [\"a\", \"b\"]},\n"), [r#"U "a" A "b""#, "incomplete_file"]);
    assert_eq!(shown_file("{\"data\": [\"a\", \"b\"]}\n{\"dat"), [r#"U "a" A "b""#, "incomplete_file"]);
    assert_eq!(shown_file("{\"data\": [\"a\", \"b\"]}\n{\"data\": [\"c\", NaN"), [r#"U "a" A "b""#, "incomplete_file"]);
    for cut in
        ["{\"v\": 1, \"rows\": [{\"data\": [\"a\", \"b\"]}", "{\"rows\": [{\"data\": [\"a\", \"b\"]}], \"n\": [1"]
    {
        assert_eq!(shown_file(cut), [r#"U "a" A "b""#, "incomplete_file"], "{cut}");
    }
}

#[test]
fn invalid_text_is_malformed() {
    let mut text = b"{\"data\": [\"a\", \"b\"]}\n{\"data\": [\"\xff\", \"b\"]}\n".to_vec();
    text.extend_from_slice(b"{\"data\": [\"\\ud83d\", \"b\"]}\n[1]\nnull\n");
    let file = file_of(text);
    let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
    let shown: Vec<_> = parsed.iter().map(shown).collect();
    let expected = [r#"U "a" A "b""#, "malformed_record", "malformed_record", "unexpected_schema", "unexpected_schema"];
    assert_eq!(shown, expected);
}

#[test]
fn files_that_hold_no_records_are_refused_by_name() {
    for (text, found) in [
        ("", "empty"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 5\n", "git-lfs"),
        ("<!doctype html><html>", "HTML"),
        ("{\"train\": [{\"id\": 1}], \"test\": [{\"id\": 1}]}", "more than one list"),
    ] {
        let file = file_of(text);
        let source = source_of(SourceKind::Text, SourceOptions::default(), file.path(), "");
        let error = source.splits().unwrap_err();
        assert!(matches!(error, SourceError::NotRecords { .. }) && error.to_string().contains(found), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let source = source_of(SourceKind::Text, SourceOptions::default(), "/nonexistent/x.json".as_ref(), "");
    assert!(matches!(source.splits(), Err(SourceError::Read { .. })));
}

#[test]
fn an_origin_of_another_file_is_refused() {
    let file = file_of("{\"data\": [\"a\", \"b\"]}\n");
    let source = source_of(SourceKind::Text, SourceOptions::default(), file.path(), "");
    let at = |file: &str, position| source.read_at(&Origin { file: arc(file), position });
    assert!(matches!(at("other", Position::Row(0)), Err(SourceError::UnknownFile { .. })));
    assert!(matches!(at("file", Position::Row(0)), Err(SourceError::UnknownOrigin { .. })));
    for (offset, num_bytes) in [(0, 500), (u64::MAX, 2), (u64::MAX, u64::MAX), (90, 0)] {
        let position = Position::Bytes { offset, num_bytes, line: 1 };
        assert!(matches!(at("file", position), Err(SourceError::UnknownOrigin { .. })), "{offset}+{num_bytes}");
    }
}

#[test]
fn origins_lead_to_the_bytes_of_the_file() {
    let text = "[\n {\"data\": [\"a\", \"b\"]},\n {\"data\": [\"é\", \"d\"]}, broken\n]";
    let file = file_of(text);
    let raws = read_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
    for raw in &raws {
        let Position::Bytes { offset, num_bytes, .. } = raw.origin.position else { panic!("not bytes") };
        let RawBody::Json(body) = &raw.body else { panic!("broken") };
        assert_eq!(body, &text.as_bytes()[offset as usize..(offset + num_bytes) as usize]);
    }
    assert_eq!(raws.len(), 3);
}

#[test]
fn specifications_that_cannot_work_are_refused() {
    let file = |name: &str| {
        let path = PathBuf::from("x.json");
        AnnotationFile { place: path.clone(), path, name: arc(name), subset: arc("") }
    };
    let opened = |annotations, options| {
        open(SourceSpec { name: arc("s"), kind: SourceKind::Llava, annotations, options })
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(opened(vec![file("a"), file("b")], SourceOptions::default()), None);
    assert!(opened(vec![], SourceOptions::default()).unwrap().contains("no annotation file"));
    assert!(
        opened(vec![file("a"), file("a")], SourceOptions::default())
            .unwrap()
            .contains("two annotation files named \"a\"")
    );
    let options = SourceOptions { fps: Some(0.0), ..SourceOptions::default() };
    assert!(opened(vec![file("a")], options).unwrap().contains("as configured"));
}

#[test]
fn identical_records_have_equal_ids_in_every_layout() {
    let ids = |text: &str| {
        let file = file_of(text);
        let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
        parsed.into_iter().map(|it| it.unwrap().id).collect::<Vec<_>>()
    };
    let array = ids("[{\"data\": [\"a\", \"b\"]}, {\"data\": [\"a\", \"b\"]}]");
    assert_eq!(array[0], array[1]);
    assert_eq!(ids("{\"data\":[\"a\",\"b\"]}"), &array[..1]);
}
