//! Promise: what people have becomes a dataset at the first attempt: `init` writes a pipeline file that `check` accepts and `build`
//! builds, without editing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, photo, root, run, stdout, tar_with};

/// A directory of somebody's data, with a tokenizer.
pub(crate) fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let tokenizer = root().join("crates/format/tests/golden/jamba.model");
    fs::copy(tokenizer, home.path().join("tokenizer.model")).unwrap();
    home
}

pub(crate) fn write(directory: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn lines(records: &[Value]) -> String {
    records.iter().flat_map(|record| [record.to_string(), "\n".to_owned()]).collect()
}

/// Writes a pipeline file for a directory, checks it and builds it.
pub(crate) fn built(directory: &Path) -> (String, Built) {
    let text = |name: &str| directory.join(name).display().to_string();
    let (file, dataset) = (text("pipeline.toml"), text("built"));
    let said = stdout(&["init", &directory.display().to_string(), "--output", &file]);
    run(&["check", &file], 0);
    run(&["build", &file, "--quiet", "--output", &dataset], 0);
    (said, Built::read(dataset.as_ref()))
}

/// All records are delivered, and each with so many images.
fn assert_delivered(built: &Built, num_records: usize, num_images: u64) {
    assert_eq!(built.ledger.len(), num_records);
    for row in &built.ledger {
        assert!(row.shard.is_some(), "{row:?}");
        assert_eq!(row.measured.unwrap().0.num_images, num_images, "{row:?}");
    }
}

#[test]
fn every_usual_form_is_built_without_editing() {
    let ask = |text: &str| json!([{"from": "human", "value": text}, {"from": "gpt", "value": "A beach."}]);
    let answer = || json!({"role": "assistant", "content": "A beach."});
    let forms: Vec<(&str, &str, String, u64)> = vec![
        ("llava", "mix.json", json!([{"id": 1, "image": "1.jpg", "conversations": ask("<image>\nWhat?")}]).to_string(), 1),
        (
            "llama_factory",
            "data.json",
            json!([{"messages": [{"role": "user", "content": "<image><image>What?"}, answer()], "images": ["1.jpg", "2.jpg"]}])
                .to_string(),
            2,
        ),
        (
            "openai",
            "chat.jsonl",
            lines(&[json!({"messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "1.jpg"}}
                ]},
                answer()
            ]})]),
            1,
        ),
        (
            "qwen",
            "sft.jsonl",
            lines(&[json!({"messages": [
                {"role": "user", "content": [{"type": "image", "image": "1.jpg"}, {"type": "text", "text": "What?"}]}, answer()
            ]})]),
            1,
        ),
        (
            "internvl",
            "annotations.jsonl",
            lines(&[json!({"id": 0, "image": ["1.jpg", "2.jpg"], "width_list": [64, 64], "height_list": [48, 48],
                "conversations": ask("Image-1: <image>\nImage-2: <image>\nWhat?")})]),
            2,
        ),
        (
            "trl",
            "train.jsonl",
            lines(&[json!({
                "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}],
                "completion": [{"role": "assistant", "content": [{"type": "text", "text": "A beach."}]}], "images": ["1.jpg"]
            })]),
            1,
        ),
        (
            "cauldron",
            "vqa.json",
            json!([{"images": ["1.jpg"], "texts": [{"user": "What?", "assistant": "A beach.", "source": "vqa"}]}]).to_string(),
            1,
        ),
        ("captions", "metadata.jsonl", lines(&[json!({"file_name": "1.jpg", "text": "A beach."})]), 1),
        ("vqa", "questions.json", json!({"info": {"year": 2026}, "data": [{"image_path": "1.jpg", "question": "What?", "answer": "A beach."}]}).to_string(), 1),
        ("alpaca", "alpaca.json", json!([{"instruction": "What?", "input": "Now.", "output": "A beach."}]).to_string(), 0),
        ("documents", "web.jsonl", lines(&[json!({"text": "A beach is made of sand."})]), 0),
    ];
    for (name, file, text, num_images) in forms {
        let home = home();
        let data = home.path();
        write(data, file, text);
        for number in 1..=2 {
            write(data, &format!("media/deep/{number}.jpg"), photo(number, 64, 48));
        }
        let (said, built) = built(data);
        assert_delivered(&built, 1, num_images);
        let media = if num_images == 0 { String::new() } else { format!("; {num_images} of {num_images} media found") };
        assert!(said.contains("1 of 1 sampled record read") && said.contains(&media), "{name}: {said}");
    }
}

