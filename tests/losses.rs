//! Promise: what is lost is said with its reasons, and more of it than the file allows keeps a dataset from being published; a
//! good dataset is never replaced by a worse one unnoticed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, manyframe, photo, run, stdout};

/// A source of this many good records, and a good dataset of them.
fn good(num_records: u32) -> (Workshop, Vec<Value>, Built) {
    let mut workshop = Workshop::new();
    let records: Vec<Value> = (0..num_records).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    for number in 0..num_records {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 40, 30));
    }
    workshop.add_source("a", "llava", &json!(records), "");
    workshop.run_build(&[], 0);
    let built = Built::read(&workshop.path("out"));
    assert_eq!(built.manifest.total.num_samples, u64::from(num_records));
    (workshop, records, built)
}

fn text_of(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The build ends with 3, says all of this, and leaves the dataset as it is.
fn check_refused(workshop: &Workshop, before: &Built, more: &[&str], said: &[&str]) -> String {
    let text = text_of(&workshop.run_build(more, 3));
    for part in said {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(Built::read(&workshop.path("out")).manifest, before.manifest, "the dataset was replaced");
    text
}

/// The command that a table of rejects shows, split into its words.
fn why_command(text: &str) -> Vec<String> {
    let at = text.find("manyframe why ").unwrap_or_else(|| panic!("no command in\n{text}"));
    text[at..].lines().next().unwrap().split_whitespace().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_wrong_media_directory_keeps_the_good_dataset_and_says_why() {
    let (workshop, _, before) = good(4);
    let elsewhere = format!("source.a.media={:?}", workshop.path("elsewhere"));
    fs::create_dir(workshop.path("elsewhere")).unwrap();
    let said = ["source a: it delivers none of its 4 records", "the dataset has no samples", "media_missing"];
    let text = check_refused(&workshop, &before, &["--set", &elsewhere], &said);
    let why = why_command(&text);
    let why = stdout(&why.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(why.contains("rejected: media_missing"), "{why}");

    // A forgotten setting: no media at all.
    check_refused(&workshop, &before, &["--set", "source.a.media=[]"], &said);
}

#[test]
fn a_source_over_its_budget_stays_staged_until_its_rejects_are_accepted() {
    let (workshop, mut records, before) = good(19);
    records.extend([llava("gone", "gone.jpg"), llava("lost", "lost.jpg")]);
    workshop.write("a.json", json!(records).to_string());
    let said = ["source a: 2 of 21 records are rejected (9.52 %), max_rejects allows 5 %", "--accept-rejects"];
    check_refused(&workshop, &before, &[], &said);
    let staged = fs::read_dir(workshop.path("out.work")).unwrap().map(|entry| entry.unwrap().path());
    let staged = staged.map(|path| path.join("dataset")).find(|path| path.is_dir()).unwrap();
    assert_eq!(Built::read(&staged).manifest.total.num_samples, 19);
    let shards = workshop.path("out.work").read_dir().unwrap().count();

    // The same again is refused again, without a task.
    check_refused(&workshop, &before, &[], &said);
    let text = text_of(&workshop.run_build(&["--accept-rejects"], 0));
    assert!(text.contains("media_missing"), "{text}");
    assert_eq!(workshop.path("out.work").read_dir().unwrap().count(), shards - 1, "the plan is done");
    assert_eq!(Built::read(&workshop.path("out")).manifest.sources[0].num_rejected(), 2);
    assert!(text_of(&workshop.run_build(&[], 0)).contains("nothing to do"), "what was accepted stays accepted");
    let inspected = stdout(&["inspect", &workshop.text("out")]);
    assert!(inspected.contains("media_missing") && inspected.contains("manyframe why"), "{inspected}");
}

#[test]
fn a_file_may_allow_more_or_less_than_the_default() {
    let (workshop, mut records, before) = good(19);
    records.push(llava("gone", "gone.jpg"));
    workshop.write("a.json", json!(records).to_string());
    check_refused(&workshop, &before, &["--set", "source.a.max_rejects=\"1 %\""], &["max_rejects allows 1 %"]);
    workshop.run_build(&[], 0);
    workshop.write("a.json", json!(&records[18..]).to_string());
    workshop.run_build(&["--set", "source.a.max_rejects=0.5"], 0);
}

#[test]
fn a_share_that_is_raised_afterwards_publishes_without_any_work() {
    let (workshop, mut records, before) = good(6);
    records.push(llava("gone", "gone.jpg"));
    workshop.write("a.json", json!(records).to_string());
    // Its damage is found while it is decoded.
    let cut = photo(7, 40, 30);
    workshop.write("media/3.jpg", &cut[..cut.len() - 40]);
    check_refused(&workshop, &before, &[], &["2 of 7 records are rejected"]);
    let staged = fs::read_dir(workshop.path("out.work")).unwrap().map(|entry| entry.unwrap().path().join("dataset"));
    let staged = Built::read(&staged.into_iter().find(|path| path.is_dir()).unwrap());
    let shard = |built: &Built| built.dataset.join(built.manifest.shards[0].path.to_string());
    let inode = fs::metadata(shard(&staged)).unwrap().ino();
    check_refused(&workshop, &before, &["--set", "source.a.max_rejects=\"20 %\""], &["max_rejects allows 20 %"]);
    let raised = ["--set", "source.a.max_rejects=\"30 %\""];
    workshop.run_build(&raised, 0);
    let published = before_of(&workshop);
    assert_eq!(fs::metadata(shard(&published)).unwrap().ino(), inode, "a shard was written again");
    assert_eq!(published.manifest.sources[0].max_rejects, Some(0.3));
    published.verify();
    assert!(text_of(&workshop.run_build(&raised, 0)).contains("nothing to do"));
    check_refused(&workshop, &published, &[], &["max_rejects allows 5 %"]);
}

#[test]
fn neither_repetitions_nor_records_that_are_left_out_make_a_loss_smaller() {
    let (workshop, mut records, before) = good(10);
    for number in 0..4 {
        fs::remove_file(workshop.path(&format!("media/{number}.jpg"))).unwrap();
    }
    let said = ["4 of 10 records are rejected (40.00 %)"];
    check_refused(&workshop, &before, &["--set", "source.a.repeat=20.0"], &said);
    for record in &mut records {
        record["use"] = json!(1);
    }
    records.extend((0..200).map(|n| llava(&format!("other{n}"), "9.jpg")));
    workshop.write("a.json", json!(records).to_string());
    check_refused(&workshop, &before, &["--set", "source.a.where=\"use == 1\""], &said);

    // Found while decoding, in each of its repetitions.
    for number in 0..4 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 40, 30));
    }
    let cut = photo(7, 40, 30);
    workshop.write("media/7.jpg", &cut[..cut.len() - 40]);
    workshop.write("a.json", json!(&records[..10]).to_string());
    check_refused(&workshop, &before, &["--set", "source.a.repeat=3.0"], &["1 of 10 records is rejected (10.00 %)"]);
    let built = workshop.build_with(&["--set", "source.a.repeat=3.0"], 0);
    let budget = &built.manifest.sources[0].budget;
    assert_eq!((built.manifest.sources[0].num_rejected(), budget.num_rejected_repeats), (3, 2));
    built.verify();
    // An earlier version did not count them: nothing is wrong with its dataset. A number that it states is compared.
    let path = built.dataset.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["manyframe_version"] = json!("0.0.9");
    let facts = built.dataset.join("build.json");
    let mut older: Value = serde_json::from_slice(&fs::read(&facts).unwrap()).unwrap();
    older["manyframe_version"] = json!("0.0.9");
    fs::write(&facts, older.to_string()).unwrap();
    let mut verified = |repeats: Option<u64>, code: i32| {
        manifest["sources"][0].as_object_mut().unwrap().remove("num_rejected_repeats");
        if let Some(number) = repeats {
            manifest["sources"][0]["num_rejected_repeats"] = json!(number);
        }
        fs::write(&path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
        let output = run(&["verify", &built.dataset.display().to_string(), "--partial", "--quiet"], code);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!verified(None, 0).contains("problem"));
    assert!(verified(Some(1), 1).contains("num_rejected_repeats"));
}

#[test]
fn what_decoding_loses_of_a_small_draw_counts_against_the_draw() {
    let (mut workshop, mut records, _) = good(4);
    let mut cut = photo(9, 40, 30);
    cut.truncate(cut.len() - 40);
    for number in 0..96 {
        workshop.write(&format!("media/more{number}.jpg"), photo(100 + number, 40, 30));
        records.push(llava(&format!("more{number}"), &format!("more{number}.jpg")));
    }
    workshop.write("a.json", json!(records).to_string());
    let built = workshop.build_with(&["--set", "source.a.take=4"], 0);
    let drawn = built.ledger.iter().find(|row| row.shard.is_some()).unwrap().upstream_id.clone();
    let image = records.iter().find(|record| record["id"] == drawn.as_str()).unwrap()["image"].as_str().unwrap();
    workshop.write(&format!("media/{image}"), cut);
    workshop.head = workshop.head.replace("name = \"t\"", "name = \"t2\"");
    let text = text_of(&workshop.run_build(&["--set", "source.a.take=4", "--fresh", "--replace"], 3));
    assert!(text.contains("1 of 4 samples drawn is rejected while decoding (25.00 %)"), "{text}");
}

#[test]
fn an_annotation_file_that_was_cut_is_incomplete_however_much_of_it_is_left() {
    let (workshop, records, before) = good(12);
    let layouts = [
        serde_json::to_string_pretty(&records).unwrap(),
        json!(records).to_string(),
        records.iter().map(|record| record.to_string() + "\n").collect::<String>(),
        records.iter().map(|record| serde_json::to_string_pretty(record).unwrap() + "\n").collect(),
        json!({ "version": 1, "data": records, "info": { "year": 2023 } }).to_string(),
    ];
    for whole in layouts {
        workshop.write("a.json", &whole);
        workshop.run_build(&[], 0);
        for num_bytes in [whole.len() / 2, whole.len() - 30] {
            workshop.write("a.json", &whole.as_bytes()[..num_bytes]);
            check_refused(
                &workshop,
                &before_of(&workshop),
                &[],
                &["source a: an annotation file is incomplete", "incomplete_file"],
            );
        }
    }
    assert_eq!(before_of(&workshop).manifest.total, before.manifest.total);
}

#[test]
fn a_table_that_is_cut_within_a_line_is_incomplete_or_said() {
    let mut workshop = Workshop::new();
    let mut table = "image,caption\n".to_owned();
    for number in 0..40 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 40, 30));
        table.push_str(&format!("{number}.jpg,A long caption of picture {number}.\n"));
    }
    workshop.write("a.csv", &table);
    workshop.add_source_file("a", "auto", "a.csv", "");
    workshop.run_build(&[], 0);
    let before = before_of(&workshop);
    let line = table.find("\n30.jpg").unwrap() + 1;
    workshop.write("a.csv", &table[..line + 4]);
    check_refused(&workshop, &before, &[], &["an annotation file is incomplete"]);
    // Nobody can tell whether the last field is whole.
    workshop.write("a.csv", &table[..line + 15]);
    let text = text_of(&workshop.run_build(&[], 0));
    assert!(text.contains("ends without a line end") && text.contains("a.csv"), "{text}");
    workshop.write("a.csv", &table[..line]);
    let text = text_of(&workshop.run_build(&[], 0));
    assert!(!text.contains("ends without a line end"), "{text}");
}

