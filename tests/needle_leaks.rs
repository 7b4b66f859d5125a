//! Promise: nothing but the needle tells the answer, and no two needles tell two answers.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::needles::{Set, WAVES, clip, make_video};
use crate::support::run;

#[test]
fn options_that_are_numbers_tell_nothing() {
    let counted = ["counting_insert", "counting_both", "counting_paste", "image_counting"];
    for (tasks, questions_per_cell) in [(&counted[..], 100), (&["image_retrieval"], 12)] {
        let set = Set::new(&json!({ "tasks": tasks, "questions_per_cell": questions_per_cell, "permutations": "one",
                                    "lengths": [12], "depths": [0, 250, 500, 750, 1000], "images": ["photo*.jpg"], "seed": 3 }));
        let built = set.build();
        let num_samples = if tasks.len() > 1 { 4 * 100 } else { 5 * 12 };
        assert_eq!(built.outcomes(), [("delivered".to_owned(), num_samples)].into());
        assert!(set.check(&built).starts_with(&format!("{num_samples} samples, ")));
    }
}

#[test]
fn a_needle_that_is_in_the_haystack_is_rejected() {
    let set = Set::new(&json!({ "lengths": [16], "depths": [500] }));
    // A frame of the first video in another size and format.
    let media = set.workshop.path("media");
    for (number, second) in [(0, "2"), (1, "3"), (2, "4")] {
        let mut command = Command::new("ffmpeg");
        let video = media.join("wide.mp4").display().to_string();
        command.args(["-v", "error", "-y", "-ss", second, "-i", &video, "-frames:v", "1", "-vf", "scale=200:110"]);
        assert!(command.arg(media.join(format!("{number}.png"))).status().unwrap().success());
    }
    let built = set.build();
    assert_eq!(built.outcomes()["needle_in_haystack"], 4);
    let id = built.ledger[0].id.to_string();
    let why = run(&["why", &built.dataset.display().to_string(), &id], 0);
    assert!(String::from_utf8_lossy(&why.stdout).contains("looks like frame"), "{why:?}");
}

#[test]
fn a_clip_with_a_frame_of_the_haystack_or_too_few_frames_is_rejected() {
    let mut needles = vec![clip()];
    needles[0]["start_s"] = json!(0);
    let set = Set::with_needles(&json!({ "lengths": [16], "depths": [500] }), &needles);
    // Its second frame is the first of a video of the haystack.
    let source = format!(
        "{WAVES},scale=160:90,trim=duration=1,fps=5[a];testsrc2=size=160x90:rate=5:duration=3[b];[a][b]concat=n=2"
    );
    make_video(&set.workshop.path("media/waves.mp4"), &source);
    let built = set.build();
    assert_eq!(built.outcomes(), [("needle_in_haystack".to_owned(), 4)].into());
    let detail = built.ledger[0].detail.as_ref().unwrap();
    assert!(detail.contains("frame 1 of the needle \"waves.mp4\" from 0 s looks like frame "), "{detail}");
    make_video(&set.workshop.path("media/waves.mp4"), WAVES);
    assert_eq!(set.build().outcomes(), [("delivered".to_owned(), 4)].into());

    needles[0]["num_frames"] = json!(7);
    let built = Set::with_needles(&json!({ "lengths": [16], "depths": [500] }), &needles).build();
    assert_eq!(built.outcomes(), [("needle_too_short".to_owned(), 4)].into());
    let detail = built.ledger[0].detail.as_ref().unwrap();
    assert!(detail.ends_with("6 frames, one every 1 s, in \"waves.mp4\" from 0 s on; 7 are to be shown"), "{detail}");
}

#[test]
fn needles_that_look_alike_are_not_in_one_question() {
    let order = ["ordering_insert", "image_ordering"];
    let settings =
        json!({ "tasks": order, "lengths": [9], "images": ["photo*.jpg"], "num_needles": 3, "num_options": 3 });
    let set = Set::new(&settings);
    assert_eq!(set.build().outcomes(), [("delivered".to_owned(), 2 * 3)].into());
    // One of them again, in another format and size.
    let other = image::load_from_memory(&fs::read(set.workshop.path("media/0.png")).unwrap()).unwrap();
    other.resize_exact(150, 90, image::imageops::FilterType::Triangle).save(set.workshop.path("media/2.png")).unwrap();
    let built = set.build();
    assert_eq!(built.outcomes(), [("needles_alike".to_owned(), 2 * 3)].into());
    let detail = |task: &str| {
        let row = built.ledger.iter().find(|row| row.upstream_id.starts_with(task)).unwrap();
        row.detail.clone().unwrap()
    };
    let second = json!({ "name": "a ripple", "clip": "waves.mp4", "start_s": 2.3, "num_frames": 2 });
    let settings = json!({ "tasks": ["ordering_insert"], "lengths": [9], "num_needles": 2, "num_options": 2 });
    let clips = Set::with_needles(&settings, &[clip(), second]).build();
    assert_eq!(clips.outcomes(), [("needles_alike".to_owned(), 2)].into());
    assert!(
        detail("ordering").ends_with("the needle \"0.png\" and the needle \"2.png\" look alike"),
        "{}",
        detail("ordering")
    );
    assert!(
        detail("image").ends_with("the needle \"board 0\" and the needle \"board 2\" look alike"),
        "{}",
        detail("image")
    );
}

#[test]
fn a_text_that_is_not_written_letter_by_letter_is_rejected_before_anything_is_decoded() {
    let texts = ["桜", "שלום", "مرحبا", "ลิง"].map(|word| {
        json!({ "name": word, "text": format!("a {word}"), "question": "What is written?", "answer": word, "wrong": ["b", "c", "d"] })
    });
    let settings =
        json!({ "tasks": ["retrieval_edit"], "lengths": [5], "questions_per_cell": 4, "unequal_options": "allow" });
    let set = Set::with_needles(&settings, &texts);
    let answer = run(&["needles", &set.workshop.pipeline(), "--json", "--quiet"], 0);
    let cells: Vec<Value> = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(cells[0]["num_rejected"], 16, "{cells:?}");
    let built = set.build();
    assert_eq!(built.outcomes(), [("unwritable_text".to_owned(), 16)].into());
    let detail = built.ledger[0].detail.as_ref().unwrap();
    assert!(detail.ends_with("cannot be written on a frame"), "{detail}");
}