#[test]
fn shards_of_one_table_are_one_source_and_archives_hold_media() {
    let home = home();
    let data = home.path();
    let record = |number: u32| json!([{"id": number, "image": format!("images/{number}.jpg"), "caption": "A beach."}]);
    for number in 0..3 {
        write(data, &format!("train-{number:05}-of-00003.json"), record(number).to_string());
    }
    for number in 0..3 {
        write(data, &format!("part-{number}.tar"), tar_with(&format!("images/{number}.jpg"), &photo(number, 64, 48)));
    }
    let (said, built) = built(data);
    assert_delivered(&built, 3, 1);
    assert!(said.contains("3 files; 3 of 3 sampled records read") && said.contains("3 of 3 media found"), "{said}");
    let file = fs::read_to_string(data.join("pipeline.toml")).unwrap();
    assert!(file.contains("annotations = \"${here}/train-*-of-*.json\""), "{file}");
    assert!(file.contains("\"${here}/part-0.tar\", \"${here}/part-1.tar\""), "{file}");
}

#[test]
fn of_places_with_the_same_names_the_one_that_belongs_to_the_annotations_is_chosen_and_the_others_are_said() {
    let home = home();
    let data = home.path();
    for (number, part) in [(1, "train"), (2, "val")] {
        write(data, &format!("{part}_images/0.jpg"), photo(number, 64, 48));
        write(data, &format!("{part}.json"), json!([{"image": "0.jpg", "caption": part}]).to_string());
    }
    let (said, _) = built(data);
    assert!(said.contains("the same names are also in"), "{said}");
    let file = fs::read_to_string(data.join("pipeline.toml")).unwrap();
    let val = file.split_once("/val.json\"").unwrap().1;
    assert!(val.contains("media = \"${here}/val_images\""), "{file}");
    assert!(file.contains("media = \"${here}/train_images\""), "{file}");
}

