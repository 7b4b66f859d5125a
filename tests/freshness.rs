//! Promise: what is delivered shows the media as they are now. "Nothing to do" is said only when it is true.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::dirt::zip_with;
use crate::support::{Built, Workshop, contents_below, encode, llava, photo, run, stdout, tar_of};

/// Records about photographs `media/0.jpg`, `media/1.jpg`, and so on.
fn workshop(num_photos: u32, more: &str) -> Workshop {
    let mut workshop = Workshop::new();
    for n in 0..num_photos {
        workshop.write(&format!("media/{n}.jpg"), photo(n, 64, 48));
    }
    let records: Vec<Value> = (0..num_photos).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.add_source("a", "llava", &json!(records), more);
    workshop
}

/// Builds into `out`; returns what was printed.
fn build(workshop: &Workshop, more: &[&str]) -> String {
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let mut arguments = vec!["build", &pipeline, "--output", &out, "--quiet", "--accept-rejects"];
    arguments.extend(more);
    stdout(&arguments)
}

/// The first image of the sample of an upstream id, as it was delivered.
fn delivered(workshop: &Workshop, upstream_id: &str) -> Vec<u8> {
    let built = Built::read(&workshop.path("out"));
    let id = built.row(upstream_id).id.to_string();
    let images = workshop.path(&format!("images-{upstream_id}"));
    _ = fs::remove_dir_all(&images);
    run(&["inspect", &workshop.text("out"), &id, "--images", &images.display().to_string()], 0);
    let mut files: Vec<_> = fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    fs::read(&files[0]).unwrap()
}

fn work_of(workshop: &Workshop) -> manyframe_dataset::WorkDone {
    manyframe_dataset::DatasetReader::open(&workshop.path("out")).unwrap().build_facts().unwrap().unwrap().work
}

/// Builds again, and from scratch elsewhere: both must come to the same dataset.
fn build_is_as_if_from_scratch(workshop: &Workshop, more: &[&str]) -> Built {
    let text = build(workshop, more);
    assert!(!text.contains("nothing to do"), "{text}");
    let again = build(workshop, more);
    assert!(again.contains("nothing to do"), "{again}");
    let (pipeline, scratch) = (workshop.pipeline(), workshop.text("scratch"));
    let mut arguments = vec!["build", &pipeline, "--output", &scratch, "--quiet", "--fresh", "--accept-rejects"];
    arguments.extend(more);
    run(&arguments, 0);
    let built = Built::read(&workshop.path("out"));
    assert_eq!(built.manifest, Built::read(&workshop.path("scratch")).manifest);
    built.verify();
    built
}

#[test]
fn every_file_that_a_dataset_has_lost_is_made_again() {
    let mut workshop = workshop(3, "");
    workshop
        .head
        .push_str("[output]\nformats = [\"webdataset\", \"parquet\", \"mds\", \"vila\"]\n[pack]\nmax_tokens = 2048\n");
    build(&workshop, &[]);
    let out = workshop.path("out");
    // How much was made differs from build to build.
    let files = || contents_below(&out).into_iter().filter(|(name, _)| name != "build.json").collect::<Vec<_>>();
    let whole = files();
    assert!(whole.len() > 12, "{}", whole.len());
    // Without a manifest, it is no dataset.
    for (name, _) in whole.iter().filter(|(name, _)| name != "manifest.json") {
        fs::remove_file(out.join(name)).unwrap();
        let text = build(&workshop, &[]);
        assert!(!text.contains("nothing to do"), "{name}\n{text}");
        assert!(files() == whole, "{name}");
    }
    let (shard, _) = whole.iter().find(|(name, _)| Path::new(name).extension().is_some_and(|it| it == "tar")).unwrap();
    fs::OpenOptions::new().write(true).open(out.join(shard)).unwrap().set_len(1000).unwrap();
    build(&workshop, &[]);
    assert!(files() == whole, "a shard that is cut");
    assert!(build(&workshop, &[]).contains("nothing to do"));
}

