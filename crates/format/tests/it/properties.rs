//! Properties of every record, however hostile its texts.

use std::sync::{Arc, LazyLock};

use manyframe_core::{Part, Role, SampleTokens, SampleVisual, Turn, Visual, VisualKind, VisualShape, is_document};
use manyframe_format::{FormatSpec, Formatted, Formatter, Template, Tokenizer, TurnEnd, turns_from_messages};
use manyframe_vision::{Dialect, Family};
use proptest::prelude::*;

use crate::{FormatShapes, IMAGE, tiled, tokenizer, video};

static TOKENIZERS: LazyLock<Vec<Arc<Tokenizer>>> =
    LazyLock::new(|| ["jamba.model", "llama.model", "bytes.json"].map(tokenizer).into());

const FRAGMENTS: &[&str] = &[
    "<image>",
    "<",
    "ima",
    "ge>",
    "<image",
    ">",
    "<IMAGE>",
    "<img>",
    "</img>",
    "<t>",
    "</vid>",
    "<|startoftext|>",
    "<|User|>\n",
    "<|Assistant|>",
    "<|endoftext|>",
    "<|endof",
    "text|>",
    "</s>",
    "</",
    "s>",
    "<s>",
    "USER:",
    "USER: ",
    " ASSISTANT:",
    "<|im_start|>",
    "<|im_end|>\n",
    "<|im_",
    "<video>",
    "\n",
    "\r\n",
    " ",
    "  ",
    "\u{2581}",
    "é",
    "e\u{301}",
    "日本語",
    "😀",
    "The red cat",
    "12",
    ",",
    "\t",
    "\0",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 0..8).prop_map(|fragments| fragments.concat())
}

fn visual() -> impl Strategy<Value = VisualShape> {
    prop_oneof![
        4 => Just(IMAGE),
        2 => (1_u32..5).prop_map(video),
        1 => (1_u32..4, 1_u32..4).prop_map(|(rows, columns)| tiled(rows, columns)),
    ]
}

/// Parts of a user turn: a text or a visual each.
fn parts() -> impl Strategy<Value = Vec<Result<String, VisualShape>>> {
    prop::collection::vec(prop_oneof![text().prop_map(Ok), visual().prop_map(Err)], 0..5)
}

#[derive(Debug, Clone)]
struct Case {
    turns: Vec<Turn>,
    visuals: Vec<VisualShape>,
    spec: FormatSpec,
    tokenizer: usize,
}

impl Case {
    fn formatter(&self) -> Formatter {
        Formatter::new(&self.spec, &Family::default(), TOKENIZERS[self.tokenizer].clone()).unwrap()
    }
}

prop_compose! {
    fn case()(
        system in prop::option::of(text()),
        document in text(),
        rounds in prop::collection::vec((parts(), text()), 0..4),
        dialect in prop::sample::select(vec![Dialect::Longllava, Dialect::Longllava202410, Dialect::Plain]),
        template in prop::sample::select(vec![Template::Longllava, Template::Vicuna, Template::Chatml]),
        turn_end in prop::sample::select(vec![TurnEnd::Eos, TurnEnd::NewlineInEosLabel]),
        tokenizer in 0_usize..3,
    ) -> Case {
        let mut visuals = Vec::new();
        let mut turns: Vec<Turn> =
            system.into_iter().map(|text| Turn { role: Role::System, parts: vec![Part::Text(text)] }).collect();
        if rounds.is_empty() {
            turns = vec![Turn { role: Role::Assistant, parts: vec![Part::Text(document)] }];
        }
        for (parts, answer) in rounds {
            let parts = parts.into_iter().map(|part| part.map_or_else(
                |visual| {
                    let kind = visual.kind();
                    visuals.push(visual);
                    Part::Visual(Visual { kind, media: visuals.len() - 1 })
                },
                Part::Text,
            )).collect();
            turns.push(Turn { role: Role::User, parts });
            turns.push(Turn { role: Role::Assistant, parts: vec![Part::Text(answer)] });
        }
        let spec = FormatSpec { dialect: Some(dialect), template: Some(template), turn_end, ..FormatSpec::default() };
        Case { turns, visuals, spec, tokenizer }
    }
}

