//! Evaluation sets as VLMEvalKit reads them: custom multiple choice, circular as the name of the file says.
//!
//! | file | what is in it |
//! |---|---|
//! | `needles_circular.tsv` | `index`, `question`, `A` …, `answer`, `category`, `image_path`, and where a question is in its grid |
//! | `images/VISUALS/NNNN.jpg` | frames and images |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use manyframe_base::Progress;
use manyframe_dataset::{DatasetReader, NeedleEntry};

use crate::error::EngineError;
use crate::export_files::ExportFiles;
use crate::exported::Exported;
use crate::needle_export::{for_each_sample, questions};
use crate::needle_files::NeedleFiles;

/// The file of questions for VLMEvalKit, which evaluates those circularly that have the word in their name.
const VLMEVALKIT_FILE: &str = "needles_circular.tsv";
/// What the index of a permutation is above that of the one before it, so that VLMEvalKit finds those of a group.
const NEXT_PERMUTATION: u64 = 1_000_000;
/// What pandas takes for a missing value, in quotes or not (`pandas.io.parsers.STR_NA_VALUES`).
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Writes the evaluation sets of a dataset for VLMEvalKit. Frames are images.
///
/// # Errors
///
/// [`EngineError::NoQuestions`] if there are none with options, and if files cannot be read or written.
pub(crate) fn write_vlmevalkit(
    dataset: &DatasetReader,
    (output, prefix): (&mut ExportFiles, &str),
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let questions = questions(dataset)?;
    let num_options = questions.values().map(|entry| entry.question.options.len()).max().unwrap_or(0);
    let is_uniform = questions.values().all(|entry| entry.question.options.len() == num_options);
    let mut files = NeedleFiles::of((output, prefix));
    for_each_sample(dataset, progress, |sample| match questions.get(&sample.id) {
        Some(entry) => files.add_images(&entry.question.visuals, &sample),
        None => Ok(()),
    })?;
    let letters: Vec<String> = ('A'..='Z').take(num_options).map(String::from).collect();
    let mut text =
        format!("index\tcategory\tquestion\t{}\tanswer\timage_path\tlength\tdepth\tgroup\n", letters.join("\t"));
    let (mut groups, mut num_records) = (GroupNumbers::default(), 0);
    for entry in dataset.needles()?.iter().filter(|entry| questions.contains_key(&entry.sample)) {
        let question = &entry.question;
        let index = groups.index_of(entry).to_string();
        let mut cells = vec![index, question.task.as_str().to_owned(), kept_as_text(&question.question, is_uniform)];
        let option = |place: usize| question.options.get(place).map(|it| kept_as_text(&it.text, is_uniform));
        cells.extend((0..num_options).map(|place| option(place).unwrap_or_default()));
        let paths = files.images(&question.visuals).unwrap_or_default();
        cells.push(question.answer.clone());
        // A list of texts reads the same in Python: the loader evaluates it.
        cells.push(serde_json::json!(paths).to_string());
        cells.push(question.length.to_string());
        cells.push(question.depth.map_or_else(String::new, |depth| depth.to_string()));
        cells.push(question.group.clone());
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        _ = writeln!(text, "{}", cells.join("\t"));
        num_records += 1;
    }
    let exported = Exported { num_records, ..files.done };
    output.write(VLMEVALKIT_FILE, text.as_bytes())?;
    Ok(exported)
}

/// Numbers of groups in the order in which their questions come, and how many of each there were.
#[derive(Default)]
struct GroupNumbers<'e>(BTreeMap<(&'e str, &'e str), (u64, u64)>);

impl<'e> GroupNumbers<'e> {
    /// The index of the next question of a group: that of the first is the number of the group.
    fn index_of(&mut self, entry: &'e NeedleEntry) -> u64 {
        let next = self.0.len() as u64;
        let (number, num_before) = self.0.entry((&entry.source, &entry.question.group)).or_insert((next, 0));
        *num_before += 1;
        *number + NEXT_PERMUTATION * (*num_before - 1)
    }
}

/// A text as a cell that pandas reads as this text: one that it would take for a missing value, a truth value or a number that is
/// written otherwise ends with a no-break space. Where other rows have fewer options, a column of numbers would become one of fractions.
fn kept_as_text(text: &str, is_uniform: bool) -> String {
    let trimmed = text.trim();
    let is_written_so = is_uniform && trimmed.parse::<u32>().is_ok_and(|number| number.to_string() == trimmed);
    let is_number = trimmed.parse::<f64>().is_ok() && !is_written_so;
    let is_truth = ["true", "false"].contains(&trimmed.to_lowercase().as_str());
    if is_number || is_truth || MISSING.contains(&text) { format!("{text}\u{a0}") } else { text.to_owned() }
}

/// A cell of a table in tabs, in quotes where it has some.
fn quoted(cell: &str) -> String {
    let cell = cell.replace(['\t', '\n', '\r'], " ");
    if cell.contains('"') { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_table_would_change_is_marked() {
        for text in ["None", "NA", "null", "True", "FALSE", "007", "+3", "1e5", "2.50", "-1", "inf"] {
            assert_eq!(kept_as_text(text, true), format!("{text}\u{a0}"));
        }
        for text in ["3", "12", "none", "No", "N.A.", "1,000", "3 cats", "Image 7"] {
            assert_eq!(kept_as_text(text, true), text);
        }
        assert_eq!(kept_as_text("3", false), "3\u{a0}");
    }
}
