//! What `auto` would lose without a word rejects its record, wherever it is.

use manyframe_sources::SourceKind::Auto;

use crate::support::{check, parse};

/// Checks that each of these fields rejects a question with its answer, and is named.
fn assert_lost(fields: &[&str]) {
    for field in fields {
        let name = field.split(':').next().unwrap_or_default();
        let rejected =
            parse(Auto, &format!(r#"[{{"question": "What colour?", "answer": "B", {field}}}]"#)).unwrap_err();
        assert!(rejected.rejection.detail.contains(name), "{field}: {}", rejected.rejection.detail);
    }
}

#[test]
fn a_medium_anywhere_in_a_record_without_one_is_what_its_text_is_about() {
    let in_base64 = format!(r#""x": ["{}"]"#, "iVBORw0K".repeat(600));
    assert_lost(&[
        r#""multi_modal_data": {"image": "a.png"}"#,
        r#""attachments": [{"file": "a.png"}]"#,
        r#""media": [{"type": "image", "value": "a.png"}]"#,
        r#""document": {"pages": [{"src": "1.png"}]}"#,
        r#""url": "http://x.org/a.jpg""#,
        r#""pic_url": "http://x.org/a.jpg?size=big""#,
        r#""source": "charts/1.png""#,
        r#""data": {"image": "a.png"}"#,
        r#""speech": "a.wav""#,
        r#""sound": {"bytes": null, "path": "a.mp3"}"#,
        r#""url": "data:image/png;base64,iVBORw0K""#,
        &in_base64,
    ]);
    // Beside a medium, they say where that is from.
    let of_image = r#""image": "a.jpg", "caption": "c""#;
    for others in [
        r#""meta": {"file": "b.png"}, "url": "http://x.org/b.jpg""#,
        r#""source": "b.jpg", "note": "data: of today, not base64""#,
    ] {
        check(Auto, &[(&format!("{{{of_image}, {others}}}"), r#"U [a.jpg] "Describe this image." A "c""#)]);
    }
    check(
        Auto,
        &[
            (r#"{"text": "ho", "meta": {"url": "http://x.org/a.jpg"}}"#, r#"A "ho""#),
            (r#"{"question": "q", "answer": "a", "id": "7.jpg", "url": "http://x.org/a"}"#, r#"U "q" A "a""#),
            (
                r#"{"question": "q", "answer": "a", "avatarUrl": "http://x.org/a.png", "by": {"icon": "a.png"}}"#,
                r#"U "q" A "a""#,
            ),
        ],
    );
}

#[test]
fn options_in_any_form_that_the_question_lacks_reject_their_record() {
    assert_lost(&[
        r#""options": {"A": "red", "B": "blue"}"#,
        r#""choices": {"text": ["red", "blue"], "label": ["A", "B"]}"#,
        r#""choices": [{"label": "A", "text": "red"}, {"label": "B", "text": "blue"}]"#,
        r#""options": "['red', 'blue']""#,
        r#""options": "A. red\nB. blue""#,
        r#""options": [3, 4]"#,
        r#""option_a": "red", "option_b": "blue""#,
        r#""A": "red", "B": "blue", "C": "green""#,
    ]);
    let chinese = r#"{"question": "哪个？A红色B蓝色", "answer": "A", "options": ["红色", "蓝色"]}"#;
    let logged =
        r#"{"prompt": "q", "completion": "a", "choices": [{"text": "a", "index": 0, "finish_reason": "stop"}]}"#;
    check(Auto, &[(chinese, r#"U "哪个？A红色B蓝色" A "A""#), (&format!("[{logged}]"), r#"U "q" A "a""#)]);
    for options in [
        r#""options": {"A": "red", "B": "blue"}"#,
        r#""options": "['red', 'blue']", "A": "red", "B": "blue""#,
        r#""choices": {"text": ["red", "blue"], "label": ["A", "B"]}, "optional": "yes", "option_id": 7"#,
        r#""options": {"temperature": 0.5}, "A": "unused""#,
    ] {
        let record = format!(r#"{{"query": "Red? (A) red (B) blue", "response": "B", {options}}}"#);
        check(Auto, &[(&record, r#"U "Red? (A) red (B) blue" A "B""#)]);
    }
}

#[test]
fn a_passage_beside_a_question_rejects_its_record() {
    assert_lost(&[r#""passage": "Grass is green.""#, r#""hint": "It is no red.""#, r#""system_message": "Be brief.""#]);
    check(
        Auto,
        &[
            (
                r#"{"question": "Grass is green. Is it?", "answer": "yes", "passage": "Grass is green."}"#,
                r#"U "Grass is green. Is it?" A "yes""#,
            ),
            (r#"{"image": "a.jpg", "caption": "c", "article": "t"}"#, r#"U [a.jpg] "Describe this image." A "c""#),
        ],
    );
}

#[test]
fn what_a_turn_or_a_part_of_it_has_and_nothing_reads_rejects_its_record() {
    let record = |turn: &str, images: &str| {
        format!(r#"[{{"messages": [{turn}, {{"role": "assistant", "content": "a"}}], "images": {images}}}]"#)
    };
    let with_part = |part: &str| {
        format!(r#"{{"role": "user", "content": [{part}, {{"type": "text", "text": "q", "image": null}}]}}"#)
    };
    for (turn, name) in [
        (r#"{"role": "user", "content": "q", "image_path": "a.png"}"#.to_owned(), "image_path"),
        (
            r#"{"role": "user", "content": "q", "attachments": [{"url": "http://x.org/a.png"}]}"#.to_owned(),
            "attachments",
        ),
        (with_part(r#"{"image": "a.png", "text": "p"}"#), "image"),
        (with_part(r#"{"type": "text", "text": "p", "image_url": {"url": "a.png"}}"#), "image_url"),
        (with_part(r#"{"type": "image", "image": "a.png", "text": "p"}"#), "text"),
    ] {
        let rejected = parse(Auto, &record(&turn, "[]")).unwrap_err().rejection;
        assert!(rejected.detail.contains(&format!("has {name:?}, which would be lost")), "{turn}: {}", rejected.detail);
    }
    let text = r#"{"type": "image", "image": null, "text": ""}"#;
    for turn in
        [with_part(text), r#"{"role": "user", "content": "<image>q", "file": "imgs/a.png", "name": "b"}"#.to_owned()]
    {
        check(Auto, &[(&record(&turn, r#"["imgs/a.png"]"#), r#"U [imgs/a.png] "q" A "a""#)]);
    }
}
