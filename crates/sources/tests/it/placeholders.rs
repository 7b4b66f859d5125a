//! Which image or video a placeholder shows: by its place, or by the number in it.

use manyframe_core::RejectCode;
use manyframe_sources::SourceKind::Auto;
use manyframe_sources::{MissingPlaceholders, SourceOptions};

use crate::support::{check, check_with, parse_with};

fn assert_mismatch(options: &SourceOptions, text: &str, phrases: &[&str]) {
    let reject = parse_with(Auto, options.clone(), text).unwrap_err();
    let detail = &reject.rejection.detail;
    assert_eq!(reject.rejection.code, RejectCode::PlaceholderMismatch, "{text}: {detail}");
    assert!(phrases.iter().all(|phrase| detail.contains(phrase)), "{text}: {detail}");
}

/// A question in parts, with these media.
fn in_parts(media: &str, parts: &str) -> String {
    format!(
        r#"{{{media}, "messages": [{{"role": "user", "content": [{parts}]}}, {{"role": "assistant", "content": "ho"}}]}}"#
    )
}

#[test]
fn a_part_with_an_index_shows_the_medium_at_it() {
    let images = r#""images": ["a.jpg", "b.jpg"]"#;
    let videos = r#""videos": ["a.mp4", "b.mp4"]"#;
    let part = |kind: &str, index: &str| format!(r#"{{"type": "{kind}", "index": {index}}}"#);
    let two = |kind: &str, first: &str, second: &str| {
        format!(r#"{{"type": "text", "text": "A"}}, {}, "B", {}"#, part(kind, first), part(kind, second))
    };
    check(
        Auto,
        &[
            (&in_parts(images, &two("image", "0", "1")), r#"U "A" [a.jpg] "B" [b.jpg] A "ho""#),
            (&in_parts(images, &two("image", "1", "0")), r#"U "A" [b.jpg] "B" [a.jpg] A "ho""#),
            (&in_parts(images, &two("image", "1.0", "0.0")), r#"U "A" [b.jpg] "B" [a.jpg] A "ho""#),
            (&in_parts(images, &two("image", "null", "null")), r#"U "A" [a.jpg] "B" [b.jpg] A "ho""#),
            (&in_parts(videos, &two("video", "1", "0")), r#"U "A" [video b.mp4] "B" [video a.mp4] A "ho""#),
            (&in_parts(videos, &two("image", "1", "0")), r#"U "A" [video b.mp4] "B" [video a.mp4] A "ho""#),
            (&in_parts(images, &two("image", "-1", "0")), "unexpected_schema"),
            (&in_parts(images, &two("image", "\"1\"", "0")), "unexpected_schema"),
        ],
    );
    let default = SourceOptions::default();
    assert_mismatch(&default, &in_parts(images, &two("image", "1", "1")), &["numbers 1, 1 for 2 images", "from 0"]);
    assert_mismatch(&default, &in_parts(images, &two("image", "1", "2")), &["numbers 1, 2 for 2 images"]);
    assert_mismatch(
        &default,
        &in_parts(images, &two("image", "0", "null")),
        &["placeholders without a number", "expected each once, from 0;"],
    );
    assert_mismatch(&default, &in_parts(images, &part("image", "0")), &["numbers 0 for 2 images"]);
}

/// A question about one image, or about these media.
fn asked(media: &str, question: &str) -> String {
    format!(r#"{{{media}, "question": "{question}", "answer": "ho"}}"#)
}

const ONE: &str = r#""image": "a.jpg""#;
const TWO: &str = r#""images": ["a.jpg", "b.jpg"]"#;
const VIDEO: &str = r#""video": "a.mp4""#;

#[test]
fn a_token_of_another_model_shows_an_image_in_its_place() {
    for form in [
        "<|image_pad|>",
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|vision_start|><|image_pad|><|image_pad|><|image_pad|><|vision_end|>",
        "<start_of_image>",
        "<image_soft_token>",
        "<start_of_image><image_soft_token><image_soft_token><end_of_image>",
        "<|image|>",
        "<|begin_of_image|><|image|><|end_of_image|>",
        "<IMG_CONTEXT>",
        "<img><IMG_CONTEXT><IMG_CONTEXT></img>",
        "<ImageHere>",
        "<Img><ImageHere></Img>",
        "<image_placeholder>",
        "<|media_pad|>",
        "<|media_start|>image<|media_content|><|media_pad|><|media_end|>",
        "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>",
        "<image></image>",
        "(<image>./</image>)",
        "<image>./</image>",
        "<im_start><image><im_end>",
        "<fake_token_around_image><image><fake_token_around_image>",
    ] {
        check(
            Auto,
            &[
                (&asked(ONE, &format!("See {form} what?")), r#"U "See " [a.jpg] " what?" A "ho""#),
                (&asked(TWO, &format!("{form}\\nvs {form}?")), r#"U [a.jpg] "\nvs " [b.jpg] "?" A "ho""#),
                (&asked(ONE, &format!("{form}{form}?")), "placeholder_mismatch"),
            ],
        );
    }
    let shared = "<fake_token_around_image><image><fake_token_around_image><image><fake_token_around_image>?";
    check(Auto, &[(&asked(TWO, shared), r#"U [a.jpg] [b.jpg] "?" A "ho""#)]);
    for form in [
        "<|vision_start|><|video_pad|><|vision_end|>",
        "<|video_pad|>",
        "<|begin_of_video|><|video|><|end_of_video|>",
        "(<video>./</video>)",
        "<|image_pad|>",
    ] {
        check(Auto, &[(&asked(VIDEO, &format!("See {form} what?")), r#"U "See " [video a.mp4] " what?" A "ho""#)]);
    }
}

#[test]
fn a_number_in_a_placeholder_says_which_image_it_shows() {
    for [first, second] in [
        ["<image_1>", "<image_2>"],
        ["<image_0>", "<image_1>"],
        ["<|image_1|>", "<|image_2|>"],
        ["<image_00>", "<image_01>"],
        ["<image 1>", "<image 2>"],
        ["<image0>", "<image1>"],
        ["<Image 1>", "<Image 2>"],
    ] {
        check(
            Auto,
            &[
                (&asked(TWO, &format!("{first} vs {second}?")), r#"U [a.jpg] " vs " [b.jpg] "?" A "ho""#),
                (&asked(TWO, &format!("{second} vs {first}?")), r#"U [b.jpg] " vs " [a.jpg] "?" A "ho""#),
            ],
        );
        let default = SourceOptions::default();
        assert_mismatch(&default, &asked(TWO, &format!("{first} vs {first}?")), &["for 2 images", "from 0 or 1"]);
        assert_mismatch(&default, &asked(TWO, &format!("{second}?")), &["for 2 images"]);
        assert_mismatch(&default, &asked(TWO, &format!("<|image_pad|> vs {first}?")), &["without a number"]);
    }
    check(
        Auto,
        &[
            (&asked(ONE, "In <image 1>?"), r#"U "In " [a.jpg] "?" A "ho""#),
            (&asked(ONE, "In <image 2>?"), "placeholder_mismatch"),
            (&asked(VIDEO, "In <video_1>?"), r#"U "In " [video a.mp4] "?" A "ho""#),
            (&asked(ONE, "In <image_x> and <imagery>?"), r#"U [a.jpg] "In <image_x> and <imagery>?" A "ho""#),
        ],
    );
}

#[test]
fn what_looks_like_a_placeholder_is_rejected_by_name_or_kept_where_that_is_asked_for() {
    let prepend = SourceOptions { missing_placeholders: MissingPlaceholders::Prepend, ..SourceOptions::default() };
    for form in [
        "[IMG]",
        "[image]",
        "{image}",
        "![](i/0.jpg)",
        "![a b](a.png)",
        "<Image>",
        "<image/>",
        "<img>a.jpg</img>",
        "<img>",
    ] {
        let text = asked(ONE, &format!("See {form} what?"));
        assert_mismatch(&SourceOptions::default(), &text, &[&format!("turn 0 has {form:?}"), "prepend"]);
        let kept = format!(r#"U [a.jpg] "See {form} what?" A "ho""#);
        check_with(Auto, &prepend, &[(&text, &kept)]);
        // Beside a placeholder it is text.
        let beside = format!(r#"U [a.jpg] "See {form} what?" A "ho""#);
        check(Auto, &[(&asked(ONE, &format!("<image>See {form} what?")), &beside)]);
    }
    check(
        Auto,
        &[
            (&asked(ONE, "A list [1] of {images} ![](x)?"), r#"U [a.jpg] "A list [1] of {images} ![](x)?" A "ho""#),
            (&asked(ONE, "A <video> or [video]?"), r#"U [a.jpg] "A <video> or [video]?" A "ho""#),
            (&asked(VIDEO, "A [video]?"), "placeholder_mismatch"),
            (r#"{"image": "a.jpg", "question": "q", "answer": "![](b.jpg)"}"#, r#"U [a.jpg] "q" A "![](b.jpg)""#),
        ],
    );
}

#[test]
fn placeholders_of_others_are_text_beside_usual_ones_and_without_media() {
    check(
        Auto,
        &[
            (
                &asked(ONE, "<image>\\nIs <image 1> a <|image_pad|>?"),
                r#"U [a.jpg] "\nIs <image 1> a <|image_pad|>?" A "ho""#,
            ),
            (&asked(ONE, "(<image>)</image> <im_end>"), r#"U "(" [a.jpg] ")</image> <im_end>" A "ho""#),
            (
                &asked(r#""id": "1""#, "What is <|image_pad|>, [IMG], <image_1>?"),
                r#"U "What is <|image_pad|>, [IMG], <image_1>?" A "ho""#,
            ),
            (
                r#"{"images": ["a.jpg", "b.jpg"], "question": "Which?", "answer": "The one in <image_2>."}"#,
                r#"U [a.jpg] [b.jpg] "Which?" A "The one in <image_2>.""#,
            ),
            (r#"{"image": "a.jpg", "question": "q", "answer": "<|image_pad|>"}"#, "placeholder_outside_user_turn"),
            (
                &in_parts(r#""id": "1""#, r#"{"type": "image", "image": "a.jpg"}, "[IMG] <|image|>""#),
                r#"U [a.jpg] "[IMG] <|image|>" A "ho""#,
            ),
        ],
    );
}

#[test]
fn a_document_has_placeholders_of_others_too() {
    let document = |text: &str| format!(r#"{{{TWO}, "text": "{text}"}}"#);
    check(
        Auto,
        &[
            (&document("A <|image_pad|> B <|image_pad|>."), r#"A "A " [a.jpg] " B " [b.jpg] ".""#),
            (&document("A <image_2> B <image_1>."), r#"A "A " [b.jpg] " B " [a.jpg] ".""#),
            (&document("A <image></image> B <image></image>."), r#"A "A " [a.jpg] " B " [b.jpg] ".""#),
        ],
    );
}
