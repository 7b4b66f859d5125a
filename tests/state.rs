//! Promise: `diff`, `status` and `clean` say what is there, and change nothing but what `clean` names.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Workshop, contents_below, llava, photo, run, stdout};

fn workshop(ids: &[&str], more: &str) -> Workshop {
    let mut workshop = Workshop::new();
    for id in ids {
        workshop.write(&format!("media/{id}.jpg"), photo(id.len() as u32 + u32::from(id.as_bytes()[0]), 64, 48));
    }
    let records: Vec<Value> = ids.iter().map(|id| llava(id, &format!("{id}.jpg"))).collect();
    workshop.add_source("a", "llava", &json!(records), more);
    workshop
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[arguments, &["--json"]].concat())).unwrap()
}

fn build(workshop: &Workshop, output: &str) -> String {
    let output = workshop.text(output);
    run(&["build", &workshop.pipeline(), "--output", &output, "--accept-rejects", "--quiet"], 0);
    output
}

#[test]
fn diff_says_which_records_came_went_or_changed_and_why() {
    let mut workshop = workshop(&["kept", "edited", "lost", "gone"], "");
    let a = build(&workshop, "a");
    let mut edited = llava("edited", "edited.jpg");
    edited["conversations"][1]["value"] = "Another answer, which is longer than the one before it.".into();
    workshop.write("media/new.jpg", photo(99, 64, 48));
    let records = json!([llava("kept", "kept.jpg"), edited, llava("lost", "lost.jpg"), llava("new", "new.jpg")]);
    workshop.write("a.json", records.to_string());
    fs::remove_file(workshop.path("media/lost.jpg")).unwrap();
    workshop.head = workshop.head.replace("[format]\n", "[format]\nmax_tokens = 5000\n");
    let b = build(&workshop, "b");

    let found = json_of(&["diff", &a, &b]);
    assert_eq!(found["settings"], json!([{ "setting": "format.max_tokens", "a": 40960, "b": 5000 }]));
    let group = |a: &str, b: &str| -> Value {
        let groups = found["records"].as_array().unwrap();
        let mut of_outcome = groups.iter().filter(|group| group["a"] == a && group["b"] == b);
        let group = of_outcome.next().unwrap_or_else(|| panic!("{a} {b}: {groups:?}")).clone();
        assert!(of_outcome.next().is_none());
        group
    };
    assert_eq!(found["records"].as_array().unwrap().len(), 4);
    for (a, b, upstream_id) in [
        ("absent", "delivered", "new"),
        ("delivered", "absent", "gone"),
        ("delivered", "media_missing", "lost"),
        ("delivered", "delivered", "edited"),
    ] {
        let group = group(a, b);
        assert_eq!((&group["num_records"], &group["examples"][0]["upstream_id"]), (&json!(1), &json!(upstream_id)));
    }
    assert_eq!(group("delivered", "delivered")["differs"], json!(["content", "tokens"]));
    let tokens = |side: &str| found[side]["num_tokens"].as_i64().unwrap();
    let differences =
        found["records"].as_array().unwrap().iter().map(|group| group["token_difference"].as_i64().unwrap());
    assert_eq!(differences.sum::<i64>(), tokens("b") - tokens("a"));

    let text = stdout(&["diff", &a, &b]);
    for expected in ["format.max_tokens", "40960", "media missing", "delivered, other text or media, tokens", "lost"] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(stdout(&["diff", &a, &a]).contains("the same dataset"));
}