#[test]
fn places_are_searched_in_the_order_of_what_they_have_and_chance_is_no_place() {
    let home = home();
    let data = home.path();
    let records: Vec<_> =
        (0..11).map(|number| json!({"image": format!("{number}.jpg"), "caption": "A beach."})).collect();
    write(data, "mine.json", json!(records).to_string());
    for number in 0..10 {
        write(data, &format!("full/{number}.jpg"), photo(number, 64, 48));
    }
    for number in [0, 1, 10] {
        write(data, &format!("a_extra/{number}.jpg"), photo(20 + number, 32, 24));
    }
    let many: Vec<_> =
        (0..50).map(|number| json!({"image": format!("x{number}.jpg"), "caption": "A beach."})).collect();
    write(data, "many.json", json!(many).to_string());
    write(data, "logos/x1.jpg", photo(40, 32, 24));
    let file = data.join("pipeline.toml").display().to_string();
    let said = stdout(&["init", &data.display().to_string(), "--output", &file]);
    assert!(said.contains("11 of 11 media found") && said.contains("0 of 50 media found"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("media = [\"${here}/full\", \"${here}/a_extra\"]"), "{text}");
}

#[test]
fn a_snapshot_of_the_hub_is_read_through_its_links() {
    let home = home();
    let snapshot = home.path().join("models/snapshots/abc");
    let blobs = home.path().join("models/blobs");
    write(&blobs, "1f", photo(1, 64, 48));
    write(&snapshot, "metadata.jsonl", lines(&[json!({"file_name": "1.jpg", "text": "A beach."})]));
    std::os::unix::fs::symlink("../../blobs/1f", snapshot.join("1.jpg")).unwrap();
    let (_, built) = built(home.path());
    assert_delivered(&built, 1, 1);
}

#[test]
fn what_cannot_be_read_is_said_and_nothing_is_written_over() {
    let home = home();
    let data = home.path();
    let path = |name: &str| data.join(name).display().to_string();
    write(data, "table.csv", "1.jpg,A beach.\n2.jpg,A cat.\n");
    write(data, "photos.tar.gz", "");
    write(data, "videos.json", json!([{"question": "What?", "answer": "A beach.", "videoID": "x"}]).to_string());
    let output = run(&["init", &path(""), "--output", &path("p.toml")], 2);
    let (said, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("table.csv") && said.contains("not read: a table without names of its columns"), "{said}");
    assert!(said.contains("photos.tar.gz\n    not read: nothing is read from such archives; unpack it"), "{said}");
    assert!(said.contains("\"videoID\" may name its image or video"), "{said}");
    assert!(error.contains("no annotations in"), "{error}");
    assert!(!data.join("p.toml").exists());

    write(data, "mine.json", json!([{"question": "What?", "answer": "A beach."}, {"question": "What?"}]).to_string());
    let said =
        stdout(&["init", &path("mine.json"), "--output", &path("p.toml"), "--tokenizer", &path("tokenizer.model")]);
    assert!(
        said.contains("1 of 2 sampled records read")
            && said.contains("expected a conversation, a question with its answer"),
        "{said}"
    );
    let error = String::from_utf8(run(&["init", &path(""), "--output", &path("p.toml")], 2).stderr).unwrap();
    assert!(error.contains("init writes over no file"), "{error}");
    run(&["init", &path("absent"), "--output", &path("q.toml")], 2);
    run(&["init", &path(""), "--output", &path("q.toml"), "--tokenizer", &path("absent")], 2);
}

#[test]
fn the_checkpoint_beside_the_data_decides_the_family() {
    let home = home();
    let data = home.path();
    write(data, "checkpoint/config.json", json!({"model_type": "qwen3_vl"}).to_string());
    write(data, "checkpoint/tokenizer_config.json", "{}");
    fs::rename(data.join("tokenizer.model"), data.join("checkpoint/tokenizer.model")).unwrap();
    write(data, "mine.json", json!([{"question": "What?", "answer": "A beach."}]).to_string());
    let file = data.join("p.toml").display().to_string();
    let said = stdout(&["init", &data.display().to_string(), "--output", &file]);
    assert!(said.contains("model family: qwen3-vl"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("family = \"qwen3-vl\"") && text.contains("tokenizer = \"${here}/checkpoint\""), "{text}");
}

#[test]
fn a_template_brings_the_settings_of_its_recipe() {
    for (template, family) in [("longllava", "longllava"), ("longvila", "longvila"), ("qwen3-vl-sft", "qwen3-vl")] {
        let home = Workshop::new();
        let data = home.path("");
        write(&data, "mine.json", json!([{"image": "1.jpg", "question": "What?", "answer": "A beach."}]).to_string());
        write(&data, "1.jpg", photo(1, 64, 48));
        let (file, tokenizer) = (home.text("p.toml"), crate::families::tokenizer(&home));
        let arguments = ["--output", &file, "--template", template, "--tokenizer", &tokenizer];
        let said = stdout(&[&["init", data.to_str().unwrap()], &arguments[..]].concat());
        assert!(said.contains(&format!("model family: {family}")), "{said}");
        run(&["check", &file], 0);
        run(&["build", &file, "--quiet", "--output", &data.join("out").display().to_string()], 0);
        assert_eq!(Built::read(&data.join("out")).outcomes()["delivered"], 1);
    }
    run(&["init", ".", "--template", "longllava", "--family", "qwen3-vl"], 2);
}

#[test]
fn questions_are_asked_and_an_empty_line_takes_what_is_proposed() {
    let home = home();
    let data = home.path();
    for name in ["first", "second"] {
        write(data, &format!("{name}.json"), json!([{"question": "What?", "answer": name}]).to_string());
    }
    let file = data.join("p.toml").display().to_string();
    let mut asked = crate::support::manyframe(&["init", data.to_str().unwrap(), "--output", &file, "--interactive"]);
    asked.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut asked = asked.spawn().unwrap();
    std::io::Write::write_all(&mut asked.stdin.take().unwrap(), b"maybe\nno\n\nqwen9\nqwen3-vl\n").unwrap();
    let output = asked.wait_with_output().unwrap();
    let questions = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && questions.contains("answer yes or no") && questions.contains("no such family"),
        "{questions}"
    );
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        !text.contains("first.json") && text.contains("second.json") && text.contains("family = \"qwen3-vl\""),
        "{text}"
    );
}

