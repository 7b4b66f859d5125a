//! Promise: what a cluster engine calls does a part of a plan on any machine, and says whether to try again. The engines
//! themselves are tested on real clusters by `make cluster`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::determinism::{files_of, workshop};
use crate::support::{Workshop, llava, manyframe, photo, run, stdout};

/// A plan, and the number of its tasks.
fn plan(pipeline: &str, out: &str) -> (String, usize) {
    let text = stdout(&["plan", pipeline, "--output", out, "--json", "--quiet"]);
    let plan: Value = serde_json::from_str(&text).unwrap();
    (plan["plan"].as_str().unwrap().to_owned(), plan["tasks"].as_array().unwrap().len())
}

/// The failure that a task left.
fn failure(plan: &str, task: u32) -> Value {
    let text = fs::read(Path::new(plan).join(format!("failed/{task:06}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Four photographs in two shards, below the variable `data`.
fn photographs() -> Workshop {
    let mut workshop = Workshop::new();
    for number in 0..4 {
        workshop.write(&format!("data/media/{number}.jpg"), photo(number, 100, 80));
    }
    let records: Vec<Value> = (0..4).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.write("data/a.json", serde_json::to_vec(&records).unwrap());
    workshop.head = workshop.head.replace("[format]", "[output]\nmax_shard_samples = 2\n[format]");
    workshop.head.push_str(&format!("[vars]\ndata = {:?}\n", workshop.text("data")));
    workshop.head.push_str(
        "[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = \"${data}/a.json\"\nmedia = \"${data}/media\"\n",
    );
    workshop
}

#[test]
fn a_range_of_tasks_is_done_in_one_process_and_the_rest_by_run() {
    let workshop = workshop(60);
    let expected = files_of(&workshop.build().dataset);
    let out = workshop.text("ranges");
    let (directory, num_tasks) = plan(&workshop.pipeline(), &out);
    assert!(num_tasks > 4);
    let lines = stdout(&["task", &directory, "3,0-1", "--quiet"]);
    let mut done: Vec<u64> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["task"].as_u64().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 3]);
    let beyond = run(&["task", &directory, &format!("2-{num_tasks}"), "--quiet"], 2);
    assert!(String::from_utf8_lossy(&beyond.stderr).contains(&format!("no task {num_tasks}")));
    for wrong in ["x", "3-1", "1,"] {
        run(&["task", &directory, wrong, "--quiet"], 2);
    }
    run(&["run", &directory, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("ranges")), expected);
    assert!(!Path::new(&directory).exists(), "a published plan is removed");
}

#[test]
fn a_worker_may_see_the_files_elsewhere() {
    let workshop = photographs();
    let expected = files_of(&workshop.build().dataset);
    let out = workshop.text("mounted");
    let (directory, num_tasks) = plan(&workshop.pipeline(), &out);
    fs::rename(workshop.path("data"), workshop.path("scratch")).unwrap();
    run(&["task", &directory, "0", "--quiet"], 1);
    let noted = failure(&directory, 0);
    assert_eq!(noted["may_be_retried"], true);
    assert!(noted["error"].as_str().unwrap().contains("cannot open on this machine"), "{noted}");
    let set = format!("data={}", workshop.text("scratch"));
    let tasks = format!("0-{}", num_tasks - 1);
    let unknown = run(&["task", &directory, &tasks, "--set", "dta=/x", "--quiet"], 2);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("\"dta\"; there are data"));
    run(&["task", &directory, &tasks, "--set", &set, "--quiet"], 0);
    assert!(!Path::new(&directory).join("failed/000000.json").exists(), "it is done now");
    fs::rename(workshop.path("scratch"), workshop.path("data")).unwrap();
    run(&["commit", &directory, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("mounted")), expected);
}

#[test]
fn a_medium_that_a_worker_does_not_see_is_no_reject() {
    let workshop = photographs();
    let (directory, num_tasks) = plan(&workshop.pipeline(), &workshop.text("unmounted"));
    fs::rename(workshop.path("data/media"), workshop.path("kept")).unwrap();
    fs::create_dir(workshop.path("data/media")).unwrap();
    let output = run(&["task", &directory, "0", "--quiet"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not on this machine"));
    assert_eq!(failure(&directory, 0)["may_be_retried"], true);
    assert!(!Path::new(&directory).join("done/000000.json").exists());
    fs::remove_dir(workshop.path("data/media")).unwrap();
    fs::rename(workshop.path("kept"), workshop.path("data/media")).unwrap();
    run(&["task", &directory, &format!("0-{}", num_tasks - 1), "--quiet"], 0);
    run(&["commit", &directory, "--quiet"], 0);
}

#[test]
fn annotations_that_changed_since_the_plan_are_not_tried_again() {
    let workshop = photographs();
    let (directory, _) = plan(&workshop.pipeline(), &workshop.text("changed"));
    let text = fs::read_to_string(workshop.path("data/a.json")).unwrap();
    fs::write(workshop.path("data/a.json"), text.replace("What is", "Who was")).unwrap();
    run(&["task", &directory, "0-1", "--quiet"], 2);
    let noted = failure(&directory, 0);
    assert_eq!(noted["may_be_retried"], false);
    assert!(noted["error"].as_str().unwrap().contains("annotations have changed"), "{noted}");
}

#[test]
fn the_printed_array_of_slurm_does_all_tasks_and_its_dataset_is_that_of_a_build() {
    let workshop = workshop(60);
    let expected = files_of(&workshop.build().dataset);
    let out = workshop.text("array");
    let (directory, num_tasks) = plan(&workshop.pipeline(), &out);
    let print = ["run", &directory, "--engine", "slurm", "--print", "--tasks-per-job", "3", "--sbatch=--partition=cpu"];
    let script = stdout(&print);
    let num_jobs = num_tasks.div_ceil(3);
    assert!(script.contains(&format!("#SBATCH --array=0-{}\n", num_jobs - 1)), "{script}");
    assert!(script.contains("\n#SBATCH --partition=cpu\n"), "{script}");
    for job in (0..num_jobs).rev() {
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env("SLURM_ARRAY_TASK_ID", job.to_string()).env("SLURM_ARRAY_JOB_ID", "1");
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{script}");
    }
    let nothing = run(&print, 2);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("all tasks are done"));
    run(&["commit", &directory, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("array")), expected);
}

#[test]
fn the_printed_driver_of_ray_is_python_and_holds_all_tasks() {
    let workshop = photographs();
    let (directory, _) = plan(&workshop.pipeline(), &workshop.text("ray"));
    let script =
        stdout(&["run", &directory, "--engine", "ray", "--print", "--cpus", "2", "--worker-set", "data=/it's"]);
    let check = "import sys; text = sys.argv[1].replace('__main__', ''); exec(compile(text, 'ray.py', 'exec')); print(json.dumps(ORDER))";
    let output = Command::new("python3").args(["-c", check, &script]).output().unwrap();
    let order: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(order["jobs"], json!(["0", "1"]));
    let arguments = json!(["task", directory, "--quiet", "--threads", "2", "--set", "data=/it's"]);
    assert_eq!((&order["arguments"], &order["cpus"]), (&arguments, &json!(2)));
}

#[test]
fn an_option_of_another_engine_is_an_error() {
    let workshop = photographs();
    let (directory, _) = plan(&workshop.pipeline(), &workshop.text("out"));
    for (arguments, expected) in [
        (&["--sbatch=--time=1"][..], "--sbatch does nothing with --engine local"),
        (&["--engine", "slurm", "--address", "a:1"], "--address does nothing with --engine slurm"),
        (&["--engine", "ray", "--sbatch=-x"], "--sbatch does nothing with --engine ray"),
        (&["--print"], "--print needs --engine slurm or --engine ray"),
        (&["--engine", "ray", "--python", "/no/python"], "/no/python"),
    ] {
        let output = run(&[&["run", &directory, "--quiet"], arguments].concat(), 2);
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{arguments:?}\n{output:?}");
    }
}

#[test]
fn a_job_ends_with_its_parent() {
    let mut workshop = Workshop::new();
    workshop.write("media/0.jpg", photo(0, 2400, 1800));
    let records: Vec<Value> = (0..100).map(|n| llava(&format!("r{n}"), "0.jpg")).collect();
    workshop.add_source("a", "llava", &json!(records), "visuals = \"tiled\"");
    let (directory, _) = plan(&workshop.pipeline(), &workshop.text("out"));
    let program = manyframe(&[]).get_program().display().to_string();
    let command = format!("{program:?} task {directory:?} 0 --quiet --with-parent --threads 1 & echo $!; wait");
    let mut parent = Command::new("sh").args(["-c", &command]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let process = Path::new("/proc").join(line.trim());
    let journal = Path::new(&directory).join("journal");
    let started = Instant::now();
    let wait = || {
        assert!(started.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(5));
    };
    while !journal.exists() {
        wait();
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    while process.exists() {
        wait();
    }
    assert!(!Path::new(&directory).join("done/000000.json").exists(), "it was not done yet");
}

#[test]
fn a_forecast_says_how_long_a_build_takes_and_what_bounds_it() {
    let workshop = workshop(60);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("forecast"));
    let plan = |more: &[&'static str]| [&["plan", &pipeline, "--output", &out, "--quiet"], more].concat();
    let text = stdout(&plan(&["--json", "--forecast", "1x1,2x1,100x100,2x1@0.1"]));
    let json: Value = serde_json::from_str(&text).unwrap();
    let seconds: Vec<f64> =
        json["build_forecast"].as_array().unwrap().iter().map(|row| row["seconds"].as_f64().unwrap()).collect();
    // Two workers start a process for each task, and one starts one: they do not take half the time.
    assert!(2.0 * seconds[1] > seconds[0] && seconds[1] > seconds[2] && seconds[3] > 2.0 * seconds[1], "{seconds:?}");
    let bounds: Vec<&str> =
        json["build_forecast"].as_array().unwrap().iter().map(|row| row["bound"].as_str().unwrap()).collect();
    assert_eq!(bounds, ["cores", "cores", "tasks", "storage"]);
    let text = stdout(&plan(&["--json", "--forecast", "8x16", "--price-stored", "2000", "--price-moved", "1000"]));
    let row = serde_json::from_str::<Value>(&text).unwrap()["build_forecast"][0].clone();
    let number = |name: &str| row[name].as_f64().unwrap();
    assert!((number("cost_of_storing") - number("written_bytes") * 2e-6).abs() < 1e-9, "{row}");
    assert!((number("cost_of_moving") - (number("written_bytes") + number("read_bytes")) * 1e-6).abs() < 1e-9, "{row}");
    let text = stdout(&plan(&["--forecast", "8x16@500", "--price-stored", "1000", "--price-moved", "1000"]));
    for expected in ["number of shards", "a rough guess", "a build reads", "which costs", "the dataset costs"] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    for wrong in ["8", "0x3", "8x16@-1", "8x16@", "x"] {
        run(&plan(&["--forecast", wrong]), 2);
    }
    run(&plan(&["--price-stored", "1"]), 2);
}

/// Programs of the names that Slurm has, which run each array at once, in another working directory. `make cluster` has Slurm
/// itself.
fn scheduler(workshop: &Workshop, code: i32) -> String {
    let run_all = "#!/bin/bash\nscript=$(cat)\necho \"$script\" >\"$(dirname \"$0\")/script\"\nlast=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' <<<\"$script\")\n\
                   for job in $(seq 0 \"$last\"); do\n\
                   cd /; SLURM_ARRAY_TASK_ID=$job SLURM_ARRAY_JOB_ID=1 bash -c \"$script\" >/dev/null 2>&1 || true\ndone\necho 1\n";
    let sbatch = if code == 0 { run_all.to_owned() } else { format!("#!/bin/bash\nexit {code}\n") };
    for (name, text) in [("sbatch", sbatch.as_str()), ("squeue", "#!/bin/bash\n"), ("scontrol", "#!/bin/bash\n")] {
        let path = workshop.write(&format!("bin/{name}"), text);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", workshop.text("bin"), std::env::var("PATH").unwrap())
}

#[test]
fn a_verification_on_a_cluster_finds_what_one_on_this_machine_finds() {
    let workshop = workshop(60);
    let dataset = workshop.build().dataset;
    let out = dataset.display().to_string();
    let verify = |more: &[&str], code: i32| {
        let path = scheduler(&workshop, 0);
        // Its path is one of this working directory, which is not that of the jobs.
        let mut command = manyframe(&[&["verify", "out", "--quiet"], more].concat());
        let output = command.current_dir(workshop.path("")).env("PATH", path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let on_slurm = ["--engine", "slurm", "--tasks-per-job", "4"];
    let sound = verify(&[], 0);
    assert!(sound.starts_with("ok"), "{sound}");
    // The scheduler refuses; one shard is examined by hand, and is not examined again.
    let path = scheduler(&workshop, 1);
    let refused =
        manyframe(&[&["verify", &out, "--quiet"], &on_slurm[..]].concat()).env("PATH", path).output().unwrap();
    assert_ne!(refused.status.code(), Some(0));
    let directory = workshop.text("out.work/verify-tasks");
    run(&["task", &directory, "0", "--quiet"], 0);
    assert_eq!(verify(&on_slurm, 0), sound);
    assert!(!Path::new(&directory).exists());
    let script = fs::read_to_string(workshop.path("bin/script")).unwrap();
    assert!(script.contains("\ntasks=(\n1-4\n"), "{script}");
    // Damage in shards, in the ledger and in the sources.
    let shards = files_of(&dataset).into_iter().filter(|(name, _)| name.rsplit('.').next() == Some("tar"));
    let shards: Vec<String> = shards.map(|(name, _)| name).collect();
    for (number, name) in shards.iter().take(3).enumerate() {
        let mut bytes = fs::read(dataset.join(name)).unwrap();
        match number {
            0 => bytes.truncate(bytes.len() / 2),
            1 => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            _ => bytes.clear(),
        }
        fs::write(dataset.join(name), bytes).unwrap();
    }
    let damaged = verify(&[], 1);
    assert!(damaged.contains("problem: ") && damaged.contains(&shards[1]), "{damaged}");
    assert_eq!(verify(&on_slurm, 1), damaged);
    assert_eq!(verify(&[&on_slurm[..], &["--no-sources"]].concat(), 1), verify(&["--no-sources"], 1));
}

#[test]
fn a_validation_on_a_cluster_measures_what_one_on_this_machine_measures() {
    let workshop = workshop(120);
    workshop.build();
    run(&["model", "init", &workshop.text("model"), "--seed", "4"], 0);
    // Paths of this working directory, which is not that of the jobs.
    let arguments =
        ["validate", "out", "--model", "model", "--all", "--no-controls", "--device", "cpu", "--json", "--quiet"];
    let validate = |more: &[&str], scheduler_code: i32, code: i32| {
        let path = scheduler(&workshop, scheduler_code);
        let mut command = manyframe(&[&arguments[..], more].concat());
        let output = command.current_dir(workshop.path("")).env("PATH", path).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        // Times and memory are those of the machines.
        let stages = report.as_object_mut().and_then(|report| report.remove("stages")).unwrap_or_default();
        (report, stages)
    };
    let (here, stages_here) = validate(&[], 0, 0);
    // The scheduler refuses; one batch is run by hand, and is not run again.
    let on_slurm = ["--engine", "slurm", "--gpus", "1"];
    validate(&on_slurm, 1, 2);
    let directory = workshop.text("out.work/validate-tasks");
    run(&["task", &directory, "0", "--quiet"], 0);
    let (elsewhere, stages) = validate(&on_slurm, 0, 0);
    assert_eq!(elsewhere, here);
    assert_eq!(stages["num_tokens"], stages_here["num_tokens"]);
    assert!(stages["tokens_per_s"].as_f64().unwrap() > 0.0, "{stages}");
    assert!(!Path::new(&directory).exists());
    let script = fs::read_to_string(workshop.path("bin/script")).unwrap();
    assert!(script.contains("\ntasks=(\n1\n") && script.contains("#SBATCH --gpus=1\n"), "{script}");
}

#[test]
fn a_build_on_a_cluster_is_validated_there_before_it_is_published() {
    let workshop = workshop(30);
    let (model, out) = (workshop.text("model"), workshop.text("out"));
    run(&["model", "init", &model], 0);
    let strict = workshop.write("strict.toml", "mean_loss = { fail = 1.0 }\n").display().to_string();
    let build = |policy: &str, code: i32| {
        let path = scheduler(&workshop, 0);
        let table = format!("validate={{ model = {model:?}, samples = 8, device = \"cpu\", policy = {policy:?} }}");
        let pipeline = workshop.pipeline();
        let arguments = ["build", &pipeline, "--output", &out, "--quiet", "--engine", "slurm", "--set", &table];
        let output = manyframe(&arguments).env("PATH", path).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    };
    build(&strict, 4);
    assert!(!workshop.path("out").exists());
    build("", 0);
    let script = fs::read_to_string(workshop.path("bin/script")).unwrap();
    assert!(script.contains("validate-tasks"), "the last jobs are those of the validation: {script}");
    let report: Value = serde_json::from_slice(&fs::read(workshop.path("out/validation.json")).unwrap()).unwrap();
    assert_eq!(report["total"]["num_samples"], 8);
    run(&["verify", &out, "--quiet"], 0);
}
