//! Promise: the public loaders of evaluation sets read those of needles as they are in the dataset.

use serde_json::json;

use crate::needles::{Set, fourth_needles, needles};
use crate::support::{run, run_python};

const TASKS_OF_VIDEOS: [&str; 10] = [
    "retrieval_edit",
    "retrieval_insert",
    "retrieval_both",
    "ordering_edit",
    "ordering_insert",
    "ordering_both",
    "counting_edit",
    "counting_insert",
    "counting_both",
    "counting_paste",
];

#[test]
fn every_task_is_what_a_reference_makes_of_it_and_loaders_read_it() {
    let tasks = [&TASKS_OF_VIDEOS[..], &["image_retrieval", "image_ordering", "image_counting"]].concat();
    for place in ["insert", "replace"] {
        let settings = json!({ "place": place, "tasks": tasks, "lengths": [9], "depths": [0, 333, 666, 1000],
                               "images": ["photo[0-9].jpg", "photo1?.jpg"], "questions_per_cell": 2, "seed": 5 });
        let set = Set::with_needles(&settings, &[needles(), fourth_needles()].concat());
        let built = set.build();
        assert_eq!(built.outcomes(), [("delivered".to_owned(), (12 + 4) * 2 * 4)].into());
        assert!(set.check(&built).starts_with("128 samples, "));
        built.verify();
        if place == "replace" {
            continue;
        }
        let (dataset, lmms_eval, vlmevalkit) =
            (built.dataset.display().to_string(), set.workshop.text("lmms-eval"), set.workshop.text("vlmevalkit"));
        let export = |form: &str, output: &str, prefix: &str| {
            run(&["export", &dataset, "--format", form, "--output", output, "--path-prefix", prefix, "--quiet"], 0)
        };
        export("lmms_eval", &lmms_eval, &format!("{lmms_eval}/"));
        export("vlmevalkit", &vlmevalkit, &format!("{vlmevalkit}/"));
        let read = run_python("video", "tests/python/read_needle_exports.py", &[&dataset, &lmms_eval]);
        assert!(read.starts_with("128 questions, "), "{read}");
        // Of each task, two questions that no other is counted with.
        let own = "cnt_edit1 2/2, cnt_edit2 2/2, cnt_insert1 2/2, ord_edit1 2/2, ord_insert1 2/2, ret_edit1 2/2, ret_insert1 2/2";
        assert!(read.contains(&format!("vnbench.json: {own}\n")), "{read}");
        assert!(read.contains("vnbench_both.json: cnt_edit2 2/2, ord_insert2 2/2, ret_insert2 2/2\n"), "{read}");
        let read = run_python("datasets", "tests/python/read_vlmevalkit.py", &[&dataset, &vlmevalkit]);
        assert!(read.starts_with("128 questions, "), "{read}");
        assert_eq!(run_python("datasets", "tests/python/ask_lmms_eval_task.py", &[&lmms_eval]), "128 questions\n");
    }
}

#[test]
fn a_set_about_images_alone_is_a_task_of_lmms_eval() {
    let settings = json!({ "tasks": ["image_retrieval"], "images": ["photo*.jpg"], "depths": [0, 333, 666, 1000], "lengths": [8] });
    let set = Set::new(&settings);
    let built = set.build();
    let (dataset, output) = (built.dataset.display().to_string(), set.workshop.text("lmms-eval"));
    let prefix = format!("{output}/");
    run(&["export", &dataset, "--format", "lmms_eval", "--output", &output, "--path-prefix", &prefix, "--quiet"], 0);
    assert_eq!(
        run_python("video", "tests/python/read_needle_exports.py", &[&dataset, &output]),
        "16 questions, 0 frames\n"
    );
    assert_eq!(run_python("datasets", "tests/python/ask_lmms_eval_task.py", &[&output]), "16 questions\n");
}

#[test]
fn options_that_tables_take_for_something_else_are_read_as_they_are() {
    let options = [
        ("number", ["007", "010", "1e5", "2.0"]),
        ("whole number", ["12", "34", "56", "78"]),
        ("word", ["None", "NULL", "True", "N/A "]),
        ("other word", ["null", "nan", "yes", "n/a"]),
    ];
    for asked in [&options[..1], &options[1..2], &options] {
        let needle = |(name, [answer, wrong @ ..]): &(&str, [&str; 4])| {
            json!({ "name": name, "text": format!("The {name} is {answer}"), "question": format!("What is the {name}?"),
                    "answer": answer.trim(), "wrong": wrong.map(str::trim) })
        };
        let needles: Vec<_> = asked.iter().map(needle).collect();
        let settings = json!({ "tasks": ["retrieval_edit"], "lengths": [5], "questions_per_cell": needles.len() });
        let set = Set::with_needles(&settings, &needles);
        let built = set.build();
        assert_eq!(built.outcomes(), [("delivered".to_owned(), 4 * needles.len())].into());
        let (dataset, output) = (built.dataset.display().to_string(), set.workshop.text("vlmevalkit"));
        let prefix = format!("{output}/");
        run(
            &["export", &dataset, "--format", "vlmevalkit", "--output", &output, "--path-prefix", &prefix, "--quiet"],
            0,
        );
        let read = run_python("datasets", "tests/python/read_vlmevalkit.py", &[&dataset, &output]);
        assert!(read.starts_with(&format!("{} questions, ", 4 * needles.len())), "{read}");
    }
}
