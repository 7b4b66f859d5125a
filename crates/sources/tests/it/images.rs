//! Images: where they are named, where they are placed, and records whose placeholders and images do not agree.

use manyframe_sources::SourceKind::{Allava, Llava, M4Instruct, Mantis, Sharegpt4v, Text};
use manyframe_sources::{MissingPlaceholders, SourceOptions, SwappedRoles};

use crate::support::{check, check_with, parse};

/// A record in LLaVA's format: media fields, a question and an answer.
fn llava(media: &str, question: &str, answer: &str) -> String {
    format!(
        r#"{{"id": 1, {media}, "conversations": [{{"from": "human", "value": "{question}"}}, {{"from": "gpt", "value": "{answer}"}}]}}"#
    )
}

#[test]
fn a_placeholder_stays_where_upstream_put_it() {
    let one = |question| llava(r#""image": "a.jpg""#, question, "x");
    for kind in [Allava, Sharegpt4v, Llava, Mantis, M4Instruct] {
        check(
            kind,
            &[
                (&one(r"<image>\nwhat?"), r#"U [a.jpg] "\nwhat?" A "x""#),
                (&one(r"what?\n<image>"), r#"U "what?\n" [a.jpg] A "x""#),
                (&one(r"in <image> what?"), r#"U "in " [a.jpg] " what?" A "x""#),
                (&one("<image>"), r#"U [a.jpg] A "x""#),
            ],
        );
    }
}

#[test]
fn images_are_named_in_many_ways() {
    let with = |media| llava(media, "<image>", "x");
    let two = |media| llava(media, "<image><image>", "x");
    check(
        Llava,
        &[
            (&with(r#""image": ["a.jpg"]"#), r#"U [a.jpg] A "x""#),
            (&with(r#""images": ["a.jpg"]"#), r#"U [a.jpg] A "x""#),
            (&with(r#""image": "", "images": ["a.jpg"]"#), r#"U [a.jpg] A "x""#),
            (&with(r#""image": {"bytes": null, "path": "a.jpg"}"#), r#"U [a.jpg] A "x""#),
            (&two(r#""images": [{"path": "a.jpg"}, {"url": "b.jpg"}]"#), r#"U [a.jpg] [b.jpg] A "x""#),
            (&with(r#""image": 5"#), "unexpected_schema"),
            (&with(r#""image": [null]"#), "unexpected_schema"),
            (&with(r#""image": [""]"#), "unexpected_schema"),
            (&with(r#""image": {"bytes": null, "path": null}"#), "unexpected_schema"),
            (&with(r#""image": {"bytes": "aGk=", "path": "a.jpg"}"#), "unexpected_schema"),
            (&with(r#""image": true"#), "unexpected_schema"),
        ],
    );
}

#[test]
fn a_record_without_image_is_text_however_that_is_written() {
    for media in [r#""model": """#, r#""image": null"#, r#""image": """#, r#""image": []"#, r#""images": null"#] {
        let text = llava(media, r"what is <image>?", "x");
        check(Llava, &[(&text, r#"U "what is <image>?" A "x""#)]);
        check(Mantis, &[(&text, r#"U "what is <image>?" A "x""#)]);
    }
}

#[test]
fn a_placeholder_on_a_line_of_its_own_wants_an_image() {
    for media in [r#""model": """#, r#""image": null"#, r#""image": """#, r#""image": []"#, r#""image": NaN"#] {
        for question in [r"<image>\nwhat?", r"what?\n<image>", "<image>", r"<video>\nwhat?"] {
            check(Llava, &[(&llava(media, question, "x"), "placeholder_mismatch")]);
        }
    }
    let reject = parse(Llava, &llava(r#""image": null"#, r"<image>\nwhat?", "x")).unwrap_err();
    assert_eq!(
        reject.rejection.detail,
        "turn 0 has <image> on a line of its own, but the record has no image and no video"
    );
    let answer = llava(r#""model": """#, "which tag?", r"<image>\nin LLaVA");
    check(Llava, &[(&answer, r#"U "which tag?" A "<image>\nin LLaVA""#)]);
}

#[test]
fn one_image_without_placeholder_comes_first_where_that_is_usual() {
    let one = llava(r#""image": "a.jpg""#, "what?", "x");
    let two = llava(r#""image": ["a.jpg", "b.jpg"]"#, "what?", "x");
    for kind in [Allava, Sharegpt4v, Llava] {
        check(kind, &[(&one, r#"U [a.jpg] "what?" A "x""#), (&two, "placeholder_mismatch")]);
    }
    for kind in [Mantis, M4Instruct] {
        check(kind, &[(&one, "placeholder_mismatch"), (&two, "placeholder_mismatch")]);
    }
}

#[test]
fn fewer_or_more_placeholders_are_a_mismatch() {
    let question = |question| llava(r#""image": ["a.jpg", "b.jpg"]"#, question, "x");
    check(
        Mantis,
        &[
            (&question("<image> what?"), "placeholder_mismatch"),
            (&question("<image><image><image>"), "placeholder_mismatch"),
            (&question("<image> <image>"), r#"U [a.jpg] " " [b.jpg] A "x""#),
        ],
    );
    let reject = parse(Mantis, &question("<image> what?")).unwrap_err();
    assert_eq!(reject.rejection.detail, "1 <image> and 0 <video> for 2 images and 0 videos");
}

#[test]
fn a_conversation_that_is_null_is_called_that() {
    let reject = parse(Llava, r#"{"id": "1", "image": "a.jpg", "conversations": null}"#).unwrap_err();
    assert_eq!(reject.rejection.detail, "no conversation: \"conversations\" is null, expected a list of turns");
}

#[test]
fn missing_placeholders_are_put_first_where_that_is_asked_for() {
    let options = SourceOptions { missing_placeholders: MissingPlaceholders::Prepend, ..SourceOptions::default() };
    let question = |question| llava(r#""image": ["a.jpg", "b.jpg", "c.jpg"]"#, question, "x");
    check_with(
        Mantis,
        &options,
        &[
            (&question("see <image> what?"), r#"U [a.jpg] [b.jpg] "see " [c.jpg] " what?" A "x""#),
            (&question("what?"), r#"U [a.jpg] [b.jpg] [c.jpg] "what?" A "x""#),
            (&question("<image><image><image><image>"), "placeholder_mismatch"),
        ],
    );
}

#[test]
fn placeholders_of_later_turns_take_the_next_images() {
    let text = r#"{"images": ["a.jpg", "b.jpg"], "messages": [
        {"role": "user", "content": "<image>who?"}, {"role": "assistant", "content": "they"},
        {"role": "user", "content": "where?<image>"}, {"role": "assistant", "content": "there"}]}"#
        .replace('\n', "");
    check(Mantis, &[(&text, r#"U [a.jpg] "who?" A "they" U "where?" [b.jpg] A "there""#)]);
}

#[test]
fn images_may_be_named_where_they_stand() {
    let text = r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.jpg"}},
        {"type": "text", "text": "and"}, {"type": "image", "image": "b.jpg"}]}, {"role": "assistant", "content": "x"}]}"#
        .replace('\n', "");
    check(Llava, &[(&text, r#"U [a.jpg] "and" [b.jpg] A "x""#)]);
    let typed = r#"{"images": ["a.jpg"], "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": "x"}]}"#
        .replace('\n', "");
    check(Llava, &[(&typed, r#"U [a.jpg] "what?" A "x""#)]);
}

#[test]
fn a_placeholder_in_an_answer_is_rejected_or_the_roles_change_back() {
    let swapped = r#"{"sample_id": 7, "metadata": {"dataset": "twitter_post"}, "image": ["a.jpg"], "conversations": [
        {"from": "gpt", "value": "<image> what?"}, {"from": "human", "value": "x"}]}"#
        .replace('\n', "");
    check(M4Instruct, &[(&swapped, "placeholder_outside_user_turn")]);
    let options = SourceOptions { swapped_roles: SwappedRoles::Fix, ..SourceOptions::default() };
    let both = llava(r#""image": ["a.jpg", "b.jpg"]"#, "<image>", "<image>");
    check_with(
        M4Instruct,
        &options,
        &[
            (&swapped, r#"U [a.jpg] " what?" A "x""#),
            (&both, "placeholder_outside_user_turn"),
            (&llava(r#""image": "a.jpg""#, "<image>", "x"), r#"U [a.jpg] A "x""#),
        ],
    );
    check(Text, &[(&llava(r#""model": """#, "a", "<image>"), r#"U "a" A "<image>""#)]);
}

#[test]
fn allava_without_its_image_field_is_not_taken_for_text() {
    check(
        Allava,
        &[
            (&llava(r#""url": "u""#, r"<image>\nwhat?", "x"), "placeholder_mismatch"),
            (&llava(r#""url": "u""#, "what is <image>?", "x"), r#"U "what is <image>?" A "x""#),
        ],
    );
}

#[test]
fn the_subset_comes_from_the_record() {
    let subset = |kind, media: &str| parse(kind, &llava(media, "<image>", "x")).unwrap().subset.to_string();
    assert_eq!(subset(M4Instruct, r#""image": "a", "metadata": {"dataset": "MagicBrush"}"#), "MagicBrush");
    assert_eq!(subset(Mantis, r#""image": "a", "source": "nlvr2""#), "nlvr2");
    assert_eq!(subset(Llava, r#""image": "a", "data_source": "coco""#), "coco");
    assert_eq!(subset(Sharegpt4v, r#""image": "a""#), "");
    assert_eq!(
        parse(M4Instruct, &llava(r#""metadata": []"#, "a", "x")).unwrap_err().rejection.code.as_str(),
        "unexpected_schema"
    );
}

#[test]
fn metadata_beside_llava_pretrain_is_named() {
    let reject = parse(Llava, r#"{"id": "1", "image": "a.jpg", "url": "u", "blip_caption": "c"}"#).unwrap_err();
    assert_eq!(reject.rejection.code.as_str(), "unexpected_schema");
    assert!(reject.rejection.detail.contains("metadata file"), "{}", reject.rejection.detail);
    assert_eq!(reject.upstream_id, "1");
}

#[test]
fn audio_is_not_supported() {
    check(
        Llava,
        &[(&llava(r#""audios": ["a.mp3"], "videos": ["a.mp4"]"#, "<video><audio>", "x"), "unsupported_media")],
    );
}
