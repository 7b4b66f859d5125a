//! Token ids and labels of a prompt.

use manyframe_core::{Role, SampleTokens};
use manyframe_format::{FormatSpec, Formatter, Template, TurnEnd};
use manyframe_vision::Family;

use crate::{FormatShapes, IMAGE, round, tokenizer, turn};

fn encoded(spec: &FormatSpec, name: &str) -> (SampleTokens, u64) {
    let turns =
        [round("@ What is it?"), vec![turn(Role::User, "And then?"), turn(Role::Assistant, "the red cat")]].concat();
    let formatter = Formatter::new(spec, &Family::default(), tokenizer(name)).unwrap();
    let sample = formatter.format_shapes(&turns, &[IMAGE]).unwrap();
    (formatter.encode(&sample.prompt, &sample.label_spans, &sample.runs).unwrap(), sample.cost.text_tokens)
}

fn labelled(encoded: &SampleTokens) -> Vec<u32> {
    let ids = encoded.labels.iter().filter(|&&label| label != SampleTokens::IGNORED);
    ids.map(|&id| u32::try_from(id).unwrap()).collect()
}

#[test]
fn answers_and_end_tokens_are_labelled() {
    let (encoded, num_text_tokens) = encoded(&FormatSpec::default(), "jamba.model");
    let jamba = tokenizer("jamba.model");
    let expected = [jamba.encode("a").unwrap(), vec![2], jamba.encode("the red cat").unwrap(), vec![2]].concat();
    assert_eq!(labelled(&encoded), expected);
    assert_eq!(encoded.input_ids.iter().filter(|&&id| id == SampleTokens::IMAGE).count(), 1);
    assert_eq!(encoded.input_ids.len() as u64, num_text_tokens + 1);
    assert_eq!(encoded.input_ids[encoded.image_positions[0] as usize], SampleTokens::IMAGE);
}

#[test]
fn the_space_before_an_answer_belongs_to_its_first_token() {
    let spec = FormatSpec { template: Some(Template::Vicuna), ..FormatSpec::default() };
    let (encoded, _) = encoded(&spec, "llama.model");
    let llama = tokenizer("llama.model");
    // A Llama model puts a space before the text itself.
    let expected = [llama.encode("a").unwrap(), vec![2], llama.encode("the red cat").unwrap(), vec![2]].concat();
    assert_eq!(labelled(&encoded), expected);
}

#[test]
fn a_newline_can_carry_the_label_of_the_end_token() {
    let spec = FormatSpec { turn_end: TurnEnd::NewlineInEosLabel, ..FormatSpec::default() };
    let (encoded, _) = encoded(&spec, "jamba.model");
    let ends: Vec<_> = encoded.labels.iter().zip(&encoded.input_ids).filter(|(label, _)| **label == 2).collect();
    let newline = tokenizer("jamba.model").encode("\n").unwrap()[0].cast_signed();
    assert_eq!(ends, [(&2, &newline), (&2, &2)]);
}
