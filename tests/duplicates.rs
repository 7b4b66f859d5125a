//! Promise: near-duplicates and decontaminated images are removed before ratios, and the ledger names what they duplicate.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use manyframe_core::RejectCode;
use manyframe_dataset::LedgerRow;
use serde_json::json;

use crate::support::{Built, Workshop, demo_media, encode, llava, photo, run};

/// The same picture as a PNG, and scaled down as another JPEG.
fn variants(number: u32) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let wave = |x: u32, y: u32| {
        let level = 128.0
            + 70.0 * (f64::from(x) / (17.0 + f64::from(number))).sin()
            + 50.0 * (f64::from(y) / 31.0 + f64::from(number)).cos();
        image::Rgb([level as u8, (level * 0.7) as u8, 255 - level as u8])
    };
    let original = image::RgbImage::from_fn(320, 240, wave);
    let scaled = image::imageops::resize(&original, 160, 120, image::imageops::FilterType::Triangle);
    (
        encode(&original, image::ImageFormat::Png),
        encode(&original, image::ImageFormat::Bmp),
        encode(&scaled, image::ImageFormat::Jpeg),
    )
}

fn same_text(id: &str, image: &str) -> serde_json::Value {
    let mut record = llava("x", image);
    record["id"] = id.into();
    record
}

fn workshop() -> Workshop {
    let mut workshop = Workshop::new();
    let (png, bmp, jpeg) = variants(1);
    workshop.write("media/a.png", png);
    workshop.write("media/b.bmp", bmp);
    workshop.write("media/c.jpg", jpeg);
    workshop.write("media/d.png", variants(9).0);
    let records = json!([
        same_text("png", "a.png"),
        same_text("bmp", "b.bmp"),
        same_text("scaled", "c.jpg"),
        same_text("other", "d.png"),
        llava("asks", "c.jpg"),
    ]);
    workshop.add_source("s", "llava", &records, "");
    workshop
}

fn duplicates(rule: &str) -> Vec<String> {
    let mut workshop = workshop();
    workshop.head.push_str(&format!("[duplicates]\n{rule}\n"));
    let built = workshop.build();
    built.verify();
    let kept = built.row("png").id;
    let rows = built.ledger.iter().filter(|row| row.duplicate_of.is_some());
    rows.inspect(|row| assert_eq!(row.duplicate_of, Some(kept))).map(|row| row.upstream_id.clone()).collect()
}

#[test]
fn each_rule_removes_what_it_says() {
    assert_eq!(duplicates("remove = \"exact\""), Vec::<String>::new());
    assert_eq!(duplicates("remove = \"pixels\""), ["bmp"]);
    assert_eq!(duplicates("remove = \"near\""), ["bmp", "scaled"]);
    assert_eq!(duplicates("remove = \"near\"\ntext = \"any\""), ["bmp", "scaled", "asks"]);
}

#[test]
fn an_excluded_image_takes_every_record_that_shows_it() {
    let mut workshop = workshop();
    workshop.write("benchmark/deep/down/1.png", variants(1).0);
    workshop.write("benchmark/notes.txt", "not an image");
    // That of another program: these are files, not samples.
    workshop.write("benchmark/manifest.json", "{\"name\": \"a page\"}");
    workshop.write("media/e.jpg", photo(5, 90, 90));
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    let built = workshop.build();
    let excluded: Vec<&str> = built
        .ledger
        .iter()
        .filter(|row| row.reason.as_deref() == Some("excluded"))
        .map(|row| row.upstream_id.as_str())
        .collect();
    assert_eq!(excluded, ["png", "bmp", "scaled", "asks"]);
    assert!(built.row("png").detail.as_deref().unwrap().contains("deep/down/1.png"));
    built.verify();
}

