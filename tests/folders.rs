//! Promise: folders whose answers, paths or files are not where anybody would look first become datasets without editing, where that
//! can be told; elsewhere `init` says what is there, and what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::forms::{assert_built, photos};
use crate::init::{home, lines, write};
use crate::support::{Built, photo, run, run_python, stdout};

fn text(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

/// The pipeline file that `assert_built` had written.
fn pipeline(directory: &Path) -> String {
    fs::read_to_string(directory.join("pipeline.toml")).unwrap()
}

fn caption(image: &str) -> Value {
    json!({"image": image, "caption": format!("Of {image}.")})
}

#[test]
fn of_the_answers_of_several_people_the_most_common_is_trained() {
    for (form, fields) in [
        ("text_vqa", "answer = \"most_common(answers)\""),
        ("doc_vqa", "answer = \"most_common(answers)\""),
        ("vqa_v2", "answer = \"multiple_choice_answer\""),
        ("ok_vqa", "answer = \"most_common(answers.answer)\""),
        ("chart_qa", "answer = \"most_common(label)\""),
    ] {
        let (home, photos) = (home(), tempfile::tempdir().unwrap());
        for number in 1..=2 {
            write(photos.path(), &format!("{number}.jpg"), photo(number, 64, 48));
        }
        let (first, second) = (text(photos.path(), "1.jpg"), text(photos.path(), "2.jpg"));
        let table = text(home.path(), "train-00000-of-00001.parquet");
        run_python("datasets", "tests/python/write_vqa.py", &[form, &table, &first, &second]);
        let expected: [(&[&str], u64); 2] =
            [(&["What is shown in picture 0?", "two"], 1), (&["What is shown in picture 1?", "three"], 1)];
        let (said, _) = assert_built(home.path(), &expected);
        assert!(pipeline(home.path()).contains(&format!("fields = {{ {fields} }}")), "{form}: {said}");
        assert!(said.contains("2 of 2 sampled records read as questions and answers"), "{said}");
        assert!(said.contains("without fields: unexpected_schema: found the fields"), "{said}");

        // Another entry is named by its place.
        let list = if form == "chart_qa" { "label[1]" } else { "answers[1]" };
        let answer =
            if fields.contains(".answer") || form == "vqa_v2" { format!("{list}.answer") } else { list.into() };
        let other = pipeline(home.path()).replace(fields, &format!("answer = {answer:?}"));
        write(home.path(), "other.toml", other);
        let out = text(home.path(), "out");
        run(&["build", &text(home.path(), "other.toml"), "--output", &out, "--quiet"], 0);
        let other = Built::read(out.as_ref());
        let prompt = other.sample(&other.ledger[1].id.to_string())["prompt"].as_str().unwrap().to_owned();
        assert!(prompt.contains("four") && !prompt.contains("three"), "{form}: {prompt}");
    }
}

#[test]
fn an_entry_of_a_list_of_images_is_the_one_in_its_cell() {
    let (home, photos) = (home(), tempfile::tempdir().unwrap());
    for number in 1..=2 {
        write(photos.path(), &format!("{number}.jpg"), photo(number, 64 * number, 48));
    }
    let table = text(home.path(), "pairs.parquet");
    let pairs = "import sys; from datasets import Dataset, Features, Image, List, Value; \
        features = Features({'pictures': List(Image()), 'caption': Value('string')}); \
        pictures = [{'bytes': open(name, 'rb').read(), 'path': None} for name in sys.argv[2:]]; \
        Dataset.from_list([{'pictures': pictures, 'caption': 'Two.'}], features=features).to_parquet(sys.argv[1])";
    write(photos.path(), "pairs.py", pairs);
    let (first, second) = (text(photos.path(), "1.jpg"), text(photos.path(), "2.jpg"));
    run_python("datasets", &text(photos.path(), "pairs.py"), &[&table, &first, &second]);
    let (tokenizer, file) = (text(home.path(), "tokenizer.model"), text(home.path(), "p.toml"));
    write(
        home.path(),
        "p.toml",
        format!(
            "name = \"pairs\"\n[output]\ndirectory = {:?}\n[format]\ntokenizer = {tokenizer:?}\n[[source]]\nname = \"pairs\"\n\
             kind = \"auto\"\nannotations = {table:?}\nfields = {{ image = \"pictures[1]\" }}\n",
            text(home.path(), "out")
        ),
    );
    run(&["build", &file, "--quiet"], 0);
    let built = Built::read(&home.path().join("out"));
    built.verify();
    let sample = built.sample(&built.ledger[0].id.to_string());
    assert_eq!((&sample["image_sizes"], &sample["images"].as_array().unwrap().len()), (&json!([[128, 48]]), &1));
}

#[test]
fn image_folders_with_several_images_are_read() {
    let jsonl = lines(&[
        json!({"images_file_names": ["a.jpg", "b.jpg"], "text": "Both."}),
        json!({"images_file_names": ["b.jpg"], "text": "One."}),
    ]);
    let csv = "file_names,text\n\"['a.jpg', 'b.jpg']\",Both.\n\"[\"\"b.jpg\"\"]\",One.\n".to_owned();
    for (name, table) in [("train/metadata.jsonl", jsonl), ("train/metadata.csv", csv)] {
        let home = home();
        photos(home.path(), &["train/a.jpg", "train/b.jpg"]);
        write(home.path(), name, table);
        assert_built(home.path(), &[(&["Describe these images.", "Both."], 2), (&["Describe this image.", "One."], 1)]);
    }
}

#[test]
fn what_paths_begin_with_and_is_not_here_is_left_out() {
    for (prefix, path, file) in [
        ("coco/train/", "coco/train/{}.jpg", "imgs/{}.jpg"),
        ("coco/", "coco/train/{}.jpg", "imgs/train/{}.jpg"),
        ("/data/of/another/machine/", "/data/of/another/machine/sub/{}.jpg", "sub/{}.jpg"),
        ("http://images.example.org/2017/", "http://images.example.org/2017/{}.jpg", "imgs/{}.jpg"),
        ("C:\\old\\", "C:\\old\\sub\\{}.jpg", "sub/{}.jpg"),
        ("", "imgs\\{}.jpg", "imgs/{}.jpg"),
    ] {
        let home = home();
        let named = |pattern: &str, number: u32| pattern.replace("{}", &number.to_string());
        photos(home.path(), &[&named(file, 1), &named(file, 2)]);
        write(home.path(), "mix.json", json!([1, 2].map(|number| caption(&named(path, number)))).to_string());
        let (said, _) = assert_built(home.path(), &[(&["Of "], 1), (&["Of "], 1)]);
        assert!(said.contains("2 of 2 media found"), "{path}: {said}");
        let toml: toml::Table = toml::from_str(&pipeline(home.path())).unwrap();
        let found = toml["source"][0].get("media_prefix").map_or("", |prefix| prefix.as_str().unwrap());
        assert_eq!(found, prefix, "{path}: {said}");
        assert_eq!(said.contains("media_prefix leaves"), !prefix.is_empty(), "{said}");
    }
}

#[test]
fn absolute_paths_of_this_machine_are_found_wherever_they_are() {
    let (home, elsewhere) = (home(), tempfile::tempdir().unwrap());
    let names = ["a/1.jpg", "b/2.jpg"];
    photos(elsewhere.path(), &names);
    let records = names.map(|name| caption(&text(elsewhere.path(), name)));
    write(home.path(), "mix.json", json!(records).to_string());
    assert_built(home.path(), &[(&["Of "], 1), (&["Of "], 1)]);
    let media = format!("media = {:?}", elsewhere.path().display().to_string());
    assert!(pipeline(home.path()).contains(&media), "{}", pipeline(home.path()));
}

#[test]
fn a_prefix_is_not_guessed_where_files_of_the_same_names_could_be_others() {
    let home = home();
    photos(home.path(), &["imgs/1.jpg", "imgs/2.jpg"]);
    write(
        home.path(),
        "mix.json",
        json!([caption("train/1.jpg"), caption("val/1.jpg"), caption("test/2.jpg")]).to_string(),
    );
    let said = stdout(&["init", &text(home.path(), ""), "--output", &text(home.path(), "p.toml")]);
    assert!(said.contains("0 of 3 media found") && said.contains("a file of this name is in"), "{said}");
    assert!(!fs::read_to_string(home.path().join("p.toml")).unwrap().contains("\nmedia_prefix"), "{said}");
}

#[test]
fn of_several_captions_the_one_that_is_called_so_is_written_into_the_file() {
    let home = home();
    photos(home.path(), &["1.jpg"]);
    write(home.path(), "captions.csv", "image,caption,long_caption\n1.jpg,Short.,\"Long, and more.\"\n");
    let (said, _) = assert_built(home.path(), &[(&["Short."], 1)]);
    assert!(said.contains("without fields: unexpected_schema: \"caption\" is read, and \"long_caption\""), "{said}");
    assert!(pipeline(home.path()).contains("fields = { caption = \"caption\" }"));
    let long = pipeline(home.path()).replace("caption = \"caption\"", "caption = \"long_caption\"");
    write(home.path(), "long.toml", long);
    let out = text(home.path(), "long");
    run(&["build", &text(home.path(), "long.toml"), "--output", &out, "--quiet"], 0);
    let built = Built::read(out.as_ref());
    let sample = built.sample(&built.ledger[0].id.to_string());
    assert!(sample["prompt"].as_str().unwrap().contains("Long, and more."), "{sample}");
}

/// A zip of what is in a directory, as Python writes it.
fn zip(directory: &Path, name: &str, files: &[&str]) {
    let arguments = [&["-m", "zipfile", "-c", name], files].concat();
    let zipped = Command::new("python3").args(arguments).current_dir(directory).status().unwrap();
    assert!(zipped.success());
}

#[test]
fn what_is_in_a_zip_that_nothing_is_read_of_is_said() {
    let home = home();
    photos(home.path(), &["in/1.jpg", "in/2.jpg"]);
    write(&home.path().join("in"), "mix.json", json!([caption("1.jpg"), caption("2.jpg")]).to_string());
    write(&home.path().join("in"), "1.txt", "One.");
    for (zipped, files, expected) in [
        ("all 1", ["1.jpg", "2.jpg", "mix.json"].as_slice(), "2 images and videos and \"mix.json\" in it"),
        ("all 2", &["1.jpg", "2.jpg", "1.txt"], "2 images and videos and a text beside one of them in it"),
        ("all 3", &["1.jpg"], "1 image or video in it, which no record names"),
        ("all 4", &["mix.json"], "no image and no video and \"mix.json\" in it"),
    ] {
        let directory = home.path().join(zipped);
        fs::create_dir(&directory).unwrap();
        zip(&home.path().join("in"), &text(&directory, "it.zip"), files);
        let output = run(&["init", &text(&directory, ""), "--output", &text(home.path(), "p.toml")], 2);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(expected), "{said}");
        let command = format!("unzip '{0}.zip' -d '{0}'", text(&directory, "it"));
        assert_eq!(said.contains(&command), zipped != "all 3", "{said}");
    }
    // Records beside it name what is in it.
    let directory = home.path().join("beside");
    fs::create_dir(&directory).unwrap();
    zip(&home.path().join("in"), &text(&directory, "images.zip"), &["1.jpg", "2.jpg"]);
    write(&directory, "mix.json", json!([caption("1.jpg"), caption("2.jpg")]).to_string());
    fs::copy(home.path().join("tokenizer.model"), directory.join("tokenizer.model")).unwrap();
    assert_built(&directory, &[(&["Of 1.jpg."], 1), (&["Of 2.jpg."], 1)]);
}