#[test]
fn diff_shows_records_of_which_only_the_picture_changed() {
    let mut workshop = workshop(&["kept", "replaced", "touched"], "");
    let a = build(&workshop, "a");
    workshop.write("media/replaced.jpg", photo(77, 64, 48));
    workshop.write("media/new.jpg", photo(99, 64, 48));
    let ids = ["kept", "new", "replaced", "touched"];
    let records: Vec<Value> = ids.iter().map(|id| llava(id, &format!("{id}.jpg"))).collect();
    workshop.write("a.json", json!(records).to_string());
    let b = build(&workshop, "b");
    let found = json_of(&["diff", &a, &b]);
    let changed: Vec<&Value> =
        found["records"].as_array().unwrap().iter().filter(|group| group["a"] == group["b"]).collect();
    assert_eq!(changed.len(), 1, "{found}");
    assert_eq!((&changed[0]["differs"], &changed[0]["num_records"]), (&json!(["media"]), &json!(1)));
    assert_eq!(changed[0]["examples"][0]["upstream_id"], "replaced");
    assert_eq!(found["samples"], json!({ "num_compared": 3, "num_shards_not_read": 0 }));
    assert!(stdout(&["diff", &a, &b]).contains("delivered, other media"));

    // Another template: other prompts.
    workshop.head = workshop.head.replace("[format]\n", "[format]\ntemplate = \"vicuna\"\n");
    let c = build(&workshop, "c");
    let found = json_of(&["diff", &b, &c]);
    assert_eq!((&found["records"][0]["differs"][0], &found["samples"]["num_compared"]), (&json!("text"), &json!(4)));

    // What cannot be compared is said.
    let shards = contents_below(&workshop.path("a")).into_iter().filter(|(name, _)| name.contains("/000000."));
    shards.for_each(|(name, _)| fs::remove_file(workshop.path("a").join(name)).unwrap());
    let found = json_of(&["diff", &a, &b]);
    assert_eq!((&found["samples"]["num_compared"], &found["samples"]["num_shards_not_read"]), (&json!(0), &json!(1)));
    let text = stdout(&["diff", &a, &b]);
    let expected = "not compared: text and media of the samples in 1 shard (";
    assert!(text.contains(expected) && text.contains("image/000000"), "{text}");
}

#[test]
fn diff_of_pipeline_files_names_the_settings() {
    let mut workshop = workshop(&["one"], "");
    let a = workshop.write("first.toml", fs::read(workshop.pipeline()).unwrap()).display().to_string();
    workshop.add_source("b", "text", &json!([]), "take = 3");
    let b = workshop.pipeline();
    let found = json_of(&["diff", &a, &b]);
    let names: Vec<&str> =
        found["settings"].as_array().unwrap().iter().map(|one| one["setting"].as_str().unwrap()).collect();
    assert_eq!(names, ["source.b"]);
    assert_eq!(stdout(&["diff", &a, &a]), "no setting differs\n");
    let dataset = build(&workshop, "out");
    assert_eq!(stdout(&["diff", &dataset, &b]), "no setting differs\n");
    run(&["diff", &a, &workshop.text("absent")], 2);
}

#[test]
fn status_says_what_the_next_build_would_do_and_why() {
    let mut workshop = workshop(&["one", "two"], "");
    workshop.head.push_str(&format!("[output]\ndirectory = {:?}\n", workshop.text("out")));
    let pipeline = workshop.pipeline();
    let next = |path: &str| json_of(&["status", path])[0]["next"].clone();
    let text = stdout(&["status", &pipeline]);
    assert!(text.contains("a build would make the dataset") && text.contains("1 of 1 annotation file"), "{text}");
    assert!(!workshop.path("out.work").exists(), "looking makes nothing");

    run(&["plan", &pipeline, "--quiet"], 0);
    assert_eq!(next(&pipeline)["action"], "continue");
    assert!(stdout(&["status", &pipeline]).contains("0 of 1 task done"));
    run(&["build", &pipeline, "--quiet"], 0);
    let out = workshop.text("out");
    for path in [&pipeline, &out, &workshop.text(""), &workshop.text("out.work")] {
        let before = contents_below(&workshop.path("out.work"));
        assert_eq!(next(path)["action"], "nothing", "{path}");
        assert_eq!(before, contents_below(&workshop.path("out.work")), "looking changes nothing");
    }

    run(&["pack", &out, "--set", "max_tokens=4096"], 0);
    for path in [&pipeline, &out] {
        assert_eq!(next(path)["action"], "nothing", "packs of a dataset are not samples: {path}");
    }

    workshop.write("media/two.jpg", photo(7, 80, 60));
    let changed = next(&pipeline);
    assert_eq!((&changed["action"], &changed["changed_media"][0]["example"]), (&json!("build"), &json!("two.jpg")));
    workshop.write("media/two.jpg", photo(7, 80, 60));
    run(&["build", &pipeline, "--quiet"], 0);
    assert_eq!(next(&pipeline)["action"], "nothing");
    let text = stdout(&["status", &pipeline, "--set", "source.a.take=1"]);
    assert!(
        text.contains("source.a.take was not set, is 1") || text.contains("source.a.take was \"all\", is 1"),
        "{text}"
    );

    let lock = fs::File::open(workshop.path("out.work/lock")).unwrap();
    lock.lock().unwrap();
    let text = stdout(&["status", &out]);
    assert!(text.contains(&format!("going on, process {}", std::process::id())), "{text}");
    assert_eq!(next(&out)["action"], "wait");
    lock.unlock().unwrap();
    fs::remove_file(workshop.path("a.json")).unwrap();
    assert!(stdout(&["status", &pipeline]).contains("a build would fail: "));
    assert!(stdout(&["status", &workshop.text("media")]).contains("no dataset, no build and no pipeline file"));
    run(&["status", &workshop.text("absent")], 2);
}

