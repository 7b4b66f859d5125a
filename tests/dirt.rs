//! Promise: bad input costs the record it belongs to, with the right reason, and nothing else; nothing outside a source's
//! roots is ever opened.

use serde_json::{Value, json};

use crate::support::{Built, Workshop, encode, llava, photo, stdout};

fn png(width_px: u32, height_px: u32) -> Vec<u8> {
    encode(&image::RgbImage::from_pixel(width_px, height_px, image::Rgb([9, 99, 199])), image::ImageFormat::Png)
}

/// Builds records of one image each; returns the reason or status of each.
fn outcome_of_images(files: &[(&str, Vec<u8>)]) -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    for (name, bytes) in files {
        workshop.write(&format!("media/{name}"), bytes);
    }
    let records: Vec<Value> = files.iter().map(|(name, _)| llava(name, name)).collect();
    workshop.add_source("a", "llava", &json!(records), "");
    let built = workshop.build();
    built.verify();
    (workshop, built)
}

fn outcome<'a>(built: &'a Built, upstream_id: &str) -> &'a str {
    let row = built.row(upstream_id);
    row.reason.as_deref().unwrap_or_else(|| row.status.as_str())
}

#[test]
fn bad_images_are_rejected_with_their_reason_and_good_ones_delivered() {
    let good = photo(1, 200, 150);
    let mut truncated = photo(2, 200, 150);
    truncated.truncate(truncated.len() * 2 / 3);
    let mut trailing = photo(3, 200, 150);
    trailing.extend(b"some bytes after the end");
    let mut bomb = png(64, 64);
    // The header claims 60,000 × 60,000 pixels, with a right checksum.
    bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    let gif = encode(&image::RgbImage::from_pixel(40, 30, image::Rgb([1, 200, 30])), image::ImageFormat::Gif);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("good.jpg", good, "delivered"),
        ("no extension", photo(4, 90, 60), "delivered"),
        ("gif named.jpg", gif, "delivered"),
        ("trailing.jpg", trailing, "delivered"),
        ("ünïcödé + space.png", png(30, 20), "delivered"),
        ("bmp.bmp", encode(&image::RgbImage::new(12, 9), image::ImageFormat::Bmp), "delivered"),
        ("tiff.tiff", encode(&image::RgbImage::new(13, 9), image::ImageFormat::Tiff), "delivered"),
        ("webp.webp", encode(&image::RgbImage::new(14, 9), image::ImageFormat::WebP), "delivered"),
        ("truncated.jpg", truncated, "media_corrupt"),
        ("empty.jpg", Vec::new(), "media_empty"),
        ("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>".to_vec(), "media_type"),
        ("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".to_vec(), "media_type"),
        ("bomb.png", bomb, "media_too_large"),
        ("thin.png", png(4000, 5), "media_shape"),
        ("tiny.png", png(1, 40), "media_shape"),
    ];
    let files: Vec<(&str, Vec<u8>)> = cases.iter().map(|(name, bytes, _)| (*name, bytes.clone())).collect();
    let (_workshop, built) = outcome_of_images(&files);
    for (name, _, expected) in &cases {
        assert_eq!(outcome(&built, name), *expected, "{name}: {:?}", built.row(name).detail);
    }
}

