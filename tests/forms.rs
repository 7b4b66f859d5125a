//! Promise: the containers in which people keep their data are built by `init` and `build` without editing, and what is in them is in
//! the samples.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::init::{built, home, lines, write};
use crate::support::{Built, photo, run, stdout, tar_of};

/// The prompts of all samples, in order, with their numbers of images.
fn prompts(built: &Built) -> Vec<(String, u64)> {
    let delivered = built.ledger.iter().filter(|row| row.shard.is_some());
    let prompt = |id: &str| built.sample(id)["prompt"].as_str().unwrap().to_owned();
    let mut prompts: Vec<(String, u64)> =
        delivered.map(|row| (prompt(&row.id.to_string()), row.measured.unwrap().0.num_images)).collect();
    prompts.sort();
    prompts
}

/// A directory becomes a dataset with these samples: texts in the order of each prompt, and numbers of images.
pub(crate) fn assert_built(directory: &Path, expected: &[(&[&str], u64)]) -> (String, Built) {
    let (said, built) = built(directory);
    built.verify();
    let prompts = prompts(&built);
    assert_eq!(prompts.len(), expected.len(), "{prompts:?} {:?}", built.outcomes());
    for ((prompt, num_images), (texts, expected)) in prompts.iter().zip(expected) {
        assert_eq!(num_images, expected, "{prompt}");
        let mut rest = prompt.as_str();
        for text in *texts {
            rest = rest.split_once(text).unwrap_or_else(|| panic!("{text:?} is not in {prompt:?}")).1;
        }
    }
    (said, built)
}

pub(crate) fn photos(directory: &Path, names: &[&str]) {
    for (number, name) in (1..).zip(names) {
        write(directory, name, photo(number, 64, 48));
    }
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(bytes.as_ref(), 3).unwrap()
}

const CAPTIONS: [(&[&str], u64); 2] = [(&["Describe this image.", "A \"beach\",\nwith sand."], 1), (&["A cat."], 1)];

#[test]
fn csv_and_tsv() {
    let csv = "\u{feff}image,caption\r\nimg/1.jpg,\"A \"\"beach\"\",\nwith sand.\"\r\nimg/2.jpg,A cat.\r\n";
    let tsv = "caption\timage\n\"A \"\"beach\"\",\nwith sand.\"\timg/1.jpg\nA cat.\timg/2.jpg\n";
    for (name, bytes) in [
        ("table.csv", csv.as_bytes().to_vec()),
        ("table.tsv", tsv.as_bytes().to_vec()),
        ("table.csv.gz", gzip(csv)),
        ("table.tsv.zst", zstandard(tsv)),
    ] {
        let home = home();
        write(home.path(), name, bytes);
        photos(home.path(), &["img/1.jpg", "img/2.jpg"]);
        assert_built(home.path(), &CAPTIONS);
    }
}

#[test]
fn a_directory_does_not_read_what_is_built_in_it() {
    let home = home();
    photos(home.path(), &["a.jpg", "z.jpg"]);
    write(home.path(), "a.txt", "A beach.");
    write(home.path(), "z.txt", "\u{feff}A cat.");
    write(home.path(), "config.json", "{}");
    // What `built` builds, and works in, is in the directory itself.
    assert_built(home.path(), &[(&["Describe this image.", "A beach."], 1), (&["A cat."], 1)]);
    let text = |name: &str| home.path().join(name).display().to_string();
    let again = stdout(&["build", &text("pipeline.toml"), "--output", &text("built"), "--quiet"]);
    assert!(again.contains("nothing to do"), "{again}");
    let survey = stdout(&["init", &text(""), "--output", &text("other.toml")]);
    assert!(!survey.contains("built.work"), "{survey}");
}