fn before_of(workshop: &Workshop) -> Built {
    Built::read(&workshop.path("out"))
}

#[test]
fn a_list_within_an_object_is_read_if_it_is_the_only_one() {
    let (workshop, records, before) = good(3);
    for whole in [
        json!({ "version": 1, "data": records }),
        json!({ "info": { "licenses": [{ "id": 1 }] }, "annotations": records, "license": "CC" }),
    ] {
        for text in [whole.to_string(), serde_json::to_string_pretty(&whole).unwrap()] {
            workshop.write("a.json", text);
            workshop.run_build(&[], 0);
            assert_eq!(before_of(&workshop).manifest.total, before.manifest.total);
        }
    }
    let many: Vec<Value> = records.iter().cycle().take(500).cloned().collect();
    for two in [json!({ "train": records, "test": records }), json!({ "train": many, "val": records })] {
        workshop.write("a.json", two.to_string());
        let text = text_of(&workshop.run_build(&[], 2));
        assert!(text.contains("more than one list of objects") && text.contains("list = "), "{text}");
    }
    assert_eq!(before_of(&workshop).manifest.total, before.manifest.total);
}

#[test]
fn what_python_writes_for_missing_values_is_missing() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    let with_image = llava("with", "1.jpg").to_string();
    let without = r#"{"id": 12345678901234567890123, "image": NaN, "images": NaN, "start": NaN, "score": -Infinity, "conversations":
        [{"from": "human", "value": "What is \ud83d\ude00?"}, {"from": "gpt", "value": "A face."}]}"#;
    workshop.write("a.json", format!("[{with_image}, {without}]"));
    let lines = [&with_image, &without.replace('\n', "")].map(|line| format!("{line}\n")).concat();
    workshop.write("b.json", lines.replace("12345678901234567890123", "-99999999999999999999"));
    workshop.add_source_file("a", "llava", "a.json", "").add_source_file("b", "llava", "b.json", "");
    workshop.head.push_str("[duplicates]\nremove = \"nothing\"\n");
    workshop.run_build(&[], 0);
    let built = before_of(&workshop);
    assert_eq!(built.outcomes(), [("delivered".to_owned(), 4)].into());
    for id in ["12345678901234567890123", "-99999999999999999999"] {
        assert_eq!(built.row(id).measured.unwrap().0.num_images, 0);
    }
}