#[test]
fn images_are_counted_by_how_they_are_delivered() {
    let mut wrong_checksum = png(30, 20);
    let end = wrong_checksum.len() - 12;
    wrong_checksum.splice(end..end, *b"\0\0\0\x03tEXta\0b\0\0\0\0");
    let mut workshop = Workshop::new();
    let gif = encode(&image::RgbImage::from_pixel(40, 30, image::Rgb([1, 200, 30])), image::ImageFormat::Gif);
    let files = [("kept.jpg", photo(1, 90, 60)), ("cleaned.png", wrong_checksum), ("encoded.gif", gif)];
    for (name, bytes) in &files {
        workshop.write(&format!("media/{name}"), bytes);
    }
    let records: Vec<Value> = files.iter().map(|(name, _)| llava(name, name)).collect();
    workshop.add_source("a", "llava", &json!(records), "");
    let text = stdout(&["build", &workshop.pipeline(), "--output", &workshop.text("out"), "--quiet"]);
    assert!(text.contains("images: 1 delivered byte for byte, 1 cleaned, 1 encoded"), "{text}");
    let facts: Value = serde_json::from_slice(&std::fs::read(workshop.path("out/build.json")).unwrap()).unwrap();
    assert_eq!(facts["work"]["images"], json!({ "num_unchanged": 1, "num_cleaned": 1, "num_encoded": 1 }));
    Built::read(&workshop.path("out")).verify();
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[test]
fn tricks_with_paths_open_nothing_outside_of_the_roots() {
    let mut workshop = Workshop::new();
    workshop.write("secret/secret.jpg", photo(1, 50, 40));
    workshop.write("media/inside/ok.jpg", photo(2, 50, 40));
    std::os::unix::fs::symlink(workshop.path("secret"), workshop.path("media/link")).unwrap();
    std::os::unix::fs::symlink(workshop.path("secret/secret.jpg"), workshop.path("media/link.jpg")).unwrap();
    std::os::unix::fs::symlink(workshop.path("media/inside/ok.jpg"), workshop.path("media/fine.jpg")).unwrap();
    let absolute = workshop.text("secret/secret.jpg");
    let unsafe_paths = [
        "../secret/secret.jpg",
        "inside/../../secret/secret.jpg",
        absolute.as_str(),
        "link/secret.jpg",
        "link.jpg",
        "..\\secret\\secret.jpg",
        "%2e%2e/secret/secret.jpg",
        "s3://bucket/x.jpg",
        "file:///etc/passwd",
        "/mnt/petrelfs/someone/x.jpg",
        "inside/\u{0}ok.jpg",
    ];
    let mut records: Vec<Value> = unsafe_paths.iter().map(|path| llava(path, path)).collect();
    records.extend(["./inside//ok.jpg", "fine.jpg"].map(|path| llava(path, path)));
    workshop.add_source("a", "llava", &json!(records), "");
    workshop.head.push_str("[duplicates]\nremove = \"nothing\"\n");
    let built = workshop.build();
    for path in unsafe_paths {
        let outcome = outcome(&built, path);
        assert!(outcome == "unsafe_path" || outcome == "media_missing", "{path}: {outcome}");
    }
    for path in ["./inside//ok.jpg", "fine.jpg"] {
        assert_eq!(outcome(&built, path), "delivered", "{path}");
    }
    assert!(built.row("link.jpg").detail.as_deref().unwrap().contains("`links`"), "it says which setting allows it");
    let links = format!("source.a.links={:?}", workshop.text("secret"));
    let built = workshop.build_with(&["--set", &links], 0);
    for path in unsafe_paths {
        let is_delivered = outcome(&built, path) == "delivered";
        assert_eq!(is_delivered, path.starts_with("link"), "{path}");
    }
}

#[test]
fn members_of_zips_are_read_in_place_and_never_unpacked() {
    let mut workshop = Workshop::new();
    let mut zip = zip_with(&[("top/a.jpg", photo(1, 60, 40)), ("../evil.jpg", photo(2, 60, 40))]);
    workshop.write("images.zip", &zip);
    // A flipped byte inside of a member is found by its checksum.
    let at = zip.len() / 3;
    zip[at] ^= 0x55;
    workshop.write("damaged.zip", &zip);
    let records = json!([
        llava("direct", "top/a.jpg"),
        llava("flattened", "a.jpg"),
        llava("evil", "../evil.jpg"),
        llava("none", "b.jpg")
    ]);
    workshop.write("z.json", serde_json::to_vec(&records).unwrap());
    let source = format!(
        "[duplicates]\nremove = \"nothing\"\n[[source]]\nname = \"z\"\nkind = \"llava\"\nannotations = {:?}\nmedia = {:?}\n",
        workshop.text("z.json"),
        workshop.text("images.zip"),
    );
    workshop.head.push_str(&source);
    let built = workshop.build();
    assert_eq!(outcome(&built, "direct"), "delivered");
    assert_eq!(outcome(&built, "flattened"), "delivered");
    assert_eq!(outcome(&built, "evil"), "unsafe_path");
    assert_eq!(outcome(&built, "none"), "media_missing");
    assert!(!workshop.path("evil.jpg").exists());
    let built = workshop.build_with(&["--set", &format!("source.z.media={:?}", workshop.text("damaged.zip"))], 0);
    assert_eq!(outcome(&built, "direct"), "media_corrupt");
}

/// A zip of stored members.
pub(crate) fn zip_with(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = bytes.len() as u32;
        let mut common = Vec::new();
        common.extend(20_u16.to_le_bytes());
        common.extend([0; 8]);
        common.extend(crc32(content).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, size, number) = (bytes.len() as u32, directory.len() as u32, members.len() as u16);
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(number.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

#[test]
fn archives_without_random_access_are_refused_with_advice() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "llava", &json!([llava("r", "x.jpg")]), "");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    for (name, content, advice) in [
        ("videos.tar.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec(), "tar"),
        ("split.zip", b"PK\x07\x08PK\x03\x04".to_vec(), "zip"),
    ] {
        workshop.write(name, content);
        if name == "split.zip" {
            workshop.write("split.z01", b"PK\x07\x08");
        }
        let set = format!("source.a.media={:?}", workshop.text(name));
        let output = crate::support::run(&["plan", &pipeline, "--output", &out, "--set", &set, "--quiet"], 2);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(name) && stderr.contains(advice), "{stderr}");
    }
}

#[test]
fn broken_records_cost_themselves_only() {
    let mut workshop = Workshop::new();
    for number in 0..4 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 50, 40));
    }
    let good = |n: u32| serde_json::to_string(&llava(&format!("r{n}"), &format!("{n}.jpg"))).unwrap();
    let array = format!(
        "[\n  {},\n  {},\n  {{\"id\": \"broken\", \"image\": \"1.jpg\", \"conversations\": [{{\"from\": \"human\", \"value\": \"raw\nnewline\"}}]}},\n  {}\n]",
        good(0),
        good(1),
        good(2)
    );
    workshop.write("array.json", array);
    workshop.write("lines.json", format!("{}\nnot json at all\n{}\n{{\"id\": 7", good(0), good(3)));
    workshop.add_source_file("array", "llava", "array.json", "");
    workshop.add_source_file("lines", "llava", "lines.json", "");
    workshop.head.push_str("[duplicates]\nremove = \"nothing\"\n");
    let built = workshop.build();
    let of = |source: &str| {
        let rows = built.ledger.iter().filter(|row| row.source == source);
        rows.map(|row| (row.reason.clone().unwrap_or("delivered".into()), line_of(row))).collect::<Vec<_>>()
    };
    let row = |reason: &str, line: u64| (reason.to_owned(), Some(line));
    let array = of("array");
    assert_eq!(array.iter().filter(|(reason, _)| reason == "delivered").count(), 3, "{array:?}");
    assert_eq!(array[2], row("malformed_record", 4));
    let lines = of("lines");
    assert_eq!(
        lines,
        [row("delivered", 1), row("malformed_record", 2), row("delivered", 3), row("incomplete_file", 4)]
    );
}

