//! What pipeline files may contain, and the messages about those that contain something else.

use std::path::Path;

use manyframe_samplers::Law;

use crate::document::Override;
use crate::parse::parse;
use crate::portable::Pipeline;
use crate::settings::values::{Share, Take};

const GOOD: &str = r#"
name = "x"
seed = 7
[vars]
data = "/data"
[format]
tokenizer = "${data}/tokenizer.model"
[[source]]
name = "a"
kind = "llava"
annotations = "${data}/a.json"
media = ["${data}/images", "${here}/more"]
take = 5
max_rejects = "0.5 %"
"#;

fn check(text: &str) -> Result<Pipeline, Vec<String>> {
    check_with(text, &[])
}

fn check_with(text: &str, sets: &[&str]) -> Result<Pipeline, Vec<String>> {
    let overrides: Vec<Override> = sets.iter().map(|set| set.parse().unwrap()).collect();
    parse(text, Path::new("dir/p.toml"), &overrides)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// A path in the working directory.
fn here(path: &str) -> String {
    std::env::current_dir().unwrap().join(path).display().to_string()
}

fn problems(text: &str) -> Vec<String> {
    check(text).map(|_| ()).unwrap_err()
}

#[test]
fn a_good_file_is_read_with_its_variables_filled_in() {
    let file = check(GOOD).unwrap().file;
    assert_eq!(file.format.tokenizer, "/data/tokenizer.model");
    let source = &file.source[0];
    assert_eq!(source.media.as_slice(), ["/data/images", &here("dir/more")]);
    assert_eq!(source.take, Take::Count(5));
    assert_eq!(source.max_rejects.map(Share::as_f64), Some(0.005));
    assert_eq!(file.output.directory, here("out/x"));
    assert_eq!(file.format.max_tokens, 40_960);
}

#[test]
fn all_errors_are_reported_together_with_their_lines() {
    let text = GOOD.replace("seed = 7", "sed = 7").replace("take = 5", "take = -5").replace("\"llava\"", "\"lava\"");
    let found = problems(&text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("dir/p.toml:3:1: sed is not a setting; did you mean \"seed\"?"), "{}", found[0]);
    assert!(
        found.iter().any(|p| p.contains("dir/p.toml:10:8: source.a.kind") && p.contains("did you mean \"llava\"?")),
        "{found:#?}"
    );
    assert!(found.iter().any(|p| p.contains("13:8: source.a.take: neither a count, nor a share") && p.contains("-5")));
}

#[test]
fn a_typo_in_any_table_is_an_error_with_a_suggestion() {
    for (table, wrong, right) in [
        ("output", "max_shard_mb", "max_shard_mib"),
        ("format", "token_per_image", "tokens_per_image"),
        ("images", "qualty", "quality"),
        ("tiles", "edge", "edge_px"),
        ("video", "max_frame", "max_frames"),
        ("limits", "max_pixel", "max_pixels"),
        ("duplicates", "removes", "remove"),
        ("decontamination", "againts", "against"),
        ("overlength", "policies", "policy"),
    ] {
        let text = if table == "format" {
            GOOD.replace("[format]", &format!("[format]\n{wrong} = 1"))
        } else {
            format!("{GOOD}\n[{table}]\n{wrong} = 1\n")
        };
        let found = problems(&text).join("\n");
        assert!(found.contains(&format!("{table}.{wrong} is not a setting; did you mean {right:?}?")), "{found}");
    }
}

#[test]
fn a_filter_is_checked_key_by_key() {
    let found = problems(&format!("{GOOD}filter = {{ min_token = 1, max_turns = \"x\" }}\n"));
    assert!(
        found.iter().any(|p| p.contains("source.a.filter.min_token is not a setting; did you mean \"min_tokens\"?")),
        "{found:#?}"
    );
    assert!(found.iter().any(|p| p.contains("source.a.filter.max_turns")), "{found:#?}");
}

#[test]
fn a_value_out_of_range_says_what_is_allowed() {
    let found = problems(&format!("{GOOD}\n[images]\nquality = 101\n")).join("\n");
    assert!(found.contains("images.quality: more than 100") && found.contains("from 1 to 100"), "{found}");
}

#[test]
fn what_is_allowed_names_values_and_types_with_the_whole_description() {
    let found = problems(&GOOD.replace("take = 5", "take = -5\nvisuals = \"whol\"")).join("\n");
    assert!(
        found.contains("allowed: \"all\" or a whole number or a share of the source such as \"10 %\" (How much"),
        "{found}"
    );
    assert!(found.contains("allowed: \"whole\", \"tiled\" (How images are shown. Default: `whole`)"), "{found}");
    let found = problems(&format!("{GOOD}\n[decontamination]\nagainst = 1\n")).join("\n");
    assert!(found.contains("allowed: a string or a list (Images and videos that no sample may show"), "{found}");
    assert!(found.contains("otherwise by their bytes. Default: none)"), "{found}");
    let found = problems(&GOOD.replace("[format]", "[format]\ntemplate = \"x\"")).join("\n");
    assert!(found.contains(" or a table (How turns are written"), "{found}");
}

#[test]
fn what_is_missing_is_named() {
    let found = problems("seed = 1\n[[source]]\nname = \"a\"\n").join("\n");
    for missing in
        ["name: not a name", "format.tokenizer is missing", "source.a.kind is missing", "`auto` for your own data"]
    {
        assert!(found.contains(missing), "{missing}: {found}");
    }
    assert_eq!(found.matches("kind is missing").count(), 1, "{found}");
    let found = problems("name = \"x\"\n[format]\nmax_tokens = 4\n[validate]\nseed = 1\n[[source]]\nkind = \"text\"\n")
        .join("\n");
    for missing in ["format.tokenizer is missing", "validate.model is missing", "source[0].name is missing"] {
        assert_eq!(found.matches(missing).count(), 1, "{missing}: {found}");
    }
    assert!(!found.contains("not a name"), "{found}");
    assert!(problems("name = \"x\"\n[format]\ntokenizer = \"t\"\n").join("").contains("there is no [[source]]"));
}

#[test]
fn a_field_that_no_reader_knows_is_refused() {
    let of_auto = |settings: &str| {
        let text = GOOD.replace("\"llava\"", "\"auto\"").replace("take = 5", &format!("take = 5\n{settings}"));
        check(&text).err().unwrap_or_default().join("\n")
    };
    for (wrong, expected) in [
        ("captoin", "source.a.fields.captoin: no reader of kind \"auto\" knows it; did you mean \"caption\"?"),
        ("question_text", "source.a.fields.question_text: no reader of kind \"auto\" knows it"),
        ("score", "source.a.fields.score: no reader of kind \"auto\" knows it"),
    ] {
        let found = of_auto(&format!("fields = {{ image = \"a\", {wrong} = \"b\" }}"));
        assert!(found.starts_with("dir/p.toml:") && found.contains(expected), "{expected}: {found}");
        assert_eq!(found.matches("no reader").count(), 1, "{found}");
    }
    for settings in [
        "fields = { image = \"a\", question = \"b\", answer = \"c\", id = \"d\", input = \"e\", video_id = \"f\" }",
        "fields = { caption = \"a\", system = \"b\", start = \"c\", clip_file_names = \"d\" }",
        "fields = { score = \"a\", meta = \"b\" }\nwhere = \"score > 3 and meta.lang == 'en'\"",
    ] {
        assert_eq!(of_auto(settings), "", "{settings}");
    }
}

#[test]
fn names_within_values_are_suggested_and_no_word_of_a_parser_is_said() {
    for (wrong, expected) in [
        ("[output]\nformats = [\"parqet\"]\n", "\"parqet\" is not one of the choices; did you mean \"parquet\"?"),
        ("[model]\nfamily = \"qwen3vl\"\n", "not a family that manyframe knows; did you mean \"qwen3-vl\"?"),
        ("[duplicates]\nremove = true\n", "true was found, expected a string or a table"),
    ] {
        let found = problems(&format!("{GOOD}\n{wrong}")).join("\n");
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let join = problems(&GOOD.replace("take = 5", "take = 5\njoin = [{ tabel = \"x\" }]")).join("\n");
    assert!(join.contains("\"tabel\" is not a setting; did you mean \"table\"?"), "{join}");
}

#[test]
fn settings_of_another_kind_are_refused() {
    let replay =
        "name = \"x\"\n[format]\ntokenizer = \"t\"\n[[source]]\nname = \"r\"\nkind = \"dataset\"\nmedia = \"m\"\n";
    let found = problems(replay).join("\n");
    assert!(found.contains("source.r.from is missing") && found.contains("source.r.media does not fit"), "{found}");
    let captions = GOOD.replace("take = 5", "captions = \"keyframes\"");
    let found = problems(&captions);
    assert!(found.iter().any(|problem| problem.contains("source.a.captions: ")), "{found:#?}");
}

#[test]
fn a_source_that_is_no_list_is_refused() {
    let found = problems(&GOOD.replace("[[source]]", "[source]")).join("\n");
    assert!(found.contains("[source] is one table, and sources are a list: write [[source]]"), "{found}");
}

#[test]
fn two_laws_for_one_source_are_refused() {
    let found = problems(&GOOD.replace("take = 5", "take = 5\nweight = 1")).join("\n");
    assert!(found.contains("source.a.weight and .take exclude each other"), "{found}");
}

#[test]
fn every_law_is_chosen_by_its_setting() {
    for setting in Law::SETTINGS {
        let file = check(&GOOD.replace("take = 5", &format!("{setting} = 5"))).unwrap().file;
        assert_eq!(file.source[0].law().setting(), setting);
    }
}

#[test]
fn shards_have_one_format_at_least() {
    let found = problems(&format!("{GOOD}\n[output]\nformats = []\n")).join("\n");
    let allowed = "one or more of \"webdataset\", \"parquet\"";
    assert!(found.contains("output.formats is empty") && found.contains(allowed), "{found}");
}

#[test]
fn decontamination_and_overlength_are_tables_of_their_own() {
    let text = format!("{GOOD}\n[decontamination]\nagainst = \"b/*.jpg\"\n[overlength]\npolicy = [\"split_turns\"]\n");
    let file = check(&text).unwrap().file;
    assert!(file.decontamination.is_active() && !file.overlength.rejects_all());
    let found = problems(&format!("{GOOD}\n[duplicates]\nexclude = \"b\"\n[over_long]\n")).join("\n");
    assert!(found.contains("duplicates.exclude is not a setting"), "{found}");
    assert!(found.contains("[over_long] is not a table; did you mean [overlength]?"), "{found}");
}

#[test]
fn two_sources_of_one_name_are_refused() {
    let text = format!("{GOOD}\n[[source]]\nname = \"a\"\nkind = \"text\"\nannotations = \"t.json\"\n");
    assert!(problems(&text).join("\n").contains("used twice"));
}

#[test]
fn an_unknown_variable_is_reported_where_it_is_used() {
    let found = problems(&GOOD.replace("${data}/a.json", "${dat}/a.json")).join("\n");
    assert!(found.contains("dir/p.toml:11:") && found.contains("\"dat\""), "{found}");
}

#[test]
fn every_syntax_error_is_reported() {
    let found = problems("name = \nseed = = 1\n");
    for line in ["dir/p.toml:1:", "dir/p.toml:2:"] {
        assert!(found.iter().any(|problem| problem.starts_with(line)), "{line} {found:#?}");
    }
}

#[test]
fn the_command_line_replaces_variables_and_settings() {
    let sets = ["data=/mnt", "source.a.take=9", "format.max_tokens=2048", "output.directory=o"];
    let file = check_with(GOOD, &sets).unwrap().file;
    assert_eq!(file.format.tokenizer, "/mnt/tokenizer.model");
    assert_eq!(file.source[0].take, Take::Count(9));
    assert_eq!(file.format.max_tokens, 2048);
    assert_eq!(file.output.directory, here("o"));
}

#[test]
fn a_dataset_that_goes_to_a_url_is_built_in_a_directory() {
    let output = |sets: &[&str]| check_with(GOOD, sets).unwrap().file.output;
    let (nowhere, local) = (output(&[]), output(&["output.directory=s3://bucket/x"]));
    assert_eq!((nowhere.url(), nowhere.work_directory()), (None, here("out/x.work").into()));
    assert_eq!((local.url(), local.work_directory()), (Some(Path::new("s3://bucket/x")), here("out/x.work").into()));
    let named = output(&["output.root=gs://bucket/sets", "output.work=/scratch/x"]);
    assert_eq!(named.url(), Some(Path::new("gs://bucket/sets/x")));
    assert_eq!(named.work_directory(), Path::new("/scratch/x"));
    let mut pipeline = check(GOOD).unwrap();
    let portable = crate::portable_settings(&pipeline);
    pipeline.set_output_directory(Path::new("az://box/x/"));
    assert_eq!(pipeline.file.output.url(), Some(Path::new("az://box/x")));
    assert_eq!(pipeline.file.output.work_directory(), Path::new(&here("out/x.work")));
    pipeline.set_work_directory(Path::new("/elsewhere/x.work"));
    assert_eq!(pipeline.file.output.work_directory(), Path::new("/elsewhere/x.work"));
    // A dataset says nothing of where it was built.
    let there = check_with(GOOD, &["output.directory=s3://bucket/x", "output.work=/scratch"]).unwrap();
    assert_eq!(crate::portable_settings(&there), portable);
}

#[test]
fn a_wrong_override_is_an_error_of_the_command_line() {
    let found = check_with(GOOD, &["format.max_token=1", "source.b.take=1"]).unwrap_err().join("\n");
    assert!(found.contains("--set format.max_token: format.max_token is not a setting"), "{found}");
    assert!(found.contains("no element has the name \"b\""), "{found}");
    let found = check_with(GOOD, &["format.max_token=1", "source.a.filter={min_token=1}"]).unwrap_err();
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn an_override_of_any_depth_is_an_error() {
    let set = format!("{}a=1", "a.".repeat(100_000));
    let problems = check_with("", &[&set]).unwrap_err();
    assert!(problems[0].contains("--set a.a") && problems[0].contains("more than 32 parts"));
    assert!(problems[0].len() < 1_000, "{}", problems[0].len());
}

#[test]
fn settings_that_cannot_work_together_are_refused() {
    for (more, expected) in [
        ("filter = { min_tokens = 9, max_tokens = 8 }", "source.a.filter.min_tokens = 9 is more than max_tokens = 8"),
        ("filter = { min_turns = 9, max_turns = 8 }", "source.a.filter.min_turns = 9 is more than max_turns = 8"),
        ("filter = { min_tokens = 40961 }", "min_tokens = 40961 is more than format.max_tokens = 40960"),
        ("delivered_in = \"x\"\nnot_delivered_in = [\"y\", \"x\"]", "both name \"x\""),
        ("merge = \"by_media\"\ndelivered_in = \"x\"", "source.a.merge and .delivered_in exclude each other"),
        ("merge = \"by_media\"\nnot_delivered_in = \"x\"", "source.a.merge and .not_delivered_in exclude each other"),
        ("[output]\nmedia = \"shared\"", "output.media = \"shared\" does not fit \"webdataset\""),
        ("[video]\nnum_frames = 4", "video.num_frames has no effect with sampling = \"interval\""),
        (
            "[video]\nsampling = \"uniform\"\nmax_frames = 4",
            "video.max_frames has no effect with sampling = \"uniform\"",
        ),
        ("[overlength]\npolicy = []", "overlength.policy is empty"),
        (
            "[overlength]\npolicy = [\"fewer_tiles\"]",
            "overlength.policy = \"fewer_tiles\" has no effect: no source has visuals = \"tiled\"",
        ),
        (
            "[overlength]\npolicy = [\"fewer_pixels\"]\n[model]\nfamily = \"qwen3-vl\"\n[video]\ndeliver = \"clip\"",
            "overlength.policy = \"fewer_pixels\" does not fit video.deliver = \"clip\"",
        ),
        (
            "[model]\nfamily = \"qwen3-vl\"\nvideo = { max_frames = 5 }\n[video]\nsampling = \"interval\"",
            "model.video.max_frames has no effect where video.sampling is not \"processor\"",
        ),
        (
            "[model]\nfamily = \"qwen3-vl\"\nmin_pixels = 2000000\nmax_pixels = 1000000",
            "model.min_pixels of qwen3-vl: 2000000 is more than max_pixels = 1000000",
        ),
        ("[overlength]\nmin_tiles = 2", "overlength.min_tiles has no effect without \"fewer_tiles\" in policy"),
        (
            "[overlength]\npolicy = [\"fewer_frames\"]\nmin_frames = 200",
            "overlength.min_frames = 200 is more than video.max_frames = 128",
        ),
        ("[duplicates]\nmax_distance = 2", "duplicates.max_distance has no effect without remove = \"near\""),
        (
            "[duplicates]\nremove = \"nothing\"\ntext = \"any\"",
            "duplicates.text has no effect with remove = \"nothing\"",
        ),
        ("[decontamination]\nmax_distance = 2", "decontamination.max_distance has no effect without against"),
        ("[output]\nformats = [\"webdataset\"]\ntokens = true", "output.tokens has no effect without Parquet shards"),
        (
            "[output]\nformats = [\"webdataset\", \"vila\"]\n[video]\ndeliver = \"clip\"",
            "video.deliver = \"clip\" does not fit \"vila\", which holds images only",
        ),
        ("[output]\nformats = [\"mds\"]\nmax_shard_mib = 2049", "output.max_shard_mib = 2049 does not fit \"mds\""),
        ("[output]\nwork = \"w\"", "output.work has no effect"),
        ("[output]\nroot = \"r\"\ndirectory = \"d\"", "output.root has no effect: output.directory says"),
        ("[output]\ndirectory = \"https://web/x\"", "output.directory is a server that takes no datasets"),
        ("[output]\nroot = \"https://web/x\"", "output.root is a server that takes no datasets"),
        ("[output]\ndirectory = \"s3://bucket/x\"\nwork = \"s3://bucket/w\"", "work is a URL"),
        ("[pack]\nmax_tokens = 8\npad_to_multiple = 16", "pack.pad_to_multiple = 16 is more than max_tokens = 8"),
        ("[pack]\npadding = \"samples\"", "pack.padding has no effect"),
        ("[validate]\nmodel = \"m\"\nsamples = 0", "validate.samples: "),
        ("[video]\ndamage = \"keep\"\nmax_missing = 0.5", "video.max_missing has no effect with damage = \"keep\""),
        ("[tiles]\nedge_px = 224", "[tiles] has no effect: no source has visuals = \"tiled\""),
        ("[overlength]\npolicy = [\"split_turns\", \"split_turns\"]", "overlength.policy names \"split_turns\" twice"),
        (
            "visuals = \"tiled\"\n[tiles]\nmax_tiles = 4\n[overlength]\npolicy = [\"fewer_tiles\"]\nmin_tiles = 5",
            "overlength.min_tiles = 5 is more than tiles.max_tiles = 4",
        ),
        (
            "[limits]\nmin_edge_px = 100\nmax_pixels = 9999",
            "limits.min_edge_px = 100 is more than limits.max_pixels = 9999 allows: no image is left",
        ),
        ("[limits]\nmax_aspect_ratio = 0.5", "limits.max_aspect_ratio = 0.5 is less than that of a square"),
        ("[limits]\nmax_bytes = 0", "limits.max_bytes = 0 leaves none"),
        ("[decontamination]\nagainst = [\"out/y\", \"./out/../out/x/\"]", "this is output.directory"),
        ("not_delivered_in = \"out/x\"", "this is output.directory"),
        ("delivered_in = \"\"", "delivered_in: an empty path"),
        ("[decontamination]\nagainst = [\"\"]", "against: an empty path"),
    ] {
        let found = problems(&format!("{GOOD}\n{more}\n"));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{more}: {found:#?}");
        assert_eq!(found.len(), 1, "{more}: {found:#?}");
    }
    let found = problems(&GOOD.replace("[format]", "[format]\nmax_tokens = 143"));
    assert!(found.join("").contains("tokens_per_image = 144 is more than format.max_tokens = 143"), "{found:#?}");
    let found = problems(&GOOD.replace("take = 5", "weight = 0"));
    assert!(found.join("").contains("every weight is 0"), "{found:#?}");
    let found = problems(&GOOD.replace("[vars]", "[vars]\nhere = \"/x\""));
    assert!(found.join("").contains("the variable \"here\" cannot be declared"), "{found:#?}");
    let text = GOOD.replace("\"llava\"", "\"text\"").replace("take = 5", "visuals = \"tiled\"");
    let found = problems(&format!("{text}filter = {{ min_images = 1 }}\n")).join("");
    assert!(found.contains("source.a.visuals has no effect with kind = \"text\""), "{found}");
    assert!(found.contains("source.a.filter.min_images = 1 leaves no record"), "{found}");
    let other = "[[source]]\nname = \"b\"\nkind = \"text\"\nannotations = \"b.json\"\nweight = 1\n";
    let found = problems(&format!("{}unit = \"tokens\"\n{other}", GOOD.replace("take = 5", "weight = 2")));
    assert!(found.join("\n").contains("source.b.weight is in records, but that of \"a\" in tokens"), "{found:#?}");
    let found = problems(&GOOD.replace("take = 5", "on_exhausted = \"error\"")).join("\n");
    assert!(found.contains("source.a.on_exhausted has no effect without take or weight"), "{found}");
    for idle in ["unit = \"tokens\"", "take = \"all\"\nstratify = \"turns\"\nunit = \"frames\""] {
        let found = problems(&GOOD.replace("take = 5", idle)).join("\n");
        assert!(found.contains("source.a.unit has no effect where everything is drawn once"), "{found}");
        assert_eq!(found.contains("source.a.stratify has no effect"), idle.contains("stratify"), "{found}");
    }
}

#[test]
fn what_a_shell_would_fill_in_is_an_error() {
    let found = problems(&GOOD.replace("\"/data\"", "\"~/data\"")).join("\n");
    assert!(found.contains("dir/p.toml:5:8: \"~\" is not filled in"), "{found}");
    let found = problems(&GOOD.replace("${here}/more", "$HOME/more")).join("\n");
    assert!(found.contains("dir/p.toml:12:") && found.contains("environment variables are not filled in"), "{found}");
    for path in ["~someone/data", "/mnt/$USER/data", "$DATA"] {
        let links = format!("take = 5\nlinks = {path:?}");
        let found = problems(&GOOD.replace("take = 5", &links));
        assert!(found.len() == 1 && found[0].contains("14:9: ") && found[0].contains("not filled in"), "{found:#?}");
    }
    let found = check_with(GOOD, &["data=~/data"]).unwrap_err().join("\n");
    assert!(found.contains("--set data: \"~\" is not filled in"), "{found}");
}

#[test]
fn a_wrong_value_in_an_inner_table_is_an_error_of_its_own_setting() {
    let with = |settings: &str| problems(&format!("{GOOD}[model]\nfamily = \"qwen3-vl\"\n[model.video]\n{settings}\n"));
    let found = with("min_frames = 4\nmax_pixels = true\nmax_frames = 8").join("\n");
    assert!(found.starts_with("dir/p.toml:19:") && found.contains("model.video.max_pixels: true was found"), "{found}");
    assert!(found.contains("value:   true") && found.contains("allowed: a whole number"), "{found}");
    // Two with the same fault are shown together.
    let found = with("min_frames = true\nmax_frames = true").join("\n");
    assert!(found.contains("model.video: true was found"), "{found}");
}
