//! Promise: what commands print as JSON, and each line of stderr if that is to be JSON, is what the committed schemas say.

use std::fs;

use manyframe_dataset::{DatasetDifference, RecordJson};
use manyframe_engine::{
    BuildAnswer, CheckAnswer, CleanAnswer, ErrorAnswer, ExportAnswer, NeedleCell, PackAnswer, PlanAnswer,
    SettingsAnswer, StatusAnswer, TokensAnswer, UploadAnswer, VerifyAnswer, WhyAnswer,
};
use serde_json::{Value, json};

use crate::schemas::compare_type;
use crate::support::{Workshop, llava, manyframe, photo, root, run};

#[test]
fn the_schemas_of_answers_are_generated_from_the_types() {
    compare_type::<BuildAnswer>("commands/build.schema.json");
    compare_type::<CheckAnswer>("commands/check.schema.json");
    compare_type::<CleanAnswer>("commands/clean.schema.json");
    compare_type::<DatasetDifference>("commands/diff.schema.json");
    compare_type::<PackAnswer>("commands/pack.schema.json");
    compare_type::<PlanAnswer>("commands/plan.schema.json");
    compare_type::<UploadAnswer>("commands/upload.schema.json");
    compare_type::<SettingsAnswer>("commands/diff-settings.schema.json");
    compare_type::<ErrorAnswer>("commands/error.schema.json");
    compare_type::<ExportAnswer>("commands/export.schema.json");
    compare_type::<RecordJson>("commands/ls-line.schema.json");
    compare_type::<Vec<NeedleCell>>("commands/needles.schema.json");
    compare_type::<Vec<StatusAnswer>>("commands/status.schema.json");
    compare_type::<TokensAnswer>("commands/tokens.schema.json");
    compare_type::<VerifyAnswer>("commands/verify.schema.json");
    compare_type::<WhyAnswer>("commands/why.schema.json");
}

/// The answers of a command, each of which fits its schema.
fn answers(schema: &str, arguments: &[&str], code: i32) -> Vec<Value> {
    let text = String::from_utf8(run(&[arguments, &["--json"]].concat(), code).stdout).unwrap();
    // What commands print of a file or sample is what that has.
    let of_file = root().join(format!("schemas/{schema}.schema.json"));
    let of_command = root().join(format!("schemas/commands/{schema}.schema.json"));
    let schema = fs::read(if of_command.exists() { of_command } else { of_file }).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().unwrap();
    for answer in &answers {
        let errors: Vec<String> =
            validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{arguments:?}\n{errors:#?}\n{answer:#}");
    }
    answers
}

fn answer(schema: &str, arguments: &[&str], code: i32) -> Value {
    let mut answers = answers(schema, arguments, code);
    assert_eq!(answers.len(), 1, "{arguments:?}");
    answers.remove(0)
}

fn workshop() -> Workshop {
    let mut workshop = Workshop::new();
    for number in 1..4 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 64, 48));
    }
    let records = ["1", "2", "3", "4"].map(|id| llava(id, &format!("{id}.jpg")));
    workshop.add_source("a", "llava", &json!(records), "");
    workshop.add_source("t", "text", &json!([{ "id": "t", "text": "A text." }]), "");
    workshop.head.push_str("[pack]\nmax_tokens = 4096\n");
    workshop.head.push_str(&format!("[output]\ndirectory = {:?}\n", workshop.text("out")));
    workshop
}

