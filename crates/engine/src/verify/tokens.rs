//! Makes the texts, costs, token ids and labels of samples again, from their messages, and compares them.
//!
//! Reads the dataset's tokenizer, and no shard.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{Cost, Sample, SampleTokens, SampleVisual, VisualShape};
use manyframe_dataset::DatasetReader;
use manyframe_format::{
    Formatted, Formatter, Placeholders, PromptOverhead, ResolvedVisual, Tokenizer, VisualSpan, turns_from_messages,
};
use manyframe_pipeline::PipelineFile;
use manyframe_shards::{SampleColumns, ShardFormat};
use manyframe_vision::{Family, MediaToken};

/// Formats and tokenizes every sample again, which costs little compared with decoding its images.
pub(super) struct TokenCheck {
    formatter: Result<Formatter, String>,
    /// The model family.
    family: Family,
    /// What `input_ids` hold in place of images.
    written: Placeholders,
    /// Which columns tables of samples have.
    pub(super) columns: SampleColumns,
    /// Whether the manifest says that Parquet shards hold token ids and labels.
    is_promised: bool,
}

impl TokenCheck {
    /// Opens the tokenizer of a dataset, if it is on this machine.
    pub(super) fn open(dataset: &DatasetReader, file: &PipelineFile, variables: &BTreeMap<String, String>) -> Self {
        let is_promised = dataset.manifest().pipeline.pointer("/output/tokens").is_some_and(|tokens| *tokens == true);
        let family = file.family();
        let written = file.format.spec.placeholders(&family);
        Self {
            formatter: open_formatter(dataset, variables),
            family,
            written,
            columns: file.sample_columns(),
            is_promised,
        }
    }

    /// Why samples cannot be formatted and tokenized again; `None` if they can.
    pub(super) fn obstacle(&self) -> Option<&str> {
        self.formatter.as_ref().err().map(String::as_str)
    }

    /// What prompts have besides the texts of their turns; `None` without the tokenizer.
    pub(super) fn overhead(&self) -> Option<PromptOverhead> {
        self.formatter.as_ref().ok().and_then(|formatter| PromptOverhead::of(formatter).ok())
    }

    /// Whether its texts have another number of placeholders than its visuals need.
    fn placeholder_fault(&self, sample: &Sample, expected: usize) -> Option<String> {
        let tokens = self.family.processor().tokens();
        let placeholders: Vec<&MediaToken> = tokens.iter().filter(|token| token.is_placeholder).collect();
        let count = |text: &str| placeholders.iter().map(|token| text.matches(&*token.text).count()).sum::<usize>();
        let in_messages: usize = sample.messages.iter().map(|message| count(&message.content)).sum();
        let in_prompt = count(&sample.prompt);
        ((in_messages, in_prompt) != (expected, expected))
            .then(|| format!("{in_messages} placeholders, {in_prompt} in the prompt, expected {expected}"))
    }

    /// The visual tokens of each placeholder of a sample. None if the model's processor refuses one of its visuals, which is a
    /// fault of its placeholders.
    fn runs(&self, sample: &Sample) -> Vec<u32> {
        let shapes: Vec<VisualShape> = sample.visuals.iter().map(SampleVisual::shape).collect();
        let resolved = ResolvedVisual::plan_all(&self.family, &shapes, sample.max_pixels()).unwrap_or_default();
        resolved.iter().flat_map(|visual| visual.plan.runs()).collect()
    }

