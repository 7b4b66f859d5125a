//! Promise: a mistake is answered with what was found, where, and what would be right. Each message is here as it is printed.

use std::process::Output;

use serde_json::{Value, json};

use crate::schemas::compare_text;
use crate::support::{Built, Workshop, llava, photo, run, stdout};

const SOURCE: &str = "[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = \"${here}/a.json\"\n";

/// What `check` says of a file with a source and these lines before and within it, without the place of the file.
fn check(before: &str, within: &str) -> String {
    let workshop = Workshop::new();
    let text = format!("{}{before}{SOURCE}{within}", workshop.head);
    said_of(&workshop, &text)
}

fn said_of(workshop: &Workshop, text: &str) -> String {
    let path = workshop.write("p.toml", text).display().to_string();
    shown(workshop, &run(&["check", &path, "--offline"], 2).stderr)
}

/// Compares messages with those that are committed.
fn compare(name: &str, messages: &[String]) {
    let messages: Vec<&str> = messages.iter().map(|message| message.trim_end()).collect();
    compare_text(&format!("tests/golden/messages/{name}.txt"), &(messages.join("\n\n") + "\n"));
}

/// A message, with a name in place of the directory of the test.
fn shown(workshop: &Workshop, stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr).replace(&workshop.text(""), "HERE/")
}

#[test]
fn a_mistyped_table_is_answered_with_the_tables() {
    let workshop = Workshop::new();
    let text = format!("{}{}", workshop.head, SOURCE.replace("[[source]]", "[[sources]]"));
    compare(
        "tables",
        &[check("[vidoe]\nmax_missing = 0.1\n", ""), said_of(&workshop, &text), check("[colours]\nred = 1\n", "")],
    );
}

#[test]
fn a_take_that_cannot_be_is_answered_with_what_can() {
    compare("take", &[check("", "take = -3\n"), check("", "take = \"ten %\"\n")]);
}

#[test]
fn numbers_are_asked_for_in_plain_words() {
    compare(
        "numbers",
        &[
            check("", "weight = nan\n"),
            check("", "filter = { min_tokens = \"many\" }\n"),
            check("[output]\nmax_shard_mib = \"1 GB\"\nmax_shard_samples = 2.5\n", ""),
        ],
    );
}

#[test]
fn a_condition_that_no_record_changes_is_answered_with_one_that_each_does() {
    compare(
        "conditions",
        &[
            check("", "where = \"1 == 2\"\n"),
            check("", "where = \"score >= 4 and true\"\n"),
            check("", "where = \"\"\nlicense = \" \"\n"),
        ],
    );
}

#[test]
fn a_key_that_is_there_twice_is_named() {
    compare("keys", &[check("", "take = 1\ntake = 2\n"), check("[video]\n[video]\n", "")]);
}

#[test]
fn variables_are_named() {
    let cycle = "[vars]\na = \"${b}\"\nb = \"${c}\"\nc = \"${a}\"\nd = \"${a}/x\"\ne = \"${e}\"\n";
    compare(
        "variables",
        &[check("[vars]\ndata = \"/data\"\n", "media = \"${dta}/images\"\n"), check(cycle, "license = \"${d}${e}\"\n")],
    );
}

#[test]
fn errors_of_options_name_the_option() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &json!([llava("r1", "1.jpg")]), "");
    let dataset = workshop.build().dataset.display().to_string();
    let pack = |sets: &[&str]| shown(&workshop, &run(&[&["pack", &dataset], sets].concat(), 2).stderr);
    let pipeline = workshop.pipeline();
    let plan = |set: &str| shown(&workshop, &run(&["plan", &pipeline, "--set", set], 2).stderr);
    compare(
        "options",
        &[
            pack(&["--set", "max_tokns=4096", "--set", "strategy=balnced"]),
            pack(&["--set", "max_tokens=64", "--set", "pad_to_multiple=128"]),
            plan("dta=/data"),
            plan("source.a.take=-3"),
        ],
    );
}

#[test]
fn the_name_of_a_checkpoint_is_answered_with_how_to_get_its_tokenizer() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "text", &json!([]), "");
    let tokenizer = workshop.head.lines().find(|line| line.starts_with("tokenizer")).unwrap().to_owned();
    workshop.head = workshop.head.replace(&tokenizer, "tokenizer = \"${here}/Qwen/Qwen2.5-VL-7B-Instruct\"");
    let pipeline = workshop.pipeline();
    let of = |command: &str| shown(&workshop, &run(&[command, &pipeline], 2).stderr);
    compare("tokenizer", &[of("check"), of("plan")]);
}

#[test]
fn a_directory_of_datasets_is_answered_with_their_names() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "text", &json!([{ "id": "1", "text": "A text." }]), "");
    workshop.head.push_str(&format!("[output]\nroot = {:?}\n", workshop.text("out")));
    let pipeline = workshop.pipeline();
    run(&["build", &pipeline, "--quiet"], 0);
    let inspect = |path: &str| shown(&workshop, &run(&["inspect", path], 2).stderr);
    compare("datasets", &[inspect(&workshop.text("out")), inspect(&pipeline), inspect(&workshop.text("nothing"))]);
}

