//! What readers of records promise, over files of every layout, whole and damaged.

use proptest::prelude::*;
use serde_json::json;

use manyframe_core::Position;

use crate::json::{Elements, FileFormat, Lines, LocatedRecord, MAX_RECORD_BYTES, SNIFFED_BYTES, format_of, unclosed};
use crate::raw::RawBody;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FileLayout {
    /// As `json.dump(records, indent=n)` does.
    Pretty(usize),
    /// As `json.dump(records)` does, or with `separators=(",", ":")`.
    OneLine(&'static str),
    /// An array with a record a line.
    LinePerItem,
    /// JSON lines.
    Lines,
    /// Indented objects, one after another.
    Objects(usize),
}

struct File {
    bytes: Vec<u8>,
    /// Where each record is.
    records: Vec<std::ops::Range<usize>>,
}

fn file(records: &[serde_json::Value], layout: FileLayout) -> File {
    let (before, between, after) = match layout {
        FileLayout::Pretty(indent) => {
            let line = format!("\n{}", " ".repeat(indent));
            (format!("[{line}"), format!(",{line}"), "\n]\n".to_owned())
        }
        FileLayout::OneLine(between) => ("[".to_owned(), between.to_owned(), "]".to_owned()),
        FileLayout::LinePerItem => ("[\n".to_owned(), ",\n".to_owned(), "\n]".to_owned()),
        FileLayout::Lines | FileLayout::Objects(_) => (String::new(), "\n".to_owned(), "\n".to_owned()),
    };
    let mut bytes = before.into_bytes();
    let mut ranges = Vec::new();
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            bytes.extend_from_slice(between.as_bytes());
        }
        let start = bytes.len();
        bytes.extend_from_slice(record_text(record, layout).as_bytes());
        ranges.push(start..bytes.len());
    }
    bytes.extend_from_slice(after.as_bytes());
    File { bytes, records: ranges }
}

fn record_text(record: &serde_json::Value, layout: FileLayout) -> String {
    let pretty = |indent: usize, outer: usize| {
        let indent = " ".repeat(indent);
        let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
        let mut text = Vec::new();
        serde::Serialize::serialize(record, &mut serde_json::Serializer::with_formatter(&mut text, formatter)).unwrap();
        String::from_utf8(text).unwrap().replace('\n', &format!("\n{}", indent.repeat(outer)))
    };
    match layout {
        FileLayout::Pretty(indent) => pretty(indent, 1),
        FileLayout::Objects(indent) => pretty(indent, 0),
        FileLayout::OneLine(_) | FileLayout::LinePerItem | FileLayout::Lines => record.to_string(),
    }
}

fn read(bytes: &[u8]) -> Vec<LocatedRecord> {
    let mut found = Vec::new();
    match format_of(&bytes[..bytes.len().min(SNIFFED_BYTES as usize)]) {
        Ok(FileFormat::Lines) => {
            let mut lines = Lines::new(bytes);
            found.extend(std::iter::from_fn(|| lines.next_record().unwrap()));
        }
        Ok(_) => {
            let mut elements = Elements::new(bytes);
            found.extend(std::iter::from_fn(|| elements.next_record().unwrap()));
        }
        Err(_) => {}
    }
    found
}

fn range_of(found: &LocatedRecord) -> std::ops::Range<usize> {
    let Position::Bytes { offset, num_bytes, .. } = found.position else { panic!("not bytes") };
    offset as usize..(offset + num_bytes) as usize
}

fn layouts() -> impl Strategy<Value = FileLayout> {
    prop_oneof![
        (0_usize..5).prop_map(FileLayout::Pretty),
        Just(FileLayout::OneLine(", ")),
        Just(FileLayout::OneLine(",")),
        Just(FileLayout::LinePerItem),
        Just(FileLayout::Lines),
        (1_usize..5).prop_map(FileLayout::Objects),
    ]
}