#[test]
fn a_benchmark_without_images_is_an_error() {
    let mut workshop = workshop();
    fs::create_dir_all(workshop.path("benchmark/deep")).unwrap();
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    let stderr = String::from_utf8(run(&["check", &workshop.pipeline()], 2).stderr).unwrap();
    assert!(stderr.contains("decontamination.against") && stderr.contains("has no files"), "{stderr}");
    run(&["plan", &workshop.pipeline(), "--quiet"], 2);
    workshop.write("benchmark/deep/notes.txt", "not an image");
    let stderr = String::from_utf8(run(&["plan", &workshop.pipeline(), "--quiet"], 2).stderr).unwrap();
    assert!(stderr.contains("no image or video is in it"), "{stderr}");
}

#[test]
fn a_benchmark_of_which_something_cannot_be_decoded_keeps_the_dataset_back() {
    let mut workshop = workshop();
    let jpeg = photo(7, 200, 150);
    let half = &jpeg[..jpeg.len() / 2];
    workshop.write("benchmark/1.png", variants(1).0);
    for (name, bytes) in [
        ("cut.jpg", half),
        // Its first bytes say what it is.
        ("blobs/0f3a", half),
        ("page.webp", b"<!DOCTYPE html><html>404 Not Found</html>"),
        ("none.png", b""),
        ("clip.mp4", b"nothing of a video"),
        ("labels/1.json", b"{}"),
        ("labels/notes.txt", b"not an image"),
        (".gitkeep", b""),
        // What macOS puts beside files.
        ("._1.png", &[0, 5, 22, 7]),
        ("__MACOSX/x.png", &[0, 5, 22, 7]),
    ] {
        workshop.write(&format!("benchmark/{name}"), bytes);
    }
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    let loss = "decontamination: 5 of 6 images and videos that no sample may show cannot be decoded";
    let plan = String::from_utf8(run(&["plan", &workshop.pipeline(), "--quiet"], 0).stdout).unwrap();
    assert!(plan.contains("will not be published without --accept-rejects") && plan.contains(loss), "{plan}");
    let output = workshop.run_build(&[], 3);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let stdout = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains(loss) && stderr.contains("decontamination.max_rejects allows 0 %"), "{stderr}");
    assert!(stdout.contains("against 6 images and videos") && stdout.contains("not against 3 other files"), "{stdout}");
    assert!(!workshop.path("out").exists());
    let num_excluded = |built: &Built| ids_with(built, is_excluded).len();
    let built = workshop.build();
    assert_eq!(num_excluded(&built), 4);
    let summary = built.manifest.decontamination.as_ref().unwrap();
    assert_eq!((summary.num_media, summary.num_images, summary.num_other_files), (6, 1, 3));
    let rejected = [(RejectCode::MediaEmpty, 1), (RejectCode::MediaType, 2), (RejectCode::MediaCorrupt, 2)];
    assert_eq!(summary.rejected, BTreeMap::from(rejected));
    assert!(summary.examples.iter().any(|medium| medium.name.ends_with("benchmark/blobs/0f3a")));
    built.verify();
    workshop.run_build(&["--set", "decontamination.max_rejects=0.8"], 3);
    workshop.run_build(&["--set", "decontamination.max_rejects=0.84"], 0);
    Built::read(&workshop.path("out")).verify();
    // What was mended is compared.
    workshop.write("benchmark/cut.jpg", variants(9).2);
    let again = workshop.build();
    assert_eq!((num_excluded(&again), again.manifest.decontamination.unwrap().num_rejected()), (5, 4));
}

