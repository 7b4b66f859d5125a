//! Promise: an export says of itself which files it has, so that everybody can tell whether a copy of it is whole.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::demo::stages;
use crate::needles::Set;
use crate::support::{Workshop, contents_below, llava, manyframe, photo, root, run, stdout};

/// Exports a dataset in a form; returns the name of the list of its files.
fn export(dataset: &Path, form: &[&str], out: &str) -> String {
    let dataset = dataset.display().to_string();
    let arguments = [&["export", &dataset, "--output", out, "--quiet", "--json", "--format"][..], form].concat();
    let answer: Value = serde_json::from_str(&stdout(&arguments)).unwrap();
    let list = Path::new(answer["digests"].as_str().unwrap());
    let num_bytes: usize = contents_below(Path::new(out)).iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(answer["num_bytes"], num_bytes);
    list.strip_prefix(out).unwrap().display().to_string()
}

/// What `verify` finds in a directory.
fn found(directory: &str, code: i32) -> Value {
    let output = run(&["verify", directory, "--quiet", "--json"], code);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn problems(directory: &str) -> Vec<String> {
    let found = found(directory, 1);
    assert_eq!(found["is_ok"], false);
    serde_json::from_value(found["problems"].clone()).unwrap()
}

/// Whether `sha256sum` finds every file of a list as it is.
fn is_whole(directory: &str, list: &str) -> bool {
    let arguments = ["--check", "--strict", "--quiet", list];
    Command::new("sha256sum").args(arguments).current_dir(directory).output().unwrap().status.success()
}

#[test]
fn every_form_lists_its_files_as_sha256sum_reads_it() {
    let mut workshop = Workshop::new();
    workshop.head.push_str("[pack]\nmax_tokens = 100\n");
    let turns = json!([{ "from": "human", "value": "Is 1 odd?" }, { "from": "gpt", "value": "It is." }]);
    workshop.add_source("a", "text", &json!([{ "id": "t", "conversations": turns }]), "");
    let texts = workshop.build().dataset;
    let settings = json!({ "tasks": ["image_retrieval"], "images": ["photo*.jpg"], "depths": [0, 333, 666, 1000], "lengths": [8] });
    let images = Set::new(&settings);
    let videos = Set::new(&json!({ "tasks": ["retrieval_edit"], "lengths": [6] }));
    let [images, videos] = [images, videos].map(|set| (set.build().dataset, set));
    let photos = &stages()[2];
    for (dataset, form) in [
        (photos, &["llava_json"][..]),
        (photos, &["llava_json", "--only-layout", "text"]),
        (photos, &["llava_json", "--packed"]),
        (photos, &["packed_parquet"]),
        (&texts, &["xtuner_pack"]),
        (&images.0, &["lmms_eval"]),
        (&videos.0, &["lmms_eval"]),
        (&videos.0, &["vlmevalkit"]),
    ] {
        let out = workshop.text("export");
        _ = fs::remove_dir_all(&out);
        let list = export(dataset, form, &out);
        assert_eq!(list, if form == ["packed_parquet"] { ".SHA256SUMS" } else { "SHA256SUMS" });
        let mut names: Vec<String> = contents_below(Path::new(&out)).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| *name != list);
        names.sort_unstable();
        assert!(!names.is_empty());
        let text = fs::read_to_string(format!("{out}/{list}")).unwrap();
        let listed: Vec<&str> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
        assert_eq!(listed, names, "{form:?}");
        assert!(is_whole(&out, &list), "{form:?}");
        let verified = found(&out, 0);
        assert_eq!((&verified["is_ok"], &verified["num_files"]), (&json!(true), &json!(names.len())), "{form:?}");
        // A list that is cut short hides nothing that a reader takes.
        fs::write(format!("{out}/{list}"), format!("{}\n", text.lines().next().unwrap())).unwrap();
        let problem = |name: &String| format!("{name} is not in the list of files, and readers of an export take it");
        let expected: Vec<String> = names[1..].iter().take(100).map(problem).collect();
        if names.len() > 1 {
            let mut problems = problems(&out);
            problems.truncate(100);
            problems.sort_unstable();
            assert_eq!(problems.len(), expected.len());
            assert!(names.len() > 100 || problems == expected, "{form:?}");
        }
    }
}

