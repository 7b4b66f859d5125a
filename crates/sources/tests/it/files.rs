//! Files: formats recognised by content, damage, point reads, and what is refused.

use std::io::Write as _;
use std::path::PathBuf;

use manyframe_core::{Origin, Position, RejectCode};
use manyframe_sources::{
    AnnotationFile, Raw, RawBody, SourceError, SourceKind, SourceOptions, SourceSpec, Split, open,
};

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
fn zeros_that_nobody_wrote_over_are_the_end_of_an_incomplete_file() {
    let zeros = "\0".repeat(5000);
    let record = "{\"data\": [\"a\", \"b\"]}\n";
    assert_eq!(shown_file(&format!("{record}{zeros}")), [r#"U "a" A "b""#, "incomplete_file"]);
    assert_eq!(shown_file(&format!("{record}{zeros} \"b\"]}}\n{record}")).len(), 3, "a hole, and what follows it");
    assert_eq!(shown_file(&format!("{record}{{\"data\": [\"a{zeros}"))[1], "incomplete_file");
    let room = "\0".repeat(17 << 20);
    assert_eq!(shown_file(&format!("{record}{room}"))[1], "incomplete_file");
    assert_eq!(shown_file(&format!("{record}{{\"data\": [\"{}{room}", "a".repeat(300)))[1], "incomplete_file");
    assert_eq!(shown_file(&format!("{record}{{\"data\": [\"a\0\", \"b\"]}}\n"))[1], "malformed_record", "a stray zero");
}

#[test]
fn what_was_written_over_records_is_an_incomplete_file() {
    let records: Vec<String> = (0..40).map(|n| format!("{{\"data\": [\"question {n}\", \"answer {n}\"]}}")).collect();
    let noise = |n: usize| ((n as u32).wrapping_mul(2_654_435_761) >> 13) as u8;
    let fills: [(&str, &dyn Fn(usize) -> u8); 4] =
        [("ones", &|_| 0xff), ("blanks", &|_| b' '), ("noise", &noise), ("zeros", &|_| 0)];
    for text in [records.join("\n"), format!("[{}]", records.join(", "))] {
        // From within the name of a field up to within an answer, fifteen records later.
        let (start, end) = (text.find("question 18").unwrap() - 8, text.find("answer 33").unwrap() + 3);
        for (name, fill) in fills {
            let mut bytes = text.clone().into_bytes();
            bytes.splice(start..end, (0..5000).map(fill));
            let file = file_of(&bytes);
            let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
            let codes: Vec<String> = parsed.iter().map(shown).collect();
            assert!(codes.iter().any(|code| code == "incomplete_file"), "{name}: {codes:?}");
        }
    }
    // One bad record is no hole: a forgotten quote, Latin-1, Cyrillic of Windows, Chinese of GBK, coloured output, a table of blanks.
    let coloured = b"\x1b[31mred\x1b[0m ".repeat(40);
    let table = [&b"left"[..], &b" ".repeat(1000), b"right"].concat();
    for bad in [
        b"a, \"b".to_vec(),
        b"caf\xe9".to_vec(),
        b"\xfcber gr\xf6\xdfte H\xf6fe f\xfchren m\xfcde V\xf6gel \xfcber schr\xe4ge D\xe4cher. ".repeat(20),
        b"\xf5\xee\xf0\xee\xf8\xe8\xe9 \xff\xff\xfb\xfc ".repeat(40),
        b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7 \xf6\xce\xfe\xa1 ".repeat(40),
        coloured,
        [table, b"\", \"".to_vec(), b"x".to_vec()].concat(),
    ] {
        let bad = [b"{\"data\": [\"", &bad[..], b"\", \"b\" \"c\"]}"].concat();
        let file = file_of([&bad[..], b"\n", records[0].as_bytes(), b"\n"].concat());
        let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
        assert_eq!(shown(&parsed[0]), "malformed_record", "{}", String::from_utf8_lossy(&bad));
    }
}

/// What is said of the records of a file that are rejected.
fn details_of(text: &[u8]) -> (usize, Vec<(RejectCode, String)>) {
    let file = file_of(text);
    let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
    let rejected = parsed.iter().filter_map(|one| one.as_ref().err());
    let rejected: Vec<_> = rejected.map(|one| (one.rejection.code, one.rejection.detail.clone())).collect();
    (parsed.len() - rejected.len(), rejected)
}

#[test]
fn blanks_over_the_ends_of_two_records_do_not_make_one_of_them() {
    let records: Vec<String> = (0..40).map(|n| format!("{{\"data\": [\"question {n}\", \"answer {n}\"]}}")).collect();
    for text in [records.join("\n"), format!("[{}]", records.join(", ")), format!("[\n {}\n]", records.join(",\n "))] {
        // From within a question up to within a later one: both texts are whole, and so is what is read.
        for (last, num_blanks, is_of_sectors, code) in [
            (19, 512, true, RejectCode::MalformedRecord),
            (25, 3584, true, RejectCode::MalformedRecord),
            (25, 4096, true, RejectCode::IncompleteFile),
            (33, 6144, true, RejectCode::IncompleteFile),
            (33, 6000, false, RejectCode::MalformedRecord),
        ] {
            let (start, end) = (text.find("stion 18").unwrap(), text.find(&format!("tion {last}")).unwrap());
            let mut bytes = text.clone().into_bytes();
            bytes.splice(start..end, std::iter::repeat_n(b' ', num_blanks));
            // The first record is longer by what brings the blanks to a sector.
            let longer = (512 - start % 512 + if is_of_sectors { 0 } else { 100 }) % 512;
            let first = text.find("question 0").unwrap();
            bytes.splice(first..first, std::iter::repeat_n(b'q', longer));
            let (num_read, rejected) = details_of(&bytes);
            assert_eq!((num_read, rejected.len()), (40 - (last - 17), 1), "{num_blanks}: {rejected:?}");
            assert_eq!(rejected[0].0, code);
            let said =
                if code == RejectCode::IncompleteFile { "this record and others" } else { "may have been several" };
            assert!(rejected[0].1.contains(said), "{rejected:?}");
        }
        // Text that is laid out with blanks is text.
        let laid_out = text.replace("answer 7", &format!("left{}right", " ".repeat(3000)));
        assert_eq!(details_of(laid_out.as_bytes()), (40, Vec::new()));
    }
}

#[test]
fn a_reject_says_that_it_may_have_been_several_records() {
    let record = |n: u32| format!("{{\"id\": {n}, \"data\": [\"question {n}\", \"answer {n}\"]}}");
    let several = "it may have been several records";
    // A brace and a quote of the first, and the first key of the second, with which records begin.
    let adjoining = format!(
        "[{}, {}, {}, {}]",
        record(1),
        record(2).replace("\"]}", "]"),
        record(3).replace("{\"id", "id"),
        record(4)
    );
    // A line end and the brace before it.
    let lines = [record(1), record(2).replace('}', " ") + &record(3), record(4)].join("\n");
    let blanks = [record(1), record(2).replace("\"data\"", &" ".repeat(100)), record(4)].join("\n");
    for text in [adjoining, lines, blanks] {
        let (num_read, rejected) = details_of(text.as_bytes());
        assert_eq!((num_read, rejected.len()), (2, 1), "{rejected:?}");
        assert!(rejected[0].1.ends_with(several), "{rejected:?}");
    }
    for damaged in
        [record(2).replace("\"]}", "]}"), record(2).replace("], ", "]"), record(2).replacen("\": [", "\" [", 1)]
    {
        for text in
            [format!("[{}, {damaged}, {}]", record(1), record(3)), [record(1), damaged.clone(), record(3)].join("\n")]
        {
            let (num_read, rejected) = details_of(text.as_bytes());
            assert!(num_read >= 2 && rejected.iter().all(|(_, detail)| !detail.contains(several)), "{rejected:?}");
        }
    }
}

#[test]
fn a_line_that_is_a_list_says_how_many_values_are_lost_with_it() {
    let record = r#"{"data": ["a", "b"]}"#;
    let (num_read, rejected) = details_of(format!("{record}\n[{record}, {record}, {record}]\n{record}\n").as_bytes());
    assert_eq!((num_read, rejected.len()), (2, 1));
    assert!(
        rejected[0].1.contains("a list of 3 values") && rejected[0].1.contains("one reject for all"),
        "{rejected:?}"
    );
}

#[test]
fn a_compressed_file_that_is_cut_is_incomplete_once() {
    let records: Vec<String> = (0..500_u32)
        .map(|number| format!(r#"{{"id": {number}, "data": ["a", "{}"]}}"#, number.wrapping_mul(2_654_435_761)))
        .collect();
    for text in [
        records.join("\n") + "\n",
        format!("[{}]", records.join(",\n")),
        format!("{{\"rows\": [{}]}}", records.join(", ")),
    ] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        for num_lost in [3, 300, 301, 302, 303, 304] {
            let (kept, _) = packed.split_at(packed.len() - num_lost);
            let file = file_of(kept);
            let parsed = parse_all(source_of(SourceKind::Text, SourceOptions::default(), file.path(), "").as_ref());
            let (last, whole) = parsed.split_last().unwrap();
            assert!(whole.len() > 300 && whole.iter().all(Result::is_ok), "{num_lost}");
            let rejected = last.as_ref().unwrap_err();
            assert_eq!(
                (rejected.rejection.code, rejected.origin.position),
                (RejectCode::IncompleteFile, Position::File)
            );
        }
    }
}

/// A member of a tar: its header, and its content up to the end of a block.
fn tar_member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut member = vec![0; 512 + content.len().next_multiple_of(512)];
    let size = format!("{:011o}", content.len());
    for (at, field) in
        [(0, name.as_bytes()), (124, size.as_bytes()), (148, b"        "), (156, b"0"), (257, b"ustar\x0000")]
    {
        member[at..at + field.len()].copy_from_slice(field);
    }
    let checksum: u32 = member[..512].iter().copied().map(u32::from).sum();
    member[148..155].copy_from_slice(format!("{checksum:06o}\0").as_bytes());
    member[512..512 + content.len()].copy_from_slice(content);
    member
}

#[test]
fn several_images_of_a_tar_have_numbers_or_names() {
    let shown_of = |endings: &[&str], json: &str| {
        let mut tar: Vec<u8> = endings.iter().flat_map(|ending| tar_member(&format!("1.{ending}"), b"x")).collect();
        tar.extend(tar_member("1.json", json.as_bytes()));
        tar.extend([0; 1024]);
        let file = file_of(&tar);
        let parsed = parse_all(source_of(SourceKind::Auto, SourceOptions::default(), file.path(), "").as_ref());
        let [record] = parsed.as_slice() else { panic!("{} records", parsed.len()) };
        record.as_ref().map_or_else(|reject| reject.rejection.detail.clone(), |record| record.media.len().to_string())
    };
    let caption = r#"{"caption": "c"}"#;
    for endings in
        [&["jpg"][..], &["0.jpg", "1.png"], &["img_1.jpg", "img_2.jpg"], &["jpg", "1.jpg"], &["a.jpg", "b.jpg"]]
    {
        assert_eq!(shown_of(endings, caption), endings.len().to_string());
    }
    for endings in [["jpg", "mask.png"], ["rgb.jpg", "depth.jpg"], ["jpg", "png"], ["0.jpg", "0.mask.png"]] {
        assert!(shown_of(&endings, caption).starts_with(&format!("several media, {}", endings.join(", "))));
        let named = format!(r#"{{"caption": "c", "images": ["1.{}", "1.{}"]}}"#, endings[0], endings[1]);
        assert_eq!(shown_of(&endings, &named), "2");
    }
}

#[test]
fn a_tar_that_is_cut_is_incomplete_once() {
    let members: Vec<u8> = (0..3).flat_map(|number| tar_member(&format!("{number}.txt"), &[b'a'; 2000])).collect();
    // Within the last sample, and behind it, where the blocks of zeros are missing.
    for (num_bytes, num_whole) in [(6000, 2), (7680, 3)] {
        let file = file_of(members.split_at(num_bytes).0);
        let raws = read_all(source_of(SourceKind::Auto, SourceOptions::default(), file.path(), "").as_ref());
        let is_whole = |raw: &&Raw| matches!(raw.body, RawBody::Sample { .. });
        assert_eq!((raws.iter().filter(is_whole).count(), raws.len()), (num_whole, num_whole + 1), "{num_bytes}");
    }
}

#[test]
fn a_tar_with_zeros_in_place_of_members_is_incomplete() {
    let members: Vec<Vec<u8>> = (0..40).map(|number| tar_member(&format!("{number:02}.txt"), &[b'a'; 2000])).collect();
    let mut whole = members.concat();
    whole.resize((whole.len() + 1024).next_multiple_of(10_240), 0);
    let num_bytes = members[0].len();
    let (start, end) = (20 * num_bytes, whole.len());
    // From a member on; from within one; a few whole ones, behind which others go on.
    for (hole, num_whole) in [(start..end, 20), (start + 600..end, 20), (start..start + 5 * num_bytes, 35)] {
        let mut bytes = whole.clone();
        bytes[hole].fill(0);
        let file = file_of(&bytes);
        let raws = read_all(source_of(SourceKind::Auto, SourceOptions::default(), file.path(), "").as_ref());
        let is_whole = |raw: &&Raw| matches!(raw.body, RawBody::Sample { .. });
        assert_eq!(raws.iter().filter(is_whole).count(), num_whole);
        let RawBody::Broken { rejection, .. } = &raws.last().unwrap().body else { panic!("{num_whole}") };
        assert_eq!(rejection.code, RejectCode::IncompleteFile);
        assert!(rejection.detail.contains("zeros are in place of members"), "{rejection}");
    }
    let file = file_of(&whole);
    assert_eq!(read_all(source_of(SourceKind::Auto, SourceOptions::default(), file.path(), "").as_ref()).len(), 40);
}

#[test]
fn a_part_of_a_directory_has_its_rows_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        for (ending, content) in [("jpg", ""), ("txt", "A cat.")] {
            manyframe_base::write_atomic(&folder.path().join(format!("{number}.{ending}")), content.as_bytes())
                .unwrap();
        }
    }
    let source = source_of(SourceKind::Auto, SourceOptions::default(), folder.path(), "");
    let [whole] = source.splits().unwrap().try_into().unwrap();
    for (rows, ids) in [(0..1, &["0"][..]), (1..3, &["1", "2"]), (2..2, &[]), (0..3, &["0", "1", "2"])] {
        let split = Split { rows: Some(rows.clone()), ..whole.clone() };
        let found: Vec<String> =
            source.read(&split).unwrap().map(|raw| source.parse(&raw.unwrap()).unwrap().upstream_id).collect();
        assert_eq!(found, ids, "{rows:?}");
    }
}

#[test]
fn an_image_with_two_texts_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("8.jpg", ""),
        ("8.txt", "both"),
        ("8.json", r#"{"caption": "other"}"#),
        ("9.jpg", ""),
        ("9.caption", "one"),
        ("9.json", r#"{"caption": "other"}"#),
    ] {
        manyframe_base::write_atomic(&folder.path().join(name), content.as_bytes()).unwrap();
    }
    let parsed = parse_all(source_of(SourceKind::Auto, SourceOptions::default(), folder.path(), "").as_ref());
    for (one, expected) in parsed
        .iter()
        .zip(["\"caption\" is read, and \"txt\" beside it would be lost", "two files of the sample have \"caption\""])
    {
        let rejected = &one.as_ref().unwrap_err().rejection;
        assert_eq!(rejected.code, RejectCode::UnexpectedSchema);
        assert!(rejected.detail.starts_with(expected), "{rejected}");
    }
    assert_eq!(parsed.len(), 2);
}

/// What an annotation file gives, or why it is refused.
fn shown_or_refused(text: &[u8]) -> Result<Vec<String>, String> {
    let file = file_of(text);
    let path = file.path().to_owned();
    let annotations = vec![AnnotationFile { path: path.clone(), place: path, name: "file".into(), subset: "".into() }];
    let options = SourceOptions::default();
    let spec = SourceSpec { name: "source".into(), kind: SourceKind::Text, annotations, options };
    let read = || -> Result<Vec<String>, SourceError> {
        let source = open(spec)?;
        let mut found = Vec::new();
        for split in source.splits()? {
            for raw in source.read(&split)? {
                found.push(shown(&source.parse(&raw?)));
            }
        }
        Ok(found)
    };
    read().map_err(|error| error.to_string())
}

#[test]
fn a_file_cut_at_any_byte_is_never_a_shorter_file() {
    let records =
        [r#"{"data": ["a", "é"]}"#, r#"{"id": 7, "data": ["c [{", "d }]"]}"#, r#"{"data": ["e", "f"], "n": 1.5}"#];
    let lines = records.join("\n") + "\n";
    let pretty = "{\n \"data\": [\n  \"a\",\n  \"b\"\n ]\n}\n{\n \"data\": [\n  \"c\",\n  \"d\"\n ]\n}\n";
    let array = format!("[{}]", records.join(", "));
    let array_of_lines = format!("[\n  {}\n]\n", records.join(",\n  "));
    let wrapped = format!("{{\"data\": {array}}}\n");
    let versioned =
        format!("\u{feff}{{\"version\": 1,\n \"info\": {{\"a\": [1]}}, \"rows\": {array_of_lines}, \"n\": 12}}");
    for text in [lines.as_str(), pretty, &array, &array_of_lines, &wrapped, &versioned] {
        let whole = shown_or_refused(text.as_bytes()).unwrap();
        assert!(whole.len() >= 2 && whole.iter().all(|record| record.starts_with('U')), "{whole:?}");
        let is_list = !(text == lines || text == pretty);
        for length in 0..text.len() {
            let (kept, lost) = text.as_bytes().split_at(length);
            // Records without a list around them are all of a shorter file, too, where one of them ends.
            let is_between = !is_list
                && kept.trim_ascii_end().ends_with(b"}")
                && lost.trim_ascii_start().first().is_none_or(|byte| *byte == b'{');
            match shown_or_refused(kept) {
                _ if lost.trim_ascii().is_empty() => {}
                // Of a source that delivers nothing, nothing is published.
                Ok(found) if !found.is_empty() && found.iter().all(|record| !record.starts_with('U')) => {}
                Ok(found) if is_between => assert!(whole.starts_with(&found), "{length} bytes of {text}: {found:?}"),
                Ok(found) => {
                    let (end, before) = found.split_last().unwrap_or_else(|| panic!("{length} bytes of {text}"));
                    assert!(
                        end == "incomplete_file" && whole.starts_with(before),
                        "{length} bytes of {text}: {found:?}"
                    );
                }
                Err(error) => assert!(error.contains("download it again"), "{length} bytes of {text}: {error}"),
            }
        }
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