#[test]
fn every_answer_fits_its_schema() {
    let workshop = workshop();
    let (pipeline, out, other) = (workshop.pipeline(), workshop.text("out"), workshop.text("other"));
    assert_eq!(answer("check", &["check", &pipeline], 0)["problems"], json!([]));
    let wrong = workshop.write("wrong.toml", "name = \"x\"\nsed = 1\n").display().to_string();
    let problems = answer("check", &["check", &wrong, "--set", "tak=1"], 2)["problems"].clone();
    let at = |key: &str| {
        problems.as_array().unwrap().iter().find(|problem| problem["message"].as_str().unwrap().contains(key))
    };
    assert_eq!((at("sed").unwrap()["line"].clone(), at("tak").unwrap()["set"].clone()), (json!(2), json!("tak")));

    assert_eq!(answer("status", &["status", &pipeline], 0)[0]["next"]["action"], "build");
    let kept_back = answer("build", &["build", &pipeline], 3);
    assert_eq!((&kept_back["is_published"], kept_back["losses"].as_array().unwrap().len()), (&json!(false), 1));
    let built = answer("build", &["build", &pipeline, "--accept-rejects"], 0);
    let manifest: Value = serde_json::from_slice(&fs::read(workshop.path("out/manifest.json")).unwrap()).unwrap();
    assert_eq!((&built["total"], &built["sources"]), (&manifest["total"], &manifest["sources"]));
    assert_eq!(answer("build", &["build", &pipeline, "--accept-rejects"], 0)["action"], "nothing");
    run(&["build", &pipeline, "--output", &other, "--accept-rejects", "--set", "source.a.take=2", "--quiet"], 0);

    let planned = ["plan", &pipeline, "--ranks", "2", "--forecast", "2x4", "--price-moved", "1"];
    let planned = answer("plan", &planned, 0);
    assert_eq!((&planned["name"], planned["forecast"].as_array().unwrap().len()), (&manifest["name"], 1));
    assert_eq!(answer("manifest", &["inspect", &out], 0), manifest);
    let id = answers("ls-line", &["ls", &out, "--status", "delivered", "--limit", "1"], 0)[0]["id"].clone();
    assert_eq!(answer("sample", &["inspect", &out, id.as_str().unwrap()], 0)["id"], id);
    let packed = answer("pack", &["pack", &other, "--ranks", "2,4"], 0);
    assert_eq!(packed["forecast"].as_array().unwrap().len(), 2);
    let uploaded = answer("upload", &["upload", &out, &workshop.text("bucket")], 0);
    assert!(uploaded["survey"]["new"].as_array().unwrap().iter().any(|path| path == "ledger.parquet"), "{uploaded}");
    let model = workshop.text("model");
    run(&["model", "init", &model, "--preset", "tiny"], 0);
    let measured = answer("validation", &["validate", &other, "--model", &model, "--samples", "1"], 0);
    assert_eq!(measured["total"]["num_samples"], 1);

    assert_eq!(answer("verify", &["verify", &out], 0)["is_ok"], true);
    let why = answer("why", &["why", &out, "4"], 0);
    assert_eq!(why["reason"], "media_missing");
    assert!(why["annotation"].as_str().unwrap().contains("What is shown in picture 4?"));
    assert_eq!(answers("ls-line", &["ls", &out], 0).len(), 5);
    let difference = answer("diff", &["diff", &out, &other], 0);
    assert_eq!(difference["records"][0]["b"], "not_drawn");
    assert_eq!(answer("diff-settings", &["diff", &pipeline, &other], 0)["settings"][0]["setting"], "source.a.take");
    let exported = workshop.text("exported");
    let export = answer("export", &["export", &out, "--format", "llava_json", "--output", &exported], 0);
    assert_eq!((&export["num_records"], &export["num_documents"]), (&json!(3), &json!(1)));
    assert_eq!(answer("status", &["status", &out], 0)[0]["next"]["action"], "nothing");
    run(&["plan", &pipeline, "--set", "source.a.take=1", "--quiet"], 0);
    let cleaned = answer("clean", &["clean", &out, "--interrupted"], 0);
    assert_eq!(cleaned["leftovers"][0]["kind"], "interrupted_plan");
    fs::remove_file(workshop.path("a.json")).unwrap();
    assert!(answer("why", &["why", &out, "4"], 2)["annotation_error"].is_string());
    assert!(answer("status", &["status", &pipeline], 0)[0]["error"].is_string());
}

#[test]
fn what_a_processor_makes_of_media_fits_its_schema() {
    let workshop = Workshop::new();
    let photo = workshop.write("photo.jpg", photo(1, 640, 480)).display().to_string();
    let tokens = |family: &str, media: &[&str], code: i32| {
        let arguments = [&["tokens", "--family", family], media].concat();
        answer("tokens", &arguments, code)["media"].clone()
    };
    let media = tokens("qwen3-vl", &[&photo, "1280x720x300@29.97", "1000000x1"], 1);
    assert_eq!((&media[0]["height_px"], &media[0]["grid_thw"]), (&json!(480), &json!([1, 30, 40])));
    assert_eq!((&media[1]["num_frames"], &media[1]["frames_per_second"]), (&json!(300), &json!(29.97)));
    assert!(media[1]["frames"].as_array().unwrap().len() > 1 && media[2]["refused"].is_string(), "{media}");
    assert!(tokens("llava-next", &[&photo], 0)[0]["becomes"]["num_tiles"].as_u64().unwrap() > 1);
    assert!(tokens("internvl", &["absent.jpg"], 1)[0]["unreadable"].as_str().unwrap().contains("cannot read"));
}