#[test]
fn a_photo_that_was_replaced_under_its_name_is_delivered_as_it_is_now() {
    let workshop = workshop(6, "");
    build(&workshop, &[]);
    assert_eq!(delivered(&workshop, "r2"), photo(2, 64, 48));
    assert!(build(&workshop, &[]).contains("nothing to do"));
    workshop.write("media/2.jpg", photo(99, 64, 48));
    build_is_as_if_from_scratch(&workshop, &["--set", "seed=9"]);
    assert_eq!(delivered(&workshop, "r2"), photo(99, 64, 48));
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (1, 5));
    workshop.write("media/3.jpg", photo(98, 640, 480));
    build_is_as_if_from_scratch(&workshop, &["--set", "seed=9"]);
    assert_eq!(delivered(&workshop, "r3"), photo(98, 640, 480));
}

#[test]
fn a_plan_in_between_does_not_hide_a_change_from_the_build() {
    let workshop = workshop(4, "");
    build(&workshop, &[]);
    workshop.write("media/2.jpg", photo(99, 64, 48));
    run(&["plan", &workshop.pipeline(), "--output", &workshop.text("out"), "--quiet"], 0);
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(delivered(&workshop, "r2"), photo(99, 64, 48));
}

#[test]
fn a_photo_that_was_deleted_or_restored_is_noticed() {
    let workshop = workshop(5, "");
    build(&workshop, &[]);
    fs::rename(workshop.path("media/1.jpg"), workshop.path("kept.jpg")).unwrap();
    let built = build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(built.row("r1").reason.as_deref(), Some("media_missing"));
    fs::rename(workshop.path("kept.jpg"), workshop.path("media/1.jpg")).unwrap();
    let pipeline = workshop.pipeline();
    let plan = stdout(&["plan", &pipeline, "--output", &workshop.text("out"), "--json", "--quiet"]);
    assert_eq!(serde_json::from_str::<Value>(&plan).unwrap()["total"]["num_samples"], 5);
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(delivered(&workshop, "r1"), photo(1, 64, 48));
}

#[test]
fn a_photo_that_was_completed_is_delivered() {
    let workshop = workshop(4, "");
    // Cut in its pixels, which only the build finds; and in its header, which the plan finds.
    workshop.write("media/1.jpg", &photo(1, 64, 48)[..900]);
    workshop.write("media/2.jpg", &photo(2, 64, 48)[..40]);
    build(&workshop, &[]);
    let built = Built::read(&workshop.path("out"));
    for id in ["r1", "r2"] {
        assert_eq!(built.row(id).reason.as_deref(), Some("media_corrupt"), "{id}");
    }
    for n in [1, 2] {
        workshop.write(&format!("media/{n}.jpg"), photo(n, 64, 48));
    }
    build_is_as_if_from_scratch(&workshop, &[]);
    for n in [1, 2] {
        assert_eq!(delivered(&workshop, &format!("r{n}")), photo(n, 64, 48));
    }
}

#[test]
fn a_record_that_is_not_drawn_is_planned_with_the_media_that_it_has_now() {
    let workshop = workshop(8, "take = 3");
    build(&workshop, &[]);
    let built = Built::read(&workshop.path("out"));
    let row = built.ledger.iter().find(|row| row.shard.is_none()).unwrap();
    fs::remove_file(workshop.path(&format!("media/{}.jpg", &row.upstream_id[1..]))).unwrap();
    let id = row.upstream_id.clone();
    let built = build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(built.row(&id).reason.as_deref(), Some("media_missing"));
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (0, 3));
}