#[test]
fn the_images_of_a_sample_in_a_tar_are_in_the_order_of_their_numbers() {
    let home = home();
    let mut names: Vec<String> = (0..12).map(|number| format!("1.{number}.jpg")).collect();
    names.sort();
    let colour = |name: &str| {
        let number: u32 = name.split('.').nth(1).unwrap().parse().unwrap();
        photo(number, 40 + number, 40)
    };
    let mut files: Vec<(String, Vec<u8>)> = names.iter().map(|name| (name.clone(), colour(name))).collect();
    files.push(("1.txt".to_owned(), b"Twelve.".to_vec()));
    write(home.path(), "a.tar", tar_of(&files));
    let (_, built) = assert_built(home.path(), &[(&["Twelve."], 12)]);
    let sizes = &built.sample(&built.ledger[0].id.to_string())["image_sizes"];
    assert_eq!(*sizes, json!((0..12).map(|number| [40 + number, 40]).collect::<Vec<_>>()));
}

#[test]
fn a_csv_line_that_is_wrong_is_rejected_with_its_line() {
    let home = home();
    write(home.path(), "qa.csv", "question,answer\nWhat?,\"A\nbeach.\"\nWhere?,Here.,Or there.\nWho?,Ann.\n");
    let file = home.path().join("p.toml").display().to_string();
    run(&["init", &home.path().display().to_string(), "--output", &file], 0);
    let out = home.path().join("out");
    run(&["build", &file, "--output", &out.display().to_string(), "--accept-rejects", "--quiet"], 0);
    let built = Built::read(&out);
    let rejected = built.ledger.iter().find(|row| row.reason.is_some()).unwrap();
    assert_eq!(rejected.reason.as_deref(), Some("malformed_record"));
    assert_eq!(rejected.detail.as_deref(), Some("the line has 3 fields, expected 2, as many as the first line"));
    assert!(rejected.origin.to_string().ends_with("qa.csv:4"), "{}", rejected.origin);
    assert_eq!(prompts(&built).len(), 2);
}

#[test]
fn compressed_json_and_a_stream_that_is_cut() {
    let records: Vec<Value> = (1..=2)
        .map(|number| json!({"image": format!("{number}.jpg"), "caption": format!("Number {number}.")}))
        .collect();
    let expected: [(&[&str], u64); 2] = [(&["Number 1."], 1), (&["Number 2."], 1)];
    for (name, is_one_block, bytes) in [
        ("a.json.gz", false, gzip(json!(records).to_string())),
        ("a.jsonl.gz", false, gzip(lines(&records))),
        ("a.json.zst", true, zstandard(json!({"data": records}).to_string())),
        ("a.jsonl.zst", true, zstandard(lines(&records))),
    ] {
        let home = home();
        write(home.path(), name, &bytes);
        photos(home.path(), &["1.jpg", "2.jpg"]);
        assert_built(home.path(), &expected);
        // Cut off in the checksum at its end: every record is there, and still nobody knows that.
        write(home.path(), name, &bytes[..bytes.len() - 3]);
        let file = home.path().join("pipeline.toml").display().to_string();
        let out = home.path().join("cut").display().to_string();
        if is_one_block {
            // Nothing of it can be unpacked.
            let error = run(&["build", &file, "--output", &out, "--quiet"], 2).stderr;
            assert!(String::from_utf8(error).unwrap().contains("is cut off or damaged"));
            continue;
        }
        run(&["build", &file, "--output", &out, "--quiet"], 3);
        run(&["build", &file, "--output", &out, "--quiet", "--accept-rejects"], 0);
        let outcomes = Built::read(out.as_ref()).outcomes();
        assert_eq!(outcomes["incomplete_file"], 1, "{name}: {outcomes:?}");
    }
}

