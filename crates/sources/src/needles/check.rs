//! What must not tell the answer without the haystack: questions, lengths of options, needles that cannot be told apart.

use std::collections::BTreeSet;

use manyframe_core::NeedleTask;

use super::definition::{Asked, Needle, Pool};
use super::options::{NeedleOptions, UnequalOptions};

/// Checks needles for the tasks of a set. The error says what is wrong, and with which needle.
pub(crate) fn check(needles: &[Needle], options: &NeedleOptions) -> Result<(), String> {
    let mut known = BTreeSet::new();
    for needle in needles {
        let (name, shown) = (folded(&needle.name), needle.shown_key());
        let shown = if Pool::Texts.has(needle) { folded(&shown) } else { shown };
        let is_its_name = shown == name;
        if !known.insert(name) || !known.insert(shown) && !is_its_name {
            return Err(format!("two needles are named or show {:?}", needle.name));
        }
        if needle.name.contains(", ") && options.tasks.iter().any(|&task| is_ordered(needle, task)) {
            let name = &needle.name;
            return Err(format!(
                "{name:?} has a comma, which separates the names in options about the order of needles"
            ));
        }
        if let Some(asked) = &needle.asked {
            check_question(&needle.name, asked, options)?;
        }
    }
    for &task in &options.tasks {
        check_number(needles, task, options)?;
    }
    if options.unequal_options == UnequalOptions::Refuse && options.num_options > 0 {
        let asked: Vec<&Asked> = needles.iter().filter_map(|needle| needle.asked.as_ref()).collect();
        check_lengths(&asked, options.num_options)?;
    }
    Ok(())
}

/// Whether a task may ask for the place of this needle among others.
fn is_ordered(needle: &Needle, task: NeedleTask) -> bool {
    match task {
        NeedleTask::OrderingInsert => Pool::Pictures.has(needle),
        NeedleTask::ImageOrdering => Pool::Images.has(needle),
        NeedleTask::OrderingEdit => Pool::Texts.has(needle),
        _ => task.is_about_order(),
    }
}

fn check_question(name: &str, asked: &Asked, options: &NeedleOptions) -> Result<(), String> {
    if contains_words(&asked.question, &asked.answer) {
        return Err(format!("the question about {name:?} names its answer, {:?}", asked.answer));
    }
    let mut all: BTreeSet<String> = asked.wrong.iter().map(|wrong| folded(wrong)).collect();
    if all.len() < asked.wrong.len() || !all.insert(folded(&asked.answer)) || all.contains("") {
        return Err(format!("the options of {name:?} have the same text twice, or none"));
    }
    let wanted = options.num_options.saturating_sub(1) as usize;
    if asked.wrong.len() < wanted {
        let found = asked.wrong.len();
        return Err(format!(
            "{name:?} has {found} wrong options, {wanted} are needed for num_options = {}",
            options.num_options
        ));
    }
    Ok(())
}

/// Whether there are enough needles for a task.
fn check_number(needles: &[Needle], task: NeedleTask, options: &NeedleOptions) -> Result<(), String> {
    use NeedleTask as Task;
    let number = |pool: Pool| needles.iter().filter(|needle| pool.has(needle)).count();
    let num_asked = |pool: Pool| needles.iter().filter(|needle| pool.has(needle) && needle.asked.is_some()).count();
    let (pictures, images, texts) = (number(Pool::Pictures), number(Pool::Images), number(Pool::Texts));
    let (asked_pictures, asked_texts) = (num_asked(Pool::Pictures), num_asked(Pool::Texts));
    let most = options.num_needles as usize;
    let (found, wanted, what) = match task {
        Task::VNiah | Task::RetrievalInsert => (asked_pictures, 1, "images or clips with a question"),
        Task::RetrievalEdit => (asked_texts, 1, "texts with a question"),
        Task::RetrievalBoth => (asked_pictures.min(asked_texts), 1, "images or clips, and texts, with a question"),
        Task::OrderingInsert => (pictures, most, "images or clips"),
        Task::ImageOrdering => (images, most, "images"),
        Task::OrderingEdit => (texts, most, "texts"),
        // One text less if their number is odd.
        Task::OrderingBoth => (pictures.min(texts + most % 2), most.div_ceil(2), "images or clips, and as many texts"),
        Task::CountingInsert => (pictures, 1, "images or clips"),
        Task::CountingPaste | Task::ImageRetrieval | Task::ImageCounting => (images, 1, "images"),
        Task::CountingEdit => (texts, 1, "texts"),
        Task::CountingBoth => (pictures.min(texts), 1, "images or clips, and as many texts"),
    };
    if found < wanted {
        return Err(format!("{} needs {wanted} {what}, there are {found}", task.as_str()));
    }
    Ok(())
}