#[test]
fn a_duplicate_is_none_once_its_photo_was_replaced() {
    let mut workshop = Workshop::new();
    let same_text = |id: &str, image: &str| {
        let mut record = llava("x", image);
        record["id"] = id.into();
        record
    };
    for name in ["a", "b"] {
        workshop.write(&format!("media/{name}.jpg"), photo(1, 64, 48));
    }
    workshop.add_source("a", "llava", &json!([same_text("a", "a.jpg"), same_text("b", "b.jpg")]), "");
    for duplicates in ["exact", "near"] {
        let set = format!("duplicates.remove={duplicates}");
        build(&workshop, &["--set", &set]);
        assert_eq!(Built::read(&workshop.path("out")).manifest.total.num_samples, 1, "{duplicates}");
        workshop.write("media/b.jpg", photo(77, 64, 48));
        let built = build_is_as_if_from_scratch(&workshop, &["--set", &set]);
        assert_eq!(built.manifest.total.num_samples, 2, "{duplicates}");
        workshop.write("media/b.jpg", photo(1, 64, 48));
        let built = build_is_as_if_from_scratch(&workshop, &["--set", &set]);
        assert_eq!(built.manifest.total.num_samples, 1, "{duplicates}");
    }
}

#[test]
fn media_that_are_decoded_before_the_draw_are_decoded_again_when_they_change() {
    let workshop = workshop(4, "");
    let check = ["--set", "mix.check=decode"];
    build(&workshop, &check);
    workshop.write("media/1.jpg", &photo(1, 64, 48)[..900]);
    let built = build_is_as_if_from_scratch(&workshop, &check);
    assert_eq!(built.row("r1").reason.as_deref(), Some("media_corrupt"));
    workshop.write("media/1.jpg", photo(55, 64, 48));
    build_is_as_if_from_scratch(&workshop, &check);
    assert_eq!(delivered(&workshop, "r1"), photo(55, 64, 48));
}

#[test]
fn a_photo_that_grew_is_cut_into_as_many_pieces_as_it_needs_now() {
    let mut workshop = Workshop::new();
    let head = workshop.head.clone();
    workshop.head = format!("{head}max_tokens = 1000\n[overlength]\npolicy = [\"split_turns\"]\n");
    let mut long = llava("long", "0.jpg");
    for n in 0..4 {
        let turns = long["conversations"].as_array_mut().unwrap();
        turns.push(json!({ "from": "human", "value": format!("Why, in round {n}? {}", "Tell me more. ".repeat(12)) }));
        turns.push(json!({ "from": "gpt", "value": format!("Because of {n}. {}", "It is so. ".repeat(12)) }));
    }
    workshop.write("media/0.jpg", photo(0, 64, 48));
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("t", "llava", &json!([long, llava("short", "1.jpg")]), "visuals = \"tiled\"");
    build(&workshop, &["--set", "tiles.edge_px=64"]);
    let num_pieces =
        || Built::read(&workshop.path("out")).ledger.iter().filter(|row| row.upstream_id == "long").count();
    let before = num_pieces();
    for (width_px, height_px) in [(100, 48), (64, 48)] {
        workshop.write("media/0.jpg", photo(0, width_px, height_px));
        workshop.write("media/1.jpg", photo(2, 64, 48));
        build_is_as_if_from_scratch(&workshop, &["--set", "tiles.edge_px=64"]);
        assert_eq!(num_pieces() > before, width_px == 100, "{before} and {}", num_pieces());
    }
}

#[cfg(feature = "video")]
#[test]
fn a_frame_rate_that_changed_in_the_annotation_shows_other_frames() {
    let mut workshop = Workshop::new();
    for n in 0..6 {
        workshop.write(&format!("media/clip/{n}.jpg"), photo(n, 48, 48));
    }
    let record = |fps: f64| {
        json!([{ "id": "v0", "video": "clip", "fps": fps, "conversations": [
            { "from": "human", "value": "<video>\nWhat happens?" },
            { "from": "gpt", "value": "Waves move." },
        ] }])
    };
    workshop.add_source("v", "llava_video", &record(1.0), "");
    build(&workshop, &[]);
    workshop.write("v.json", serde_json::to_vec(&record(2.0)).unwrap());
    let built = build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(built.row("v0").measured.unwrap().0.num_frames, 3);
}