fn sample_visuals(formatted: &Formatted, kinds: impl Iterator<Item = VisualKind>) -> Vec<SampleVisual> {
    let spans = formatted.visual_spans.iter().zip(kinds);
    spans
        .map(|(span, kind)| SampleVisual {
            kind,
            message: span.message,
            start: span.start,
            end: span.end,
            first_image: span.first_image,
            num_images: span.num_images,
            grid: None,
            cut: None,
            times_s: Vec::new(),
            path: String::new(),
            width_px: 1,
            height_px: 1,
            model: None,
            clip: None,
        })
        .collect()
}

fn signed(tokenizer: &Tokenizer, text: &str) -> Vec<i32> {
    tokenizer.encode_prompt(text).unwrap().into_iter().map(u32::cast_signed).collect()
}

/// The labels of a prompt, found by tokenizing the text up to the start and to the end of each answer once more. A
/// token in which an answer ends is labelled, whatever follows in it.
fn labels_by_prefixes(case: &Case, formatted: &Formatted) -> Vec<i32> {
    let tokenizer = &TOKENIZERS[case.tokenizer];
    let chars: Vec<char> = formatted.prompt.chars().collect();
    // Tokens that text up to here shares with the whole, and whether they are all of its tokens.
    let shared = |num_chars: usize, all: &[i32]| {
        let before: String = chars[..num_chars].iter().collect();
        let (images, text) =
            before.rsplit_once("<image>").map_or(("", before.as_str()), |(images, text)| (images, text));
        let first = if text.len() == before.len() {
            0
        } else {
            let texts: Vec<_> = images.split("<image>").map(|text| signed(tokenizer, text)).collect();
            texts.join(&SampleTokens::IMAGE).len() + 1
        };
        let ids = signed(tokenizer, text);
        let num_shared = ids.iter().zip(&all[first..]).take_while(|(left, right)| left == right).count();
        (first + num_shared, num_shared == ids.len())
    };
    let texts: Vec<_> = formatted.prompt.split("<image>").map(|text| signed(tokenizer, text)).collect();
    let ids = texts.join(&SampleTokens::IMAGE);
    let mut labels = vec![SampleTokens::IGNORED; ids.len()];
    for (index, &(start, end)) in formatted.label_spans.iter().enumerate() {
        let (first, _) = shared(start, &ids);
        let (last, is_whole) = shared(end, &ids);
        let last = if is_whole { last } else { last + 1 };
        labels[first..last].copy_from_slice(&ids[first..last]);
        if case.spec.turn_end == TurnEnd::NewlineInEosLabel
            && index + 1 < formatted.label_spans.len()
            && let Some(end_id) = tokenizer.special(&case.spec.template(&Family::default()).text().unwrap().end)
        {
            labels[last - 1] = end_id.cast_signed();
        }
    }
    labels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn there_is_one_placeholder_per_image(case in case()) {
        let formatted = case.formatter().format_shapes(&case.turns, &case.visuals).unwrap();
        let num_images: u64 = case.visuals.iter().map(VisualShape::num_images).sum();
        let in_messages: usize = formatted.messages.iter().map(|message| message.content.matches("<image>").count()).sum();
        prop_assert_eq!(in_messages as u64, num_images);
        prop_assert_eq!(formatted.prompt.matches("<image>").count() as u64, num_images);
        prop_assert_eq!(formatted.cost.num_images, num_images);
        let spanned: usize = formatted.visual_spans.iter().map(|span| span.num_images).sum();
        prop_assert_eq!(spanned as u64, num_images);
    }

    #[test]
    fn the_cost_is_the_length_of_the_prompt(case in case()) {
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        prop_assert_eq!(formatter.measure_shapes(&case.turns, &case.visuals).unwrap().cost, formatted.cost);
        let naive: usize = formatted.prompt.split("<image>")
            .map(|text| TOKENIZERS[case.tokenizer].encode_prompt(text).unwrap().len()).sum();
        prop_assert_eq!(formatted.cost.text_tokens, naive as u64);
        prop_assert_eq!(formatted.cost.visual_tokens, formatted.cost.num_images * 144);
    }

    #[test]
    fn only_the_template_writes_its_markers(case in case()) {
        let formatted = case.formatter().format_shapes(&case.turns, &case.visuals).unwrap();
        let num_answers = case.turns.iter().filter(|turn| turn.role == Role::Assistant).count();
        let num_ends = if case.spec.turn_end == TurnEnd::Eos { num_answers } else { 1 };
        let num_systems = usize::from(case.turns[0].role == Role::System);
        let is_document = is_document(case.turns.iter().map(|turn| turn.role));
        let expected = match case.spec.template(&Family::default()) {
            Template::Longllava if is_document => [("<|startoftext|>", 1), ("<|endoftext|>", 1), ("<|User|>", 0)],
            Template::Vicuna if is_document => [("USER:", 0), ("</s>", 1), ("<s>", 1)],
            _ if is_document => [("<|im_start|>", 0), ("<|im_end|>", 0), ("<|endoftext|>", 1)],
            Template::Longllava => [("<|startoftext|>", 2 * num_answers), ("<|endoftext|>", num_ends), ("<|User|>", num_answers)],
            Template::Vicuna => [("USER:", num_answers), ("</s>", num_ends), ("<s>", 1)],
            _ => [("<|im_start|>", 2 * num_answers + num_systems), ("<|im_end|>", num_answers + num_systems + num_ends), ("<s>", 0)],
        };
        for (marker, count) in expected {
            if marker == "<s>" && case.spec.template == Some(Template::Chatml) && case.tokenizer != 1 {
                continue; // Not a special token of this tokenizer, so that it is ordinary text.
            }
            prop_assert_eq!(formatted.prompt.matches(marker).count(), count, "{} in {:?}", marker, formatted.prompt);
        }
    }

    #[test]
    fn a_delivered_sample_formats_to_itself(case in case()) {
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        let visuals = sample_visuals(&formatted, case.visuals.iter().map(VisualShape::kind));
        let turns = turns_from_messages(&formatted.messages, &visuals).unwrap();
        prop_assert_eq!(formatter.format_shapes(&turns, &case.visuals).unwrap(), formatted);
    }

    #[test]
    fn ids_are_those_of_the_prompt(case in case()) {
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        let tokens = formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs).unwrap();
        let texts: Vec<_> = formatted.prompt.split("<image>").map(|text| signed(&TOKENIZERS[case.tokenizer], text)).collect();
        prop_assert_eq!(&tokens.input_ids, &texts.join(&SampleTokens::IMAGE));
        prop_assert_eq!(tokens.labels.len(), tokens.input_ids.len());
        prop_assert_eq!(tokens.image_positions.len() as u64, formatted.cost.num_images);
        for &position in &tokens.image_positions {
            prop_assert_eq!(tokens.input_ids[position as usize], SampleTokens::IMAGE);
            prop_assert_eq!(tokens.labels[position as usize], SampleTokens::IGNORED);
        }
    }

    #[test]
    fn labels_are_those_of_tokenizing_up_to_each_end_of_an_answer(case in case()) {
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        let tokens = formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs).unwrap();
        prop_assert_eq!(tokens.labels, labels_by_prefixes(&case, &formatted));
    }

    #[test]
    fn every_character_of_an_answer_and_its_end_token_is_labelled(case in case()) {
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        let tokens = formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs).unwrap();
        let byte_of = |char_index: usize| formatted.prompt.char_indices().nth(char_index).map_or(formatted.prompt.len(), |(byte, _)| byte);
        let spans: Vec<_> = formatted.label_spans.iter().map(|&(start, end)| (byte_of(start), byte_of(end))).collect();
        let mut labels = tokens.labels.iter();
        let mut text_start = 0;
        for text in formatted.prompt.split("<image>") {
            for token in TOKENIZERS[case.tokenizer].encode_prompt_spans(text).unwrap() {
                let (first, end) = (text_start + token.start, text_start + token.end);
                let is_answer = spans.iter().any(|&(start, last)| first < last && end > start);
                let is_labelled = *labels.next().unwrap() != SampleTokens::IGNORED;
                prop_assert!(is_labelled || !is_answer, "{:?} is not labelled", formatted.prompt.get(first..end));
                prop_assert!(!is_labelled || is_answer || first == end, "{:?} is labelled", formatted.prompt.get(first..end));
            }
            text_start += text.len() + "<image>".len();
            _ = labels.next();
        }
    }

    #[test]
    fn labels_are_the_ids_of_the_answers_and_nothing_else(mut case in case()) {
        // No token of this vocabulary spans the end of the template's headers and end tokens.
        case.tokenizer = 0;
        case.spec.template = Some(Template::Longllava);
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        let tokens = formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs).unwrap();
        let found: Vec<i32> = tokens.labels.into_iter().filter(|&label| label != SampleTokens::IGNORED).collect();
        let answers = formatted.messages.iter().filter(|message| message.role == Role::Assistant);
        // The label of the newline that ends an answer, where it does, is the end token, too.
        let expected: Vec<_> =
            answers.map(|answer| signed(&TOKENIZERS[0], &[&answer.content, "<|endoftext|>"].concat())).collect();
        prop_assert_eq!(found, expected.concat());
    }

    #[test]
    fn a_document_with_visuals_is_trained_but_for_them(before in parts(), after in text(), mut case in case()) {
        case.spec.turn_end = TurnEnd::Eos;
        case.visuals.clear();
        let mut parts = Vec::new();
        for part in before {
            parts.push(part.map_or_else(
                |visual| {
                    let kind = visual.kind();
                    case.visuals.push(visual);
                    Part::Visual(Visual { kind, media: case.visuals.len() - 1 })
                },
                Part::Text,
            ));
        }
        parts.insert(parts.len() / 2, Part::Text(after));
        case.turns = vec![Turn { role: Role::Assistant, parts }];
        let formatter = case.formatter();
        let formatted = formatter.format_shapes(&case.turns, &case.visuals).unwrap();
        prop_assert_eq!(formatter.measure_shapes(&case.turns, &case.visuals).unwrap().cost, formatted.cost);
        let visuals = sample_visuals(&formatted, case.visuals.iter().map(VisualShape::kind));
        let turns = turns_from_messages(&formatted.messages, &visuals).unwrap();
        prop_assert_eq!(&formatter.format_shapes(&turns, &case.visuals).unwrap(), &formatted);
        let content: Vec<char> = formatted.messages[0].content.chars().collect();
        let plain = [Turn { role: Role::Assistant, parts: vec![Part::Text("Ω".into())] }];
        let plain = formatter.format_shapes(&plain, &[]).unwrap();
        let mut untrained: String = plain.prompt.split_once('Ω').unwrap().0.to_owned();
        for span in &formatted.visual_spans {
            untrained.extend(&content[span.start..span.end]);
        }
        let is_trained = |at: usize| formatted.label_spans.iter().any(|(start, end)| (*start..*end).contains(&at));
        let found: String = formatted.prompt.chars().enumerate().filter(|(at, _)| !is_trained(*at)).map(|(_, it)| it).collect();
        prop_assert_eq!(found, untrained);
        let tokens = formatter.encode(&formatted.prompt, &formatted.label_spans, &formatted.runs).unwrap();
        for &position in &tokens.image_positions {
            prop_assert_eq!(tokens.labels[position as usize], SampleTokens::IGNORED);
        }
    }

    #[test]
    fn tokens_cover_the_text(fragments in prop::collection::vec(prop_oneof![text(), any::<String>()], 0..6), which in 0_usize..3) {
        let tokenizer = &TOKENIZERS[which];
        let text = fragments.concat();
        let spans = tokenizer.encode_prompt_spans(&text).unwrap();
        let ids: Vec<u32> = spans.iter().map(|span| span.id).collect();
        prop_assert_eq!(ids, tokenizer.encode_prompt(&text).unwrap());
        let mut end = 0;
        for span in spans {
            prop_assert!(span.start <= end && end <= span.end && span.start <= span.end, "{:?} after {}", span, end);
            end = span.end;
        }
        prop_assert_eq!(end, text.len());
    }

    #[test]
    fn counting_is_encoding(fragments in prop::collection::vec(prop_oneof![text(), any::<String>()], 0..6), which in 0_usize..3) {
        let tokenizer = &TOKENIZERS[which];
        let text = fragments.concat();
        prop_assert_eq!(tokenizer.count(&text).unwrap(), tokenizer.encode(&text).unwrap().len() as u64);
        let prompt = tokenizer.encode_prompt(&text).unwrap();
        prop_assert_eq!(tokenizer.count_prompt([text.as_str()]).unwrap(), prompt.len() as u64);
    }

    #[test]
    fn counting_many_words_is_encoding(
        words in prop::collection::vec(prop_oneof![8 => "[a-c]{0,3}[.,]?", 4 => "[a-zé日😀!\n ]{1,18}", 1 => "[a-z]{50,140}"], 0..120),
        which in 0_usize..3,
    ) {
        let tokenizer = &TOKENIZERS[which];
        let text = words.join(" ");
        let num_tokens = tokenizer.encode(&text).unwrap().len() as u64;
        for _twice in 0..2 {
            prop_assert_eq!(tokenizer.count(&text).unwrap(), num_tokens);
        }
    }
}
