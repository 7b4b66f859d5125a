//! Promise: a program that was built without FFmpeg and object stores builds everything else, rejects records with videos by name,
//! and says of a URL what it lacks.

use serde_json::json;

use crate::support::{Workshop, llava, photo, run};

#[test]
fn records_with_videos_are_rejected_and_the_others_delivered() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.write("media/clip.mp4", b"\0\0\0\x18ftypmp42");
    let video = |id: &str, path: &str| {
        json!({
            "id": id,
            "video": path,
            "conversations": [
                { "from": "human", "value": "<video>\nWhat happens?" },
                { "from": "gpt", "value": "Nothing." },
            ],
        })
    };
    workshop.add_source("images", "llava", &json!([llava("r1", "1.jpg")]), "");
    workshop.add_source(
        "videos",
        "llava_video",
        &json!([video("clip", "clip.mp4"), video("missing", "missing.mp4")]),
        "",
    );
    let built = workshop.build();
    built.verify();
    for id in ["clip", "missing"] {
        assert_eq!(built.row(id).reason.as_deref(), Some("unsupported_media"), "{id}");
    }
    assert!(built.row("r1").shard.is_some());
}

#[test]
fn a_url_is_an_error_that_names_what_was_left_out() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("images", "llava", &json!([llava("r1", "1.jpg")]), "");
    workshop.build();
    let out = workshop.text("out");
    let secret = "s3://me:hush@bucket/a";
    for arguments in [["inspect", "https://host/dataset"].as_slice(), &["upload", &out, secret]] {
        let said = String::from_utf8(run(arguments, 2).stderr).unwrap();
        assert!(said.contains("built without the feature `stores`") && !said.contains("hush"), "{said}");
    }
}
