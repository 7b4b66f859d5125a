//! `auto`: the shapes in which people keep their own data, and those of datasets without a kind.

use std::collections::BTreeMap;

use manyframe_core::{Clip, RejectCode};
use manyframe_sources::{SourceKind::Auto, SourceOptions};

use crate::support::{check, check_with, file_of, parse, parse_all, parse_with, shown, source_of};

#[test]
fn conversations_with_media_in_every_usual_field() {
    check(
        Auto,
        &[
            // LLaMA-Factory
            (
                r#"{"messages": [{"role": "user", "content": "<image>hi"}, {"role": "assistant", "content": "ho"}], "images": ["a.jpg"]}"#,
                r#"U [a.jpg] "hi" A "ho""#,
            ),
            // OpenAI
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "hi"}]}, {"role": "assistant", "content": "ho"}]}"#,
                r#"U [a.jpg] "hi" A "ho""#,
            ),
            // Qwen
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": "hi"}]}, {"role": "assistant", "content": "ho"}]}"#,
                r#"U [video a.mp4] "hi" A "ho""#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image", "image": "file:///data/a.jpg"}, {"type": "image", "image": {"url": "file://localhost/b.jpg"}}, {"type": "text", "text": "hi"}]}, {"role": "assistant", "content": "ho"}]}"#,
                r#"U [/data/a.jpg] [/b.jpg] "hi" A "ho""#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}, {"type": "text", "text": "hi"}]}, {"role": "assistant", "content": "ho"}]}"#,
                "unsupported_media",
            ),
            // TRL
            (
                r#"{"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "hi"}]}], "completion": [{"role": "assistant", "content": [{"type": "text", "text": "ho"}]}], "images": ["a.jpg"]}"#,
                r#"U [a.jpg] "hi" A "ho""#,
            ),
            (
                r#"{"prompt": "hi", "completion": "ho", "images": ["a.jpg", "b.jpg"]}"#,
                r#"U [a.jpg] [b.jpg] "hi" A "ho""#,
            ),
            // InternVL
            (
                r#"{"id": 0, "image": ["a.jpg", "b.jpg"], "width_list": [1, 2], "height_list": [1, 2], "conversations": [{"from": "human", "value": "Image-1: <image>\nImage-2: <image>\nhi"}, {"from": "gpt", "value": "ho"}]}"#,
                r#"U "Image-1: " [a.jpg] "\nImage-2: " [b.jpg] "\nhi" A "ho""#,
            ),
            // questions and answers
            (r#"{"image_path": "a.jpg", "question": "hi", "answer": "ho"}"#, r#"U [a.jpg] "hi" A "ho""#),
            (r#"{"video_path": "a.mp4", "question": "hi", "answer": "ho"}"#, r#"U [video a.mp4] "hi" A "ho""#),
            // The Cauldron, FineVision
            (
                r#"{"images": ["a.jpg"], "texts": [{"user": "hi", "assistant": "ho", "source": "vqa"}, {"user": "a", "assistant": "b", "source": "vqa"}]}"#,
                r#"U [a.jpg] "hi" A "ho" U "a" A "b""#,
            ),
        ],
    );
}