    /// What is wrong with a sample's texts, costs, token ids and labels.
    pub(super) fn faults(&self, sample: &Sample, format: ShardFormat) -> Vec<String> {
        let runs = &self.runs(sample);
        let mut faults: Vec<String> = self.placeholder_fault(sample, runs.len()).into_iter().collect();
        if let Ok(formatter) = &self.formatter {
            faults.extend(text_faults(formatter, sample));
        }
        let Some(tokens) = &sample.tokens else {
            if self.is_promised && format.stores_tokens() {
                faults.push("it has no ids and labels".to_owned());
            }
            return faults;
        };
        if !self.is_promised {
            faults.push("it has ids and labels, which its pipeline file does not ask for".to_owned());
        }
        faults.extend(shape_faults(tokens, sample, self.written, runs));
        if let Ok(formatter) = &self.formatter {
            match formatter.encode(&sample.prompt, &sample.label_spans, runs) {
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
    let formatter =
        Formatter::new(&file.format.spec, &file.family(), Arc::new(tokenizer)).map_err(|error| error.to_string())?;
    if formatter.template_digest() != dataset.manifest().template_digest {
        return Err("the chat template is not the one that the manifest names".to_owned());
    }
    Ok(formatter)
}

/// Where a sample differs from its turns, formatted again.
fn text_faults(formatter: &Formatter, sample: &Sample) -> Vec<String> {
    let shapes: Vec<VisualShape> = sample.visuals.iter().map(SampleVisual::shape).collect();
    let again = || -> Result<(Vec<ResolvedVisual>, Formatted), String> {
        let turns = turns_from_messages(&sample.messages, &sample.visuals).map_err(|error| error.to_string())?;
        let visuals =
            formatter.resolve_within(&shapes, sample.max_pixels()).map_err(|rejection| rejection.to_string())?;
        let again = formatter.format(&turns, &visuals).map_err(|rejection| rejection.to_string())?;
        Ok((visuals, again))
    };
    let (resolved, Formatted { messages, prompt, label_spans, visual_spans, runs: _, cost }) = match again() {
        Ok(again) => again,
        Err(error) => return vec![format!("it cannot be formatted again: {error}")],
    };
    let mut faults = model_faults(formatter, sample, &resolved, &shapes);
    if messages != sample.messages {
        faults.push("its messages are not written as its dialect writes them".to_owned());
    }
    if prompt != sample.prompt {
        let shared = prompt.chars().zip(sample.prompt.chars()).take_while(|(left, right)| left == right).count();
        faults.push(format!("its prompt is not that of its messages from character {shared} on"));
    }
    if label_spans != sample.label_spans {
        let shared = label_spans.iter().zip(&sample.label_spans).take_while(|(left, right)| left == right).count();
        faults.push(format!("its label spans are not those of its messages from the one at {shared} on"));
    }
    let mut num_clip_frames = 0;
    let is_elsewhere = |(span, visual): (&VisualSpan, &SampleVisual)| {
        let first_image = span.first_image.saturating_sub(num_clip_frames);
        num_clip_frames += if visual.clip.is_some() { span.num_images } else { 0 };
        (span.message, span.start, span.end, first_image, span.num_images)
            != (visual.message, visual.start, visual.end, visual.first_image, visual.num_images)
    };
    if let Some(index) = visual_spans.iter().zip(&sample.visuals).position(is_elsewhere) {
        faults.push(format!("visual {index} is not where it says, or has another number of images"));
    }
    faults.extend(cost_faults(&sample.cost, &cost));
    faults
}

/// Where what a sample keeps of the model's processor is not what it makes of the visual.
fn model_faults(
    formatter: &Formatter,
    sample: &Sample,
    resolved: &[ResolvedVisual],
    shapes: &[VisualShape],
) -> Vec<String> {
    let expected = formatter.model_visuals(resolved, shapes);
    let pairs = sample.visuals.iter().zip(expected).enumerate();
    let differing = pairs.filter(|(_, (visual, expected))| visual.model != *expected);
    differing
        .map(|(index, _)| format!("visual {index}: its size, tokens or grid in the model are not those of its size"))
        .collect()
}

fn cost_faults(stated: &Cost, expected: &Cost) -> impl Iterator<Item = String> {
    let named = |cost: &Cost| {
        let Cost { text_tokens, delimiter_tokens, visual_tokens, num_images, num_frames } = *cost;
        [
            ("text tokens", text_tokens),
            ("delimiter tokens", delimiter_tokens),
            ("visual tokens", visual_tokens),
            ("images", num_images),
            ("frames", num_frames),
        ]
    };
    let pairs = named(stated).into_iter().zip(named(expected));
    pairs
        .filter(|((_, stated), (_, expected))| stated != expected)
        .map(|((name, stated), (_, expected))| format!("it has {expected} {name}, {stated} stated"))
}

fn shape_faults(tokens: &SampleTokens, sample: &Sample, placeholders: Placeholders, runs: &[u32]) -> Vec<String> {
    let mut faults = Vec::new();
    let (num_ids, num_labels) = (tokens.input_ids.len(), tokens.labels.len());
    if num_ids != num_labels {
        faults.push(format!("{num_ids} ids but {num_labels} labels"));
    }
    let images = (0..).zip(&tokens.input_ids).filter(|(_, id)| **id == SampleTokens::IMAGE);
    let positions: Vec<u32> = images.map(|(position, _)| position).collect();
    if placeholders == Placeholders::One && positions != tokens.image_positions {
        faults.push("its image positions are not those of the images among its ids".to_owned());
    }
    let num_images = match placeholders {
        Placeholders::One => positions.len(),
        Placeholders::Expanded => tokens.image_positions.len(),
    };
    if num_images != runs.len() {
        faults.push(format!("{num_images} images among its ids, expected {}", runs.len()));
    }
    let num_tokens = match placeholders {
        Placeholders::One => (num_ids - positions.len()) as u64 + sample.cost.visual_tokens,
        Placeholders::Expanded => num_ids as u64,
    };
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
    use manyframe_core::{Part, Role, Turn};
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
            type_ids: Vec::new(),
        };
        shape_faults(&tokens, &sample(Some(tokens.clone())), Placeholders::One, &[]).len()
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
        let formatter = Formatter::new(&FormatSpec::default(), &Family::default(), tokenizer).unwrap();
        let (prompt, label_spans) = ("red cat<|endoftext|>".to_owned(), vec![(4, 20)]);
        let tokens = formatter.encode(&prompt, &label_spans, &[]).unwrap();
        let cost = Cost { text_tokens: tokens.input_ids.len() as u64, ..Cost::default() };
        let faults = |tokens: SampleTokens| {
            let sample = Sample { cost, ..sample(Some(tokens.clone())) };
            let faults = shape_faults(&tokens, &sample, Placeholders::One, &[]).into_iter();
            let expected = formatter.encode(&prompt, &label_spans, &[]).unwrap();
            faults.chain((tokens != expected).then(|| difference(&tokens, &expected))).collect::<Vec<_>>()
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
    fn a_placeholder_without_an_image_is_a_fault() {
        let check = TokenCheck {
            formatter: Err(String::new()),
            family: Family::default(),
            written: Placeholders::One,
            columns: SampleColumns::default(),
            is_promised: false,
        };
        let wrong = Sample { prompt: "<image> cat".to_owned(), ..text_sample() };
        assert_eq!(check.faults(&wrong, ShardFormat::Webdataset), ["0 placeholders, 1 in the prompt, expected 0"]);
    }

    #[test]
    fn missing_ids_are_a_fault_only_where_they_are_promised() {
        let check = |is_promised, format| {
            let check = TokenCheck {
                formatter: Err(String::new()),
                family: Family::default(),
                written: Placeholders::One,
                columns: SampleColumns::default(),
                is_promised,
            };
            check.faults(&sample(None), format).len()
        };
        assert_eq!(check(true, ShardFormat::Parquet), 1);
        assert_eq!(check(true, ShardFormat::Webdataset), 0);
        assert_eq!(check(false, ShardFormat::Parquet), 0);
    }

    #[test]
    fn every_number_that_follows_from_the_messages_is_made_again() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden/jamba.model");
        let formatter =
            Formatter::new(&FormatSpec::default(), &Family::default(), Arc::new(Tokenizer::open(&path).unwrap()))
                .unwrap();
        let turn = |role, text: &str| Turn { role, parts: vec![Part::Text(text.into())] };
        let turns = [turn(Role::User, "What?"), turn(Role::Assistant, "A red cat.")];
        let Formatted { messages, prompt, label_spans, cost, .. } = formatter.format(&turns, &[]).unwrap();
        let whole = Sample { messages, prompt, label_spans, cost, ..text_sample() };
        assert_eq!(text_faults(&formatter, &whole), Vec::<String>::new());
        let text_tokens = cost.text_tokens + 1;
        let wrong = Sample { cost: Cost { text_tokens, delimiter_tokens: 2, ..cost }, ..whole.clone() };
        let expected = [
            format!("it has {} text tokens, {text_tokens} stated", cost.text_tokens),
            "it has 0 delimiter tokens, 2 stated".to_owned(),
        ];
        assert_eq!(text_faults(&formatter, &wrong), expected);
        let wrong = Sample { label_spans: vec![(0, 3)], prompt: whole.prompt.to_uppercase(), ..whole };
        assert_eq!(text_faults(&formatter, &wrong).len(), 2);
    }
}
