//! Which image or video a placeholder shows: by its place, or by the number in it.

use manyframe_core::RejectCode;
use manyframe_sources::SourceKind::Auto;
use manyframe_sources::SourceOptions;

use crate::support::{check, parse_with};

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
    assert_mismatch(&default, &in_parts(images, &two("image", "0", "null")), &["placeholders without a number"]);
    assert_mismatch(&default, &in_parts(images, &part("image", "0")), &["numbers 0 for 2 images"]);
}
