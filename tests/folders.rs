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

#[test]
fn of_sets_with_the_same_names_each_gets_its_own_images() {
    for (annotations, images) in [
        (["alpha.json", "beta.json"], ["alpha/images", "beta/images"]),
        (["ann_train.json", "ann_extra.json"], ["images_extra", "images_train"]),
        (["a/mix.json", "b/mix.json"], ["a/images", "b/images"]),
    ] {
        let home = home();
        for (index, name) in annotations.iter().enumerate() {
            write(
                home.path(),
                name,
                json!([caption("0.jpg"), caption("1.jpg")]).to_string().replace("Of ", &format!("Of {index} ")),
            );
            photos(home.path(), &[&format!("{}/0.jpg", images[index]), &format!("{}/1.jpg", images[index])]);
        }
        // Equal files would be duplicates, or copies of which either will do.
        for (index, place) in images.iter().enumerate() {
            for number in 0..2 {
                let photo = photo(10 * (index as u32 + 1) + number, 64 + 16 * index as u32, 48);
                write(home.path(), &format!("{place}/{number}.jpg"), photo);
            }
        }
        assert_built(home.path(), &[(&["Of 0"], 1), (&["Of 0"], 1), (&["Of 1"], 1), (&["Of 1"], 1)]);
        let toml: toml::Table = toml::from_str(&pipeline(home.path())).unwrap();
        for source in toml["source"].as_array().unwrap() {
            let (name, media) = (source["annotations"].as_str().unwrap(), source["media"].as_str().unwrap());
            let stem = name.strip_prefix("${here}/").unwrap();
            let index = annotations.iter().position(|name| *name == stem).unwrap();
            let own = images.iter().find(|place| {
                let word = annotations[index].trim_start_matches("ann_").split(['.', '/']).next().unwrap();
                place.contains(word)
            });
            assert_eq!(media, format!("${{here}}/{}", own.unwrap()), "{name}");
        }
    }
}

#[test]
fn where_nothing_tells_the_right_images_none_are_guessed() {
    let home = home();
    write(home.path(), "mix.json", json!([caption("0.jpg"), caption("1.jpg")]).to_string());
    for (index, place) in ["red", "blue"].iter().enumerate() {
        for number in 0..2 {
            write(
                home.path(),
                &format!("{place}/{number}.jpg"),
                photo(10 * index as u32 + number, 64 + 16 * index as u32, 48),
            );
        }
    }
    let said = stdout(&["init", &text(home.path(), ""), "--output", &text(home.path(), "p.toml")]);
    assert!(said.contains("0 of 2 media found") && said.contains("nothing tells the right ones"), "{said}");
    let file = fs::read_to_string(home.path().join("p.toml")).unwrap();
    assert!(file.contains("# media = \"${here}/blue\" or \"${here}/red\"    # which of them?"), "{file}");
    assert!(!file.contains("\nmedia = "), "{file}");
    // Of copies, either will do.
    fs::remove_dir_all(home.path().join("red")).unwrap();
    fs::create_dir(home.path().join("red")).unwrap();
    for number in 0..2 {
        fs::copy(home.path().join(format!("blue/{number}.jpg")), home.path().join(format!("red/{number}.jpg")))
            .unwrap();
    }
    assert_built(home.path(), &[(&["Of 0.jpg"], 1), (&["Of 1.jpg"], 1)]);
}