#[test]
fn webdataset_tars() {
    let home = home();
    let json = |value: Value| value.to_string().into_bytes();
    let turns = json!([{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A boat."}]);
    let shard = |files: &[(&str, Vec<u8>)]| {
        tar_of(&files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect::<Vec<_>>())
    };
    let first = shard(&[
        ("000.jpg", photo(1, 64, 48)),
        ("000.txt", b"A beach.\n".to_vec()),
        ("000.cls", b"7".to_vec()),
        ("001.json", json(json!({"image": "somewhere/else.jpg", "conversations": turns}))),
        ("001.png", photo(2, 64, 48)),
    ]);
    let second = shard(&[
        ("a/002.0.jpg", photo(3, 64, 48)),
        ("a/002.1.jpg", photo(4, 64, 48)),
        ("a/002.question.txt", b"Which two?".to_vec()),
        ("a/002.answer.txt", b"Two cats.".to_vec()),
    ]);
    write(home.path(), "shards/train-000000.tar", first);
    write(home.path(), "shards/train-000001.tar", &second);
    let (said, built) = assert_built(
        home.path(),
        &[(&["Which two?", "Two cats."], 2), (&["Describe this image.", "A beach."], 1), (&["What?", "A boat."], 1)],
    );
    assert!(said.contains("nothing is read of files that end with cls"), "{said}");
    assert!(built.row("a/002").origin.to_string().ends_with("train-000001.tar:1"));

    // Without the blocks at its end, nobody knows whether there were more samples.
    write(home.path(), "shards/train-000001.tar", &second[..second.len() - 1024]);
    let file = home.path().join("pipeline.toml").display().to_string();
    let out = home.path().join("cut").display().to_string();
    run(&["build", &file, "--output", &out, "--quiet", "--accept-rejects"], 0);
    assert_eq!(Built::read(out.as_ref()).outcomes()["incomplete_file"], 1);
}

#[test]
fn texts_beside_images() {
    let home = home();
    let data = home.path().join("photos");
    photos(&data, &["1.jpg", "sub/2.png", "sub/3.jpg"]);
    write(&data, "1.txt", "A beach.\n");
    write(&data, "sub/2.caption", "A cat.");
    write(&data, "sub/3.json", json!({"question": "What?", "answer": "A boat."}).to_string());
    write(&data, "README.txt", "About these photos.");
    let (said, built) = assert_built(home.path(), &[(&["A beach."], 1), (&["A cat."], 1), (&["What?", "A boat."], 1)]);
    assert!(said.contains("3 of 3 sampled records read") && said.contains("3 of 3 media found"), "{said}");
    assert_eq!(built.row("sub/2").upstream_id, "sub/2");

    write(&data, "sub/4.txt", "Nothing.");
    photos(&data, &["alone.jpg"]);
    let file = home.path().join("pipeline.toml").display().to_string();
    let out = home.path().join("more").display().to_string();
    run(&["build", &file, "--output", &out, "--quiet", "--accept-rejects"], 0);
    let outcomes = Built::read(out.as_ref()).outcomes();
    assert_eq!((outcomes["delivered"], outcomes["unexpected_schema"]), (3, 2), "{outcomes:?}");
    assert_eq!(Built::read(out.as_ref()).row("sub/4").reason.as_deref(), Some("unexpected_schema"));
}

#[test]
fn image_folders_with_metadata() {
    let home = home();
    write(home.path(), "train/metadata.csv", "file_name,text\n1.jpg,A beach.\nsub/2.jpg,A cat.\n");
    photos(&home.path().join("train"), &["1.jpg", "sub/2.jpg"]);
    assert_built(home.path(), &[(&["A beach."], 1), (&["A cat."], 1)]);
    assert!(fs::read_to_string(home.path().join("pipeline.toml")).unwrap().contains("media = \"${here}/train\""));
}

#[test]
fn captions_of_coco() {
    let home = home();
    let images: Vec<Value> =
        (1..=2).map(|id| json!({"id": id, "file_name": format!("{id:012}.jpg"), "height": 48})).collect();
    let annotations: Vec<Value> = [(7, 2, "A cat."), (8, 1, "A beach."), (9, 3, "Nothing.")]
        .map(|(id, image, caption)| json!({"id": id, "image_id": image, "caption": caption}))
        .into();
    let file = json!({"info": {"year": 2017}, "images": images, "licenses": [{"id": 1}], "annotations": annotations});
    write(home.path(), "annotations/captions_train2017.json", file.to_string());
    photos(&home.path().join("train2017"), &["000000000001.jpg", "000000000002.jpg"]);
    let file = home.path().join("p.toml").display().to_string();
    run(&["init", &home.path().display().to_string(), "--output", &file], 0);
    let out = home.path().join("out").display().to_string();
    run(&["build", &file, "--output", &out, "--accept-rejects", "--quiet"], 0);
    let built = Built::read(out.as_ref());
    built.verify();
    let expected = [("A beach.", 1), ("A cat.", 1)];
    for ((prompt, num_images), (text, number)) in prompts(&built).iter().zip(expected) {
        assert!(prompt.contains(text) && *num_images == number, "{prompt}");
    }
    let unjoined = built.row("9");
    assert_eq!(unjoined.reason.as_deref(), Some("not_joined"));
    assert_eq!(unjoined.detail.as_deref(), Some("the joined table has no row with \"id\" \"3\""));
}

#[test]
fn questions_and_answers_of_vqa() {
    let home = home();
    let questions: Vec<Value> = [(10, 1, "What?"), (11, 2, "Where?")]
        .map(|(id, image, text)| json!({"image_id": image, "question": text, "question_id": id}))
        .into();
    let answers: Vec<Value> = [(11, 2, "Here."), (10, 1, "A beach.")]
        .map(|(id, image, text)| {
            json!({"question_id": id, "image_id": image, "multiple_choice_answer": text, "answers": [{"answer": text}]})
        })
        .into();
    let questions = json!({"data_subtype": "val2014", "questions": questions});
    let answers = json!({"data_subtype": "val2014", "annotations": answers});
    write(home.path(), "v2_OpenEnded_mscoco_val2014_questions.json", questions.to_string());
    write(home.path(), "v2_mscoco_val2014_annotations.json", answers.to_string());
    photos(&home.path().join("val2014"), &["COCO_val2014_000000000001.jpg", "COCO_val2014_000000000002.jpg"]);
    assert_built(home.path(), &[(&["What?", "A beach."], 1), (&["Where?", "Here."], 1)]);
}

#[test]
fn ratings_select_what_is_delivered_and_the_rest_is_counted() {
    let home = home();
    let record = |number: u32, ratings: [u32; 2]| {
        json!({"id": number, "images": ["1.jpg"], "relevance_ratings": ratings,
            "texts": [{"user": format!("What is {number}?"), "assistant": "A beach."}]})
    };
    write(home.path(), "fine.jsonl", lines(&[record(1, [5, 4]), record(2, [5, 3]), record(3, [4, 5])]));
    photos(home.path(), &["1.jpg"]);
    let file = home.path().join("p.toml");
    run(&["init", &home.path().display().to_string(), "--output", &file.display().to_string()], 0);
    let text = fs::read_to_string(&file).unwrap();
    let suggested = "# where = \"min(relevance_ratings) >= 4\"";
    assert!(text.contains(suggested), "{text}");
    write(home.path(), "ratings.csv", "id,score,lang\n1,0.9,en\n2,0.8,en\n3,0.2,de\n");
    let build = |condition: &str, more: &str| {
        let condition = format!("where = {condition:?}\n{more}#");
        write(home.path(), "p.toml", text.replace(suggested, &condition));
        let out = home.path().join("out").display().to_string();
        run(&["build", &file.display().to_string(), "--output", &out, "--quiet"], 0);
        Built::read(out.as_ref())
    };
    let by_ratings = build("min(relevance_ratings) >= 4", "");
    assert_eq!((by_ratings.outcomes()["delivered"], by_ratings.outcomes()["filtered"]), (2, 1));
    let detail = by_ratings.row("2").detail.clone().unwrap();
    assert_eq!(detail, "where \"min(relevance_ratings) >= 4\": relevance_ratings is a list of 2");
    let scores = "scores = \"${here}/ratings.csv\"\n";
    let by_scores = build("score > 0.5 and min(relevance_ratings) < 4", scores);
    assert_eq!((by_scores.outcomes()["delivered"], by_scores.outcomes()["filtered"]), (1, 2));
    assert!(by_scores.row("2").shard.is_some());
    by_scores.verify();
    // A table that changed is read again, and one that lacks a record says so.
    write(home.path(), "ratings.csv", "id,score,lang\n1,0.9,en\n3,0.2,de\n");
    let (file, out) = (file.display().to_string(), home.path().join("out").display().to_string());
    run(&["build", &file, "--output", &out, "--quiet", "--accept-rejects"], 0);
    assert_eq!(Built::read(out.as_ref()).outcomes()["not_joined"], 1);
    for (condition, expected) in [("score >", "ends where a field or value belongs"), ("score = 4", "equality is ==")] {
        write(home.path(), "p.toml", text.replace(suggested, &format!("where = {condition:?} #")));
        let error = String::from_utf8(run(&["check", &file], 2).stderr).unwrap();
        assert!(error.contains(expected) && error.contains("where"), "{error}");
    }
}

#[test]
fn documents_with_images_between_their_texts() {
    let obelics = json!({"id": "o", "images": [null, "1.jpg", null, "2.jpg"], "texts": ["Once.", null, "Then.", null]});
    let mmc4 = json!({"id": "m", "text_list": ["Once.", "Then."], "image_info": [{"image_name": "2.jpg", "matched_text_index": 1}]});
    let home = home();
    write(
        home.path(),
        "web.jsonl",
        lines(&[obelics, mmc4, json!({"id": "t", "text": "Before <image> after.", "images": ["1.jpg"]})]),
    );
    photos(home.path(), &["1.jpg", "2.jpg"]);
    let (_, built) = assert_built(
        home.path(),
        &[
            (&["Before ", "<image>", " after."], 1),
            (&["Once. ", "<image>", "Then."], 1),
            (&["Once.", "<image>", "Then.", "<image>"], 2),
        ],
    );
    let sample = built.sample(&built.row("o").id.to_string());
    let prompt: Vec<char> = sample["prompt"].as_str().unwrap().chars().collect();
    let trained: Vec<String> = sample["label_spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| prompt[span[0].as_u64().unwrap() as usize..span[1].as_u64().unwrap() as usize].iter().collect())
        .collect();
    assert_eq!(trained, ["Once.", "Then.", "<|endoftext|>"]);
    // No document is a conversation.
    let dataset = built.dataset.display().to_string();
    let exported = home.path().join("exported").display().to_string();
    let export = ["export", &dataset, "--format", "llava_json", "--output", &exported, "--quiet"];
    let said = String::from_utf8(crate::support::run(&export, 2).stderr).unwrap();
    assert!(said.contains("or all are documents"), "{said}");
}

#[test]
fn absolute_paths_below_the_media_are_found() {
    let home = home();
    let path = home.path().canonicalize().unwrap().join("img/1.jpg").display().to_string();
    let records =
        [json!({"image": path, "caption": "A beach."}), json!({"image": "/mnt/other/2.jpg", "caption": "A cat."})];
    write(home.path(), "mine.jsonl", lines(&records));
    photos(home.path(), &["img/1.jpg"]);
    let file = home.path().join("p.toml").display().to_string();
    let said = crate::support::stdout(&["init", &home.path().display().to_string(), "--output", &file]);
    assert!(
        said.contains("1 of 2 media found, not \"/mnt/other/2.jpg\" (an absolute path, of another machine"),
        "{said}"
    );
    let out = home.path().join("out").display().to_string();
    run(&["build", &file, "--output", &out, "--quiet", "--accept-rejects"], 0);
    let outcomes = Built::read(out.as_ref()).outcomes();
    assert_eq!((outcomes["delivered"], outcomes["unsafe_path"]), (1, 1), "{outcomes:?}");
}

#[test]
fn the_same_data_twice_is_said() {
    let home = home();
    let record = json!({"question": "What?", "answer": "A beach."});
    write(home.path(), "a.json", json!([record]).to_string());
    write(home.path(), "b.jsonl", lines(&[record]));
    let file = home.path().join("p.toml").display().to_string();
    run(&["init", &home.path().display().to_string(), "--output", &file], 0);
    let output = run(&["build", &file, "--output", &home.path().join("out").display().to_string(), "--quiet"], 3);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("it delivers none of its 1 records: 1 are duplicates"), "{said}");
}

#[test]
fn records_about_one_image_become_one_conversation() {
    let record = |id: u32, image: &str| {
        json!({"id": id, "image": image, "conversations": [
            {"from": "human", "value": format!("<image>\nWhat is {id}?")}, {"from": "gpt", "value": format!("It is {id}.")}
        ]})
    };
    let records = [record(1, "1.jpg"), record(2, "1.jpg"), record(3, "1.jpg"), record(4, "2.jpg"), record(5, "1.jpg")];
    let csv = [1, 2, 3].map(|id| format!("{id},1.jpg,What is {id}?,It is {id}.\n")).concat();
    for (name, text, num_others) in [
        ("array.json", json!(records).to_string(), 2),
        ("lines.jsonl", lines(&records), 2),
        ("table.csv", format!("id,image,question,answer\n{csv}"), 0),
    ] {
        let home = home();
        write(home.path(), name, text);
        photos(home.path(), &["1.jpg", "2.jpg"]);
        let file = home.path().join("p.toml");
        run(&["init", &home.path().display().to_string(), "--output", &file.display().to_string()], 0);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}merge = \"by_media\"\nmax_merged_turns = 6\n")).unwrap();
        let out = home.path().join("out").display().to_string();
        run(&["build", &file.display().to_string(), "--output", &out, "--quiet"], 0);
        let built = Built::read(out.as_ref());
        built.verify();
        assert_eq!(built.ledger.len(), 1 + num_others, "{name}");
        let merged = built.row("1+2+3");
        assert_eq!(merged.measured.unwrap().0.num_images, 1);
        let prompt = built.sample(&merged.id.to_string())["prompt"].as_str().unwrap().to_owned();
        assert_eq!(prompt.matches("<image>").count(), 1, "{prompt}");
        let mut rest = prompt.as_str();
        for text in ["What is 1?", "It is 1.", "What is 2?", "It is 2.", "What is 3?", "It is 3."] {
            rest = rest.split_once(text).unwrap_or_else(|| panic!("{text} in {prompt}")).1;
        }
        let said = crate::support::stdout(&["why", &out, "1+2+3"]);
        assert!(said.contains("What is 1?") && said.contains("What is 3?"), "{said}");
    }
}