/// Whether the right option is the longest or the shortest more often than by chance: within three standard deviations.
fn check_lengths(asked: &[&Asked], num_options: u32) -> Result<(), String> {
    let num_chars = |text: &str| text.chars().count();
    // Lengths of wrong options, relative to that of the right one.
    let relative = |asked: &Asked| -> Vec<std::cmp::Ordering> {
        let wrong = asked.wrong.iter().take(num_options as usize - 1);
        wrong.map(|wrong| num_chars(wrong).cmp(&num_chars(&asked.answer))).collect()
    };
    let relative: Vec<Vec<std::cmp::Ordering>> = asked.iter().map(|asked| relative(asked)).collect();
    let num_all = |of: fn(std::cmp::Ordering) -> bool| {
        relative.iter().filter(|wrong| wrong.iter().all(|&ordering| of(ordering))).count()
    };
    let (number, options) = (asked.len() as f64, f64::from(num_options));
    let expected = number / options;
    let bound = expected + 3.0 * (expected * (1.0 - 1.0 / options)).sqrt();
    let found = [("longest", num_all(std::cmp::Ordering::is_lt)), ("shortest", num_all(std::cmp::Ordering::is_gt))];
    match found.into_iter().find(|(_, found)| *found > 1 && *found as f64 > bound) {
        None => Ok(()),
        Some((which, found)) => Err(format!(
            "the right option is the {which} in {found} of {} questions, expected in about {expected:.0}: write wrong options of the same \
             lengths, or allow it by unequal_options = \"allow\"",
            asked.len()
        )),
    }
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether the words of one text are in another, next to each other.
fn contains_words(text: &str, words: &str) -> bool {
    let split = |text: &str| -> Vec<String> {
        let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let (text, words) = (split(text), split(words));
    !words.is_empty() && text.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::super::definition::Shown;
    use super::*;

    fn needle(name: &str, question: &str, answer: &str, wrong: &[&str]) -> Needle {
        let wrong = wrong.iter().map(ToString::to_string).collect();
        let asked = Some(Asked { question: question.into(), answer: answer.into(), wrong });
        Needle { name: name.into(), shown: Shown::Image(format!("{name}.png")), asked }
    }

    fn options() -> NeedleOptions {
        NeedleOptions { haystacks: vec!["a.mp4".into()], lengths: vec![8], ..NeedleOptions::default() }
    }

    #[test]
    fn a_question_must_not_name_its_answer() {
        let fault = check(&[needle("a", "Is it a Red apple, or not?", "red apple", &["b", "c", "d"])], &options());
        assert_eq!(fault.unwrap_err(), "the question about \"a\" names its answer, \"red apple\"");
        assert!(check(&[needle("a", "Is it a redder apple?", "red", &["bee", "cat", "dog"])], &options()).is_ok());
    }

    #[test]
    fn the_length_of_options_must_not_tell_the_right_one() {
        let of = |number: usize, answer: &str| needle(&format!("n{number}"), "What?", answer, &["bb", "cc", "dd"]);
        let telling: Vec<Needle> = (0..8).map(|number| of(number, "long")).collect();
        assert!(
            check(&telling, &options()).unwrap_err().contains("the right option is the longest in 8 of 8 questions")
        );
        let allowed = NeedleOptions { unequal_options: UnequalOptions::Allow, ..options() };
        assert!(check(&telling, &allowed).is_ok());
        assert!(check(&(0..8).map(|number| of(number, "aa")).collect::<Vec<_>>(), &options()).is_ok());
    }

    #[test]
    fn names_can_be_told_apart() {
        let of = |name: &str| needle(name, "What?", "aa", &["bb", "cc", "dd"]);
        let fault = check(&[of("a bus"), of("A  bus")], &options()).unwrap_err();
        assert_eq!(fault, "two needles are named or show \"A  bus\"");
        let ordering = NeedleOptions { tasks: vec![NeedleTask::ImageOrdering], num_needles: 2, ..options() };
        let needles = [of("a bus"), of("a car, red")];
        assert!(check(&needles, &ordering).unwrap_err().starts_with("\"a car, red\" has a comma"));
        assert!(check(&needles, &options()).is_ok());
        // A task that orders texts shows no images.
        let is_ordered = |task| is_ordered(&needles[1], task);
        assert!(is_ordered(NeedleTask::OrderingBoth) && !is_ordered(NeedleTask::OrderingEdit));
    }

    #[test]
    fn too_few_needles_or_options_are_named() {
        let few = [needle("a", "What?", "aa", &["bb"])];
        assert_eq!(check(&few, &options()).unwrap_err(), "\"a\" has 1 wrong options, 3 are needed for num_options = 4");
        let two = NeedleOptions { num_options: 2, tasks: vec![NeedleTask::OrderingInsert], ..options() };
        assert_eq!(check(&few, &two).unwrap_err(), "ordering_insert needs 4 images or clips, there are 1");
    }
}