#[test]
fn readers_of_a_directory_of_parquet_files_do_not_take_the_list() {
    let workshop = Workshop::new();
    let out = workshop.text("packed");
    export(&stages()[2], &["packed_parquet"], &out);
    let script = workshop.write(
        "read.py",
        "import sys, datasets, pandas, pyarrow.parquet\n\
         out = sys.argv[1]\n\
         rows = pyarrow.parquet.read_table(out).num_rows\n\
         assert rows == len(pandas.read_parquet(out))\n\
         assert rows == datasets.load_dataset(out, split='train').num_rows\n\
         assert rows == datasets.load_dataset('parquet', data_dir=out, split='train').num_rows\n\
         print(rows)\n",
    );
    let rows = crate::support::run_python("datasets", &script.display().to_string(), &[&out]);
    assert!(rows.trim().parse::<u64>().unwrap() > 0, "{rows}");
}

/// An export of two photos, and the path of the first there.
fn exported(workshop: &mut Workshop) -> (String, String) {
    for number in 0..2 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 64, 48));
    }
    workshop.add_source("a", "llava", &json!([llava("one", "0.jpg"), llava("two", "1.jpg")]), "");
    let out = workshop.text("export");
    export(&workshop.build().dataset, &["llava_json"], &out);
    let image = contents_below(Path::new(&out)).into_iter().find(|(name, _)| name.starts_with("images/")).unwrap().0;
    (out, image)
}

#[test]
fn whatever_is_done_to_a_copy_is_noticed() {
    let mut workshop = Workshop::new();
    let (out, image) = exported(&mut workshop);
    let (photo, list) = (format!("{out}/{image}"), format!("{out}/SHA256SUMS"));
    let (bytes, lines) = (fs::read(&photo).unwrap(), fs::read_to_string(&list).unwrap());
    let is_noticed = |expected: &str| {
        let problems = problems(&out);
        assert_eq!(problems, [expected.replace("IMAGE", &image).replace("LIST", &list)]);
    };
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    fs::write(&photo, &altered).unwrap();
    is_noticed("IMAGE is not the file that SHA256SUMS names");
    let text = String::from_utf8(run(&["verify", &out, "--quiet"], 1).stdout).unwrap();
    assert!(text.ends_with(&format!("NOT OK: 3 files of {list}\n")), "{text}");
    assert!(!is_whole(&out, "SHA256SUMS"));
    fs::write(&photo, &bytes[1..]).unwrap();
    is_noticed("IMAGE is not the file that SHA256SUMS names");
    fs::remove_file(&photo).unwrap();
    is_noticed("IMAGE is missing");
    let not_a_file = "IMAGE cannot be read: not a regular file";
    for (program, arguments, expected) in
        [("mkdir", &[][..], not_a_file), ("mkfifo", &[], not_a_file), ("ln", &["-s", "/nowhere"], "IMAGE is missing")]
    {
        assert!(Command::new(program).args(arguments).arg(&photo).status().unwrap().success());
        is_noticed(expected);
        if program == "mkdir" { fs::remove_dir(&photo) } else { fs::remove_file(&photo) }.unwrap();
    }
    fs::write(&photo, &bytes).unwrap();

    // Files that are not listed.
    fs::write(format!("{out}/images/0000/000/more.jpg"), "more").unwrap();
    is_noticed("images/0000/000/more.jpg is not in the list of files, and readers of an export take it");
    fs::remove_file(format!("{out}/images/0000/000/more.jpg")).unwrap();
    fs::write(format!("{out}/notes.txt"), "mine").unwrap();
    fs::write(format!("{out}/.hidden"), "mine").unwrap();
    let verified = found(&out, 0);
    assert_eq!((&verified["is_ok"], &verified["unnamed"]), (&json!(true), &json!(["notes.txt"])));
    let text = stdout(&["verify", &out, "--quiet"]);
    assert_eq!(text, format!("no file of the export: notes.txt\nok: 3 files of {list}\n"));

    // The list itself.
    fs::write(&list, "").unwrap();
    assert_eq!(problems(&out)[0], format!("{list} names no file"));
    fs::write(&list, format!("{lines}half a line")).unwrap();
    is_noticed("LIST has no file and its digest in line 4");
    let outside = lines.lines().next().unwrap().replace("data.json", "../a.json");
    fs::write(&list, format!("{lines}{outside}\n")).unwrap();
    is_noticed("LIST has no file and its digest in line 4");
    fs::remove_file(&list).unwrap();
    let text = String::from_utf8(run(&["verify", &out], 2).stderr).unwrap();
    assert!(text.contains("if it is an export, it is one without SHA256SUMS"), "{text}");
}