#[test]
fn captions_answer_a_question() {
    check(
        Auto,
        &[
            (r#"{"image": "a.jpg", "caption": "ho"}"#, r#"U [a.jpg] "Describe this image." A "ho""#),
            (r#"{"file_name": "a.PNG", "text": "ho"}"#, r#"U [a.PNG] "Describe this image." A "ho""#),
            (r#"{"file_name": "a.MP4", "text": "ho"}"#, r#"U [video a.MP4] "Describe this video." A "ho""#),
            (r#"{"image": "a.jpg", "caption": ["ho", "he"]}"#, "unexpected_schema"),
            (r#"{"image": "a.jpg", "caption": ["ho"]}"#, r#"U [a.jpg] "Describe this image." A "ho""#),
            (r#"{"image": "a.jpg", "caption_str": "ho"}"#, r#"U [a.jpg] "Describe this image." A "ho""#),
            (r#"{"image": "a.jpg", "label": 3}"#, "unexpected_schema"),
            (r#"{"url": "https://example.org/a.jpg", "caption": "ho"}"#, "unexpected_schema"),
        ],
    );
    let several = r#"{"image": "a.jpg", "caption": ["ho", "he"]}"#;
    assert_rejected(&SourceOptions::default(), several, &["fields = { caption = \"caption[0]\" }"]);
    let second = r#"U [a.jpg] "Describe this image." A "he""#;
    check_with(Auto, &with_field("caption", "caption[1]"), &[(several, second)]);
    let frames = r#"{"videos": [["f/0.jpg", "f/1.jpg"]], "question": "q", "answer": "a"}"#;
    assert_rejected(&SourceOptions::default(), frames, &["name the directory that has them"]);
    let options = SourceOptions { questions: vec!["hi".into()], ..SourceOptions::default() };
    check_with(Auto, &options, &[(r#"{"image": "a.jpg", "caption": "ho"}"#, r#"U [a.jpg] "hi" A "ho""#)]);
}

#[test]
fn published_shapes_without_media_or_with_their_own_are_read_as_their_kind_does() {
    check(
        Auto,
        &[
            (r#"{"text": "ho"}"#, r#"A "ho""#),
            (r#"{"text": "ho", "image": null}"#, r#"A "ho""#),
            (r#"{"text": "ho", "url": "https://example.org/a.jpg", "from": "a.txt", "module": "a.ts"}"#, r#"A "ho""#),
            (r#"{"question": "hi", "answer": "ho", "videoID": "a"}"#, "unexpected_schema"),
            (r#"{"instruction": "hi", "output": "ho"}"#, r#"U "hi" A "ho""#),
            (r#"{"video": "a.mp4", "QA": [{"i": "x", "q": "hi", "a": "ho"}]}"#, r#"U [video a.mp4] "x\nhi" A "ho""#),
            (
                r#"{"video_id": "v", "video_path": "a.mp4", "captions": [{"idx": "-1", "content": "ho"}]}"#,
                r#"U [video a.mp4] "Describe this video in detail." A "ho""#,
            ),
        ],
    );
}

#[test]
fn a_table_that_pandas_splits_is_no_conversation() {
    let table = r#"{"columns": ["file", "caption"], "index": [0], "data": [["1.jpg", "A beach."]]}"#;
    assert_rejected(&SourceOptions::default(), table, &["orient=\"split\""]);
}

#[test]
fn fields_under_other_names() {
    let names = [("image", "img.path"), ("question", "q"), ("answer", "a"), ("id", "key")];
    let fields = names.map(|(name, found)| (name.to_owned(), found.to_owned())).into();
    let options = SourceOptions { fields, ..SourceOptions::default() };
    let text = r#"{"key": 7, "img": {"path": "a.jpg"}, "q": "hi", "a": "ho", "answer": "not this one"}"#;
    check_with(Auto, &options, &[(text, r#"U [a.jpg] "hi" A "ho""#)]);
    let others = [("image", "img"), ("video", "film"), ("caption", "long")];
    let fields = others.map(|(name, found)| (name.to_owned(), found.to_owned())).into();
    let options = SourceOptions { fields, ..SourceOptions::default() };
    for (text, expected) in [
        (r#"{"img": "a.jpg", "long": "ho", "caption": "short"}"#, r#"U [a.jpg] "Describe this image." A "ho""#),
        (r#"{"film": "a.mp4", "long": "ho"}"#, r#"U [video a.mp4] "Describe this video." A "ho""#),
        (r#"{"img": null, "film": "a.mp4", "long": "ho"}"#, r#"U [video a.mp4] "Describe this video." A "ho""#),
    ] {
        check_with(Auto, &options, &[(text, expected)]);
    }
    for (text, lacking, has) in [
        (r#"{"img": "a.jpg", "caption": "short", "lnog": "ho"}"#, "long", "img, caption, lnog"),
        (r#"{"image": "a.jpg", "long": "ho"}"#, "img", "image, long"),
        (r#"{"question": "hi", "answer": "ho", "long": "x"}"#, "img", "question, answer, long"),
    ] {
        let expected = format!("`fields` names {lacking:?}, which the record lacks; it has {has:?}");
        assert_rejected(&options, text, &[&expected]);
    }
    let without = r#"{"img": "a.jpg", "long": null, "caption": "short"}"#;
    assert_rejected(&options, without, &["expected a conversation"]);
    let options =
        SourceOptions { fields: BTreeMap::from([("image".into(), String::new())]), ..SourceOptions::default() };
    let problems: Vec<_> = Auto.option_problems(&options).iter().map(ToString::to_string).collect();
    assert_eq!(problems, [r#"option "fields" has an empty name: "image""#]);
}

fn with_fields(names: &[(&str, &str)]) -> SourceOptions {
    let fields = names.iter().map(|(name, found)| ((*name).to_owned(), (*found).to_owned())).collect();
    SourceOptions { fields, ..SourceOptions::default() }
}

#[test]
fn two_fields_can_have_each_others_names() {
    let swapped = with_fields(&[("question", "answer"), ("answer", "question")]);
    check_with(Auto, &swapped, &[(r#"{"question": "ho", "answer": "hi"}"#, r#"U "hi" A "ho""#)]);
    let moved = with_fields(&[("answer", "question"), ("question", "image"), ("image", "answer")]);
    let text = r#"{"image": "hi", "question": "ho", "answer": "a.jpg"}"#;
    check_with(Auto, &moved, &[(text, r#"U [a.jpg] "hi" A "ho""#)]);
}

#[test]
fn an_answer_can_be_an_entry_of_a_list() {
    let text_vqa = r#"{"image": "a.jpg", "question": "q", "answers": ["nokia", "nokia lumia", "lumia", "lumia"]}"#;
    let vqa = r#"{"image": "a.jpg", "question": "q", "multiple_choice_answer": "net", "answers": [{"answer": "racket", "answer_id": 1}, {"answer": "net", "answer_id": 2}, {"answer": "net", "answer_id": 3}]}"#;
    let answered = |answer: &str| format!(r#"U [a.jpg] "q" A {answer:?}"#);
    for (text, answer, expected) in [
        (text_vqa, "answers[0]", "nokia"),
        (text_vqa, "answers[1]", "nokia lumia"),
        (text_vqa, "most_common(answers)", "lumia"),
        (vqa, "answers[0].answer", "racket"),
        (vqa, "most_common(answers.answer)", "net"),
    ] {
        // By itself, an object around a list of objects is the list.
        check_with(Auto, &with_field("answer", answer), &[(&format!("[{text}]"), &answered(expected))]);
    }
    assert_rejected(&with_field("answer", "answers[4]"), text_vqa, &["\"answers[4]\", which the record lacks"]);
    for (text, answer) in [(text_vqa, "most_common(answers)"), (vqa, "multiple_choice_answer")] {
        let cure = format!("fields = {{ answer = {answer:?} }}");
        assert_rejected(&SourceOptions::default(), &format!("[{text}]"), &[&cure]);
        assert_eq!(manyframe_sources::choice_in_list(text.as_bytes()), Some(("answer", answer.to_owned())));
    }
    let none = r#"{"image": "a.jpg", "question": "q", "answers": []}"#;
    assert_rejected(&with_field("answer", "most_common(answers)"), none, &["expected a conversation, a question with"]);
}

#[test]
fn a_caption_answers_the_question_that_is_named_beside_it() {
    let asked = with_fields(&[("question", "q"), ("caption", "caption")]);
    check_with(
        Auto,
        &asked,
        &[
            (r#"{"image": "a.jpg", "q": "hi", "caption": "ho"}"#, r#"U [a.jpg] "hi" A "ho""#),
            (r#"{"image": "a.jpg", "q": "<image>\nhi", "caption": ["ho"]}"#, r#"U [a.jpg] "\nhi" A "ho""#),
            (r#"{"image": "a.jpg", "q": "hi", "caption": "ho", "answer": "he"}"#, r#"U [a.jpg] "hi" A "ho""#),
            (r#"{"image": "a.jpg", "q": null, "caption": "ho"}"#, r#"U [a.jpg] "Describe this image." A "ho""#),
            (r#"{"image": "a.jpg", "q": ["hi"], "caption": "ho"}"#, "unexpected_schema"),
        ],
    );
    let composed = with_fields(&[("prompt", "{lang}: what?"), ("text", "en")]);
    check_with(
        Auto,
        &composed,
        &[(r#"{"image": "a.jpg", "lang": "en", "en": "ho"}"#, r#"U [a.jpg] "en: what?" A "ho""#)],
    );
    let all = with_fields(&[("question", "q"), ("caption", "c"), ("answer", "a")]);
    let text = r#"{"image": "a.jpg", "q": "hi", "c": "ho", "a": "he"}"#;
    assert_rejected(&all, text, &["`fields` names \"caption\", which would be lost"]);
    check(Auto, &[(r#"{"image": "a.jpg", "question": "hi", "caption": "ho"}"#, "unexpected_schema")]);
}

#[test]
fn an_answer_that_is_a_number_or_a_truth_value_is_its_text() {
    for (answer, text) in [
        ("3", "3"),
        ("-3", "-3"),
        ("0.5", "0.5"),
        ("3.0", "3.0"),
        // As Python writes them.
        ("-0", "0"),
        ("1e22", "1e+22"),
        ("0.00001", "1e-05"),
        ("9007199254740993.0", "9007199254740993.0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
        ("false", "false"),
    ] {
        let expected = format!(r#"U [a.jpg] "q" A "{text}""#);
        let record = format!(r#"{{"image": "a.jpg", "question": "q", "answer": {answer}}}"#);
        check(Auto, &[(&record, &expected)]);
        let counted = format!(r#"{{"image": "a.jpg", "question": "q", "count": {answer}}}"#);
        check_with(Auto, &with_field("answer", "count"), &[(&counted, &expected)]);
    }
    let conversation = r#"{"image": "a.jpg", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], "answer": 3}"#;
    check(Auto, &[(conversation, r#"U [a.jpg] "hi" A "ho""#)]);
    let number = r#"{"image": "a.jpg", "question": 1, "answer": "a"}"#;
    check(Auto, &[(number, "unexpected_schema")]);
}

#[test]
fn the_images_of_a_record_can_be_named_by_fields_that_end_with_file_names_and_by_lists_in_texts() {
    let captioned = |media: &str, question: &str| format!(r#"U {media} "{question}" A "ho""#);
    let two = captioned("[a.jpg] [b.jpg]", "Describe these images.");
    check(
        Auto,
        &[
            (r#"{"file_names": ["a.jpg", "b.jpg"], "text": "ho"}"#, &two),
            (r#"{"images_file_names": ["a.jpg", "b.jpg"], "text": "ho"}"#, &two),
            (r#"{"image_file_name": "a.jpg", "text": "ho"}"#, &captioned("[a.jpg]", "Describe this image.")),
            (r#"{"clip_file_name": "a.mp4", "text": "ho"}"#, &captioned("[video a.mp4]", "Describe this video.")),
            (r#"{"images": "[\"a.jpg\", \"b.jpg\"]", "text": "ho"}"#, &two),
            (r#"{"images": "['a.jpg', 'b.jpg']", "text": "ho"}"#, &two),
            (r#"{"images_file_names": "['a.jpg'\n 'b.jpg']", "text": "ho"}"#, &two),
            (r#"{"image": "[1] a.jpg", "text": "ho"}"#, &captioned("[[1] a.jpg]", "Describe this image.")),
            (r#"{"source_file_name": "a.rs", "text": "ho"}"#, r#"A "ho""#),
            (r#"{"file_names": ["a.rs"], "text": "ho"}"#, r#"A "ho""#),
        ],
    );
    let pair = r#"{"input_file_name": "a.jpg", "output_file_name": "b.jpg", "text": "ho"}"#;
    assert_rejected(&SourceOptions::default(), pair, &["\"output_file_name\" names another medium"]);
    check_with(
        Auto,
        &with_field("image", "output_file_name"),
        &[(pair, &captioned("[b.jpg]", "Describe this image."))],
    );
}

#[test]
fn a_prefix_of_paths_is_left_out_where_it_ends_with_a_name() {
    let text = |path: &str| {
        let turn = serde_json::json!({"role": "user", "content": [{"type": "image", "image": path}, {"type": "text", "text": "hi"}]});
        serde_json::json!({"messages": [turn, {"role": "assistant", "content": "ho"}]}).to_string()
    };
    for (prefix, path, expected) in [
        ("coco/train/", "coco/train/0.jpg", "0.jpg"),
        ("coco", "coco/train/0.jpg", "train/0.jpg"),
        ("coco/tr", "coco/train/0.jpg", "coco/train/0.jpg"),
        ("coco/", "gqa/0.jpg", "gqa/0.jpg"),
        ("/data/old", "/data/old//a/0.jpg", "a/0.jpg"),
        ("C:\\old\\", "C:\\old\\a\\0.jpg", "a\\0.jpg"),
    ] {
        let options = SourceOptions { media_prefix: prefix.to_owned(), ..SourceOptions::default() };
        check_with(Auto, &options, &[(&text(path), &format!(r#"U [{expected}] "hi" A "ho""#))]);
    }
}

#[test]
fn an_array_with_other_entries_says_so() {
    let file = file_of(r#"[{"question": "hi", "answer": "ho"}, ["a"], "s"]"#);
    let parsed = parse_all(source_of(Auto, SourceOptions::default(), file.path(), "").as_ref());
    assert_eq!((parsed.len(), shown(&parsed[0])), (2, r#"U "hi" A "ho""#.to_owned()));
    let rejected = &parsed[1].as_ref().unwrap_err().rejection;
    assert_eq!(rejected.code, RejectCode::MalformedRecord);
    assert!(rejected.detail.contains("an entry of the array is not an object"), "{}", rejected.detail);
}

#[test]
fn what_would_be_lost_rejects_its_record() {
    for (text, expected) in [
        (r#"{"image": "a.jpg", "question": "q", "answer": ["yes", "no"]}"#, "\"answer\" is a list of 2 strings"),
        (
            r#"{"image": "a.jpg", "question": ["q", "r"], "answer": ["yes", "no"]}"#,
            "\"question\" is a list of 2 strings",
        ),
        (r#"{"question": "q", "options": ["red", "blue"], "answer": "B"}"#, "\"options\" are not in the question"),
        (r#"{"image": "a.jpg", "image2": "b.jpg", "caption": "c"}"#, "\"image2\" names another medium"),
        (r#"{"text": "t", "screenshot": "a.png"}"#, "\"screenshot\" names another medium"),
        (r#"{"text": "t", "files": ["a.mp4"]}"#, "\"files\" names another medium"),
        (r#"{"text": "t", "page": {"bytes": true, "path": null}}"#, "\"page\" names another medium"),
        (r#"{"image": "a.jpg", "images": ["b.jpg"], "caption": "c"}"#, "both name media"),
        (r#"{"image": "", "question": "<image>What?", "answer": "a"}"#, "a turn has <image>"),
        (r#"{"query": "<img>a.png</img>What?", "response": "a"}"#, "between <img> and </img>"),
        (r#"{"video": "a.mp4", "caption": "c", "timestamps": [1, 2]}"#, "\"timestamps\" may be a part of its video"),
        (r#"{"prompt": "q", "completion": "a", "label": false}"#, "not to be learned"),
        (
            r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]}"#,
            "not to be learned",
        ),
        (
            r#"{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", "loss": false}]}"#,
            "not to be learned",
        ),
        (
            r#"{"messages": [{"role": "user", "content": "q"}, {"role": "Assistant", "content": "a", "train": false}]}"#,
            "not to be learned",
        ),
    ] {
        let rejected = parse(Auto, text).unwrap_err();
        assert!(rejected.rejection.detail.contains(expected), "{text}: {}", rejected.rejection.detail);
    }
    check(
        Auto,
        &[
            (
                r#"{"question": "q (A) red (B) blue", "options": ["red", "blue"], "answer": "B"}"#,
                r#"U "q (A) red (B) blue" A "B""#,
            ),
            (r#"{"image": "a.jpg", "images": "a.jpg", "question": "q", "answer": ["b"]}"#, r#"U [a.jpg] "q" A "b""#),
        ],
    );
}

/// What rejects a record has all of these in its detail.
fn assert_rejected(options: &SourceOptions, text: &str, expected: &[&str]) {
    let rejected = parse_with(Auto, options.clone(), text).unwrap_err().rejection;
    assert_eq!(rejected.code, RejectCode::UnexpectedSchema, "{text}: {rejected}");
    assert!(expected.iter().all(|part| rejected.detail.contains(part)), "{text}: {}", rejected.detail);
}

fn with_key(text: &str) -> String {
    text.replacen('{', r#"{"key": 1, "#, 1)
}

fn with_field(name: &str, found: &str) -> SourceOptions {
    SourceOptions { fields: BTreeMap::from([(name.into(), found.into())]), ..SourceOptions::default() }
}

#[test]
fn a_second_text_or_conversation_rejects_its_record_unless_fields_decide() {
    let turns = r#""conversations": [{"from": "human", "value": "<image>\nq"}, {"from": "gpt", "value": "a cat."}]"#;
    let of_turns = r#"U [a.jpg] "\nq" A "a cat.""#;
    let of_caption = r#"U [a.jpg] "Describe this image." A"#;
    for (text, [first, second], read) in [
        (
            format!(
                r#"{{"image": "a.jpg", {turns}, "messages": [{{"role": "user", "content": "x"}}, {{"role": "assistant", "content": "y"}}]}}"#
            ),
            ["conversations", "messages"],
            of_turns.to_owned(),
        ),
        (
            format!(r#"{{"image": "a.jpg", {turns}, "caption": "zzz"}}"#),
            ["conversations", "caption"],
            of_turns.to_owned(),
        ),
        (
            format!(r#"{{"image": "a.jpg", {turns}, "texts": [["x", "y"]]}}"#),
            ["conversations", "texts"],
            of_turns.to_owned(),
        ),
        (
            format!(r#"{{"image": "a.jpg", {turns}, "question": "x", "answer": "y"}}"#),
            ["conversations", "question"],
            of_turns.to_owned(),
        ),
        (
            format!(r#"{{"image": "a.jpg", {turns}, "system": "s", "reasoning": "thought"}}"#),
            ["conversations", "reasoning"],
            format!(r#"S "s" {of_turns}"#),
        ),
        (
            r#"{"image": "a.jpg", "caption": "c", "text": "a beach"}"#.to_owned(),
            ["caption", "text"],
            format!(r#"{of_caption} "c""#),
        ),
        (
            r#"{"image": "a.jpg", "caption": "c", "description": "a dog"}"#.to_owned(),
            ["caption", "description"],
            format!(r#"{of_caption} "c""#),
        ),
        (
            r#"{"image": "a.jpg", "caption": "c", "long_caption": "a dog"}"#.to_owned(),
            ["caption", "long_caption"],
            format!(r#"{of_caption} "c""#),
        ),
        (
            r#"{"image": "a.jpg", "caption": "c", "question": "what?"}"#.to_owned(),
            ["caption", "question"],
            format!(r#"{of_caption} "c""#),
        ),
        (
            r#"{"image": "a.jpg", "question": "q", "answer": "a", "caption": "extra"}"#.to_owned(),
            ["question", "caption"],
            r#"U [a.jpg] "q" A "a""#.to_owned(),
        ),
        (
            r#"{"instruction": "i", "question": "q", "answer": "a"}"#.to_owned(),
            ["instruction", "question"],
            r#"U "i" A "a""#.to_owned(),
        ),
        (
            r#"{"text": "a document", "description": "summary"}"#.to_owned(),
            ["text", "description"],
            r#"A "a document""#.to_owned(),
        ),
    ] {
        let cure = format!("fields = {{ {first} = \"{first}\" }}");
        let default = SourceOptions::default();
        assert_rejected(&default, &text, &[&format!("{first:?}"), &format!("{second:?}"), &cure]);
        // What is not read cannot be chosen so.
        assert_rejected(&with_field("id", "key"), &with_key(&text), &[&cure]);
        check_with(Auto, &with_field(first, first), &[(&text, &read)]);
    }
    let both = r#"{"image": "a.jpg", "caption": "c", "description": "a dog"}"#;
    check_with(Auto, &with_field("caption", "description"), &[(both, &format!(r#"{of_caption} "a dog""#))]);
    let context = r#"{"instruction": "q", "context": "c", "response": "a"}"#;
    assert_rejected(&SourceOptions::default(), context, &[r#"fields = { input = "context" }"#]);
    check_with(Auto, &with_field("input", "context"), &[(context, r#"U "q\nc" A "a""#)]);
}

#[test]
fn what_public_datasets_have_beside_a_record_does_not_reject_it() {
    let turns = r#""messages": [{"role": "user", "content": "<image><video>\nq"}, {"role": "assistant", "content": "It is a cat."}]"#;
    let of_turns = r#"U [a.jpg] [video b.mp4] "\nq" A "It is a cat.""#;
    let both = format!(r#"{{{turns}, "images": ["a.jpg"], "videos": ["b.mp4"], "image": "a.jpg", "tools": "[]"}}"#);
    let alpaca = r#"{"instruction": "q", "input": "i", "output": "a", "text": "Below is.\n\n### Instruction:\nq\n\n### Input:\ni\n\n### Response:\na"}"#;
    let switch = r#"{"prompt": "q", "response": "a", "reasoning": "off"}"#;
    check(Auto, &[(&both, of_turns), (alpaca, r#"U "q\ni" A "a""#), (switch, r#"U "q" A "a""#)]);
}

#[test]
fn what_looks_like_what_is_read_and_is_not_rejects_its_record() {
    let default = SourceOptions::default();
    let image = |more: &str| format!(r#"{{"image": "1.png", {more}, "question": "which category?", "answer": "a"}}"#);
    assert_rejected(&default, &image(r#""mask": "masks/1.png""#), &["\"mask\""]);
    assert_rejected(&default, &image(r#""caption": "cat""#), &["\"caption\""]);
    assert_rejected(&default, &image(r#""tools": "[{'name': 't'}]""#), &["\"tools\""]);
    let thumbnail = r#"{"image": "1.png", "photos": ["2.png"], "caption": "c"}"#;
    let none = thumbnail.replacen('{', r#"{"none": null, "#, 1);
    assert_rejected(&with_field("images", "none"), &none, &["\"photos\""]);
    let answer =
        r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": false}"#;
    assert_rejected(&default, answer, &["not to be learned"]);
}

#[test]
fn a_text_that_is_there_twice_is_not_lost() {
    let messages =
        r#""messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It is a cat."}]"#;
    let read = r#"U "hi" A "It is a cat.""#;
    for others in [
        // UltraChat, Magpie
        r#""prompt": "hi", "prompt_id": "x""#,
        r#""instruction": "hi", "response": "It is a cat.", "conversations": null"#,
        r#""data": ["hi", "It is a cat. "]"#,
        r#""caption": "a cat", "text": "", "description": null, "tools": [], "label": 3, "answer": 2"#,
    ] {
        check(Auto, &[(&format!("{{{messages}, {others}}}"), read)]);
    }
    check(
        Auto,
        &[
            (
                r#"{"image": "a.jpg", "prompt": [{"type": "image"}, {"type": "text", "text": "hi"}], "completion": "ho", "text": "<image>\nhi"}"#,
                r#"U [a.jpg] "hi" A "ho""#,
            ),
            (r#"{"image": "a.jpg", "caption": "ho", "text": "ho\n"}"#, r#"U [a.jpg] "Describe this image." A "ho""#),
        ],
    );
}

#[test]
fn what_turns_have_beside_their_texts_rejects_their_record() {
    let with = |fields: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "q"}}, {{"role": "assistant", "content": "<think>t</think>a", {fields}}}]}}"#
        )
    };
    for (fields, expected) in [
        (r#""reasoning_content": "thought""#, "\"reasoning_content\" beside \"content\""),
        (r#""role": "assistant", "reasoning": [{"text": "thought"}]"#, "between <think> and </think>"),
        (r#""thinking": "thought""#, "between <think> and </think>"),
        (r#""text": "b""#, "\"content\" and \"text\""),
        (r#""images": ["a.jpg"]"#, "a turn has \"images\""),
        (r#""tool_calls": [{"x": 1}]"#, "a turn has \"tool_calls\""),
    ] {
        assert_rejected(&SourceOptions::default(), &with(fields), &[expected]);
        // No field of the record decides what is in its turns.
        assert_rejected(&with_field("messages", "messages"), &with(fields), &[expected]);
    }
    let tools =
        r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "tools": "[1]"}"#;
    assert_rejected(&SourceOptions::default(), tools, &["\"tools\""]);
    let exchange = r#"{"messages": [{"user": "q", "assistant": "a", "thinking": "thought"}]}"#;
    assert_rejected(&SourceOptions::default(), exchange, &["\"thinking\""]);
    for fields in [
        r#""reasoning_content": "t", "thinking": true"#,
        r#""reasoning_content": null, "tool_calls": [], "images": []"#,
    ] {
        check(Auto, &[(&with(fields), r#"U "q" A "<think>t</think>a""#)]);
    }
}

#[test]
fn a_second_field_with_media_rejects_its_record_whatever_it_is_called() {
    for (fields, other) in [
        (r#""image": "a.jpg", "depth": "b.jpg""#, "depth"),
        (r#""image": "rgb/a.jpg", "depth": "depth/a.jpg""#, "depth"),
        (r#""image": "a.jpg", "masks": ["b.png", "c.png"]"#, "masks"),
        (r#""image": "a.jpg", "mask": {"bytes": null, "path": "b.png"}"#, "mask"),
        (r#""image": "a.jpg", "file_name": "b.jpg""#, "file_name"),
        (r#""frame": "a.jpg", "question": "q", "answer": "a""#, "frame"),
    ] {
        let text = format!(r#"{{{fields}, "caption": "c"}}"#).replace(r#""a", "caption": "c""#, r#""a""#);
        assert_rejected(&SourceOptions::default(), &text, &[&format!("{other:?} names another medium")]);
        assert_rejected(&with_field("id", "key"), &with_key(&text), &[other]);
    }
    let depth = r#"{"image": "a.jpg", "depth": "b.jpg", "caption": "c"}"#;
    let read = r#"U [a.jpg] "Describe this image." A "c""#;
    check_with(Auto, &with_field("image", "image"), &[(depth, read)]);
    for others in [
        r#""file_name": "a.jpg", "original": "/data/x/a.jpg", "url": "https://x.org/b.jpg", "id": "7.jpg""#,
        r#""coco_url": "http://images.cocodataset.org/b.jpg", "image_url": "https://x.org/a.jpg", "title": "My cat.jpg""#,
        r#""description": "c", "source": "flickr/7.jpg", "depth": null, "mask": {"path": null}, "code": "x.ts""#,
    ] {
        check(Auto, &[(&format!(r#"{{"image": "a.jpg", "caption": "c", {others}}}"#), read)]);
    }
    check(Auto, &[(r#"{"text": "ho", "from_file": "web/index.png"}"#, r#"A "ho""#)]);
}

#[test]
fn a_part_of_a_video_is_that_part() {
    for text in [
        r#"{"video": "a.mp4", "caption": "c", "start": 1.5, "end": 4}"#,
        r#"{"video": "a.mp4", "caption": "c", "start_time": 1.5, "end_time": 4}"#,
        r#"{"messages": [{"role": "user", "content": [{"type": "video", "video": "a.mp4", "video_start": 1.5, "video_end": 4}]}, {"role": "assistant", "content": "c"}]}"#,
    ] {
        let record = parse(Auto, text).unwrap();
        assert_eq!(record.media[0].clip, Some(Clip { start_s: 1.5, end_s: Some(4.0) }), "{text}");
    }
}

#[test]
fn documents_have_images_between_their_texts() {
    check(
        Auto,
        &[
            // OBELICS, MINT-1T
            (
                r#"{"images": [null, "a.jpg", null, null], "texts": ["hi", null, "ho", "he"]}"#,
                r#"A "hi" [a.jpg] "ho\n\nhe""#,
            ),
            (r#"{"images": ["a.jpg"], "texts": ["hi", null]}"#, "unexpected_schema"),
            (r#"{"images": ["a.jpg"], "texts": ["hi"]}"#, "unexpected_schema"),
            (r#"{"images": ["a.jpg"], "texts": [null]}"#, "empty_turn"),
            // MMC4
            (
                r#"{"text_list": ["hi", "ho"], "image_info": [{"image_name": "b.jpg", "matched_text_index": 1}, {"image_name": "a.jpg", "matched_text_index": 0}]}"#,
                r#"A [a.jpg] "hi " [b.jpg] "ho""#,
            ),
            (
                r#"{"text_list": ["hi"], "image_info": [{"image_name": "b.jpg", "matched_text_index": 1}]}"#,
                "unexpected_schema",
            ),
            (
                r#"{"text_list": ["hi"], "image_info": [{"image_name": "b.jpg", "matched_text_index": -1}]}"#,
                "unexpected_schema",
            ),
            (
                r#"{"text_list": ["hi"], "image_info": [{"image_name": "b.jpg", "matched_text_index": 0.5}]}"#,
                "unexpected_schema",
            ),
            // NeMo Curator
            (
                r#"[{"interleaved_rows": [{"position": 2, "modality": "text", "text_content": "ho"}, {"position": 0, "modality": "text", "text_content": "hi"}, {"position": 1, "modality": "image", "source_ref": "{\"path\": \"x.tar\", \"member\": \"a.jpg\"}"}, {"position": -1, "modality": "metadata"}]}]"#,
                r#"A "hi" [a.jpg] "ho""#,
            ),
            (
                r#"[{"interleaved_rows": [{"position": 0, "modality": "text", "text_content": "hi"}, {"position": 0, "modality": "text", "text_content": "ho"}]}]"#,
                "unexpected_schema",
            ),
            (r#"[{"interleaved_rows": [{"position": 0, "modality": "audio"}]}]"#, "unsupported_media"),
            (
                r#"[{"interleaved_rows": [{"position": 0, "modality": "image", "materialize_error": "HTTP 404"}]}]"#,
                "media_missing",
            ),
            // ms-swift
            (r#"{"text": "hi <image> ho", "images": ["a.jpg"]}"#, r#"A "hi " [a.jpg] " ho""#),
            (r#"{"text": "hi <image> ho", "images": ["a.jpg", "b.jpg"]}"#, "placeholder_mismatch"),
        ],
    );
}