fn records() -> impl Strategy<Value = Vec<serde_json::Value>> {
    let text = prop_oneof![any::<String>(), r#"[{}\[\]",:a \\\n]{0,20}"#];
    let turns = prop::collection::vec(text.prop_map(|text| json!({"from": "human", "value": text})), 0..4);
    let record =
        (any::<Option<u32>>(), turns).prop_map(|(number, turns)| json!({"conversations": turns, "id": number}));
    prop::collection::vec(record, 1..8)
}

/// Every found record is where it says, in order, and the bytes between are no one's.
fn check_places(bytes: &[u8], found: &[LocatedRecord]) {
    let mut end = 0;
    for one in found {
        let range = range_of(one);
        assert!(range.start >= end, "records overlap");
        assert!(bytes[end..range.start].iter().all(|byte| b" \t\r\n,[]\xef\xbb\xbf".contains(byte)), "bytes were lost");
        let Position::Bytes { line, .. } = one.position else { panic!("not bytes") };
        assert_eq!(line, bytes[..range.start].split(|&byte| byte == b'\n').count() as u64);
        if let RawBody::Json(text) = &one.body {
            assert_eq!(text, &bytes[range.clone()]);
        }
        end = range.end;
    }
    assert!(bytes[end..].iter().all(|byte| b" \t\r\n,[]".contains(byte)), "bytes were lost at the end");
}

#[test]
fn arrays_written_one_after_another_are_read_as_one() {
    let found = read(b"[{\"a\": 1}]\n[{\"a\": 2}, {\"a\": 3}]");
    assert_eq!(found.iter().map(range_of).collect::<Vec<_>>(), [1..9, 12..20, 22..30]);
}

#[test]
fn an_array_that_is_not_closed_is_reported() {
    let found = read(b"[{\"a\": 1},\n");
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1],
        LocatedRecord { position: Position::Bytes { offset: 11, num_bytes: 0, line: 2 }, body: unclosed() }
    );
    assert_eq!(read(b"[]"), []);
    assert_eq!(
        read(b"["),
        [LocatedRecord { position: Position::Bytes { offset: 1, num_bytes: 0, line: 1 }, body: unclosed() }]
    );
}

#[test]
fn a_record_cut_off_by_the_end_is_told() {
    for bytes in [&b"[\n  {\"a\": 1},\n  {\"a\": [2"[..], b"{\"a\": 1}\n{\"a\": \"x", b"{\n \"a\": 1\n}\n{\n \"a\""] {
        let found = read(bytes);
        assert_eq!(found.len(), 2);
        assert!(
            matches!(&found[1].body, RawBody::Broken { rejection, .. } if rejection.detail.contains("ends inside of a record"))
        );
        assert_eq!(range_of(&found[1]).end, bytes.len());
    }
}

#[test]
fn a_line_feed_in_a_string_costs_one_record() {
    let found = read(b"[\n {\"a\": \"x\ny\"},\n {\"a\": 2}\n]");
    assert_eq!(found.iter().map(range_of).collect::<Vec<_>>(), [3..15, 18..26]);
}

#[test]
fn objects_in_one_line_are_a_record_each() {
    let good = b"{\"a\": \"} {\", \"b\": [{}, {}]}";
    for between in ["", " ", "\t "] {
        // In the first line, in the middle, and in the last one, which is cut off.
        let line = [good, good, good].map(|it| str::from_utf8(it).unwrap()).join(between);
        let text = format!("{{\"a\": 1}}{between}{{\"a\": 2}}\n{line} \r\n{{\"a\": 3}}\n{line}{between}{{\"a\": ");
        let found = read(text.as_bytes());
        check_places(text.as_bytes(), &found);
        assert_eq!(found.len(), 2 + 3 + 1 + 4, "{text}");
        let (cut_off, whole) = found.split_last().unwrap();
        assert!(matches!(&cut_off.body, RawBody::Broken { rejection, .. } if rejection.detail.contains("ends inside")));
        assert!(whole.iter().all(|one| matches!(&one.body, RawBody::Json(_))));
    }
    // All of a file, and more than a window holds.
    let many = "{\"a\": 1}".repeat(200_000);
    assert_eq!(read(many.as_bytes()).len(), 200_000);
    // What follows an object and is none makes the line one damaged record.
    assert_eq!(read(b"{\"a\": 1}\n{\"a\": 2}x{}\n{\"a\": 3}").len(), 3);
}

