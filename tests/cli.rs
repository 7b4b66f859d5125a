//! Promise: the command line says what is wrong, on the right stream, with the documented exit code.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Workshop, llava, manyframe, photo, run, stdout};

#[test]
fn check_reports_every_error_with_its_line_and_ends_with_2() {
    let workshop = Workshop::new();
    let path = workshop.write(
        "bad.toml",
        "name = \"x\"\nsed = 1\n[format]\ntokenizer = 3\n[[source]]\nname = \"a\"\nkind = \"lava\"\n",
    );
    let output = run(&["check", &path.display().to_string()], 2);
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "bad.toml:2:1: sed is not a setting; did you mean \"seed\"?",
        "bad.toml:4:13: format.tokenizer",
        "source.a.kind",
        "did you mean \"llava\"?",
        "errors in the pipeline file",
    ] {
        assert!(stderr.contains(expected), "{expected}\n{stderr}");
    }
}

#[test]
fn a_wrong_argument_ends_with_2() {
    run(&["build"], 2);
    run(&["frobnicate"], 2);
    run(&["build", "/nowhere/pipeline.toml"], 2);
    run(&["inspect", "/nowhere"], 2);
}

#[test]
fn help_completions_and_man_page_are_there() {
    let help = stdout(&["--help"]);
    for word in ["check", "plan", "build", "inspect", "why", "verify", "task", "commit", "Exit codes"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(stdout(&["completions", "bash"]).contains("_manyframe"));
    assert!(stdout(&["man"]).starts_with(".ie"));
}

#[test]
fn where_stdout_cannot_be_written_the_error_says_so_and_a_reader_that_has_enough_is_none() {
    let commands =
        [&["--help"][..], &["--version"], &["build", "--help"], &["help", "build"], &["completions", "bash"]];
    for arguments in commands {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = manyframe(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said.starts_with("error: cannot write the answer to stdout: No space left"), "{arguments:?}: {said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = manyframe(arguments).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_working_directory_that_was_removed_is_said_to_be() {
    let workshop = Workshop::new();
    let program = manyframe(&[]).get_program().display().to_string();
    for arguments in ["init", &format!("init {}", workshop.text("")), "download http://localhost:1/a b"] {
        let script = format!("mkdir gone && cd gone && rmdir ../gone && exec {program} {arguments}");
        let output = Command::new("sh").args(["-c", &script]).current_dir(workshop.path("")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "error: the working directory was removed; change to one that exists\n", "{arguments}");
        assert_eq!(output.status.code(), Some(2), "{arguments}");
    }
}

#[test]
fn a_missing_annotation_file_is_named_and_ends_with_2() {
    let mut workshop = Workshop::new();
    workshop.add_source_file("a", "llava", "absent.json", "");
    let out = workshop.text("out");
    let output = run(&["plan", &workshop.pipeline(), "--output", &out], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent.json"));
    assert!(!workshop.path("out").exists());
}

#[test]
fn a_plan_reads_headers_only_and_says_where_it_is() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg"), llava("r2", "2.jpg")]), "");
    let out = workshop.text("out");
    let json = stdout(&["plan", &workshop.pipeline(), "--output", &out, "--json", "--quiet"]);
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["sources"][0]["num_seen"], 2);
    assert_eq!(plan["sources"][0]["rejected"]["media_missing"], 1);
    assert_eq!(plan["total"]["visual_tokens"], 144);
    assert!(!workshop.path("out").exists(), "a plan makes no dataset");
    let text = stdout(&["plan", &workshop.pipeline(), "--output", &out, "--quiet"]);
    assert!(text.contains("media_missing") && text.contains("1 task"), "{text}");
}

#[test]
fn why_shows_the_outcome_and_the_very_text() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg"), llava("r2", "2.jpg")]), "");
    let built = workshop.build();
    let dataset = built.dataset.display().to_string();
    let why = stdout(&["why", &dataset, "r2"]);
    for expected in ["rejected: media_missing", "2.jpg", "a.json:16", "What is shown in picture r2?"] {
        assert!(why.contains(expected), "{expected}\n{why}");
    }
    assert!(
        stdout(&["why", &dataset, &built.row("r1").id.to_string()[..8]]).contains("delivered in shard image/000000")
    );
    run(&["why", &dataset, "r3"], 2);
}

#[test]
fn inspect_shows_the_prompt_and_writes_the_images() {
    let mut workshop = Workshop::new();
    let bytes = photo(1, 64, 48);
    workshop.write("media/1.jpg", &bytes);
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg")]), "");
    let built = workshop.build();
    let dataset = built.dataset.display().to_string();
    let text = stdout(&["inspect", &dataset, "r1", "--images", &workshop.text("shown")]);
    assert!(text.contains("<img><image></img>\nWhat is shown in picture r1?"), "{text}");
    assert!(text.contains("⟦Waves, in picture r1.<|endoftext|>⟧"), "{text}");
    let id = built.row("r1").id;
    assert_eq!(
        std::fs::read(workshop.path(&format!("shown/{id}.000.jpg"))).unwrap(),
        bytes,
        "passed through byte for byte"
    );
    assert!(stdout(&["inspect", &dataset]).contains("image/000000.tar"));
}

#[test]
fn a_directory_of_something_else_is_never_replaced() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "text", &serde_json::json!([]), "");
    let treasure = workshop.write("out/treasure.txt", "mine");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    run(&["build", &pipeline, "--output", &out, "--quiet"], 2);
    assert!(treasure.exists());
}

