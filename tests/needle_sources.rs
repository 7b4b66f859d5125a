//! Promise: what needles are hidden in may come from any source, and be delivered in any form, without changing what is shown.

use serde_json::{Value, json};

use crate::needles::{Set, clip, make_video, needles};
use crate::support::{Built, Workshop, run};

/// Films and photographs that belong to other sources: files, parts of files, members of an archive, and a dataset.
fn lenders(set: &mut Set) {
    let workshop = &mut set.workshop;
    let said = json!([{ "from": "human", "value": "<video>\nWhat happens?" }, { "from": "gpt", "value": "A test." }]);
    let films = json!([
        { "id": "w", "video": "wide.mp4", "conversations": said },
        { "id": "t", "video": "tall.mp4", "conversations": said },
        { "id": "again", "video": "wide.mp4", "conversations": said },
    ]);
    workshop.add_source("films", "llava_video", &films, "take = 0");
    let photographs: Vec<(String, Vec<u8>)> =
        (0..6).map(|number| (format!("p{number}.jpg"), crate::support::photo(number, 90, 70))).collect();
    workshop.write("archive/photos.tar", crate::support::tar_of(&photographs));
    let photos: Vec<Value> =
        (0..6).map(|number| crate::support::llava(&format!("p{number}"), &format!("p{number}.jpg"))).collect();
    workshop.write("photos.json", json!(photos).to_string());
    workshop.head.push_str(&format!(
        "[[source]]\nname = \"photos\"\nkind = \"llava\"\nannotations = {:?}\nmedia = {:?}\ntake = 0\n",
        workshop.text("photos.json"),
        workshop.text("archive/photos.tar"),
    ));
    let mut earlier = Workshop::new();
    let others: Vec<Value> =
        (6..12).map(|number| crate::support::llava(&format!("{number}"), &format!("{number}.jpg"))).collect();
    (6..12).for_each(|number| _ = earlier.write(&format!("media/{number}.jpg"), crate::support::photo(number, 90, 70)));
    earlier.head.push_str("[output]\nformats = [\"parquet\"]\n");
    earlier.add_source("others", "llava", &json!(others), "");
    run(&["build", &earlier.pipeline(), "--output", &workshop.text("earlier"), "--quiet"], 0);
    workshop.head.push_str(&format!(
        "[[source]]\nname = \"replayed\"\nkind = \"dataset\"\ntake = 0\nfrom = {:?}\n",
        workshop.text("earlier")
    ));
}

#[test]
fn haystacks_are_taken_from_sources_of_any_kind() {
    let settings = json!({ "haystacks": [], "haystack_sources": ["films"], "image_sources": ["photos", "replayed"],
                           "tasks": ["v_niah", "image_retrieval"], "lengths": [12], "depths": [0, 333, 666, 1000], "questions_per_cell": 3 });
    let mut set = Set::new(&settings);
    lenders(&mut set);
    let built = set.build();
    assert_eq!(built.manifest.total.num_samples, 2 * 4 * 3 * 4, "{:?}", built.outcomes());
    built.verify();
    // The reference knows files: those that the sources name.
    set.settings["haystacks"] = json!(["wide.mp4", "tall.mp4"]);
    set.settings["images"] = json!((0..12).map(|number| format!("photo{number}.jpg")).collect::<Vec<_>>());
    assert!(set.check(&built).starts_with("96 samples, "));
    let row = built.ledger.iter().find(|row| row.upstream_id.starts_with("v_niah")).unwrap();
    let sample = built.sample(&row.id.to_string());
    assert!(sample["visuals"][0]["path"].as_str().unwrap().starts_with("films:"), "{sample}");
    // What a source lost is found out, as any medium that changes.
    make_video(&set.workshop.path("media/tall.mp4"), "testsrc=size=96x96:rate=4:duration=3");
    make_video(&set.workshop.path("media/wide.mp4"), "testsrc2=size=160x90:rate=5:duration=4");
    assert_eq!(set.build().outcomes()["haystack_too_short"], 48);
}

#[test]
fn a_set_is_delivered_as_frames_where_videos_are_delivered_as_files() {
    let mut set =
        Set::with_needles(&json!({ "lengths": [6], "questions_per_cell": 4 }), &[needles(), vec![clip()]].concat());
    let as_frames = set.build();
    set.workshop.head.push_str("[video]\ndeliver = \"clip\"\n");
    let built = set.build();
    assert_eq!(built.manifest.total.num_samples, 3 * 4 * 4, "{:?}", built.outcomes());
    assert!(set.check(&built).starts_with("48 samples, "));
    built.verify();
    let shards = |built: &Built| built.manifest.shards.iter().map(|shard| shard.digest).collect::<Vec<_>>();
    assert_eq!(shards(&built), shards(&as_frames));
}

#[test]
fn videos_that_were_delivered_as_files_are_haystacks() {
    for format in ["webdataset", "parquet"] {
        let settings =
            json!({ "haystacks": [], "haystack_sources": ["earlier"], "lengths": [12], "questions_per_cell": 2 });
        let mut set = Set::new(&settings);
        let said =
            json!([{ "from": "human", "value": "<video>\nWhat happens?" }, { "from": "gpt", "value": "A test." }]);
        let films = json!([{ "id": "w", "video": "wide.mp4", "conversations": said }, { "id": "t", "video": "tall.mp4", "conversations": said }]);
        let mut earlier = Workshop::new();
        // Three frames of each were chosen then; its file has all.
        earlier
            .head
            .push_str(&format!("[output]\nformats = [{format:?}]\n[video]\ndeliver = \"clip\"\nmax_frames = 3\n"));
        earlier.add_source("films", "llava_video", &films, "");
        let media = format!("source.films.media={}", set.workshop.text("media"));
        let dataset = set.workshop.text("earlier");
        run(&["build", &earlier.pipeline(), "--set", &media, "--output", &dataset, "--quiet"], 0);
        let table = format!("[[source]]\nname = \"earlier\"\nkind = \"dataset\"\ntake = 0\nfrom = {dataset:?}\n");
        set.workshop.head.push_str(&table);
        let built = set.build();
        assert_eq!(built.manifest.total.num_samples, 3 * 2 * 4, "{:?}", built.outcomes());
        built.verify();
        set.settings["haystacks"] = json!(["wide.mp4", "tall.mp4"]);
        assert!(set.check(&built).starts_with("24 samples, "));
    }
}