#[test]
fn values_that_are_not_objects_are_records_too() {
    let found = read(b"[\n {\"a\": 1},\n null,\n {\"a\": 2}\n]");
    assert_eq!(found[1].body, RawBody::Json(b"null".to_vec()));
    assert_eq!(found.len(), 3);
}

#[test]
fn a_record_without_end_is_dropped_while_it_is_read() {
    for start in [&b"[\n  {\"a\": 1},\n  {\"a\": \""[..], b"{\"a\": 1}\n{\"a\": \""] {
        let filler = vec![b'x'; MAX_RECORD_BYTES as usize + 5_000_000];
        let bytes =
            [start, &filler, if start[0] == b'[' { b"\"},\n  {\"a\": 3}\n]" } else { b"\"}\n{\"a\": 3}" }].concat();
        let found = read(&bytes);
        assert_eq!(found.len(), 3);
        assert!(matches!(&found[1].body, RawBody::Broken { rejection, .. } if rejection.detail.contains("more than")));
        assert_eq!(range_of(&found[1]).len(), filler.len() + 9);
        assert_eq!(found[2].body, RawBody::Json(b"{\"a\": 3}".to_vec()));
    }
}

#[test]
fn damage_without_end_is_dropped_until_the_next_record() {
    let noise = b"x]} ".repeat(MAX_RECORD_BYTES as usize / 2);
    let found = read(&[b"[\n  {\"a\": 1},\n  {".as_slice(), &noise, b"\n  {\"a\": 3}\n]"].concat());
    assert_eq!(found.len(), 3);
    assert!(matches!(&found[1].body, RawBody::Broken { .. }));
    assert_eq!(found[2].body, RawBody::Json(b"{\"a\": 3}".to_vec()));
    let found = read(&[b"[\n  {\"a\": 1},\n  {".as_slice(), &noise].concat());
    assert_eq!(found.len(), 3, "the last one says that the array is not closed");
}

#[test]
fn many_ways_to_begin_do_not_slow_recovery_down() {
    let records: Vec<_> = (0..20_000).map(|index| format!("{{\"k{}\": x}}", index % 100)).collect();
    let found = read(format!("[{{\"first\": 1}}, {{\"second\": 1}}, {}]", records.join(", ")).as_bytes());
    assert!(found.len() > 2);
}