#[test]
fn a_record_of_a_hundred_thousand_turns_is_built_and_shown_in_seconds() {
    let mut workshop = Workshop::new();
    let head = "[output]\nformats = [\"parquet\"]\n[format]\nmax_tokens = 10_000_000\n";
    workshop.head = workshop.head.replace("[format]\n", head);
    let round = |number| {
        let question = serde_json::json!({ "from": "human", "value": format!("What is number {number}?") });
        [question, serde_json::json!({ "from": "gpt", "value": format!("It is {number}.") })]
    };
    let turns: Vec<_> = (0..50_000).flat_map(round).collect();
    workshop.add_source("a", "text", &serde_json::json!([{ "id": "long", "conversations": turns }]), "");
    let started = Instant::now();
    let built = workshop.build();
    let text = stdout(&["inspect", &built.dataset.display().to_string(), "long"]);
    // A step for each character and answer, or for each token and answer, would take many minutes.
    assert!(started.elapsed() < Duration::from_secs(100), "{:?}", started.elapsed());
    assert_eq!((text.matches('⟦').count(), text.matches('⟧').count()), (50_001, 50_001));
    assert!(text.contains("⟦It is 49999.<|endoftext|>⟧"), "{:?}", text.get(text.len() - 200..));
}

#[test]
fn check_finds_what_is_not_there_or_of_another_kind() {
    let workshop = Workshop::new();
    workshop.write("a.json", "[]");
    workshop.write("images/1.jpg", photo(1, 64, 48));
    workshop.write("archive.tar.gz", [0x1f, 0x8b, 8, 0]);
    workshop.write("other/notes.txt", "mine");
    let text = "name = \"t\"
[vars]
home = \"~/data\"
[output]
directory = \"${here}/other\"
[format]
tokenizer = \"${here}/images\"
[decontamination]
against = \"${here}/benchmark/*.jpg\"
[validate]
model = \"${here}/images\"
policy = \"${here}/limits.toml\"
[[source]]
name = \"a\"
kind = \"llava\"
annotations = [\"${here}/a.json\", \"${here}/images\", \"${here}/b-*.json\"]
media = [\"${here}/images\", \"${here}/archive.tar.gz\", \"${here}/absent\"]
[[source]]
name = \"r\"
kind = \"dataset\"
from = \"${here}/images\"
delivered_in = \"${here}/absent.toml\"
";
    let path = workshop.write("p.toml", text).display().to_string();
    let stderr = String::from_utf8(run(&["check", &path], 2).stderr).unwrap();
    for expected in [
        "p.toml:3:8: \"~\" is not filled in",
        "p.toml:5:13: output.directory: the directory has something else than a dataset",
        "p.toml:7:13: format.tokenizer: cannot use ",
        "images\": it has neither tokenizer.json nor tokenizer.model",
        "p.toml:9:11: decontamination.against: no file matches",
        "p.toml:11:9: validate.model: config.json: it does not exist",
        "p.toml:12:10: validate.policy: it does not exist",
        "p.toml:16:34: source.a.annotations: a directory was found, expected a file",
        "p.toml:16:52: source.a.annotations: no file matches",
        "is compressed with gzip; unpack it",
        "p.toml:17:54: source.a.media: it does not exist",
        "p.toml:21:8: source.r.from: it has no manifest.json",
        "p.toml:22:16: source.r.delivered_in: ",
        "12 errors in the pipeline file",
    ] {
        assert!(stderr.contains(expected), "{expected}\n{stderr}");
    }
    let offline = String::from_utf8(run(&["check", &path, "--offline"], 2).stderr).unwrap();
    assert!(offline.contains("2 errors in the pipeline file"), "only what the file itself says\n{offline}");
}

#[test]
fn check_looks_at_the_start_of_annotation_files() {
    let workshop = Workshop::new();
    let files: [(&str, &[u8], &str); 5] = [
        ("empty.csv", b"", "it is empty: download it again"),
        ("wide.csv", b"\xff\xfei\0d\0\n\0", "it is text in UTF-16: convert it to UTF-8"),
        ("twice.csv", b"image,caption,caption\n1.jpg,a,b\n", "two of its columns have the name \"caption\""),
        ("notes.json", b"// mine\n[]\n", "it is text, but not JSON"),
        ("two.json", b"{\"images\": [{\"id\": 1}], \"annotations\": [{\"id\": 2}]}", "more than one list of objects"),
    ];
    let mut text = "name = \"t\"\n".to_owned();
    for (name, content, _) in files {
        workshop.write(name, content);
        let source = name.split('.').next().unwrap();
        text.push_str(&format!("[[source]]\nname = {source:?}\nkind = \"auto\"\nannotations = \"${{here}}/{name}\"\n"));
    }
    // What only some of its lines have is said of these lines.
    workshop.write("zero.csv", b"image,caption\n1.jpg,a\0b\n");
    text.push_str("[[source]]\nname = \"zero\"\nkind = \"auto\"\nannotations = \"${here}/zero.csv\"\n");
    let path = workshop.write("p.toml", text).display().to_string();
    let stderr = String::from_utf8(run(&["check", &path], 2).stderr).unwrap();
    for (name, _, expected) in files {
        assert!(stderr.contains(expected), "{name}: {expected}\n{stderr}");
    }
    assert!(!stderr.contains("zero.csv"), "{stderr}");
}

#[test]
fn check_follows_pipeline_files_into_other_folders() {
    let workshop = Workshop::new();
    let stage = |name: &str, from: &str| {
        format!(
            "name = \"{name}\"\n[output]\ndirectory = \"${{here}}/out\"\n[format]\ntokenizer = \"t\"\n[[source]]\nname = \"r\"\n\
             kind = \"dataset\"\nfrom = \"${{here}}/../{from}.toml\"\n"
        )
    };
    let first = workshop.write("a/a.toml", stage("a", "b/b")).display().to_string();
    workshop.write("b/b.toml", stage("b", "c/c"));
    workshop.write("c/c.toml", stage("c", "a/a"));
    let stderr = String::from_utf8(run(&["check", &first, "--offline"], 2).stderr).unwrap();
    assert!(stderr.contains("a.toml:9:8: ") && stderr.contains("in a cycle"), "{stderr}");

    workshop.write("d/1.toml", stage("one", "c/none"));
    workshop.write("d/2.toml", stage("two", "c/none"));
    let stderr = String::from_utf8(run(&["check", &workshop.text("d"), "--offline"], 2).stderr).unwrap();
    assert!(
        stderr.contains("2.toml:3:13: output.directory is that of") && stderr.contains("d/1.toml, too"),
        "{stderr}"
    );
    assert!(stderr.contains("none.toml cannot be read"), "{stderr}");
}

#[test]
fn check_names_the_markers_that_are_no_single_tokens() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg")]), "");
    workshop.head.push_str("[format.template.custom]\nend = \"<|endoftext|>\"\nuser_prefix = \"<|nobody|>\"\n");
    let output = run(&["check", &workshop.pipeline()], 0);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("warning: ") && stderr.contains("value:   <|nobody|>\n"), "{stderr}");
}