/// A name that a process of this host gives to what it has not finished.
fn unfinished(process: u32) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host: String = host.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!(".x.{host}-{process}-1.tmp")
}

#[test]
fn clean_removes_what_is_left_and_nothing_else() {
    let workshop = workshop(&["one", "two"], "");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    for take in ["2", "1"] {
        let set = format!("source.a.take={take}");
        run(&["plan", &pipeline, "--output", &out, "--set", &set, "--quiet"], 0);
    }
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let dead = unfinished(ended.id());
    for path in [format!("out.work/{dead}"), format!("out.work/index/{dead}"), dead.clone()] {
        workshop.write(&path, [0; 5000]);
    }
    let alive = workshop.write(&format!("out.work/index/{}", unfinished(std::process::id())), "alive");
    let before = contents_below(&workshop.path(""));
    let dry = json_of(&["clean", &out, "--dry-run"]);
    assert_eq!(contents_below(&workshop.path("")), before);
    let number = |kind: &str| dry["leftovers"].as_array().unwrap().iter().filter(|one| one["kind"] == kind).count();
    assert_eq!((number("unfinished"), number("superseded_plan"), number("interrupted_plan")), (3, 1, 0));

    let lock = fs::File::open(workshop.path("out.work/lock")).unwrap();
    lock.lock().unwrap();
    let text = stdout(&["clean", &out]);
    assert!(text.contains("1 leftover removed"), "only what is beside the work directory\n{text}");
    lock.unlock().unwrap();
    drop(lock);
    let text = stdout(&["clean", &out]);
    assert!(text.contains("superseded plan") && text.contains("3 leftovers removed"), "{text}");
    assert!(alive.exists());
    assert_eq!(stdout(&["clean", &out]), "nothing to remove\n");
    assert_eq!(json_of(&["status", &out])[0]["work"]["plans"].as_array().unwrap().len(), 1);
    assert!(stdout(&["clean", &out, "--interrupted"]).contains("interrupted build"));
    assert_eq!(json_of(&["status", &out])[0]["work"]["plans"], json!([]));

    // What an interrupted build has done is of use to the next one, although another plan came after it.
    run(&["plan", &pipeline, "--output", &out, "--quiet"], 0);
    let plan = json_of(&["status", &out])[0]["work"]["plans"][0]["directory"].as_str().unwrap().to_owned();
    run(&["task", &plan, "0", "--quiet"], 0);
    run(&["plan", &pipeline, "--output", &out, "--set", "source.a.take=1", "--quiet"], 0);
    assert_eq!(stdout(&["clean", &out]), "nothing to remove\n");
    assert!(stdout(&["clean", &out, "--interrupted"]).contains("2 leftovers removed"));
    // Nothing that only has such a name is taken for a build's.
    workshop.write("thesis/a.txt", "a");
    workshop.write("thesis.work/plan-2024/a.txt", "a");
    let cleaned = || stdout(&["clean", &workshop.text("")]);
    assert!(!cleaned().contains(&workshop.text("thesis")));
    assert!(workshop.path("thesis.work/plan-2024/a.txt").exists());

    build(&workshop, "out");
    let before = contents_below(&workshop.path("out"));
    // The pipeline file there has its default output in the working directory, which other tests may use.
    assert!(!cleaned().contains(&workshop.text("out")));
    assert_eq!(contents_below(&workshop.path("out")), before);
}