#[test]
fn an_export_is_verified_where_it_was_copied_to() {
    let mut workshop = Workshop::new();
    let (out, _) = exported(&mut workshop);
    let copy = workshop.text("copy");
    assert!(Command::new("cp").args(["-r", &out, &copy]).status().unwrap().success());
    fs::remove_dir_all(&out).unwrap();
    fs::remove_dir_all(workshop.path("out")).unwrap();
    assert_eq!(stdout(&["verify", &copy, "--quiet"]), format!("ok: 3 files of {copy}/SHA256SUMS\n"));
    let told = String::from_utf8(run(&["verify", &copy], 0).stderr).unwrap();
    assert!(told.starts_with("verify: ") && told.contains(", 3 files, "), "{told}");
    let asked = String::from_utf8(run(&["inspect", &copy], 2).stderr).unwrap();
    assert!(asked.contains("as exports have: `manyframe verify` compares its files"), "{asked}");
    for option in [&["--engine", "slurm"][..], &["--set", "data=x"], &["--no-sources"], &["--work", "x"]] {
        let refused = String::from_utf8(run(&[&["verify", &copy], option].concat(), 2).stderr).unwrap();
        assert!(refused.contains(&format!("{} is for datasets: an export", option[0])), "{refused}");
    }
    let named = String::from_utf8(run(&["verify", &format!("{copy}/SHA256SUMS")], 2).stderr).unwrap();
    assert!(named.contains(&format!("did you mean {copy}?")), "{named}");
}

#[test]
fn a_link_to_elsewhere_is_named_and_not_walked() {
    let mut workshop = Workshop::new();
    let (out, _) = exported(&mut workshop);
    fs::create_dir(workshop.path("elsewhere")).unwrap();
    workshop.write("elsewhere/1.txt", "x");
    std::os::unix::fs::symlink(workshop.path("elsewhere"), format!("{out}/link")).unwrap();
    std::os::unix::fs::symlink("/", format!("{out}/root")).unwrap();
    assert_eq!(found(&out, 0)["unnamed"], json!(["link", "root"]));
    // Images on another disk are of the export all the same.
    fs::remove_file(format!("{out}/link")).unwrap();
    fs::remove_file(format!("{out}/root")).unwrap();
    fs::rename(format!("{out}/images"), workshop.path("disk")).unwrap();
    std::os::unix::fs::symlink(workshop.path("disk"), format!("{out}/images")).unwrap();
    assert_eq!(found(&out, 0)["is_ok"], true);
    workshop.write("disk/0000/000/more.jpg", "more");
    assert_eq!(
        problems(&out),
        ["images/0000/000/more.jpg is not in the list of files, and readers of an export take it"]
    );
}

#[test]
fn an_export_says_the_same_wherever_it_is_written() {
    use std::os::unix::ffi::OsStrExt;
    let mut workshop = Workshop::new();
    let (_, _) = exported(&mut workshop);
    let odd = workshop.path(".").join(std::ffi::OsStr::from_bytes(b"a\xff b"));
    let dataset = workshop.text("out");
    let mut program = manyframe(&["export", &dataset, "--format", "llava_json", "--quiet", "--json", "--output"]);
    let output = program.arg(&odd).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{answer}");
    assert!(answer["annotations"].as_str().unwrap().ends_with("a\u{fffd} b/data.json"), "{answer}");
    let output = manyframe(&["verify", "--quiet"]).arg(&odd).output().unwrap();
    assert!(output.status.success() && odd.join("data.json").is_file());
}

#[test]
fn an_export_of_nothing_and_to_nowhere_is_refused() {
    let mut workshop = Workshop::new();
    exported(&mut workshop);
    let (dataset, out) = (workshop.text("out"), workshop.text("next"));
    let refused = |more: &[&str], expected: &str| {
        let arguments = [&["export", &dataset, "--quiet", "--output"][..], more].concat();
        let text = String::from_utf8(run(&arguments, 2).stderr).unwrap();
        assert!(text.contains(expected), "{text}");
        assert!(!workshop.path("next").exists());
    };
    refused(&[&out, "--format", "llava_json", "--only-layout", "text"], "no sample is left to export");
    refused(&[&out, "--format", "llava_json", "--max-images", "0"], "no sample is left to export");
    refused(&["s3://bucket/x", "--format", "llava_json"], "is a URL; an export is written to a directory");
    refused(&[&out, "--format", "packed_parquet", "--path-prefix", "x/"], "--path-prefix has no effect");
    refused(&[&out, "--format", "packed_parquet", "--single-image", "string"], "--single-image has no effect");
    refused(&[&out, "--format", "xtuner_pack", "--single-image", "string"], "--single-image has no effect");
    assert!(!root().join("s3:").exists());
}
