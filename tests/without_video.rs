//! Promise: a program that was built without FFmpeg builds everything else, and rejects records with videos by name.

use serde_json::json;

use crate::support::{Workshop, llava, photo};

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