#[test]
fn a_member_of_an_archive_that_was_packed_again_is_noticed() {
    type Packer<'a> = &'a dyn Fn(&str, Vec<u8>) -> Vec<u8>;
    let zip = |name: &str, content: Vec<u8>| zip_with(&[(name, content)]);
    let tar = |name: &str, content: Vec<u8>| tar_of(&[(name.to_owned(), content)]);
    for (archive, pack) in [("a.zip", &zip as Packer<'_>), ("a.tar", &tar)] {
        let mut workshop = Workshop::new();
        let records = json!([llava("r0", "0.jpg"), llava("r1", "1.jpg")]);
        workshop.write(archive, pack("0.jpg", photo(1, 64, 48)));
        workshop.write("a.json", serde_json::to_vec(&records).unwrap());
        workshop.head.push_str(&format!(
            "[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = {:?}\nmedia = {:?}\n",
            workshop.text("a.json"),
            workshop.text(archive),
        ));
        build(&workshop, &[]);
        assert_eq!(delivered(&workshop, "r0"), photo(1, 64, 48), "{archive}");
        workshop.write(archive, pack("0.jpg", photo(2, 64, 48)));
        build_is_as_if_from_scratch(&workshop, &[]);
        assert_eq!(delivered(&workshop, "r0"), photo(2, 64, 48), "{archive}");
        workshop.write(archive, pack("1.jpg", photo(2, 64, 48)));
        let built = build_is_as_if_from_scratch(&workshop, &[]);
        assert_eq!(built.row("r0").reason.as_deref(), Some("media_missing"), "{archive}");
        assert_eq!(delivered(&workshop, "r1"), photo(2, 64, 48), "{archive}");
    }
}

#[cfg(feature = "video")]
#[test]
fn a_frame_that_was_replaced_or_added_is_noticed() {
    let mut workshop = Workshop::new();
    for n in 0..4 {
        workshop.write(&format!("media/clip/{n}.jpg"), photo(n, 48, 48));
    }
    let record = json!({ "id": "v0", "video": "clip", "conversations": [
        { "from": "human", "value": "<video>\nWhat happens?" },
        { "from": "gpt", "value": "Waves move." },
    ] });
    workshop.add_source("v", "llava_video", &json!([record]), "fps = 1.0");
    build(&workshop, &[]);
    let before = delivered(&workshop, "v0");
    // Written over in place: the directory itself has the time that it had.
    workshop.write("media/clip/0.jpg", photo(50, 48, 48));
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_ne!(delivered(&workshop, "v0"), before);
    workshop.write("media/clip/4.jpg", photo(4, 48, 48));
    let built = build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(built.row("v0").measured.unwrap().0.num_frames, 5);
}

#[test]
fn media_that_are_trusted_are_not_looked_at_unless_they_were_missing() {
    let mut workshop = workshop(4, "");
    workshop.head.push_str("[reuse]\nmedia = \"trust\"\n");
    fs::rename(workshop.path("media/1.jpg"), workshop.path("kept.jpg")).unwrap();
    build(&workshop, &[]);
    workshop.write("media/2.jpg", photo(99, 64, 48));
    assert!(build(&workshop, &[]).contains("nothing to do"));
    fs::rename(workshop.path("kept.jpg"), workshop.path("media/1.jpg")).unwrap();
    build(&workshop, &[]);
    assert_eq!(delivered(&workshop, "r1"), photo(1, 64, 48));
    assert_eq!(delivered(&workshop, "r2"), photo(2, 64, 48));
    // Without trust, what was missed is noticed; how media are looked at is no property of the dataset.
    build_is_as_if_from_scratch(&workshop, &["--set", "reuse.media=stat"]);
    assert_eq!(delivered(&workshop, "r2"), photo(99, 64, 48));
    assert!(build(&workshop, &[]).contains("nothing to do"));
}

#[test]
fn samples_of_unknown_media_are_made_again() {
    let workshop = workshop(4, "");
    build(&workshop, &[]);
    fs::remove_dir_all(workshop.path("out.work")).unwrap();
    assert!(build(&workshop, &[]).contains("nothing to do"), "an index is made again from the same inputs");
    fs::remove_dir_all(workshop.path("out.work")).unwrap();
    workshop.write("media/2.jpg", photo(99, 64, 48));
    build(&workshop, &[]);
    assert_eq!(work_of(&workshop).num_samples_reused, 0);
    assert_eq!(delivered(&workshop, "r2"), photo(99, 64, 48));
}

#[test]
fn packing_again_does_not_forget_what_samples_were_made_of() {
    let workshop = workshop(4, "");
    build(&workshop, &["--set", "pack.max_tokens=4096"]);
    run(&["pack", &workshop.text("out"), "--set", "max_tokens=8192"], 0);
    build(&workshop, &["--set", "pack.max_tokens=4096", "--set", "seed=5"]);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (0, 4));
}

