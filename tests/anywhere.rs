//! Promise: plans, reuse and datasets do not depend on where a command is run or how a path is spelled, and a dataset can be
//! looked into from anywhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, manyframe, photo, root, run, stdout};

/// A project in `DIRECTORY/here`, with its data beside it in `DIRECTORY/hereby`.
struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new(vars: &str, source: &str) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        let here = project.path("here");
        fs::create_dir_all(project.path("hereby/media")).unwrap();
        fs::create_dir_all(&here).unwrap();
        fs::copy(root().join("crates/format/tests/golden/jamba.model"), here.join("t.model")).unwrap();
        fs::write(project.path("hereby/media/1.jpg"), photo(1, 64, 48)).unwrap();
        fs::write(project.path("hereby/media/2.mp4"), "no video").unwrap();
        let mut video = llava("r2", "2.mp4");
        video["video"] = video["image"].take();
        video.as_object_mut().unwrap().remove("image");
        video["conversations"][0]["value"] = json!("<video>\nWhat is shown?");
        let records = json!([llava("r1", "1.jpg"), video, llava("r3", "3.jpg")]);
        fs::write(project.path("hereby/a.json"), records.to_string()).unwrap();
        let text = format!(
            "name = \"t\"\n[vars]\n{vars}\n[output]\ndirectory = \"${{here}}/out\"\n[format]\ntokenizer = \"${{here}}/t.model\"\n\
             [[source]]\nname = \"a\"\nmax_rejects = 1.0\n{source}\n"
        );
        fs::write(here.join("p.toml"), text).unwrap();
        project
    }

    /// One that names its data by the directory of the pipeline file.
    fn beside() -> Self {
        Self::new(
            "",
            "kind = \"llava\"\nannotations = \"${here}/../hereby/a.json\"\nmedia = \"${here}/../hereby/media\"",
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    /// Runs in a directory of the project; must end with this code.
    fn run(&self, directory: &str, arguments: &[&str], code: i32) -> Output {
        let output = manyframe(arguments).current_dir(self.path(directory)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{directory}: manyframe {arguments:?}\n{stdout}\n{stderr}");
        output
    }

    fn build(&self, directory: &str, arguments: &[&str]) -> (Built, String) {
        let output = self.run(directory, &[&["build", "--quiet"], arguments].concat(), 0);
        (Built::read(&self.path("here/out")), String::from_utf8(output.stdout).unwrap())
    }

    fn work_of_last_build(&self) -> (u64, u64) {
        let facts: Value = serde_json::from_slice(&fs::read(self.path("here/out/build.json")).unwrap()).unwrap();
        (facts["work"]["num_samples_made"].as_u64().unwrap(), facts["work"]["num_splits_read"].as_u64().unwrap())
    }
}

#[test]
fn a_build_from_elsewhere_has_nothing_to_do_and_reuses_everything() {
    let project = Project::beside();
    symlink(project.path("here"), project.path("link")).unwrap();
    let (first, _) = project.build("here", &["p.toml"]);
    let absolute = project.path("here/p.toml").display().to_string();
    let linked = project.path("link/p.toml").display().to_string();
    for (directory, file) in [
        ("", "here/p.toml"),
        ("", "./here/./p.toml"),
        ("here", "../here/p.toml"),
        ("hereby", absolute.as_str()),
        ("link", "p.toml"),
        ("", linked.as_str()),
    ] {
        let (again, stdout) = project.build(directory, &[file]);
        assert!(stdout.contains("nothing to do"), "{directory} {file}\n{stdout}");
        assert_eq!(again.manifest, first.manifest);
    }
    let (again, _) = project.build("", &["here/p.toml", "--set", "seed=9"]);
    assert_eq!(project.work_of_last_build(), (0, 0), "samples made, annotation files read");
    assert_eq!(again.manifest.shards, first.manifest.shards);
}

#[test]
fn a_variable_may_be_spelled_in_any_way() {
    let project = Project::new(
        "data = \"hereby\"",
        "kind = \"llava\"\nannotations = \"${data}/a.json\"\nmedia = \"${data}/media\"",
    );
    symlink(project.path("hereby"), project.path("link")).unwrap();
    let (first, _) = project.build("", &["here/p.toml"]);
    assert_eq!(&*first.row("r1").origin.file, "${data}/a.json");
    let absolute = format!("data={}", project.path("hereby").display());
    for (directory, data) in [
        ("here", "data=../hereby"),
        ("hereby", "data=."),
        ("", "data=./hereby/"),
        ("here", absolute.as_str()),
        ("", "data=link"),
    ] {
        let file = project.path("here/p.toml").display().to_string();
        let (again, stdout) = project.build(directory, &[&file, "--set", data]);
        assert!(stdout.contains("nothing to do"), "{directory} {data}\n{stdout}");
        assert_eq!(again.manifest, first.manifest);
    }
}

#[test]
fn an_interrupted_build_is_continued_from_elsewhere() {
    let project = Project::beside();
    let plan = |directory: &str, file: &str| -> Value {
        let output = project.run(directory, &["plan", file, "--json", "--quiet"], 0);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = plan("here", "p.toml");
    let directory = first["plan"].as_str().unwrap();
    let made = fs::metadata(Path::new(directory).join("plan.json")).unwrap().modified().unwrap();
    // A worker may run anywhere.
    project.run("hereby", &["task", directory, "0", "--quiet"], 0);
    assert_eq!(plan("", "here/p.toml"), first);
    assert_eq!(fs::metadata(Path::new(directory).join("plan.json")).unwrap().modified().unwrap(), made);
    project.run("hereby", &["commit", directory, "--quiet"], 0);
    let (_, stdout) = project.build("", &["here/p.toml"]);
    assert!(stdout.contains("nothing to do"), "{stdout}");
}

#[test]
fn a_dataset_can_be_looked_into_from_anywhere() {
    let project = Project::new(
        "base = \"hereby\"\ndata = \"${base}\"",
        "kind = \"llava\"\nannotations = \"${data}/a.json\"\nmedia = \"${data}/media\"",
    );
    project.build("", &["here/p.toml"]);
    let why = project.run("hereby/media", &["why", "../../here/out", "r3"], 0);
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains("picture r3?") && why.contains("tried ${data}/media"), "{why}");
    project.run("hereby", &["verify", "../here/out", "--quiet"], 0);
    for arguments in [&["inspect", "../here/out", "r1"][..], &["pack", "../here/out", "--set", "max_tokens=4096"]] {
        project.run("hereby", arguments, 0);
    }
    project.run("hereby", &["export", "../here/out", "--format", "llava_json", "-o", "exported", "--quiet"], 0);

    // As on another machine.
    fs::rename(project.path("hereby"), project.path("elsewhere")).unwrap();
    let failed = project.run("here", &["why", "out", "r3"], 2);
    let (stdout, stderr) = (String::from_utf8(failed.stdout).unwrap(), String::from_utf8(failed.stderr).unwrap());
    assert!(stdout.contains("rejected: media_missing"), "the outcome is in the ledger\n{stdout}");
    assert!(stderr.contains("cannot be shown") && stderr.contains("base, data, here"), "{stderr}");
    project.run("here", &["why", "out", "r3", "--set", "base=../elsewhere"], 0);
    project.run("here", &["why", "out", "r3", "--set", "data=../elsewhere"], 0);
    let stderr = project.run("here", &["why", "out", "r3", "--set", "dat=../elsewhere"], 2).stderr;
    assert!(String::from_utf8_lossy(&stderr).contains("\"dat\"; there are base, data, here"));
}

#[test]
fn a_variable_that_equals_another_string_changes_no_setting_and_no_message() {
    let project = Project::new(
        "data = \"hereby\"\nkind = \"llava\"\nv = \"video\"\nm = \"media\"\nname = \"a\"",
        "kind = \"${kind}\"\nannotations = \"${data}/a.json\"\nmedia = \"${data}/${m}\"\nlicense = \"llava\"",
    );
    let (built, _) = project.build("", &["here/p.toml"]);
    let source = &built.manifest.pipeline["source"][0];
    assert_eq!((&source["kind"], &source["name"], &source["license"]), (&json!("llava"), &json!("a"), &json!("llava")));
    assert_eq!(source["media"], "${data}/media");
    let details: Vec<&str> = built.ledger.iter().filter_map(|row| row.detail.as_deref()).collect();
    let expected = "medium 1 \"3.jpg\": \"3.jpg\" is in no media root (tried ${data}/media)";
    assert!(details.contains(&expected), "{details:?}");
    assert!(details.iter().all(|detail| !detail.contains("${v}") && !detail.contains("${m}")), "{details:?}");
    for arguments in [&["pack", "here/out"][..], &["verify", "here/out", "--quiet"], &["inspect", "here/out"]] {
        project.run("", arguments, 0);
    }
}

#[test]
fn a_neighbour_whose_name_begins_alike_is_not_below_a_directory() {
    let project = Project::new("", "kind = \"llava\"\nannotations = \"${here}by/a.json\"\nmedia = \"${here}by/media\"");
    let (built, _) = project.build("here", &["p.toml"]);
    let file = project.path("hereby/a.json").display().to_string();
    assert_eq!(*built.row("r1").origin.file, *file);
    project.run("hereby", &["why", "../here/out", "r1"], 0);
}

#[test]
fn a_directory_whose_name_is_not_unicode_is_refused_from_everywhere() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    workshop.pipeline();
    let odd = workshop.path(".").join(OsStr::from_bytes(b"a\xff b"));
    fs::create_dir(&odd).unwrap();
    for name in ["media", "a.json", "pipeline.toml"] {
        fs::rename(workshop.path(name), odd.join(name)).unwrap();
    }
    for command in ["check", "plan", "build"] {
        for (from, pipeline) in [(odd.clone(), "pipeline.toml".into()), (workshop.path("."), odd.join("pipeline.toml"))]
        {
            let mut program = manyframe(&[command]);
            let output = program.arg(pipeline).arg("--quiet").current_dir(from).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            assert!(!output.status.success(), "{command}: {text}");
            assert!(text.contains("is not valid Unicode"), "{command}: {text}");
        }
    }
    assert!(!odd.join("out").exists());
}

#[test]
fn an_output_whose_name_is_not_unicode_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    fs::create_dir(workshop.path("sets")).unwrap();
    fs::copy(workshop.pipeline(), workshop.path("sets/1.toml")).unwrap();
    let odd = workshop.path(".").join(OsStr::from_bytes(b"a\xff b"));
    fs::create_dir(&odd).unwrap();
    let (pipeline, directory) = (workshop.text("pipeline.toml"), workshop.text("sets"));
    for command in ["plan", "build"] {
        for (file, output) in
            [(&pipeline, odd.join("x").into_os_string()), (&directory, odd.join("x").into()), (&pipeline, "x".into())]
        {
            let mut program = manyframe(&[command, file, "--quiet", "--json", "--output"]);
            let output = program.arg(output).current_dir(&odd).output().unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command} {file}: {answer}");
            assert!(answer["error"].as_str().unwrap().contains("is not valid Unicode"), "{answer}");
        }
    }
    assert_eq!(fs::read_dir(&odd).unwrap().count(), 0);
    assert!(!workshop.path("a\u{fffd} b").exists());
}