#[test]
fn a_file_that_is_no_list_of_records_stops_the_build_with_advice() {
    for (content, expected) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git"),
        ("<!DOCTYPE html><html></html>", "HTML"),
        ("", "empty"),
    ] {
        let mut workshop = Workshop::new();
        workshop.write("a.json", content);
        workshop.add_source_file("a", "llava", "a.json", "");
        let output =
            crate::support::run(&["plan", &workshop.pipeline(), "--output", &workshop.text("out"), "--quiet"], 2);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("a.json") && stderr.to_lowercase().contains(&expected.to_lowercase()), "{stderr}");
    }
}

#[test]
fn the_same_picture_and_text_under_another_name_is_a_duplicate_of_the_earlier_source() {
    let mut workshop = Workshop::new();
    let picture = photo(1, 50, 40);
    workshop.write("media/one.jpg", &picture);
    workshop.write("media/coco/other.jpg", &picture);
    workshop.write("media/different.jpg", photo(2, 50, 40));
    let record = |id: &str, image: &str| {
        let mut record = llava("same", image);
        record["id"] = json!(id);
        record
    };
    workshop.add_source("first", "llava", &json!([record("kept", "one.jpg"), record("unlike", "different.jpg")]), "");
    workshop.add_source("second", "sharegpt4v", &json!([record("copy", "coco/other.jpg")]), "");
    let built = workshop.build();
    assert_eq!(outcome(&built, "copy"), "duplicate");
    assert_eq!(built.row("copy").duplicate_of, Some(built.row("kept").id));
    assert_eq!(outcome(&built, "kept"), "delivered");
    assert_eq!(outcome(&built, "unlike"), "delivered");
    let all = workshop.build_with(&["--set", "duplicates.remove=nothing"], 0);
    assert_eq!(all.manifest.total.num_samples, 3);
}