#[test]
fn a_file_that_may_not_be_opened_costs_what_is_in_it_and_is_loud() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    workshop.write("files/1.json", json!([llava("r1", "1.jpg")]).to_string());
    let closed = workshop.write("files/2.json", json!([llava("r2", "1.jpg")]).to_string());
    workshop.add_source_file("a", "llava", "files/*.json", "");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let text = text_of(&build_unprivileged(&workshop, &[], 3));
    assert!(text.contains("an annotation file is incomplete") && text.contains("cannot be opened"), "{text}");
    assert!(!workshop.path("out").exists());
    build_unprivileged(&workshop, &["--accept-rejects"], 0);
    assert_eq!(
        before_of(&workshop).outcomes(),
        [("delivered".to_owned(), 1), ("incomplete_file".to_owned(), 1)].into()
    );
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    build_unprivileged(&workshop, &[], 0);
    assert_eq!(before_of(&workshop).outcomes(), [("delivered".to_owned(), 2)].into());
}

#[test]
fn a_text_beside_an_image_that_may_not_be_opened_costs_its_record_only() {
    let mut workshop = Workshop::new();
    for number in 0..30 {
        workshop.write(&format!("media/{number:02}.jpg"), photo(number, 40, 30));
        workshop.write(&format!("media/{number:02}.txt"), "A photo.");
    }
    workshop.add_source_file("a", "auto", "media", "");
    let closed = workshop.path("media/03.txt");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // One of 30 is within the share that is allowed.
    build_unprivileged(&workshop, &[], 0);
    let built = before_of(&workshop);
    assert_eq!(built.outcomes(), [("delivered".to_owned(), 29), ("media_unreadable".to_owned(), 1)].into());
    let row = built.ledger.iter().find(|row| row.shard.is_none()).unwrap();
    assert!(row.detail.as_deref().unwrap().starts_with("03.txt cannot be opened"), "{row:?}");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    build_unprivileged(&workshop, &[], 0);
    assert_eq!(before_of(&workshop).outcomes(), [("delivered".to_owned(), 30)].into());
}