#[test]
fn a_rejected_record_does_not_divide_a_conversation_about_one_image() {
    let home = home();
    let record = |id: u32, answer: &str| json!({"id": id, "image": "1.jpg", "question": format!("What is {id}?"), "answer": answer});
    write(home.path(), "a.jsonl", lines(&[record(1, "One."), record(2, ""), record(3, "Three.")]));
    photos(home.path(), &["1.jpg"]);
    let path = |name: &str| home.path().join(name).display().to_string();
    let (file, out) = (path("p.toml"), path("out"));
    run(&["init", &path(""), "--output", &file], 0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}merge = \"by_media\"\n")).unwrap();
    run(&["build", &file, "--output", &out, "--quiet", "--accept-rejects"], 0);
    let built = Built::read(out.as_ref());
    built.verify();
    assert_eq!(built.ledger.len(), 2, "{:?}", built.ledger);
    assert!(built.row("1+3").shard.is_some());
    assert!(built.row("2").reason.is_some());
    // In a directory each image is in one record.
    let folder = home.path().join("folder");
    photos(&folder, &["1.jpg"]);
    write(&folder, "1.txt", "A cat.");
    let members = ["1.jpg", "1.txt"].map(|name| (name.to_owned(), fs::read(folder.join(name)).unwrap()));
    write(home.path(), "folder.tar", crate::support::tar_of(&members));
    for annotations in ["folder", "folder.tar"] {
        let file = write_source(home.path(), &path(annotations));
        let checks: [&[&str]; 2] = [&["check", &file], &["build", &file, "--output", &out, "--quiet", "--replace"]];
        for command in checks {
            let error = String::from_utf8(run(command, 2).stderr).unwrap();
            assert!(error.contains("merge has no effect"), "{error}");
        }
    }
}