#[test]
fn a_record_that_is_listed_twice_is_a_duplicate_or_gets_an_id_of_its_own() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 50, 40));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg"), llava("r", "1.jpg")]), "");
    assert_eq!(workshop.build().outcomes(), [("delivered".to_owned(), 1), ("duplicate".to_owned(), 1)].into());
    let both = workshop.build_with(&["--set", "duplicates.remove=nothing"], 0);
    both.verify();
    assert_eq!(both.manifest.total.num_samples, 2);
    assert_ne!(both.ledger[0].id, both.ledger[1].id);
}

#[test]
fn tags_in_text_stay_text_and_are_never_counted() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 50, 40));
    let hostile = "Explain <image>, </s>, <|endoftext|>, <|startoftext|><|User|> and [INST] <img><vid><t>.";
    let records = json!([
        { "id": "text", "conversations": [{ "from": "human", "value": hostile }, { "from": "gpt", "value": hostile.replace("Explain", "They are") }] },
        { "id": "image", "image": "1.jpg", "conversations": [{ "from": "human", "value": "<image>\nWhat does <img> or <|endoftext|> mean here?" }, { "from": "gpt", "value": "Nothing." }] },
    ]);
    workshop.add_source("a", "llava", &records, "");
    let built = workshop.build();
    built.verify();
    assert_eq!(built.outcomes(), [("delivered".to_owned(), 2)].into());
    assert_eq!(built.row("text").measured.unwrap().0.num_images, 0);
    let sample = built.sample("text");
    let said = sample["conversations"][0]["value"].as_str().unwrap();
    assert!(!said.contains("<image>") && said.contains("<IMAGE>") && said.contains("<img><vid><t>"), "{said}");
    assert_eq!(sample["prompt"].as_str().unwrap().matches("<|endoftext|>").count(), 1);
}

#[test]
fn a_build_goes_on_past_an_image_that_appears_later() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 50, 40));
    workshop.add_source("a", "llava", &json!([llava("r1", "1.jpg"), llava("r2", "2.jpg")]), "");
    assert_eq!(workshop.build().manifest.total.num_samples, 1);
    workshop.write("media/2.jpg", photo(2, 50, 40));
    // Another seed is another plan: the missing image is looked for again although the index is kept.
    assert_eq!(workshop.build_with(&["--set", "seed=4"], 0).manifest.total.num_samples, 2);
}

fn line_of(row: &manyframe_dataset::LedgerRow) -> Option<u64> {
    if let manyframe_core::Position::Bytes { line, .. } = row.origin.position { Some(line) } else { None }
}