#[test]
fn a_list_in_an_object_with_records_behind_it_is_refused() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    let records: Vec<Value> = (0..40).map(|n| llava(&format!("r{n}"), "1.jpg")).collect();
    let lines: Vec<String> = records[20..].iter().map(Value::to_string).collect();
    let text = format!("{}\n{}\n", json!({ "data": &records[..20] }), lines.join("\n"));
    workshop.write("a.json", &text);
    workshop.add_source_file("a", "llava", "a.json", "");
    let said = text_of(&workshop.run_build(&[], 2));
    assert!(
        said.contains("with other objects behind it") && said.contains("put the list into a file of its own"),
        "{said}"
    );
}

#[test]
fn a_dataset_is_not_built_into_another_one() {
    let (mut workshop, _, before) = good(3);
    let (inner, in_work) = (before.dataset.join("more/inner"), workshop.path("out.work/inner"));
    workshop.head = workshop.head.replace("name = \"t\"", "name = \"inner\"");
    let pipeline = workshop.pipeline();
    let refused = |arguments: &[&str]| {
        let output = manyframe(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text_of(&output));
        assert!(text_of(&output).contains("is inside of the dataset"), "{arguments:?}: {}", text_of(&output));
    };
    let dataset = before.dataset.display().to_string();
    for inside in [&inner, &in_work].map(|path| path.display().to_string()) {
        for command in ["check", "build"] {
            refused(&[command, &pipeline, "--set", &format!("output.directory={inside:?}")]);
        }
        refused(&["export", &dataset, "--format", "llava_json", "--output", &inside]);
    }
    assert!(!before.dataset.join("more").exists() && !in_work.exists());
    before.verify();
}

