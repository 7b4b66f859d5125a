//! Videos: VideoChat2, ShareGPT4Video, LLaVA-Video and LongVILA.

use manyframe_core::{Clip, MediaKind};
use manyframe_sources::SourceKind::{Llava, LlavaVideo, Sharegpt4video, Videochat2};
use manyframe_sources::{Captions, SourceOptions};

use crate::support::{check, check_with, file_of, parse, parse_all, parse_with, shown, source_of};

#[test]
fn videochat2_shows_its_medium_before_the_first_question() {
    check(
        Videochat2,
        &[
            (
                r#"{"video": "v.mp4", "QA": [{"i": "look", "q": "who?", "a": "x"}]}"#,
                r#"U [video v.mp4] "look\nwho?" A "x""#,
            ),
            (r#"{"image": "a.png", "QA": [{"q": "who?", "a": "x"}]}"#, r#"U [a.png] "who?" A "x""#),
            (
                r#"{"video": "v.webm", "QA": [{"i": "describe", "q": "", "a": "x"}]}"#,
                r#"U [video v.webm] "describe" A "x""#,
            ),
            (r#"{"video": "v.webm", "QA": [{"i": "", "q": "", "a": "x"}]}"#, r#"U [video v.webm] A "x""#),
            (
                r#"{"video": "v", "QA": [{"i": "look", "q": "a?", "a": "x"}, {"i": "look", "q": "b?", "a": "y"}, {"i": "now", "q": "c?", "a": "z"}]}"#,
                r#"U [video v] "look\na?" A "x" U "b?" A "y" U "now\nc?" A "z""#,
            ),
            (r#"{"QA": [{"q": "<image>?", "a": "<video>"}]}"#, r#"U "<image>?" A "<video>""#),
            (
                r#"{"video": "v", "QA": [{"q": "what is <image>?", "a": "x"}]}"#,
                r#"U [video v] "what is <image>?" A "x""#,
            ),
            (r#"{"video": "v", "QA": []}"#, "empty_conversation"),
            (r#"{"video": "v", "QA": [{"q": "a?", "a": ""}]}"#, "empty_turn"),
            (r#"{"video": "v", "QA": [{"q": "a?"}]}"#, "empty_turn"),
            (r#"{"video": "v", "QA": [{"q": 1, "a": "x"}]}"#, "unexpected_schema"),
            (r#"{"video": "v", "QA": ["x"]}"#, "unexpected_schema"),
            (r#"{"video": "v"}"#, "unexpected_schema"),
        ],
    );
}

#[test]
fn a_clip_is_checked() {
    let clip = |fields: &str| {
        let text = format!(r#"{{"video": "v.mp4", {fields}, "QA": [{{"q": "a?", "a": "x"}}]}}"#);
        parse(Videochat2, &text).map(|record| record.media[0].clip).map_err(|reject| reject.rejection.code.as_str())
    };
    assert_eq!(clip(r#""start": 1.5, "end": 4"#), Ok(Some(Clip { start_s: 1.5, end_s: Some(4.0) })));
    assert_eq!(clip(r#""end": "4.5""#), Ok(Some(Clip { start_s: 0.0, end_s: Some(4.5) })));
    assert_eq!(clip(r#""start": 3"#), Ok(Some(Clip { start_s: 3.0, end_s: None })));
    assert_eq!(clip(r#""start": null, "end": null"#), Ok(None));
    assert_eq!(clip(r#""start": 4, "end": 4"#), Err("clip_range"));
    assert_eq!(clip(r#""start": -1, "end": 4"#), Err("clip_range"));
    assert_eq!(clip(r#""end": "NaN""#), Err("clip_range"));
    assert_eq!(clip(r#""end": "late""#), Err("unexpected_schema"));
    // As pandas writes what is absent.
    assert_eq!(clip(r#""end": NaN"#), Ok(None));
}

#[test]
fn animated_gifs_are_read_at_upstreams_rate() {
    let fps = |path: &str, options| {
        let text = format!(r#"{{"video": "{path}", "QA": [{{"q": "a?", "a": "x"}}]}}"#);
        parse_with(Videochat2, options, &text).unwrap().media[0].fps
    };
    let two = SourceOptions { fps: Some(2.0), ..SourceOptions::default() };
    assert_eq!(fps("tumblr_x.GIF", two.clone()), Some(25.0));
    assert_eq!(fps("x.mp4", SourceOptions::default()), None);
    assert_eq!(fps("frames/x", two), Some(2.0));
}

#[test]
fn a_videochat2_subset_is_told_by_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image/x/video/reasoning/clevrer_qa/train.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = file_of(r#"[{"video": "v", "QA": [{"q": "a?", "a": "x"}]}, {"QA": [{"q": "a?", "a": "x"}]}]"#);
    std::fs::copy(file.path(), &path).unwrap();
    let parsed = parse_all(source_of(Videochat2, SourceOptions::default(), &path, "").as_ref());
    assert_eq!(&*parsed[0].as_ref().unwrap().subset, "video/reasoning/clevrer_qa");
    assert_eq!(shown(&parsed[1]), "unexpected_schema", "a video subset without a video");
    let parsed = parse_all(source_of(Videochat2, SourceOptions::default(), &path, "other").as_ref());
    assert_eq!(&*parsed[1].as_ref().unwrap().subset, "other");
}

#[test]
fn sharegpt4video_asks_for_the_caption_of_the_whole_video() {
    let record = |captions: &str| {
        format!(
            r#"{{"video_id": "x", "video_path": "pexels/x.mp4", "zip_folder": "pexels_1.zip", "captions": {captions}}}"#
        )
    };
    check(
        Sharegpt4video,
        &[
            (
                &record(r#"[{"idx": "0", "content": "a"}, {"idx": "-1", "content": "b"}]"#),
                r#"U [video pexels/x.mp4] "Describe this video in detail." A "b""#,
            ),
            (
                &record(r#"[{"idx": -1, "content": "b"}]"#),
                r#"U [video pexels/x.mp4] "Describe this video in detail." A "b""#,
            ),
            (&record(r#"[{"idx": "0", "content": "a"}]"#), "unexpected_schema"),
            (&record(r#"[{"idx": "-1", "content": ""}]"#), "empty_turn"),
            (&record(r#"[{"idx": "-1", "content": 5}]"#), "unexpected_schema"),
            (&record(r#"["a"]"#), "unexpected_schema"),
            (&record("null"), "unexpected_schema"),
            (r#"{"video_id": "x", "captions": [{"idx": "-1", "content": "b"}]}"#, "unexpected_schema"),
        ],
    );
    let options =
        SourceOptions { captions: Captions::Keyframes, questions: vec!["tell".into()], ..SourceOptions::default() };
    check_with(
        Sharegpt4video,
        &options,
        &[(
            &record(
                r#"[{"idx": "10", "content": "c"}, {"idx": "2-3", "content": "b"}, {"idx": "-1", "content": "w"}, {"idx": "0", "content": "a"}]"#,
            ),
            r#"U [video pexels/x.mp4] "tell" A "a\n\nb\n\nc""#,
        )],
    );
}

#[test]
fn sharegpt4video_takes_its_questions_by_record() {
    let questions: Vec<String> = ["q0", "q1", "q2"].map(String::from).into();
    let options = SourceOptions { questions, ..SourceOptions::default() };
    let ask = |id: usize| {
        let text = format!(
            r#"{{"video_id": "{id}", "video_path": "a/{id}.mp4", "captions": [{{"idx": "-1", "content": "b"}}]}}"#
        );
        let shown = shown(&parse_with(Sharegpt4video, options.clone(), &text));
        (0..3).find(|n| shown.contains(&format!("\"q{n}\""))).unwrap()
    };
    let asked: Vec<_> = (0..400).map(ask).collect();
    assert_eq!(asked, (0..400).map(ask).collect::<Vec<_>>());
    let counts = [0, 1, 2].map(|question| asked.iter().filter(|&&it| it == question).count());
    assert!(counts.iter().all(|count| (100..170).contains(count)), "{counts:?}");
}

#[test]
fn the_mix_of_sharegpt4video_is_in_llavas_format() {
    check(
        Sharegpt4video,
        &[
            (
                r#"{"id": 1, "video": "v.mp4", "conversations": [{"from": "human", "value": "<video>\na?"}, {"from": "gpt", "value": "x"}]}"#,
                r#"U [video v.mp4] "\na?" A "x""#,
            ),
            (
                r#"{"id": 1, "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\na?"}, {"from": "gpt", "value": "x"}]}"#,
                r#"U [a.jpg] "\na?" A "x""#,
            ),
        ],
    );
}

#[test]
fn an_image_placeholder_stands_for_the_video_where_there_is_no_image() {
    let record = |media: &str, question: &str| {
        format!(
            r#"{{"id": 5, {media}, "conversations": [{{"from": "human", "value": "{question}"}}, {{"from": "gpt", "value": "x"}}]}}"#
        )
    };
    let video = r#""video": "v.mp4""#;
    let both = r#""videos": ["v.mp4"], "images": ["a.jpg"]"#;
    check(
        LlavaVideo,
        &[
            (&record(video, r"<image>\na?"), r#"U [video v.mp4] "\na?" A "x""#),
            (&record(video, r"<video>\na?"), r#"U [video v.mp4] "\na?" A "x""#),
            (&record(video, "a?"), r#"U [video v.mp4] "a?" A "x""#),
            (&record(r#""video": ["v.mp4", "w.mp4"]"#, "a?"), r#"U [video v.mp4] [video w.mp4] "a?" A "x""#),
            (&record(video, "<image><image>"), "placeholder_mismatch"),
            (&record(video, "<video><image>"), "placeholder_mismatch"),
            (&record(r#""video_id": "v""#, r"<video>\na?"), r#"U [video v] "\na?" A "x""#),
        ],
    );
    check(
        Llava,
        &[
            (&record(both, "<image>and<video>"), r#"U [a.jpg] "and" [video v.mp4] A "x""#),
            (&record(both, "<video>and<image>"), r#"U [video v.mp4] "and" [a.jpg] A "x""#),
            (&record(both, "<image>"), "placeholder_mismatch"),
            (&record(r#""image": "a.jpg""#, "<image> in <video>?"), r#"U [a.jpg] " in <video>?" A "x""#),
        ],
    );
}

#[test]
fn longvila_gives_the_rate_of_its_frames() {
    let record = |fps: &str| {
        format!(
            r#"{{"id": 5, "video": "v", "fps": {fps}, "frame_count": 9, "conversations": [{{"from": "human", "value": "a?"}}, {{"from": "gpt", "value": "x"}}]}}"#
        )
    };
    let media = parse(LlavaVideo, &record("2")).unwrap().media;
    assert_eq!((media[0].kind, media[0].fps), (MediaKind::Video, Some(2.0)));
    check(LlavaVideo, &[(&record("0"), "unexpected_schema"), (&record("[]"), "unexpected_schema")]);
}