/// The reasons of the rejects of a dataset, by upstream id.
fn details(built: &Built) -> String {
    let lines = built
        .ledger
        .iter()
        .filter_map(|row| Some(format!("{}: {}: {}", row.upstream_id, row.reason.as_deref()?, row.detail.as_deref()?)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn rejects_say_what_the_reader_knows() {
    let mut workshop = Workshop::new();
    let asks = |id: &str, text: &str, media: Value| {
        let mut record = json!({ "id": id, "conversations": [
            { "from": "human", "value": text }, { "from": "gpt", "value": "Yes." }] });
        record.as_object_mut().unwrap().extend(media.as_object().unwrap().clone());
        record
    };
    let videos = json!([
        asks("two-images-one-video", "<image>\n<image>\nIs it so?", json!({ "video": "1.mp4" })),
        asks("no-image", "Is it so?", json!({ "image": ["1.jpg", "2.jpg"] })),
    ]);
    workshop.add_source("a", "llava", &videos, "");
    workshop.add_source("t", "text", &json!([{ "id": "unknown", "body": "A text.", "lang": "en" }]), "");
    compare("rejects", &[details(&workshop.build())]);
}

/// What a plan and a build of some records with this `where` say on stderr.
fn said_of_where(condition: &str, more: &str) -> Vec<String> {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    let mut records: Vec<Value> = (0..4).map(|number| llava(&number.to_string(), "1.jpg")).collect();
    records[3]["score"] = json!(3);
    records[3]["note"] = Value::Null;
    workshop.write("side.json", json!([{"id": "2", "grade": 4}]).to_string());
    let more = more.replace("SIDE", &workshop.text("side.json"));
    workshop.add_source("a", "llava", &json!(records), &format!("where = {condition:?}\n{more}"));
    let pipeline = workshop.pipeline();
    let said = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    let plan = said(&run(&["plan", &pipeline, "--quiet", "--output", &workshop.text("out")], 0));
    // The index is there, and says nothing of it.
    let build = said(&workshop.run_build(&["--accept-rejects"], 0));
    [plan, build].map(|text| text.lines().filter(|line| line.contains("where: ")).collect::<String>()).to_vec()
}

#[test]
fn a_field_of_where_that_no_record_has_is_a_warning_of_plan_and_build() {
    for said in said_of_where("scor != 3", "") {
        let expected = "where: none of 4 records has \"scor\", which counts as null in each; did you mean \"score\"?";
        assert!(said.contains(expected), "{said}");
    }
    for said in said_of_where("scores.best >= 3 or id == '1'", "") {
        assert!(said.contains("none of 4 records has \"scores.best\""), "{said}");
    }
    // One that the last record alone has, one that is null, and one of the table of scores.
    for said in said_of_where("score != 3 and note == null", "")
        .into_iter()
        .chain(said_of_where("grade >= 3", "scores = \"SIDE\""))
    {
        assert_eq!(said, "");
    }
}

#[test]
fn files_that_are_missing_by_the_names_of_the_others_are_named_by_init_check_and_build() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    for number in [0, 1, 3] {
        let records = json!([llava(&number.to_string(), "1.jpg")]);
        workshop.write(&format!("train-0000{number}-of-00004.json"), records.to_string());
    }
    let expected = "train-00002-of-00004.json missing: the names of the other files say that there are 4";
    let said = stdout(&["init", &workshop.text(""), "--output", &workshop.text("init.toml")]);
    assert!(said.contains("3 files; 3 of 3 sampled records read") && said.contains(expected), "{said}");
    workshop.add_source_file("a", "llava", "train-*-of-*.json", "");
    let pipeline = workshop.pipeline();
    let output = run(&["check", &pipeline], 0);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning: ") && said.contains(&format!("source.a.annotations: {expected}")), "{said}");
    let said = String::from_utf8(workshop.run_build(&[], 0).stderr).unwrap();
    assert!(said.contains(expected), "{said}");
    workshop.write("train-00002-of-00004.json", json!([llava("2", "1.jpg")]).to_string());
    assert!(!String::from_utf8(run(&["check", &pipeline], 0).stderr).unwrap().contains("missing"));
}

#[test]
fn a_table_without_the_column_of_ids_is_said_to_have_others() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.write("side.jsonl", "{\"qid\": 1, \"answer\": \"Two.\"}\n");
    let more = format!("join = [{{ table = {:?}, on = \"qidd\" }}]", workshop.text("side.jsonl"));
    workshop.add_source("a", "llava", &json!([llava("1", "1.jpg")]), &more);
    let said = String::from_utf8(workshop.run_build(&[], 2).stderr).unwrap();
    assert!(said.contains("line 1 has no id: expected the column qidd, found qid, answer"), "{said}");
}