/// A pipeline file with a source that is merged.
fn write_source(home: &Path, annotations: &str) -> String {
    let text = format!(
        "name = \"t\"\n[format]\ntokenizer = \"${{here}}/tokenizer.model\"\n[[source]]\nname = \"a\"\nkind = \"auto\"\n\
         annotations = {annotations:?}\nmerge = \"by_media\"\n"
    );
    write(home, "merged.toml", text);
    home.join("merged.toml").display().to_string()
}

#[test]
fn documents_of_nemo_curator() {
    let home = home();
    let directory = home.path().join("curated");
    let photos: Vec<String> = (1..=3)
        .map(|number| {
            write(home.path(), &format!("p{number}.jpg"), photo(number, 64, 48));
            home.path().join(format!("p{number}.jpg")).display().to_string()
        })
        .collect();
    fs::create_dir_all(&directory).unwrap();
    let arguments = [&[directory.join("part.parquet").display().to_string()][..], &photos].concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    crate::support::run_python("datasets", "tests/python/write_curated.py", &arguments);
    let (said, built) = assert_built(
        &directory_with_tokenizer(&directory),
        &[(&["<image>", "A boat."], 1), (&["Once.", "<image>", "Then.\n\nLater.", "<image>"], 2), (&["Only text."], 0)],
    );
    assert!(said.contains("part.parquet"), "{said}");
    // The bytes are those of the rows.
    let sample = built.sample(&built.row("doc-1").id.to_string());
    assert_eq!(sample["images"].as_array().unwrap().len(), 2);
    let text = fs::read_to_string(directory.join("pipeline.toml")).unwrap();
    write(&directory, "filtered.toml", format!("{text}where = \"quality > 0.5\"\n"));
    let (file, out) =
        (directory.join("filtered.toml").display().to_string(), home.path().join("out").display().to_string());
    run(&["build", &file, "--output", &out, "--quiet"], 0);
    let outcomes = Built::read(out.as_ref()).outcomes();
    assert_eq!((outcomes["delivered"], outcomes["filtered"]), (2, 1), "{outcomes:?}");
}

/// The directory, with a tokenizer in it.
fn directory_with_tokenizer(directory: &Path) -> std::path::PathBuf {
    fs::copy(directory.parent().unwrap().join("tokenizer.model"), directory.join("tokenizer.model")).unwrap();
    directory.to_owned()
}

#[test]
fn records_that_are_not_sorted_by_image_are_said_to_have_merged_nothing() {
    let home = home();
    let data = home.path();
    for number in 0..2 {
        write(data, &format!("{number}.jpg"), photo(number, 64, 48));
    }
    let of = |id: u32| json!({"id": id, "image": format!("{}.jpg", id % 2), "question": format!("What {id}?"), "answer": "A beach."});
    write(data, "q.jsonl", lines(&(0..4).map(of).collect::<Vec<_>>()));
    let file = data.join("p.toml").display().to_string();
    stdout(&["init", &data.display().to_string(), "--output", &file]);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}merge = \"by_media\"\n")).unwrap();
    let output = run(&["build", &file, "--output", &data.join("out").display().to_string()], 0);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("merged none of 4 records: none shows the same images as the one before it"), "{said}");
}
