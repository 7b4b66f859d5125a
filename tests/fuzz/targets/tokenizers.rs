//! Tokenizers of any bytes, both kinds: one that opens counts as many tokens as it encodes, and its tokens cover the text.
//!
//! The text is everything up to the first line break; the rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manyframe_format::Tokenizer;
use manyframe_fuzz::{file_of, let_contained_panics_pass};

fuzz_target!(init: let_contained_panics_pass(), |bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let Ok(text) = str::from_utf8(&bytes[..end]) else { return };
    let file = file_of(&bytes[end + 1..]);
    let Ok(tokenizer) = Tokenizer::open(file.path()) else { return };
    for text in [text, "", "The red cat, 12 of them.\n\n", " 猫  ê\u{301} 👩‍👩‍👧 <s></s> <unk>", "a\0b\r\n\t"]
    {
        match (tokenizer.count(text), tokenizer.encode(text)) {
            (Ok(count), Ok(ids)) => assert_eq!(count, ids.len() as u64, "{text:?}"),
            (Err(_), Err(_)) => {}
            (count, ids) => panic!("{text:?}: {count:?} tokens counted, {ids:?} encoded"),
        }
        let (counted, encoded) = (tokenizer.count_prompt([text]), tokenizer.encode_prompt(text));
        let spans = tokenizer.encode_prompt_spans(text);
        let (Ok(counted), Ok(encoded), Ok(spans)) = (&counted, &encoded, &spans) else {
            assert!(counted.is_err() && encoded.is_err() && spans.is_err(), "{text:?}: {counted:?}, {encoded:?}");
            continue;
        };
        assert_eq!(*counted, encoded.len() as u64, "{text:?}");
        assert_eq!(spans.iter().map(|span| span.id).collect::<Vec<_>>(), *encoded, "{text:?}");
        for span in spans {
            assert!(span.start <= span.end && span.end <= text.len(), "{text:?}: {span:?}");
            assert!(span.id < tokenizer.vocab_size(), "{text:?}: {span:?}");
        }
    }
});