/// Records whose keys are in another order each time.
fn shuffled_records() -> impl Strategy<Value = Vec<Vec<(&'static str, serde_json::Value)>>> {
    let text = prop_oneof!["[a-z ]{0,9}", r#"[{}\[\]",:a1 \\\n]{0,20}"#];
    let turn = text.clone().prop_map(|text| json!({"from": "human", "value": text}));
    let record = (text, prop::collection::vec(turn, 0..4), any::<bool>()).prop_map(|(text, turns, is_good)| {
        vec![("id", json!(text)), ("conversations", json!(turns)), ("good", json!(is_good)), ("image", json!("1.jpg"))]
    });
    prop::collection::vec(record.prop_flat_map(|fields| Just(fields).prop_shuffle()), 2..9)
}

proptest! {
    #[test]
    fn a_brace_or_quote_that_is_missing_costs_one_record_however_records_begin(
        records in shuffled_records(),
        between in prop_oneof![Just(","), Just(", "), Just(" , ")],
        damaged in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut texts: Vec<String> = records.iter().map(|fields| {
            let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(between))
        }).collect();
        let damaged = damaged.index(texts.len());
        let text = &mut texts[damaged];
        // Its last brace, or a quote that begins or ends a string outside of lists; the first key of a file says what it is.
        let mut places = vec![text.len() - 1];
        for name in ["\"good\":", "\"image\":\"1.jpg\""].into_iter().filter(|_| damaged > 0) {
            let start = text.find(name).unwrap();
            places.extend(text[start..start + name.len()].match_indices('"').map(|(at, _)| start + at));
        }
        text.remove(*at.get(&places));
        let (mut bytes, mut ranges) = (b"[".to_vec(), Vec::new());
        for (number, text) in texts.iter().enumerate() {
            bytes.extend_from_slice(if number > 0 { between.as_bytes() } else { b"" });
            ranges.push(bytes.len()..bytes.len() + text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.push(b']');
        let found = read(&bytes);
        check_places(&bytes, &found);
        let mut found: Vec<_> = found.iter().map(range_of).collect();
        prop_assert_eq!(found.len(), ranges.len());
        // The last one may hide the end of the array.
        found[damaged].end = ranges[damaged].end;
        prop_assert_eq!(found, ranges);
    }

    #[test]
    fn a_good_file_gives_its_records(records in records(), layout in layouts()) {
        let File { bytes, records } = file(&records, layout);
        let found = read(&bytes);
        check_places(&bytes, &found);
        prop_assert_eq!(found.iter().map(range_of).collect::<Vec<_>>(), records);
    }

    #[test]
    fn no_bytes_make_it_panic_or_lose_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for bytes in [bytes.clone(), [b"[".as_slice(), &bytes].concat(), [b"{".as_slice(), &bytes].concat()] {
            let mut elements = Elements::new(bytes.as_slice());
            let found: Vec<_> = std::iter::from_fn(|| elements.next_record().unwrap()).collect();
            check_places(&bytes, &found);
        }
    }

    #[test]
    fn near_json_does_not_make_it_panic_or_lose_bytes(text in r#"[\[{][{}\[\]",:a1 \\\n]{0,80}"#) {
        let mut elements = Elements::new(text.as_bytes());
        let found: Vec<_> = std::iter::from_fn(|| elements.next_record().unwrap()).collect();
        check_places(text.as_bytes(), &found);
    }

    #[test]
    fn a_cut_file_gives_the_records_before_the_cut(records in records(), layout in layouts(), cut in any::<prop::sample::Index>()) {
        let File { bytes, records } = file(&records, layout);
        let kept = &bytes[..cut.index(bytes.len())];
        let found = read(kept);
        let whole: Vec<_> = records.iter().filter(|range| range.end <= kept.len()).cloned().collect();
        let starts: Vec<_> = found.iter().map(range_of).take(whole.len()).collect();
        prop_assert_eq!(starts, whole);
    }

    #[test]
    fn damage_to_one_byte_costs_one_record(
        records in records(),
        layout in layouts(),
        record in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let File { mut bytes, records } = file(&records, layout);
        let damaged = record.index(records.len());
        let at = records[damaged].start + at.index(records[damaged].len());
        // Where records share a line, they are recognised by their first key; so is a file of objects.
        let has_lines = matches!(layout, FileLayout::Pretty(1..) | FileLayout::LinePerItem);
        let is_first_key = bytes[..at].iter().all(|&byte| byte != b':');
        prop_assume!(at != records[0].start);
        prop_assume!(!is_first_key || has_lines);
        bytes[at] = byte;
        let found = read(&bytes);
        check_places(&bytes, &found);
        let found: Vec<_> = found.iter().map(range_of).collect();
        let lost: Vec<_> = (0..records.len()).filter(|&index| index != damaged && !found.contains(&records[index])).collect();
        if !has_lines && layout != FileLayout::Lines {
            prop_assert!(lost.iter().all(|&index| index.abs_diff(damaged) <= 1), "lost {lost:?} for {damaged}");
        } else {
            prop_assert_eq!(lost, Vec::<usize>::new());
        }
    }
}