#[test]
fn a_video_of_a_benchmark_that_is_cut_short_is_compared_and_said() {
    let sampling = "[video]\nsampling = \"interval\"\ninterval_s = 1.0\nmax_frames = 30\n";
    let mut workshop = videos(&["[mix]\ncheck = \"decode\"\n", sampling].concat());
    let directory = workshop.path("benchmark");
    fs::remove_dir_all(&directory).unwrap();
    fs::create_dir_all(&directory).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(workshop.path("media/bunny.mp4")).args(["-c", "copy", "-an"]);
    assert!(ffmpeg.arg(directory.join("bunny.mkv")).status().unwrap().success(), "ffmpeg, which `make setup` installs");
    let whole = fs::read(directory.join("bunny.mkv")).unwrap();
    fs::write(directory.join("bunny.mkv"), &whole[..whole.len() * 2 / 3]).unwrap();
    workshop.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", workshop.text("benchmark")));
    let stderr = String::from_utf8(workshop.run_build(&[], 3).stderr).unwrap();
    assert!(stderr.contains("decontamination: 1 of 1 images and videos") && stderr.contains("bunny.mkv"), "{stderr}");
    workshop.write("benchmark/wave.bmp", variants(2).1);
    let built = workshop.build();
    assert_eq!(ids_with(&built, is_excluded), ["bunny", "waves", "smaller"]);
    let summary = built.manifest.decontamination.as_ref().unwrap();
    assert_eq!((summary.num_media, summary.num_rejected()), (2, 1));
    assert!(summary.num_images > 1);
    built.verify();
    // Nothing of it can be.
    workshop.write("benchmark/bunny.mkv", &whole[..20]);
    fs::remove_file(workshop.path("benchmark/wave.bmp")).unwrap();
    let stderr = String::from_utf8(run(&["plan", &workshop.pipeline(), "--quiet"], 2).stderr).unwrap();
    assert!(stderr.contains("none of its images and videos (1) can be decoded, such as"), "{stderr}");
}

#[test]
fn a_damaged_benchmark_dataset_is_an_error_with_its_cause() {
    let mut workshop = workshop();
    let benchmark = workshop.text("benchmark");
    run(&["build", &workshop.pipeline(), "--output", &benchmark, "--quiet"], 0);
    let shard = workshop.path("benchmark/webdataset/image/000000.tar");
    fs::OpenOptions::new().write(true).open(shard).unwrap().set_len(700).unwrap();
    workshop.head.push_str(&format!("[decontamination]\nagainst = {benchmark:?}\n"));
    let stderr = String::from_utf8(run(&["plan", &workshop.pipeline(), "--quiet"], 2).stderr).unwrap();
    assert!(stderr.contains("decontamination.against") && stderr.contains("the file ends before"), "{stderr}");
}

/// A record in LLaVA-Video's form.
fn video(id: &str, video: &str) -> serde_json::Value {
    json!({ "id": id, "video": video, "data_source": "clips", "conversations": [
        { "from": "human", "value": "<image>\nWhat happens?" }, { "from": "gpt", "value": "Something moves." },
    ] })
}

/// Two videos of the demo, and three directories of frames, of which two show the same in other sizes.
fn videos(more: &str) -> Workshop {
    let clips = demo_media().join("sharegpt4video");
    let mut workshop = Workshop::new();
    let bunny = fs::read(clips.join("pixabay/bunny-900003_large.mp4")).unwrap();
    workshop.write("media/bunny.mp4", &bunny);
    workshop.write("media/other.mp4", fs::read(clips.join("panda/a1s2d3f4g5h_3_0_120.mp4")).unwrap());
    for frame in 0..4 {
        workshop.write(&format!("media/waves/{frame}.png"), variants(frame).0);
        workshop.write(&format!("media/smaller/{frame}.jpg"), variants(frame).2);
        workshop.write(&format!("media/strangers/{frame}.jpg"), variants(3 + 5 * frame).2);
    }
    let records = json!([
        video("bunny", "bunny.mp4"),
        video("other", "other.mp4"),
        video("waves", "waves"),
        video("smaller", "smaller"),
        video("strangers", "strangers"),
    ]);
    workshop.add_source("v", "llava_video", &records, "");
    workshop.write("benchmark/bunny, renamed.mp4", bunny);
    workshop.head.push_str(more);
    workshop
}

fn ids_with(built: &Built, is_wanted: impl Fn(&LedgerRow) -> bool) -> Vec<&str> {
    built.ledger.iter().filter(|row| is_wanted(row)).map(|row| row.upstream_id.as_str()).collect()
}

fn is_excluded(row: &LedgerRow) -> bool {
    row.reason.as_deref() == Some("excluded")
}

