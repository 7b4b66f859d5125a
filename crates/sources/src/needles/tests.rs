//! What the questions of whole sets have in common.

use std::collections::BTreeMap;

use manyframe_core::{NeedleQuestion, NeedleTask};
use serde::Deserialize;

use super::definition::{Needle, Shown};
use super::grid::{cell, num_records};
use super::options::{NeedleOptions, Permutations};
use super::question::Questions;

fn needles() -> Vec<Needle> {
    let needle = |name: String, shown| Needle { name, shown, asked: None };
    let pictures = (0..5).map(|number| needle(format!("picture {number}"), Shown::Image(format!("{number}.png"))));
    let texts = (0..5).map(|number| needle(format!("text {number}"), Shown::Text(format!("word {number}"))));
    pictures.chain(texts).collect()
}

/// Every question of a set.
fn questions(options: &NeedleOptions) -> Vec<NeedleQuestion> {
    #[derive(Deserialize)]
    struct Row {
        needle: NeedleQuestion,
    }
    let needles = needles();
    let questions = Questions { options, needles: &needles };
    let records = (0..num_records(options)).map(|record| questions.record(&cell(options, record).unwrap()).unwrap());
    records.map(|text| serde_json::from_slice::<Row>(&text).unwrap().needle).collect()
}

fn set(task: NeedleTask, questions_per_cell: u32) -> NeedleOptions {
    NeedleOptions {
        haystacks: vec!["a.mp4".into()],
        images: (0..20).map(|number| format!("photo{number}.jpg")).collect(),
        lengths: vec![20],
        tasks: vec![task],
        questions_per_cell,
        permutations: Permutations::One,
        ..NeedleOptions::default()
    }
}

/// The number in an option such as `7` or `Image 7`.
fn number(text: &str) -> u32 {
    text.trim_start_matches("Image ").parse().unwrap()
}

/// Whether so many of so many are a share that chance gives, within four and a half standard deviations.
fn is_chance(count: usize, num: usize, share: f64) -> bool {
    let mean = num as f64 * share;
    (count as f64 - mean).abs() <= 4.5 * (mean * (1.0 - share)).sqrt()
}

#[test]
fn no_number_is_right_more_often_than_by_chance() {
    use NeedleTask as Task;
    for task in [
        Task::CountingInsert,
        Task::CountingEdit,
        Task::CountingBoth,
        Task::CountingPaste,
        Task::ImageCounting,
        Task::ImageRetrieval,
    ] {
        for (num_options, num_needles) in [(4, 4), (3, 5), (2, 2)] {
            let options = NeedleOptions { num_options, num_needles, ..set(task, 400) };
            let share = 1.0 / f64::from(num_options);
            let questions = questions(&options);
            let mut ranks = vec![0; num_options as usize];
            let mut offered: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
            for question in &questions {
                let right = number(&question.answer_text);
                let numbers: Vec<u32> = question.options.iter().map(|option| number(&option.text)).collect();
                ranks[numbers.iter().filter(|&&other| other < right).count()] += 1;
                for number in numbers {
                    let (num, num_right) = offered.entry(number).or_default();
                    *num += 1;
                    *num_right += usize::from(number == right);
                }
            }
            let label = format!("{task:?}, {num_options} options: {ranks:?} {offered:?}");
            assert!(ranks.iter().all(|&count| is_chance(count, questions.len(), share)), "{label}");
            assert!(offered.values().all(|&(num, num_right)| is_chance(num_right, num, share)), "{label}");
        }
    }
}

#[test]
fn an_order_of_both_kinds_has_as_many_needles_as_it_says() {
    for num_needles in [2, 3, 4, 5] {
        let options = NeedleOptions { num_needles, num_options: 2, ..set(NeedleTask::OrderingBoth, 3) };
        for question in questions(&options) {
            assert_eq!(question.needles.len(), num_needles as usize, "{question:?}");
        }
    }
}

#[test]
fn a_task_with_fewer_answers_than_options_is_a_problem() {
    use NeedleTask as Task;
    let problems = |task, num_options, num_needles| {
        let depths = vec![0, 1000];
        NeedleOptions { depths, num_options, num_needles, ..set(task, 1) }.problems()
    };
    assert_eq!(
        problems(Task::OrderingInsert, 4, 2),
        ["has num_options = 4, and ordering_insert has 2 answers: raise `num_needles`"]
    );
    assert_eq!(
        problems(Task::CountingBoth, 4, 3),
        ["has num_options = 4, and counting_both has 3 answers: raise `num_needles`"]
    );
    assert_eq!(
        problems(Task::ImageRetrieval, 4, 4),
        ["has num_options = 4, and image_retrieval has 2 answers: add `depths`"]
    );
    assert_eq!(problems(Task::CountingPaste, 7, 2), [""; 0]);
    assert_eq!(problems(Task::OrderingInsert, 6, 3), [""; 0]);
    assert_eq!(problems(Task::OrderingInsert, 26, 64), [""; 0]);
    assert_eq!(problems(Task::CountingEdit, 0, 2), [""; 0]);
    for num_needles in [0, 1, 65] {
        assert_eq!(
            problems(Task::CountingEdit, 0, num_needles),
            ["has num_needles that are not from 2 to 64"],
            "{num_needles}"
        );
    }
}
