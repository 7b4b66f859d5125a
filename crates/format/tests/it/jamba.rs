//! The token counts that LongLLaVA publishes, with Jamba's own tokenizer and its 65,536 tokens.
//!
//! That tokenizer is not part of this repository. Without it these tests print that they were skipped; the tokenizers in
//! `tests/golden` are smaller and have other counts.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_core::{Part, Role, Turn, Visual, VisualKind, VisualShape};
use manyframe_format::{FormatSpec, Formatter, Tokenizer};
use manyframe_skip::skip;
use manyframe_vision::Family;

use crate::{FormatShapes, IMAGE, tiled, video};

#[expect(clippy::disallowed_methods, reason = "the environment says where large files are")]
fn shared() -> PathBuf {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    std::env::var("MANYFRAME_SHARED").map_or_else(|_unset| beside(), PathBuf::from)
}

fn tokenizers() -> Vec<Arc<Tokenizer>> {
    let folder = shared().join("tokenizers/jamba");
    let paths = ["tokenizer.model", "tokenizer.converted.json"].map(|name| folder.join(name));
    let present = paths.iter().filter(|path| path.exists());
    let tokenizers: Vec<_> = present.map(|path| Arc::new(Tokenizer::open(path).unwrap())).collect();
    if tokenizers.is_empty() {
        skip(&format!("there is no {}", folder.display()));
    }
    tokenizers
}

fn tokens(tokenizer: &Tokenizer, text: &str) -> u64 {
    tokenizer.count_prompt([text]).unwrap()
}

#[test]
fn markers_and_delimiters_have_their_published_lengths() {
    for tokenizer in tokenizers() {
        assert_eq!(tokenizer.vocab_size(), 65_536);
        let texts = [
            ("<|startoftext|><|User|>\n", 6),
            ("\n<|startoftext|><|Assistant|>\n", 7),
            ("<|endoftext|>", 1),
            ("</img><t><img>", 7),
            ("</img><img>", 5),
            ("<vid><img>", 5),
            ("</img></vid>", 5),
        ];
        for (text, expected) in texts {
            assert_eq!(tokens(&tokenizer, text), expected, "{text:?}");
        }
    }
}

/// Tokens of the visuals of a record, without its template and its question, which follows them.
fn visual_cost(tokenizer: &Arc<Tokenizer>, tokens_per_image: u32, visuals: &[VisualShape]) -> u64 {
    let spec = FormatSpec { tokens_per_image: NonZeroU32::new(tokens_per_image), ..FormatSpec::default() };
    let formatter = Formatter::new(&spec, &Family::default(), tokenizer.clone()).unwrap();
    let parts = |mut parts: Vec<Part>| {
        parts.push(Part::Text("What?".into()));
        vec![Turn { role: Role::User, parts }, Turn { role: Role::Assistant, parts: vec![Part::Text("a".into())] }]
    };
    let numbered = visuals.iter().enumerate();
    let shown = numbered.map(|(media, visual)| Part::Visual(Visual { kind: visual.kind(), media })).collect();
    let with = formatter.measure_shapes(&parts(shown), visuals).unwrap().cost;
    let without = formatter.measure_shapes(&parts(Vec::new()), &[]).unwrap().cost;
    with.num_tokens() - without.num_tokens()
}

#[test]
fn samples_have_their_published_lengths() {
    for tokenizer in tokenizers() {
        for (per_image, delimiters) in [(144, 7), (36, 7)] {
            let of = |visuals: &[VisualShape]| visual_cost(&tokenizer, per_image, visuals);
            let image = u64::from(per_image) + delimiters;
            assert_eq!(of(&[IMAGE]), image);
            assert_eq!(of(&vec![IMAGE; 5]), 5 * image);
            for num_frames in [1_u32, 128, 256, 1000] {
                // The published number is without the newline after the video, which is one token.
                assert_eq!(of(&[video(num_frames)]), u64::from(num_frames) * image + 3 + 1);
            }
        }
        let grids = [(1, 1, 301), (2, 2, 750), (2, 3, 1048), (3, 3, 1497), (4, 4, 2542)];
        for (rows, columns, expected) in grids {
            let tiled = tiled(rows, columns);
            assert_eq!(visual_cost(&tokenizer, 144, &[tiled]), expected + 1, "{rows}×{columns}");
        }
    }
}

#[test]
fn as_many_frames_fit_as_published() {
    for tokenizer in tokenizers() {
        for (per_image, most) in [(144, 271), (36, 952)] {
            let of = |num_frames| visual_cost(&tokenizer, per_image, &[video(num_frames)]);
            assert!(of(most) <= 40_960 && of(most + 1) > 40_960);
        }
    }
}

#[test]
fn both_files_of_the_tokenizer_agree_on_prompts() {
    let tokenizers = tokenizers();
    let prompt = "<|startoftext|><|User|>\n<vid><img><image></img><t><img><image></img</vid>What, 1234 years?\n\
                  <|startoftext|><|Assistant|>\n日本 é\u{301}  a\t<|endoftext|>";
    for pair in tokenizers.windows(2) {
        for text in prompt.split("<image>") {
            assert_eq!(pair[0].encode_prompt(text).unwrap(), pair[1].encode_prompt(text).unwrap());
        }
    }
}

#[test]
fn runs_of_spaces_have_the_lengths_of_sentencepiece() {
    for tokenizer in tokenizers() {
        // Tokens for 1 to 32 spaces exist; longer runs take as few as possible.
        for num_spaces in 1..400_usize {
            assert_eq!(tokens(&tokenizer, &" ".repeat(num_spaces)), num_spaces.div_ceil(32) as u64, "{num_spaces}");
        }
    }
}

#[test]
fn delimiters_have_their_published_share_of_a_video() {
    for tokenizer in tokenizers() {
        let spec = FormatSpec { tokens_per_image: NonZeroU32::new(36), ..FormatSpec::default() };
        let formatter = Formatter::new(&spec, &Family::default(), tokenizer).unwrap();
        let shown = Part::Visual(Visual { kind: VisualKind::Video, media: 0 });
        let question = Part::Text("What happens?".into());
        let turns = [
            Turn { role: Role::User, parts: vec![shown, question] },
            Turn { role: Role::Assistant, parts: vec![Part::Text("It rains.".into())] },
        ];
        let cost = formatter.measure_shapes(&turns, &[video(1000)]).unwrap().cost;
        // 43,003 tokens, of which 36,000 are the images; and the newline after the video.
        assert_eq!((cost.visual_tokens, cost.delimiter_tokens), (36_000, 7_003 + 1));
    }
}