#[test]
fn what_no_record_names_is_said_and_splits_that_are_held_out_are_comments() {
    let home = home();
    let data = home.path();
    let file = data.join("pipeline.toml").display().to_string();
    let said_of = |directory: &str, code: i32| {
        let output = run(&["init", &data.join(directory).display().to_string(), "--output", &file], code);
        String::from_utf8(output.stdout).unwrap()
    };
    write(data, "pictures/cats/1.jpg", photo(1, 64, 48));
    write(data, "pictures/dogs/2.jpg", photo(2, 64, 48));
    write(data, "pictures/dogs/3.mp4", "");
    let said = said_of("pictures", 2);
    assert!(said.contains("3 images and videos here and in another directory that no record names"), "{said}");
    write(data, "packed/all.zip", "PK");
    write(data, "packed/pages.tar", tar_with("1.tiff", &photo(1, 64, 48)));
    write(data, "packed/captions.txt", "image,caption\n1.jpg,A beach.\n");
    write(data, "packed/saved/data-00000-of-00001.arrow", b"\xff\xff\xff\xff\x10\x02\0\0\x10\0\0\0");
    let said = said_of("packed", 2);
    for expected in [
        "all.zip\n    not read: ",
        "pages.tar\n    not read: ",
        "captions.txt\n    not read: a table in a file of text; give it a name that ends with .csv",
        "an Arrow file of Hugging Face `datasets`; write it as Parquet: datasets.Dataset.from_file(",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    let repository = data.join("hub/datasets--me--beach");
    for revision in ["aaaa", "bbbb"] {
        let record = json!([{"question": format!("What is {revision}?"), "answer": "A beach."}]);
        write(&repository, &format!("snapshots/{revision}/data.json"), record.to_string());
    }
    write(&repository, "refs/main", "bbbb");
    let said = said_of("hub", 0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(said.contains("snapshots/aaaa\n    not read: another revision; refs/main names bbbb"), "{said}");
    assert!(text.contains("snapshots/bbbb/data.json") && text.matches("[[source]]").count() == 1, "{text}");
    assert!(said.contains("1 of 1 sampled record read as questions and answers, in JSON, the first"), "{said}");
    fs::remove_file(&file).unwrap();

    for split in ["train", "validation", "test"] {
        let record = json!([{"image": "1.jpg", "caption": format!("Of {split}.")}]);
        write(data, &format!("splits/{split}/metadata.json"), record.to_string());
        write(data, &format!("splits/{split}/1.jpg"), photo(1, 64, 48));
    }
    fs::copy(data.join("tokenizer.model"), data.join("splits/tokenizer.model")).unwrap();
    let (said, built) = built(&data.join("splits"));
    assert_delivered(&built, 1, 1);
    assert!(said.contains("the test split, which is not trained on: its table is commented out"), "{said}");
    assert!(said.contains(&format!("1 of 1 media found in {}", data.join("splits/train").display())), "{said}");
    let text = fs::read_to_string(data.join("splits/pipeline.toml")).unwrap();
    assert!(
        text.contains("\n[[source]]\nname = \"train-metadata\"") && text.matches("\n# [[source]]").count() == 2,
        "{text}"
    );

    let odd = data.join("odd 'name'.toml").display().to_string();
    let said = stdout(&["init", &data.join("hub").display().to_string(), "--output", &odd]);
    assert!(said.contains("/odd '\\''name'\\''.toml'\n"), "{said}");
}