#[test]
fn check_warns_of_variables_that_are_not_used() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "text", &serde_json::json!([]), "license = \"${used}\"");
    workshop.head.push_str("[vars]\nused = \"x${by_used}\"\nby_used = \"y\"\nidle = \"z\"\n");
    for more in [&[][..], &["--offline"]] {
        let output = run(&[&["check", &workshop.pipeline()], more].concat(), 0);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("is not used")).collect();
        assert!(matches!(warnings[..], [line] if line.contains(":8:1: the variable \"idle\"")), "{stderr}");
    }
}

#[test]
fn check_finds_annotations_that_are_named_twice_and_roots_without_any() {
    let workshop = Workshop::new();
    workshop.write("a/a.json", "[]");
    fs::create_dir(workshop.path("b")).unwrap();
    for (annotations, root, said) in [
        ("[\"${here}/a/a.json\", \"${here}/*/a*.json\"]", "a", "source.s.annotations: a file is named more than once"),
        ("\"${here}/a/a.json\"", "b", "source.s.annotation_root: no annotation file is below it"),
    ] {
        let text = format!(
            "{}[[source]]\nname = \"s\"\nkind = \"text\"\nannotations = {annotations}\nannotation_root = \"${{here}}/{root}\"\n",
            workshop.head
        );
        let path = workshop.write("p.toml", text).display().to_string();
        let stderr = String::from_utf8(run(&["check", &path], 2).stderr).unwrap();
        assert!(stderr.contains(said) && stderr.contains("1 error in the pipeline file"), "{stderr}");
    }
}