#[test]
fn videos_are_excluded_by_their_bytes_or_by_their_frames() {
    let mut by_bytes = videos("");
    by_bytes.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", by_bytes.text("benchmark")));
    assert_eq!(ids_with(&by_bytes.build(), is_excluded), ["bunny"]);

    // One frame of a video is enough, where frames are looked at.
    let mut by_frames = videos("[mix]\ncheck = \"decode\"\n");
    by_frames.write("benchmark/wave.bmp", variants(2).1);
    by_frames.head.push_str(&format!("[decontamination]\nagainst = {:?}\n", by_frames.text("benchmark")));
    let built = by_frames.build();
    assert_eq!(ids_with(&built, is_excluded), ["bunny", "waves", "smaller"]);
    assert!(built.row("waves").detail.as_deref().unwrap().contains("wave.bmp"));
    built.verify();
}

#[test]
fn videos_that_look_alike_frame_by_frame_are_duplicates_where_they_are_decoded() {
    let is_duplicate = |row: &LedgerRow| row.duplicate_of.is_some();
    let near = "[duplicates]\nremove = \"near\"\n";
    assert_eq!(ids_with(&videos(near).build(), is_duplicate), [""; 0]);
    let built = videos(&["[mix]\ncheck = \"decode\"\n", near].concat()).build();
    assert_eq!(ids_with(&built, is_duplicate), ["smaller"]);
    assert_eq!(built.row("smaller").duplicate_of, Some(built.row("waves").id));
}

#[test]
fn damaged_media_are_found_before_the_draw_where_everything_is_decoded() {
    let prepare = |check: &str| {
        let mut workshop = Workshop::new();
        let mut records = Vec::new();
        for number in 0..8 {
            let name = format!("{number}.jpg");
            let mut bytes = photo(number, 200, 150);
            if number % 2 == 0 {
                bytes.truncate(bytes.len() / 2);
            }
            workshop.write(&format!("media/{name}"), bytes);
            records.push(llava(&number.to_string(), &name));
        }
        workshop.add_source("s", "llava", &records.into(), "take = 4");
        workshop.head.push_str(&format!("[mix]\ncheck = \"{check}\"\n"));
        workshop
    };
    let late = prepare("header").build();
    assert!(late.outcomes()["delivered"] < 4, "{:?}", late.outcomes());
    let workshop = prepare("decode");
    let built = workshop.build();
    assert_eq!(built.outcomes(), BTreeMap::from([("delivered".into(), 4), ("media_corrupt".into(), 4)]));
    built.verify();

    // What was mended is drawn.
    workshop.write("media/0.jpg", photo(0, 200, 150));
    let again = workshop.build_with(&["--set", "source.s.take=5"], 0);
    assert_eq!(again.outcomes(), BTreeMap::from([("delivered".into(), 5), ("media_corrupt".into(), 3)]));
}

#[test]
fn a_replayed_record_is_a_duplicate_of_its_original() {
    let mut workshop = Workshop::new();
    let mut records: Vec<_> = (0..3).map(|number| llava(&number.to_string(), &format!("{number}.jpg"))).collect();
    // Text around the only image is trimmed, and what looks like a tag is written in upper case.
    records[1]["conversations"][0]["value"] = json!("  Where is the <image> placeholder </vid> ?\n");
    records.push(json!({ "id": "text", "conversations": [
        { "from": "human", "value": " <t> What is two and two? " }, { "from": "gpt", "value": "Four.\n" },
    ] }));
    for number in 0..3 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 90, 60));
    }
    workshop.add_source("s", "llava", &records.into(), "");
    workshop.build();
    fs::rename(workshop.path("out"), workshop.path("earlier")).unwrap();
    workshop
        .head
        .push_str(&format!("[[source]]\nname = \"old\"\nkind = \"dataset\"\nfrom = {:?}\n", workshop.text("earlier")));
    let built = workshop.build();
    assert_eq!(built.outcomes(), BTreeMap::from([("delivered".into(), 4), ("duplicate".into(), 4)]));
    built.verify();
}