#[test]
fn a_repetition_is_made_of_the_sample_that_is_delivered_already() {
    let workshop = workshop(5, "repeat = 1");
    build(&workshop, &[]);
    let built = build_is_as_if_from_scratch(&workshop, &["--set", "source.a.repeat=2"]);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (0, 10));
    assert_eq!(built.manifest.total.num_samples, 10);
    build_is_as_if_from_scratch(&workshop, &["--set", "source.a.repeat=1"]);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (0, 5));
}

#[test]
fn annotations_that_changed_are_read_again() {
    let workshop = workshop(3, "");
    build(&workshop, &[]);
    let records = json!([llava("r0", "0.jpg"), llava("r1", "2.jpg")]);
    workshop.write("a.json", serde_json::to_vec(&records).unwrap());
    let built = build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(built.manifest.total.num_samples, 2);
    assert_eq!(delivered(&workshop, "r1"), photo(2, 64, 48));
}

#[test]
fn a_photo_of_the_same_size_in_bytes_and_pixels_is_noticed() {
    let image =
        |level: u8| encode(&image::RgbImage::from_pixel(16, 16, image::Rgb([level, 0, 0])), image::ImageFormat::Png);
    let workshop = workshop(2, "");
    workshop.write("media/1.jpg", image(1));
    build(&workshop, &[]);
    // The same size in bytes and pixels; only the time differs.
    assert_eq!(image(1).len(), image(2).len());
    workshop.write("media/1.jpg", image(2));
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!(delivered(&workshop, "r1"), image(2));
}

/// Gives a file the modification time of another one.
fn copy_time(from: &Path, to: &Path) {
    let modified = fs::metadata(from).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(to).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
}

#[test]
fn photos_that_change_places_are_noticed_although_size_and_time_are_the_same() {
    let image =
        |level: u8| encode(&image::RgbImage::from_pixel(16, 16, image::Rgb([level, 0, 0])), image::ImageFormat::Bmp);
    let workshop = workshop(4, "");
    for n in 0..3 {
        workshop.write(&format!("media/{n}.jpg"), image(n));
        copy_time(&workshop.path("media/3.jpg"), &workshop.path(&format!("media/{n}.jpg")));
    }
    build(&workshop, &[]);
    let before = [delivered(&workshop, "r0"), delivered(&workshop, "r1")];
    fs::rename(workshop.path("media/0.jpg"), workshop.path("kept.jpg")).unwrap();
    fs::rename(workshop.path("media/1.jpg"), workshop.path("media/0.jpg")).unwrap();
    fs::rename(workshop.path("kept.jpg"), workshop.path("media/1.jpg")).unwrap();
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!([delivered(&workshop, "r1"), delivered(&workshop, "r0")], before);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (2, 2));
    // Written over in place, as `cp -p` does.
    workshop.write("media/2.jpg", image(9));
    copy_time(&workshop.path("media/3.jpg"), &workshop.path("media/2.jpg"));
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (1, 3));
}