#[test]
fn of_very_many_errors_the_first_are_printed_and_the_others_counted() {
    let workshop = Workshop::new();
    let mut text = "name = \"t\"\n[format]\ntokenizer = \"t\"\n".to_owned();
    for index in 0..20_000 {
        text.push_str(&format!("[[source]]\nname = \"s{index}\"\nkind = \"llava\"\nannotatoins = \"a\"\n"));
    }
    let path = workshop.write("p.toml", text).display().to_string();
    let stderr = run(&["build", &path], 2).stderr;
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("… and 39,900 more\nerror: 40000 errors in the pipeline file"), "{stderr}");
    assert!(stderr.len() < 200_000, "{}", stderr.len());
}

#[test]
fn a_name_with_an_escape_sequence_does_nothing_to_the_terminal() {
    let workshop = Workshop::new();
    let path = workshop.write("p\u{1b}[2J.toml", "name = \"\\u001b[31mred\"\n").display().to_string();
    for arguments in [["check", path.as_str()], ["build", path.as_str()]] {
        let stderr = run(&arguments, 2).stderr;
        assert!(!stderr.contains(&0x1b), "{}", String::from_utf8_lossy(&stderr));
    }
}

#[test]
fn what_commands_write_takes_the_place_of_nothing_else() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg")]), "");
    let dataset = workshop.build().dataset.display().to_string();
    let before = std::fs::read(workshop.path("a.json")).unwrap();
    let told = run(&["report", &dataset, "--output", &workshop.text("a.json")], 2);
    assert!(String::from_utf8_lossy(&told.stderr).contains("a file that is no page"));
    assert_eq!(std::fs::read(workshop.path("a.json")).unwrap(), before);
    workshop.write("page.html", "");
    for _ in 0..2 {
        run(&["report", &dataset, "--output", &workshop.text("page.html")], 0);
    }
    for inside in ["out", "out/images", "out.work/images"] {
        let told = run(&["inspect", &dataset, "r1", "--images", &workshop.text(inside)], 2);
        assert!(String::from_utf8_lossy(&told.stderr).contains("whose next build would remove it"));
    }
    assert!(!workshop.path("out/images").exists());
}