#[test]
fn what_is_in_a_foreign_work_directory_stays() {
    let (workshop, ..) = good(3);
    fs::remove_dir_all(workshop.path("out.work")).unwrap();
    for directory in ["photo.json", "plan-of-holidays"] {
        workshop.write(&format!("out.work/{directory}/f"), "precious");
    }
    for seed in 8..10 {
        workshop.run_build(&["--set", &format!("seed={seed}")], 0);
    }
    for directory in ["photo.json", "plan-of-holidays"] {
        assert_eq!(fs::read(workshop.path(&format!("out.work/{directory}/f"))).unwrap(), b"precious");
    }
}

/// Builds as a user for whom modes count, even where the tests run as root.
fn build_unprivileged(workshop: &Workshop, more: &[&str], code: i32) -> Output {
    const NOBODY: u32 = 65534;
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let mut command = manyframe(&[&["build", &pipeline, "--output", &out, "--quiet"], more].concat());
    if is_root() {
        fs::set_permissions(workshop.path("."), fs::Permissions::from_mode(0o777)).unwrap();
        let binary = workshop.path("manyframe");
        if !binary.exists() {
            fs::copy(env!("CARGO_BIN_EXE_manyframe"), &binary).unwrap();
            let tokenizer = crate::support::root().join("crates/format/tests/golden/jamba.model");
            fs::copy(tokenizer, workshop.path("jamba.model")).unwrap();
        }
        command = std::process::Command::new(&binary);
        command.args(["build", &pipeline, "--output", &out, "--quiet"]).args(more).current_dir(workshop.path("."));
        command.args(["--set", &format!("format.tokenizer={:?}", workshop.text("jamba.model"))]);
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", text_of(&output));
    output
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_source_that_is_asked_for_nothing_may_deliver_nothing() {
    let (mut workshop, ..) = good(3);
    workshop.add_source("empty", "llava", &json!([]), "take = 0");
    workshop.run_build(&[], 0);
    let text = text_of(&workshop.run_build(&["--set", "source.empty.take=1"], 3));
    assert!(text.contains("source empty: it has no records"), "{text}");
    workshop.run_build(&["--set", "source.empty.take=1", "--set", "source.empty.max_rejects=\"100 %\""], 0);
}

#[test]
fn a_plan_says_what_a_build_will_refuse() {
    let (workshop, mut records, _) = good(3);
    records.push(llava("gone", "gone.jpg"));
    workshop.write("a.json", json!(records).to_string());
    let text = stdout(&["plan", &workshop.pipeline(), "--output", &workshop.text("out"), "--quiet"]);
    assert!(text.contains("will not be published without --accept-rejects:\na: 1 of 4 records"), "{text}");
}

#[test]
fn a_dataset_of_another_name_is_replaced_on_request_only() {
    let (mut workshop, _, before) = good(3);
    workshop.head = workshop.head.replace("name = \"t\"", "name = \"other\"");
    let text = text_of(&workshop.run_build(&["--accept-rejects"], 2));
    assert!(text.contains("\"t\"") && text.contains("\"other\"") && text.contains("--replace"), "{text}");
    assert_eq!(before_of(&workshop).manifest, before.manifest);
    workshop.run_build(&["--replace"], 0);
    assert_eq!(before_of(&workshop).manifest.name, "other");
}

#[test]
fn only_what_a_build_has_made_is_replaced() {
    let (workshop, _, before) = good(3);
    // Of whichever name, if its manifest is damaged.
    let manifest = fs::read(workshop.path("out/manifest.json")).unwrap();
    workshop.write("out/manifest.json", &manifest[..manifest.len() / 2]);
    let text = text_of(&workshop.run_build(&["--accept-rejects"], 2));
    assert!(text.contains("manifest cannot be read") && text.contains("--replace"), "{text}");
    workshop.run_build(&["--replace"], 0);
    assert_eq!(before_of(&workshop).manifest, before.manifest);

    for manifest in ["{}", "[]", "{\"name\": \"t\"}"] {
        workshop.write("mine/manifest.json", manifest);
        workshop.write("mine/f", b"precious");
        for (command, more) in [("build", &["--replace"][..]), ("build", &[]), ("check", &[])] {
            let output = format!("output.directory={:?}", workshop.text("mine"));
            let text = text_of(&run(&[&[command, &workshop.pipeline(), "--set", &output], more].concat(), 2));
            assert!(text.contains("dataset"), "{text}");
            assert_eq!(fs::read(workshop.path("mine/f")).unwrap(), b"precious");
        }
    }
}

#[test]
fn two_files_of_a_folder_with_one_output_are_an_error() {
    let (workshop, ..) = good(3);
    let text = fs::read_to_string(workshop.pipeline()).unwrap();
    let with = |name: &str, output: &str| {
        let text =
            text.replace("name = \"t\"", &format!("name = {name:?}")) + &format!("[output]\ndirectory = {output:?}\n");
        workshop.write(&format!("stages/{name}.toml"), text);
    };
    with("one", &workshop.text("out"));
    with("two", &workshop.text("./media/../out"));
    for command in ["check", "build", "plan"] {
        let text = text_of(&run(&[command, &workshop.text("stages")], 2));
        assert!(text.contains("two.toml") && text.contains("output.directory is that of"), "{text}");
        assert!(text.contains("one.toml, too"), "{text}");
    }
    with("two", &workshop.text("out2"));
    run(&["check", &workshop.text("stages")], 0);
}

#[test]
fn equal_records_that_cannot_be_delivered_have_ids_of_their_own() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 80, 60));
    let missing = || llava("missing", "absent.jpg");
    let records = [llava("one", "1.jpg"), missing(), missing(), llava("one", "1.jpg"), missing()];
    workshop.add_source("a", "llava", &Value::from(records.to_vec()), "max_rejects = 1.0");
    let built = workshop.build();
    let ids: BTreeSet<String> = built.ledger.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids.len(), records.len());
    built.verify();
}