#[test]
fn a_command_that_fails_before_it_has_an_answer_answers_with_its_error() {
    let workshop = workshop();
    let wrong = workshop.write("wrong.toml", "name = \"x\"\nsed = 1\n").display().to_string();
    let (absent, pipeline) = (workshop.text("absent"), workshop.pipeline());
    run(&["build", &pipeline, "--accept-rejects", "--quiet"], 0);
    let out = workshop.text("out");
    for (arguments, expected) in [
        (vec!["build", &wrong], "in the pipeline file"),
        (vec!["plan", &wrong], "in the pipeline file"),
        (vec!["status", &absent], "absent"),
        (vec!["inspect", &absent], "absent"),
        (vec!["inspect", &out, "nobody"], "nobody"),
        (vec!["ls", &absent], "absent"),
        (vec!["ls", &out, "--where", "tokens >"], "--where"),
        (vec!["why", &out, "nobody"], "nobody"),
        (vec!["verify", &absent], "absent"),
        (vec!["pack", &absent], "absent"),
        (vec!["export", &absent, "--format", "llava_json", "--output", &pipeline], "absent"),
        (vec!["diff", &absent, &out], "absent"),
        (vec!["upload", &absent, &out], "absent"),
        (vec!["needles", &wrong], "in the pipeline file"),
        (vec!["tokens", "--family", "nobodys", "1x1"], "nobodys"),
        (vec!["check"], "required arguments"),
    ] {
        let error = answer("error", &arguments, 2);
        assert!(error["error"].as_str().unwrap().contains(expected), "{arguments:?} {error}");
        assert_eq!(error["exit_code"], 2);
        let has_problems = error["problems"][0]["line"] == 2;
        assert_eq!(has_problems, arguments.contains(&wrong.as_str()), "{error}");
    }
    // Another try may find the model.
    assert_eq!(answer("error", &["validate", &out, "--model", &absent], 1)["exit_code"], 1);
    // Its answer says it already.
    assert!(answer("check", &["check", &wrong], 2)["problems"].as_array().unwrap().len() > 1);
}

#[test]
fn texts_that_a_terminal_would_obey_are_the_same_in_json() {
    let mut workshop = Workshop::new();
    let id = "a\u{202e}b\u{7f}\u{9b}\u{1b}[31m";
    workshop.add_source("t", "text", &json!([{ "id": id, "text": "A text." }]), "");
    let out = workshop.build().dataset.display().to_string();
    assert_eq!(answers("ls-line", &["ls", &out], 0)[0]["upstream_id"], id);
}

#[test]
fn every_line_of_stderr_is_json_if_that_is_asked_for() {
    let workshop = workshop();
    let pipeline = workshop.pipeline();
    let wrong = workshop.write("wrong.toml", "name = \"x\"\nsed = 1\n").display().to_string();
    for (arguments, code, expected) in [
        (vec!["build", &pipeline], 3, "progress"),
        (vec!["build", &pipeline, "--accept-rejects", "-v"], 0, "progress"),
        (vec!["check", &wrong], 2, "sed is not a setting"),
        (vec!["check", &workshop.text("absent.toml")], 2, "cannot be read"),
        (vec!["ls", &workshop.text("out"), "--limit", "1"], 0, "more"),
        (vec!["build"], 2, "required arguments"),
    ] {
        let output = manyframe(&arguments).args(["--log-format", "json"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stderr}");
        let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(
            lines.iter().all(|line| line["level"].is_string() && line["fields"]["message"].is_string()),
            "{stderr}"
        );
        let message = |line: &Value| line["fields"]["message"].as_str().unwrap().contains(expected);
        assert!(lines.iter().any(message), "{expected}\n{stderr}");
        if expected == "progress" {
            let run = lines.iter().find(|line| line["fields"]["step"] == "run").unwrap();
            assert_eq!((&run["fields"]["done"], &run["fields"]["is_done"]), (&run["fields"]["total"], &json!(true)));
        }
    }
}