#[test]
fn folders_that_change_places_are_noticed_although_no_time_of_their_files_differs() {
    let image = |level: u32| {
        let colour = image::Rgb([level as u8, 9, 0]);
        encode(&image::RgbImage::from_pixel(16, 16, colour), image::ImageFormat::Bmp)
    };
    let mut workshop = Workshop::new();
    let name = |folder: u32, number: u32| format!("media/{folder}/{number}.bmp");
    let records: Vec<Value> =
        (0..80).map(|n| llava(&format!("r{n}"), name(n % 2, n / 2).trim_start_matches("media/"))).collect();
    workshop.add_source("a", "llava", &json!(records), "");
    // Written quickly, so that some of those that change places are of one tick of the clock.
    let images: Vec<Vec<u8>> = (0..80).map(image).collect();
    (0..2).for_each(|folder| fs::create_dir_all(workshop.path(&format!("media/{folder}"))).unwrap());
    for n in 0..80 {
        fs::write(workshop.path(&name(n % 2, n / 2)), &images[n as usize]).unwrap();
    }
    for n in 1..80 {
        copy_time(&workshop.path(&name(0, 0)), &workshop.path(&name(n % 2, n / 2)));
    }
    let changed = |folder: u32, number: u32| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(workshop.path(&name(folder, number))).unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let num_equal = (0..40).filter(|&number| changed(0, number) == changed(1, number)).count();
    assert!(num_equal > 0, "a clock that is finer than this test");
    build(&workshop, &[]);
    let before: Vec<Vec<u8>> = (0..2).map(|n| delivered(&workshop, &format!("r{n}"))).collect();
    fs::rename(workshop.path("media/0"), workshop.path("media/kept")).unwrap();
    fs::rename(workshop.path("media/1"), workshop.path("media/0")).unwrap();
    fs::rename(workshop.path("media/kept"), workshop.path("media/1")).unwrap();
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!([delivered(&workshop, "r1"), delivered(&workshop, "r0")], before[..]);
    assert_eq!(work_of(&workshop).num_samples_made, 80);
}

#[test]
fn archives_and_annotations_that_change_places_are_noticed_although_size_and_time_are_the_same() {
    let mut workshop = Workshop::new();
    let image =
        |level: u8| encode(&image::RgbImage::from_pixel(16, 16, image::Rgb([level, 0, 0])), image::ImageFormat::Bmp);
    // Equal in size, and with their members at other places.
    for (archive, names) in [("a.tar", ["0.jpg", "1.jpg"]), ("b.tar", ["1.jpg", "0.jpg"])] {
        let members = names.map(|name| tar_of(&[(name.to_owned(), image(name.as_bytes()[0]))]));
        let first = &members[0][..members[0].len() - 1024];
        workshop.write(archive, [first, &members[1]].concat());
        copy_time(&workshop.path("a.tar"), &workshop.path(archive));
    }
    let records = |first: &str, second: &str| json!([llava("r0", first), llava("r1", second)]).to_string();
    workshop.write("a.json", records("0.jpg", "1.jpg"));
    workshop.write("b.json", records("1.jpg", "0.jpg"));
    copy_time(&workshop.path("a.json"), &workshop.path("b.json"));
    workshop.head.push_str(&format!(
        "[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = {:?}\nmedia = {:?}\n",
        workshop.text("a.json"),
        workshop.text("a.tar"),
    ));
    build(&workshop, &[]);
    let before = [delivered(&workshop, "r0"), delivered(&workshop, "r1")];
    assert_ne!(before[0], before[1]);
    fs::rename(workshop.path("b.tar"), workshop.path("a.tar")).unwrap();
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!([delivered(&workshop, "r0"), delivered(&workshop, "r1")], before);
    fs::rename(workshop.path("b.json"), workshop.path("a.json")).unwrap();
    build_is_as_if_from_scratch(&workshop, &[]);
    assert_eq!([delivered(&workshop, "r1"), delivered(&workshop, "r0")], before);
}