#[test]
fn datasets_of_a_directory_are_where_they_are_asked_for() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg")]), "");
    fs::create_dir(workshop.path("sets")).unwrap();
    fs::copy(workshop.pipeline(), workshop.path("sets/1.toml")).unwrap();
    // No-break spaces and escapes are characters like others.
    for name in ["a\u{a0}b", "a\u{1b}b", "a\u{7f}b", "a\"b\\c", "a\nb"] {
        run(&["build", &workshop.text("sets"), "--quiet", "--output", &workshop.text(name)], 0);
        assert!(workshop.path(&format!("{name}/t/manifest.json")).is_file(), "{name:?}");
    }
}

#[test]
fn the_command_that_shows_a_record_can_be_pasted() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 40, 30));
    workshop.add_source("a", "llava", &json!([llava("r", "1.jpg"), llava("lost", "2.jpg")]), "");
    let directory = Path::new(manyframe(&[]).get_program()).parent().unwrap().to_owned();
    for name in ["a b", "it's", "a\u{1b}[31mb", "a\u{202e}b"] {
        let out = workshop.text(name);
        let built = stdout(&["build", &workshop.pipeline(), "--quiet", "--accept-rejects", "--output", &out]);
        let inspected = stdout(&["inspect", &out]);
        let refused = String::from_utf8(run(&["inspect", &out, "lost"], 2).stderr).unwrap();
        let lines = [built, inspected, refused].concat();
        let commands: Vec<&str> = lines
            .lines()
            .filter_map(|line| line.find("manyframe ").map(|start| line[start..].trim_end_matches('`')))
            .collect();
        assert_eq!(commands.len(), 4, "{lines}");
        for command in commands {
            let path = format!("PATH=\"{}:$PATH\"; {command}", directory.display());
            let output = std::process::Command::new("bash").args(["-c", &path]).output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
