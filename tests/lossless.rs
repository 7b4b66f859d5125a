//! Promise: tiles cut without loss are like any others to everything around them, and each sample says that they are.

use serde_json::{Value, json};

use crate::determinism::files_of;
use crate::support::{Built, Workshop, encode, llava, manyframe, photo, run, stdout};

const NUM_PHOTOS: u32 = 24;

/// Photographs of many sizes, and one image of another format.
fn workshop() -> Workshop {
    let mut workshop = Workshop::new();
    for number in 0..NUM_PHOTOS {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 300 + 37 * number, 700 - 19 * number));
    }
    let gray = image::RgbImage::from_pixel(400, 300, image::Rgb([90; 3]));
    workshop.write("media/gray.png", encode(&gray, image::ImageFormat::Png));
    let photos = (0..NUM_PHOTOS).map(|n| llava(&format!("p{n}"), &format!("{n}.jpg")));
    let records: Vec<Value> = photos.chain([llava("gray", "gray.png")]).collect();
    workshop.head = workshop.head.replace(
        "[format]",
        "[output]\nformats = [\"webdataset\", \"parquet\"]\nmax_shard_samples = 4\n[tiles]\ncut = \"lossless\"\n[format]",
    );
    workshop.add_source("t", "llava", &json!(records), "visuals = \"tiled\"");
    workshop
}

fn cut_of(built: &Built, upstream_id: &str) -> Value {
    built.sample(&built.row(upstream_id).id.to_string())["visuals"][0]["cut"].clone()
}

#[test]
fn a_dataset_states_how_its_tiles_were_cut_and_verifies() {
    let workshop = workshop();
    let built = workshop.build_with(&["--threads", "1"], 0);
    built.verify();
    let mut num_tiles = 0;
    for number in 0..NUM_PHOTOS {
        let (width, height) = (300 + 37 * number, 700 - 19 * number);
        num_tiles += width.div_ceil(336) * height.div_ceil(336);
        let cut = cut_of(&built, &format!("p{number}"));
        assert_eq!(cut["is_lossless"], true, "{number}");
        for (offset, size) in cut["offset_px"].as_array().unwrap().iter().zip([width, height]) {
            let (offset, padding) = (offset.as_u64().unwrap() as u32, size.next_multiple_of(336) - size);
            assert!(
                offset.is_multiple_of(8) && offset.abs_diff(padding / 2) <= 8 && offset <= padding,
                "{number}: {cut}"
            );
        }
    }
    assert_eq!(cut_of(&built, "gray"), json!({ "is_lossless": false, "offset_px": [136, 18] }));
    let facts: Value = serde_json::from_slice(&std::fs::read(built.dataset.join("build.json")).unwrap()).unwrap();
    // An overview each, and the two tiles of the image that cannot be cut without loss.
    let expected =
        json!({ "num_unchanged": 0, "num_cleaned": 0, "num_encoded": NUM_PHOTOS + 1 + 2, "num_cut": num_tiles });
    assert_eq!(facts["work"]["images"], expected);
    let why = stdout(&["why", &built.dataset.display().to_string(), &built.row("p3").id.to_string()]);
    assert!(why.contains("delivered"), "{why}");
    let first = files_of(&built.dataset);
    let again = workshop.build_with(&["--threads", "3", "--fresh"], 0);
    assert_eq!(files_of(&again.dataset), first);
}

#[test]
fn a_change_of_the_cut_makes_tiles_again_and_a_replay_keeps_what_is_said_of_them() {
    let workshop = workshop();
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let exact = ["build", &pipeline, "--output", &out, "--set", "tiles.cut=exact", "--explain"];
    run(&exact, 0);
    assert_eq!(cut_of(&Built::read(&workshop.path("out")), "p1"), Value::Null);
    let text = stdout(&["build", &pipeline, "--output", &out, "--explain"]);
    assert!(text.contains("settings changed: tiles.cut"), "{text}");
    assert!(text.contains("tiles cut without loss"), "{text}");
    let built = Built::read(&workshop.path("out"));
    let replay = format!(
        "name = \"replay\"\n{}\n[[source]]\nname = \"r\"\nkind = \"dataset\"\nfrom = {out:?}\nvisuals = \"tiled\"\n",
        workshop.head.split_once("[format]").map(|(_, format)| format!("[format]{format}")).unwrap()
    );
    let replay = workshop.write("replay.toml", replay).display().to_string();
    run(&["build", &replay, "--output", &workshop.text("replayed"), "--quiet"], 0);
    let replayed = Built::read(&workshop.path("replayed"));
    replayed.verify();
    let cuts = |built: &Built| -> Vec<Value> {
        let ids = built.ledger.iter().filter(|row| row.status.as_str() == "delivered").map(|row| row.id.to_string());
        let mut cuts: Vec<Value> = ids.map(|id| built.sample(&id)["visuals"][0]["cut"].clone()).collect();
        cuts.sort_by_key(Value::to_string);
        cuts
    };
    assert_eq!(cuts(&replayed), cuts(&built));
    let num_lossless = cuts(&replayed).iter().filter(|cut| cut["is_lossless"] == true).count();
    assert_eq!(num_lossless as u32, NUM_PHOTOS);
}

#[test]
fn a_build_that_is_killed_goes_on_with_the_same_bytes() {
    let workshop = workshop();
    let expected = files_of(&workshop.build().dataset);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("killed"));
    for _ in 0..4 {
        let mut child =
            manyframe(&["build", &pipeline, "--output", &out, "--quiet", "--threads", "2"]).spawn().unwrap();
        while crate::determinism::num_done(&workshop.path("killed.work")) == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run(&["build", &pipeline, "--output", &out, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("killed")), expected);
}

#[test]
fn settings_that_contradict_lossless_tiles_are_errors() {
    let workshop = workshop();
    let pipeline = workshop.pipeline();
    for (setting, message) in [
        ("tiles.odd_pixel=dropped", "tiles.odd_pixel = \"dropped\" needs tiles that end inside of a block"),
        ("tiles.cut=near", "lossless"),
    ] {
        let output = run(&["check", &pipeline, "--set", setting], 2);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(message), "{text}");
    }
    let settings = ["--set", "tiles.cut=exact", "--set", "tiles.overview=dct"];
    let output = run(&[&["check", &pipeline], &settings[..]].concat(), 2);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("tiles.overview has no effect with cut = \"exact\""), "{text}");
}
