//! Promise: an uploaded dataset is whole, whatever interrupts the upload, and is read, downloaded and packed where it is.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, contents_below, llava, photo, run, stdout};
use crate::web::WebServer;

/// A dataset of pictures in `out`, in both formats.
fn build(workshop: &mut Workshop, num_pictures: u32) -> Built {
    let records: Vec<Value> = (0..num_pictures)
        .map(|number| {
            workshop.write(&format!("media/{number}.jpg"), photo(number, 320, 240));
            llava(&number.to_string(), &format!("{number}.jpg"))
        })
        .collect();
    workshop.head.push_str("[output]\nformats = [\"webdataset\", \"parquet\"]\n[pack]\nmax_tokens = 2048\n");
    workshop.add_source("pictures", "llava", &json!(records), "");
    workshop.build()
}

fn upload(workshop: &Workshop, to: &str, more: &[&str], code: i32) -> (String, String) {
    let (out, to) = (workshop.text("out"), workshop.text(to));
    let output = run(&[&["upload", &out, &to], more].concat(), code);
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_dataset_is_uploaded_read_there_and_downloaded() {
    let mut workshop = Workshop::new();
    let built = build(&mut workshop, 5);
    let (text, _) = upload(&workshop, "remote", &["--dry-run"], 0);
    assert!(text.starts_with("new") && text.contains("would upload"), "{text}");
    assert!(!workshop.path("remote").exists());
    upload(&workshop, "remote", &[], 0);
    assert_eq!(contents_below(&workshop.path("remote")), contents_below(&built.dataset));
    let remote = workshop.text("remote");
    run(&["verify", &remote, "--quiet"], 0);
    let (down, again) = (workshop.text("down"), json_of(&upload(&workshop, "remote", &["--json"], 0).0));
    assert_eq!((&again["num_parts"], &again["survey"]["has_manifest"]), (&json!(0), &json!(true)));
    assert!(stdout(&["download", &remote, &down]).contains("the dataset: "));
    assert_eq!(contents_below(&workshop.path("down")), contents_below(&built.dataset));
    let (_, first) = &contents_below(&workshop.path("down"))[0];
    // A file that was damaged is fetched again; the others are compared only.
    let ledger = workshop.path("down/ledger.parquet");
    fs::write(&ledger, first).unwrap();
    assert!(stdout(&["download", &remote, &down]).contains("there already"));
    assert_eq!(contents_below(&workshop.path("down")), contents_below(&built.dataset));
}

#[test]
fn a_change_sends_what_changed_and_removes_what_is_left() {
    let mut workshop = Workshop::new();
    build(&mut workshop, 5);
    upload(&workshop, "remote", &[], 0);
    workshop.write("remote/mine.txt", "not of the dataset");
    workshop.head = workshop.head.replace("max_tokens = 2048", "max_tokens = 800");
    let changed = workshop.build();
    let plan = json_of(&upload(&workshop, "remote", &["--dry-run", "--json"], 0).0);
    let new: Vec<&str> = plan["new"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(new.iter().all(|path| path.starts_with("pack-")) && new.len() == 1, "{plan}");
    assert_eq!(plan["removable"].as_array().unwrap().len(), 1, "{plan}");
    let old = workshop.path("remote").join(plan["removable"][0].as_str().unwrap());
    upload(&workshop, "remote", &[], 0);
    assert!(old.exists());
    // Nothing names it any more: it is removed only together with the manifest that did.
    workshop.head = workshop.head.replace("max_tokens = 800", "max_tokens = 400");
    let changed = workshop.build_with(&[], 0).manifest.pack.map(|pack| pack.path).zip(changed.manifest.pack);
    let (new, before) = changed.map(|(new, before)| (new, before.path)).unwrap();
    let done = json_of(&upload(&workshop, "remote", &["--delete", "--json"], 0).0);
    assert_eq!(done["num_removed"], 1);
    let left = |name: &str| workshop.path("remote").join(name).exists();
    assert!(left(&new) && !left(&before) && left("mine.txt") && !left("upload.json"));
}

#[test]
fn a_damaged_shard_is_named_and_no_manifest_is_written() {
    let mut workshop = Workshop::new();
    let built = build(&mut workshop, 3);
    let shard = workshop.path("out/webdataset/image/000000.tar");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[2000] ^= 1;
    fs::write(&shard, &bytes).unwrap();
    let (_, error) = upload(&workshop, "remote", &[], 2);
    assert!(error.contains("000000.tar") && error.contains("digest"), "{error}");
    assert!(!workshop.path("remote/manifest.json").exists());
    bytes[2000] ^= 1;
    fs::write(&shard, &bytes[..bytes.len() - 512]).unwrap();
    assert!(upload(&workshop, "remote", &[], 2).1.contains("000000.tar"));
    fs::write(&shard, &bytes).unwrap();
    workshop.write("out/webdataset/image/000007.tar", "stray");
    assert!(upload(&workshop, "remote", &[], 2).1.contains("not in the manifest"));
    fs::remove_file(workshop.path("out/webdataset/image/000007.tar")).unwrap();
    // The same upload goes on.
    upload(&workshop, "remote", &[], 0);
    assert_eq!(contents_below(&workshop.path("remote")), contents_below(&built.dataset));
}

#[test]
fn two_datasets_are_not_uploaded_to_one_place_at_the_same_time() {
    let mut workshop = Workshop::new();
    build(&mut workshop, 3);
    let other = format!("{{\"name\":\"other\",\"manifest\":\"{}\"}}", "0".repeat(64));
    workshop.write("remote/upload.json", &other);
    let (_, error) = upload(&workshop, "remote", &[], 2);
    assert!(error.contains("\"other\"") && error.contains("--take-over"), "{error}");
    upload(&workshop, "remote", &["--take-over"], 0);
    // A dataset of another name is replaced only if that is wanted.
    workshop.head = workshop.head.replace("name = \"t\"", "name = \"u\"");
    workshop.build_with(&["--replace"], 0);
    let (_, error) = upload(&workshop, "remote", &[], 2);
    assert!(error.contains("\"t\"") && error.contains("--replace"), "{error}");
    assert!(!workshop.path("remote/upload.json").exists());
    upload(&workshop, "remote", &["--replace"], 0);
    run(&["verify", &workshop.text("remote"), "--quiet"], 0);
}

#[test]
fn a_dataset_under_digests_does_not_disturb_readers_of_the_one_before() {
    let mut workshop = Workshop::new();
    let built = build(&mut workshop, 4);
    let content = ["--names", "content"];
    upload(&workshop, "remote", &content, 0);
    let remote = workshop.text("remote");
    let objects = || contents_below(&workshop.path("remote/objects"));
    let before = objects();
    assert!(before.iter().all(|(name, _)| name.len() > 64) && before.len() == built.manifest.shards.len() + 2);
    run(&["verify", &remote, "--quiet"], 0);
    run(&["download", &remote, &workshop.text("down")], 0);
    assert_eq!(contents_below(&workshop.path("down")), contents_below(&built.dataset));
    assert!(upload(&workshop, "remote", &[], 2).1.contains("--names"));
    // Another dataset replaces no file, and packs are made there as anywhere.
    workshop.write("media/0.jpg", photo(77, 320, 240));
    workshop.build();
    upload(&workshop, "remote", &content, 0);
    let both = objects();
    assert!(before.iter().all(|file| both.contains(file)) && both.len() > before.len());
    run(&["verify", &remote, "--quiet"], 0);
    run(&["pack", &remote, "--set", "max_tokens=400"], 0);
    run(&["verify", &remote, "--quiet"], 0);
    upload(&workshop, "remote", &[&content[..], &["--delete"]].concat(), 0);
    run(&["verify", &remote, "--quiet"], 0);
    // What only the packs that were made there needed is removed; of the first dataset, nothing says so any more.
    assert_eq!(objects(), both);
}

#[test]
fn a_node_downloads_the_shards_that_it_trains_on() {
    let mut workshop = Workshop::new();
    workshop.head.push_str("[output]\nmax_shard_samples = 1\n");
    let records: Vec<Value> = (0..5)
        .map(|number| {
            workshop.write(&format!("media/{number}.jpg"), photo(number, 64, 48));
            llava(&number.to_string(), &format!("{number}.jpg"))
        })
        .collect();
    workshop.add_source("pictures", "llava", &json!(records), "");
    let built = workshop.build();
    let out = built.dataset.display().to_string();
    let download = |name: &str, more: &[&str]| -> Vec<String> {
        run(&[&["download", &out, &workshop.text(name)], more].concat(), 0);
        contents_below(&workshop.path(name)).into_iter().map(|(path, _)| path).collect()
    };
    let shard = |number: u32| format!("webdataset/image/{number:06}.tar");
    assert_eq!(download("first", &["--shards", "0..2"]), [shard(0), shard(1)]);
    assert_eq!(download("rank", &["--rank", "1/2"]), [shard(1), shard(3)]);
    assert_eq!(download("both", &["--only-layout", "image", "--shards", "1..4", "--rank", "0/2"]), [shard(2)]);
    let none = run(&["download", &out, &workshop.text("none"), "--only-layout", "text"], 2);
    assert!(String::from_utf8_lossy(&none.stderr).contains("the dataset has image/000000"));
    // What else is in the directory is read by whoever reads all of its files.
    let said = |name: &str, more: &[&str], code: i32| {
        let output = run(&[&["download", &out, &workshop.text(name)], more].concat(), code);
        String::from_utf8(output.stderr).unwrap()
    };
    let others = said("rank", &["--rank", "0/2"], 0);
    assert!(
        others.contains("shards that were not chosen are there, too") && others.contains("num_files=2"),
        "{others}"
    );
    assert!(!said("rank", &[], 0).contains("not chosen"));
    workshop.write("first/webdataset/image/000007.tar", b"of an older dataset");
    for more in [&["--shards", "0..2"][..], &[]] {
        let other = said("first", more, 2);
        assert!(other.contains("000007.tar\" is no shard of this dataset"), "{other}");
    }
    assert!(!workshop.path("first/manifest.json").exists());
    assert!(said("out/copy", &[], 2).contains("is inside of the dataset or work directory"));
    assert!(!workshop.path("out/copy").exists());
}

#[test]
fn a_dataset_on_a_web_server_is_read_and_downloaded() {
    let mut workshop = Workshop::new();
    let built = build(&mut workshop, 4);
    let url = WebServer::of(workshop.path("out")).address;
    assert!(stdout(&["inspect", &url]).contains("parquet/image/000000.parquet"));
    assert!(stdout(&["inspect", &url, "2"]).contains("⟦Waves, in picture 2."));
    assert!(stdout(&["why", &url, "2"]).contains("delivered in shard image/000000"));
    run(&["export", &url, "--format", "llava_json", "--output", &workshop.text("exported"), "--quiet"], 0);
    run(&["download", &url, &workshop.text("down")], 0);
    assert_eq!(contents_below(&workshop.path("down")), contents_below(&built.dataset));
    // Nobody knows what else is there.
    let verified = String::from_utf8(run(&["verify", &url, "--quiet", "--partial"], 0).stdout).unwrap();
    assert!(verified.contains("not checked: files that the manifest does not name"), "{verified}");
    let error = run(&["pack", &url, "--set", "max_tokens=400"], 2).stderr;
    assert!(String::from_utf8_lossy(&error).contains("only be read"));
}

#[test]
fn a_url_that_cannot_be_opened_is_a_usage_error() {
    let mut workshop = Workshop::new();
    build(&mut workshop, 1);
    let out = workshop.text("out");
    for (url, expected) in [("ftp://host/a", "s3://"), ("https://me:hush@host/a", "environment")] {
        let output = run(&["upload", &out, url], 2);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
    let error = run(&["upload", &out, "http://127.0.0.1:9/a"], 2);
    assert!(String::from_utf8_lossy(&error.stderr).contains("only be read"));
}