#[test]
fn images_are_taken_from_directories_that_are_called_so_and_not_from_what_is_made_of_them() {
    for (annotations, images, others) in [
        ("data.json", "images", vec!["depth"]),
        ("data.json", "photos", vec!["labels", "thumbs"]),
        ("train.json", "rgb/train", vec!["masks/train"]),
        ("train.json", "rgb", vec!["masks/train"]),
    ] {
        let home = home();
        write(home.path(), annotations, json!([caption("0.jpg"), caption("1.jpg"), caption("2.jpg")]).to_string());
        // One image is missing: what is made of it is not in its place.
        for (index, place) in others.into_iter().chain([images]).enumerate() {
            for number in 0..if place == images { 2 } else { 3 } {
                let photo = photo(10 * (index as u32 + 1) + number, 64 + 16 * index as u32, 48);
                write(home.path(), &format!("{place}/{number}.jpg"), photo);
            }
        }
        let said = stdout(&["init", &text(home.path(), ""), "--output", &text(home.path(), "p.toml")]);
        let file = fs::read_to_string(home.path().join("p.toml")).unwrap();
        assert!(file.contains(&format!("\nmedia = \"${{here}}/{images}\"\n")), "{file}");
        assert!(said.contains("2 of 3 media found, not \"2.jpg\""), "{said}");
    }
}

#[test]
fn files_that_differ_in_numbers_each_have_the_images_of_their_number() {
    let home = home();
    for set in 0..3_u32 {
        // Not all have as many: the directory with the most is not that of all.
        let numbers = 0..2 + set;
        let records: Vec<_> = numbers.clone().map(|number| caption(&format!("{number}.jpg"))).collect();
        write(
            home.path(),
            &format!("data_{set}.json"),
            json!(records).to_string().replace("Of ", &format!("Of {set} ")),
        );
        for number in numbers {
            let photo = photo(10 * (set + 1) + number, 64 + 16 * set, 48);
            write(home.path(), &format!("images_{set}/{number}.jpg"), photo);
        }
    }
    run(&["init", &text(home.path(), ""), "--output", &text(home.path(), "pipeline.toml")], 0);
    let toml: toml::Table = toml::from_str(&pipeline(home.path())).unwrap();
    let sources = toml["source"].as_array().unwrap();
    let found: Vec<_> =
        sources.iter().map(|it| (it["annotations"].as_str().unwrap(), it["media"].as_str().unwrap())).collect();
    let expected = [0, 1, 2].map(|set| (format!("${{here}}/data_{set}.json"), format!("${{here}}/images_{set}")));
    assert_eq!(found, expected.each_ref().map(|(annotations, media)| (annotations.as_str(), media.as_str())));
}

#[test]
fn a_directory_that_is_called_after_splits_holds_nothing_out() {
    let home = home();
    let data = home.path().join("train_val_dirs");
    photos(&data, &["0.jpg", "1.jpg"]);
    write(&data, "train.json", json!([caption("0.jpg")]).to_string());
    write(&data, "val.json", json!([caption("1.jpg")]).to_string());
    fs::copy(home.path().join("tokenizer.model"), data.join("tokenizer.model")).unwrap();
    let (said, _) = assert_built(&data, &[(&["Of 0.jpg"], 1)]);
    assert_eq!(said.matches("which is not trained on").count(), 1, "{said}");
}

#[test]
fn questions_and_answers_in_two_files_find_images_that_are_called_after_another_part() {
    let home = home();
    photos(home.path(), &["val2014/COCO_val2014_000000000042.jpg"]);
    let question = json!({"questions": [{"image_id": 42, "question": "What?", "question_id": 1}]});
    let answer =
        json!({"annotations": [{"image_id": 42, "question_id": 1, "multiple_choice_answer": "sand", "answers": []}]});
    write(home.path(), "questions.json", question.to_string());
    write(home.path(), "annotations.json", answer.to_string());
    assert_built(home.path(), &[(&["What?", "sand"], 1)]);
}

#[test]
fn of_several_captions_in_a_list_the_first_is_written_into_the_file() {
    let home = home();
    photos(home.path(), &["1.jpg", "2.jpg"]);
    let records = [
        json!({"image": "1.jpg", "captions": ["A beach.", "Sand."]}),
        json!({"image": "2.jpg", "captions": ["A cat.", "Fur."]}),
    ];
    write(home.path(), "flickr.jsonl", lines(&records));
    assert_built(home.path(), &[(&["A beach."], 1), (&["A cat."], 1)]);
    assert!(pipeline(home.path()).contains("fields = { caption = \"captions[0]\" }"));
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