#[test]
fn annotation_files_that_are_gone_since_the_last_build_are_a_loss() {
    let mut workshop = Workshop::new();
    for number in 0..40 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 40, 30));
    }
    let of_file = |file: usize| {
        json!((0..10).map(|n| llava(&format!("r{file}-{n}"), &format!("{}.jpg", file * 10 + n))).collect::<Vec<_>>())
    };
    for file in 0..4 {
        workshop.write(&format!("ann/{file}.json"), of_file(file).to_string());
    }
    workshop.add_source_file("a", "llava", "ann/*.json", "");
    workshop.run_build(&[], 0);
    let before = before_of(&workshop);
    assert_eq!(before.manifest.total.num_samples, 40);

    // A disk that is not there, and a file that was emptied.
    fs::rename(workshop.path("ann/1.json"), workshop.path("1.json")).unwrap();
    workshop.write("ann/2.json", "[]");
    let said = [
        "source a: 20 of the 40 records that the dataset has are gone, with 2 annotation files",
        "ann/1.json, ",
        "ann/2.json)",
    ];
    check_refused(&workshop, &before, &[], &said);
    // They are asked for no more: that is no loss.
    let others = format!("source.a.annotations=[{:?}, {:?}]", workshop.text("ann/0.json"), workshop.text("ann/3.json"));
    let text = text_of(&workshop.run_build(&["--set", &others], 0));
    assert!(!text.contains("are gone"), "{text}");

    // Under another name, records are as they were.
    workshop.write("ann/2.json", of_file(2).to_string());
    fs::rename(workshop.path("1.json"), workshop.path("ann/1.json")).unwrap();
    workshop.run_build(&[], 0);
    fs::rename(workshop.path("ann/1.json"), workshop.path("ann/one.json")).unwrap();
    let text = text_of(&workshop.run_build(&[], 0));
    assert!(!text.contains("are gone"), "{text}");
    assert_eq!(before_of(&workshop).manifest.total, before.manifest.total);

    // Records that were mended, in a file of another name, took the place of others.
    let mended = of_file(1).to_string().replace("r1-", "mended-");
    fs::remove_file(workshop.path("ann/one.json")).unwrap();
    workshop.write("ann/two.json", &mended);
    let text = text_of(&workshop.run_build(&[], 0));
    assert!(text.contains("10 of the 40 records that the dataset has are gone"), "{text}");
    fs::remove_file(workshop.path("ann/two.json")).unwrap();
    workshop.write("ann/one.json", of_file(1).to_string());
    workshop.run_build(&[], 0);

    // What is accepted, or within the share, is said.
    fs::remove_file(workshop.path("ann/one.json")).unwrap();
    let text = text_of(&workshop.run_build(&["--set", "source.a.max_rejects=\"30 %\""], 0));
    assert!(text.contains("10 of the 40 records that the dataset has are gone"), "{text}");
    fs::remove_file(workshop.path("ann/0.json")).unwrap();
    let text = text_of(&workshop.run_build(&["--accept-rejects"], 0));
    assert!(text.contains("10 of the 30 records that the dataset has are gone, with an annotation file"), "{text}");
    assert_eq!(before_of(&workshop).manifest.total.num_samples, 20);
    assert!(text_of(&workshop.run_build(&[], 0)).contains("nothing to do"));
}

#[test]
fn a_link_is_not_replaced_by_a_dataset() {
    let (workshop, _, _) = good(2);
    fs::create_dir(workshop.path("disk")).unwrap();
    std::os::unix::fs::symlink(workshop.path("disk"), workshop.path("link")).unwrap();
    let refused = run(&["build", &workshop.pipeline(), "--output", &workshop.text("link")], 2);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("is a link to"));
    assert!(fs::read_dir(workshop.path("disk")).unwrap().next().is_none() && workshop.path("link").is_symlink());
}

#[test]
fn another_record_is_not_shown_in_place_of_one_that_moved() {
    let (workshop, mut records, built) = good(3);
    records.insert(0, llava("new", "0.jpg"));
    workshop.write("a.json", json!(records).to_string());
    let id = built.row("r1").id.to_string();
    let shown = run(&["why", &workshop.text("out"), &id], 2);
    assert!(String::from_utf8(shown.stderr).unwrap().contains("the annotations have changed since the build"));
    assert!(!String::from_utf8(shown.stdout).unwrap().contains("conversations"), "nobody else's text");
}
