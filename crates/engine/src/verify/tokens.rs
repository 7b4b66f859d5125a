//! Checks the token ids and labels of samples: that they fit the sample, and that its prompt tokenizes to them.
//!
//! Reads the dataset's tokenizer, and no shard.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Sample, SampleTokens};
use manyframe_dataset::DatasetReader;
use manyframe_format::{Formatter, Tokenizer};
use manyframe_shards::ShardFormat;

/// Tokenizes every sample again, which costs little compared with decoding its images.
pub(super) struct TokenCheck {
    formatter: Result<Formatter, String>,
    /// Whether the manifest says that Parquet shards hold token ids and labels.
    is_promised: bool,
}

impl TokenCheck {
    /// Opens the tokenizer of a dataset, if it is on this machine.
    pub(super) fn open(dataset: &DatasetReader, variables: &BTreeMap<String, String>) -> Self {
        let is_promised = dataset.manifest().pipeline.pointer("/output/tokens").is_some_and(|tokens| *tokens == true);
        Self { formatter: open_formatter(dataset, variables), is_promised }
    }

    /// Why samples cannot be tokenized again; `None` if they can.
    pub(super) fn obstacle(&self) -> Option<&str> {
        self.formatter.as_ref().err().map(String::as_str)
    }

    /// What is wrong with a sample's token ids and labels.
    pub(super) fn faults(&self, sample: &Sample, format: ShardFormat) -> Vec<String> {
        let Some(tokens) = &sample.tokens else {
            let is_missing = self.is_promised && format.stores_tokens();
            return if is_missing { vec!["it has no ids and labels".to_owned()] } else { Vec::new() };
        };
        let mut faults = shape_faults(tokens, sample);
        if let Ok(formatter) = &self.formatter {
            match formatter.encode(&sample.prompt, &sample.label_spans) {
                Ok(expected) if expected == *tokens => {}
                Ok(expected) => faults.push(difference(tokens, &expected)),
                Err(error) => faults.push(format!("its prompt has no tokens: {error}")),
            }
        }
        faults
    }
}

/// The formatter of a dataset, or why there is none on this machine.
pub(crate) fn open_formatter(
    dataset: &DatasetReader,
    variables: &BTreeMap<String, String>,
) -> Result<Formatter, String> {
    let file = dataset.pipeline(variables).map_err(|error| error.to_string())?.file;
    let path = Path::new(&file.format.tokenizer);
    let tokenizer = Tokenizer::open(path).map_err(|error| error.to_string())?;
    if tokenizer.digest() != dataset.manifest().tokenizer_digest {
        return Err(format!("{} is not the tokenizer that the manifest names", path.display()));
    }
    Formatter::new(&file.format.spec, Arc::new(tokenizer)).map_err(|error| error.to_string())
}

fn shape_faults(tokens: &SampleTokens, sample: &Sample) -> Vec<String> {
    let mut faults = Vec::new();
    let (num_ids, num_labels) = (tokens.input_ids.len(), tokens.labels.len());
    if num_ids != num_labels {
        faults.push(format!("{num_ids} ids but {num_labels} labels"));
    }
    let images = (0..).zip(&tokens.input_ids).filter(|(_, id)| **id == SampleTokens::IMAGE);
    let positions: Vec<u32> = images.map(|(position, _)| position).collect();
    if positions != tokens.image_positions {
        faults.push("its image positions are not those of the images among its ids".to_owned());
    }
    if positions.len() != sample.images.len() {
        faults.push(format!("{} images among its ids, it has {}", positions.len(), sample.images.len()));
    }
    let num_tokens = (num_ids - positions.len()) as u64 + sample.cost.visual_tokens;
    if num_tokens != sample.cost.num_tokens() {
        faults.push(format!("its ids make {num_tokens} tokens, {} stated", sample.cost.num_tokens()));
    }
    faults
}

/// Where stored ids and labels first differ from those of the prompt.
fn difference(stored: &SampleTokens, expected: &SampleTokens) -> String {
    let (name, stored, expected) = if stored.input_ids == expected.input_ids {
        ("labels", &stored.labels, &expected.labels)
    } else {
        ("ids", &stored.input_ids, &expected.input_ids)
    };
    let first = stored.iter().zip(expected).position(|(stored, expected)| stored != expected);
    let first = first.map_or("the end".to_owned(), |position| format!("position {position}"));
    format!("its {name} differ from those of its prompt at {first}")
}

#[cfg(test)]
mod tests {
    use manyframe_core::Cost;
    use manyframe_format::FormatSpec;

    use super::*;
    use crate::verify::sample::tests::text_sample;

    fn sample(tokens: Option<SampleTokens>) -> Sample {
        Sample { tokens, cost: Cost { text_tokens: 3, ..Cost::default() }, ..text_sample() }
    }

    fn faults(input_ids: &[i32], labels: &[i32], image_positions: &[u32]) -> usize {
        let tokens = SampleTokens {
            input_ids: input_ids.to_vec(),
            labels: labels.to_vec(),
            image_positions: image_positions.to_vec(),
        };
        shape_faults(&tokens, &sample(Some(tokens.clone()))).len()
    }

    #[test]
    fn ids_that_do_not_fit_their_sample_are_named() {
        assert_eq!(faults(&[4, 5, 6], &[-100, 5, 6], &[]), 0);
        assert_eq!(faults(&[4, 5, 6], &[5, 6], &[]), 1);
        assert_eq!(faults(&[4, 5], &[5, 6], &[]), 1);
        assert_eq!(faults(&[4, 5, 6], &[4, 5, 6], &[1]), 1);
        assert_eq!(faults(&[4, 5, 6, -200], &[4, 5, 6, -100], &[3]), 1);
    }

    #[test]
    fn ids_and_labels_that_are_not_those_of_the_prompt_are_named() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden/jamba.model");
        let tokenizer = Arc::new(Tokenizer::open(&path).unwrap());
        let formatter = Formatter::new(&FormatSpec::default(), tokenizer).unwrap();
        let (prompt, label_spans) = ("red cat<|endoftext|>".to_owned(), vec![(4, 20)]);
        let tokens = formatter.encode(&prompt, &label_spans).unwrap();
        let check = TokenCheck { formatter: Ok(formatter), is_promised: true };
        let cost = Cost { text_tokens: tokens.input_ids.len() as u64, ..Cost::default() };
        let faults = |tokens| {
            let sample =
                Sample { prompt: prompt.clone(), label_spans: label_spans.clone(), cost, ..sample(Some(tokens)) };
            check.faults(&sample, ShardFormat::Parquet)
        };
        assert_eq!(faults(tokens.clone()), Vec::<String>::new());
        let mut wrong = tokens.clone();
        wrong.labels[0] = wrong.input_ids[0];
        assert_eq!(faults(wrong), ["its labels differ from those of its prompt at position 0"]);
        let mut wrong = tokens;
        wrong.input_ids[1] += 1;
        assert_eq!(faults(wrong), ["its ids differ from those of its prompt at position 1"]);
    }

    #[test]
    fn missing_ids_are_a_fault_only_where_they_are_promised() {
        let check = |is_promised, format| {
            let check = TokenCheck { formatter: Err(String::new()), is_promised };
            check.faults(&sample(None), format).len()
        };
        assert_eq!(check(true, ShardFormat::Parquet), 1);
        assert_eq!(check(true, ShardFormat::Webdataset), 0);
        assert_eq!(check(false, ShardFormat::Parquet), 0);
    }
}