#[test]
fn a_setting_that_changed_makes_only_those_samples_again_that_depend_on_it() {
    let mut workshop = workshop(3, "");
    for n in 0..3 {
        workshop.write(&format!("media/big{n}.jpg"), photo(20 + n, 300, 200));
    }
    let tiled: Vec<Value> = (0..3).map(|n| llava(&format!("t{n}"), &format!("big{n}.jpg"))).collect();
    workshop.add_source("tiled", "llava", &json!(tiled), "visuals = \"tiled\"");
    let text = json!([{ "id": "x", "conversations": [
        { "from": "human", "value": "Who are you?" },
        { "from": "gpt", "value": "A text." },
    ] }]);
    workshop.add_source("text", "llava", &text, "");
    let mut sets: Vec<String> = Vec::new();
    build(&workshop, &[]);
    for (set, num_made) in [
        ("tiles.edge_px=100", 3),
        ("video.max_frames=5", 0),
        ("limits.max_pixels=80000000", 0),
        ("images.quality=70", 6),
        ("source.tiled.missing_placeholders=prepend", 3),
        ("format.tokens_per_image=100", 7),
    ] {
        sets.extend(["--set".to_owned(), set.to_owned()]);
        let arguments: Vec<&str> = sets.iter().map(String::as_str).collect();
        build_is_as_if_from_scratch(&workshop, &arguments);
        let work = work_of(&workshop);
        assert_eq!((work.num_samples_made, work.num_samples_reused), (num_made, 7 - num_made), "{set}");
    }
}

#[test]
fn a_media_root_that_is_another_directory_is_said_to_be_one() {
    let workshop = workshop(2, "");
    build(&workshop, &[]);
    fs::rename(workshop.path("media"), workshop.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", workshop.path("media")).unwrap();
    let text = build(&workshop, &["--explain"]);
    assert!(text.contains("what a setting names is another file or directory"), "{text}");
    assert!(!text.contains("settings changed"), "{text}");
}

#[test]
fn a_build_explains_what_it_makes_again() {
    let workshop = workshop(6, "take = 4");
    let first = build(&workshop, &["--explain"]);
    assert!(first.contains("there is no dataset to reuse samples of"), "{first}");
    workshop.write("media/0.jpg", photo(90, 64, 48));
    let take = ["--explain", "--set", "source.a.take=6"];
    let text = build(&workshop, &take);
    assert!(text.contains("media of 1 record of \"a\" changed and were read again: \"0.jpg\""), "{text}");
    assert!(text.contains("the dataset does not have them"), "{text}");
    workshop.write("media/1.jpg", photo(91, 64, 48));
    let text = build(&workshop, &take);
    let line = text.lines().find(|line| line.contains("their media changed")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("1.jpg") && line.contains("made"), "{line}");
    assert!(text.contains("made:   1 of a (their media changed)"), "{text}");
    let settings = ["--set", "source.a.take=6", "--set", "tiles.edge_px=200", "--set", "source.a.visuals=tiled"];
    let text = build(&workshop, &settings);
    assert!(text.contains("made:   6 of a (settings changed: source.visuals, tiles.edge_px)"), "{text}");
    assert!(build(&workshop, &settings).contains("nothing to do"));
}

#[test]
fn what_an_interrupted_build_finished_is_reused_by_another_plan() {
    let mut workshop = workshop(8, "");
    workshop.head = workshop.head.replace("[format]", "[output]\nmax_shard_samples = 2\n[format]");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let text = stdout(&["plan", &pipeline, "--output", &out, "--json", "--quiet"]);
    let plan: Value = serde_json::from_str(&text).unwrap();
    let directory = plan["plan"].as_str().unwrap();
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 4);
    for task in ["0", "1", "2"] {
        run(&["task", directory, task, "--quiet"], 0);
    }
    let tasks = fs::read_to_string(format!("{directory}/tasks/000000.jsonl")).unwrap();
    let first: Value = serde_json::from_str(tasks.lines().next().unwrap()).unwrap();
    // A photo of a task that is done is replaced; another seed divides the samples otherwise.
    let records = std::path::Path::new(directory).join("records.parquet");
    let records = manyframe_plan::read_records(&records).unwrap();
    let mut rows = records.map(Result::unwrap);
    let replaced = rows.find(|row| first["record_id"] == row.id.to_string()).unwrap().upstream_id;
    workshop.write(&format!("media/{}.jpg", &replaced[1..]), photo(70, 64, 48));
    build_is_as_if_from_scratch(&workshop, &["--set", "seed=9"]);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (3, 5));
    assert_eq!(delivered(&workshop, &replaced), photo(70, 64, 48));
}

#[test]
fn an_interrupted_build_says_what_it_continues() {
    let mut workshop = workshop(4, "");
    workshop.head = workshop.head.replace("[format]", "[output]\nmax_shard_samples = 2\n[format]");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let text = stdout(&["plan", &pipeline, "--output", &out, "--json", "--quiet"]);
    let plan: Value = serde_json::from_str(&text).unwrap();
    run(&["task", plan["plan"].as_str().unwrap(), "1", "--quiet"], 0);
    let text = build(&workshop, &["--explain"]);
    assert!(text.contains("an interrupted build is continued: 1 of 2 tasks are done"), "{text}");
}

#[test]
fn a_stage_that_replays_another_shows_the_photos_that_it_has_now() {
    for format in ["webdataset", "parquet"] {
        let first = workshop(3, "");
        let formats = format!("output.formats=[\"{format}\"]");
        let build_first = || build(&first, &["--set", &formats]);
        build_first();
        let mut second = Workshop::new();
        second.head.push_str(&format!(
            "[[source]]\nname = \"r\"\nkind = \"dataset\"\nfrom = {:?}\nvisuals = \"tiled\"\n",
            first.text("out")
        ));
        build(&second, &[]);
        let tiles = |workshop: &Workshop| {
            let built = Built::read(&workshop.path("out"));
            let mut digests: Vec<_> = built.manifest.shards.iter().map(|shard| shard.digest).collect();
            digests.sort_unstable();
            digests
        };
        let before = tiles(&second);
        assert!(build(&second, &[]).contains("nothing to do"), "{format}");
        // The same text, and an embedded image of another content.
        first.write("media/1.jpg", photo(61, 64, 48));
        build_first();
        build_is_as_if_from_scratch(&second, &[]);
        assert_ne!(tiles(&second), before, "{format}");
    }
}

#[test]
fn a_condition_leaves_samples_as_they_are() {
    let workshop = workshop(4, "where = \"id != 'r1'\"");
    build(&workshop, &[]);
    let built = build_is_as_if_from_scratch(&workshop, &["--set", "source.a.where=\"id != 'r0'\""]);
    assert_eq!(built.manifest.total.num_samples, 3);
    assert_eq!((work_of(&workshop).num_samples_made, work_of(&workshop).num_samples_reused), (1, 2));
}

#[test]
fn many_small_annotation_files_share_index_files_and_a_change_reads_few_of_them() {
    const NUM_FILES: u32 = 400;
    let mut workshop = Workshop::new();
    let write = |workshop: &Workshop, n: u32, answer: &str| {
        let turns = json!([{"from": "human", "value": format!("What is {n}?")}, {"from": "gpt", "value": answer}]);
        let record = json!([{"id": format!("r{n}"), "conversations": turns}]);
        workshop.write(&format!("many/{n:04}.json"), record.to_string());
    };
    (0..NUM_FILES).for_each(|n| write(&workshop, n, &format!("It is {n}.")));
    workshop.add_source_file("a", "text", "many/*.json", "");
    build(&workshop, &[]);
    let num_index_files = || {
        let names = fs::read_dir(workshop.path("out.work/index")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".seal.json")).count()
    };
    let before = num_index_files();
    assert!((2..20).contains(&before), "{before} index files");
    assert_eq!(work_of(&workshop).num_splits_read, u64::from(NUM_FILES));
    write(&workshop, 123, "It was 123.");
    let built = build_is_as_if_from_scratch(&workshop, &[]);
    let order: Vec<String> = built.ledger.iter().map(|row| row.upstream_id.clone()).collect();
    assert_eq!(
        order,
        (0..NUM_FILES).map(|n| format!("r{n}")).collect::<Vec<_>>(),
        "the ledger has the order of the files"
    );
    let work = work_of(&workshop);
    assert_eq!(work.num_splits_read + work.num_splits_reused, u64::from(NUM_FILES));
    assert!((1..=NUM_FILES.into()).contains(&work.num_splits_read) && work.num_splits_reused > 0, "{work:?}");
    assert!((before..=before + 1).contains(&num_index_files()));
    assert_eq!(work.num_samples_made, 1);
}
