//! How much longer a `tokenizer.json` can make a text before its model sees it.
//!
//! Steps that replace each character by several can follow one another, so that a few lines of such a file take all memory.
//! What real tokenizers do is bounded: a mark of three bytes for a space, two bytes for each byte.

use serde_json::Value;

/// How many times as long a text may become.
const MAX_GROWTH: usize = 16;
/// Bytes that a step may put before a text, and bytes that one character may become by a table.
const MAX_TEXT_BYTES: usize = 64;

/// Fails if a normaliser and a pre-tokenizer, one after the other, can make texts much longer. The error is a verb phrase.
pub(super) fn check_growth(normaliser: &Value, pre_tokenizer: &Value) -> Result<(), String> {
    let mut num_tables = 0;
    let growth = growth(normaliser, &mut num_tables)?.saturating_mul(growth(pre_tokenizer, &mut num_tables)?);
    if growth > MAX_GROWTH || num_tables > 1 {
        return Err(format!("can make a text more than {MAX_GROWTH} times as long"));
    }
    Ok(())
}

/// Fails if a table of a normaliser claims more bytes than there are, for which its library would set memory aside. The error is
/// a verb phrase.
pub(super) fn check_tables(normaliser: &Value) -> Result<(), String> {
    match normaliser {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
            Value::String(table) if name == "precompiled_charsmap" => check_table(table),
            value => check_tables(value),
        }),
        // A step without names is a list of its fields.
        Value::Array(steps) => steps.iter().try_for_each(|step| match step {
            Value::String(table) => check_table(table),
            step => check_tables(step),
        }),
        _ => Ok(()),
    }
}

fn check_table(base64: &str) -> Result<(), String> {
    let bytes: Vec<u8> = base64_bytes(base64).collect();
    let Some((size, rest)) = bytes.split_first_chunk() else { return Ok(()) };
    let (claimed, found) = (u32::from_le_bytes(*size) as usize, rest.len());
    if claimed > found {
        return Err(format!("replaces characters by a table that claims {claimed} bytes and has {found}"));
    }
    Ok(())
}

fn growth(step: &Value, num_tables: &mut usize) -> Result<usize, String> {
    let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
    Ok(match text("type") {
        "Sequence" => {
            let steps = ["normalizers", "pretokenizers"].iter().filter_map(|name| step.get(*name)?.as_array());
            steps.flatten().try_fold(1, |product: usize, step| {
                Ok::<_, String>(product.saturating_mul(growth(step, num_tables)?))
            })?
        }
        "Replace" => {
            let content = text("content").len();
            match step.pointer("/pattern/String").and_then(Value::as_str) {
                Some(pattern) if !pattern.is_empty() => content.div_ceil(pattern.len()).max(1),
                // It may match at every position, and nothing at all.
                _ => content + 1,
            }
        }
        "Prepend" if text("prepend").len() > MAX_TEXT_BYTES => {
            return Err(format!("puts {} bytes before a text", text("prepend").len()));
        }
        "Precompiled" => {
            *num_tables += 1;
            let longest = longest_replacement(text("precompiled_charsmap"));
            if longest > MAX_TEXT_BYTES {
                return Err(format!("replaces a character by {longest} bytes"));
            }
            1
        }
        "ByteLevel" | "BertNormalizer" => 2,
        "Metaspace" => 3,
        _ => 1,
    })
}

/// The longest text in a table of sentencepiece, in bytes: after a trie whose size comes first, texts that end with zeros.
fn longest_replacement(base64: &str) -> usize {
    let bytes: Vec<u8> = base64_bytes(base64).collect();
    let Some((size, rest)) = bytes.split_first_chunk() else { return 0 };
    let texts = rest.get(u32::from_le_bytes(*size) as usize..).unwrap_or_default();
    texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0)
}

/// The bytes of a text in base 64 (RFC 4648).
fn base64_bytes(text: &str) -> impl Iterator<Item = u8> {
    let (mut bits, mut num_bits) = (0_u32, 0);
    text.bytes().filter_map(move |letter| {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, num_bits) = (bits << 6 | u32::from(value), num_bits + 6);
        (num_bits >= 8).then(|| {
            num_bits -= 8;
            (bits >> num_bits) as u8
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sequence(step: &Value, times: usize) -> Value {
        json!({ "type": "Sequence", "normalizers": vec![step; times] })
    }

    #[test]
    fn steps_multiply() {
        let doubling = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aa" });
        assert_eq!(check_growth(&sequence(&doubling, 4), &Value::Null), Ok(()));
        assert!(check_growth(&sequence(&doubling, 5), &Value::Null).unwrap_err().contains("16 times as long"));
        let byte_level = json!({ "type": "ByteLevel" });
        assert!(check_growth(&sequence(&doubling, 4), &byte_level).is_err());
        let steps = json!({ "type": "Sequence", "pretokenizers": vec![&byte_level; 40] });
        assert!(check_growth(&Value::Null, &steps).is_err());
        let nested = sequence(&sequence(&doubling, 3), 2);
        assert!(check_growth(&nested, &Value::Null).is_err());
        let anywhere = json!({ "type": "Replace", "pattern": { "Regex": "" }, "content": "x".repeat(16) });
        assert!(check_growth(&anywhere, &Value::Null).is_err());
        assert!(check_growth(&json!({ "type": "Prepend", "prepend": "x".repeat(65) }), &Value::Null).is_err());
    }

    #[test]
    fn the_longest_text_of_a_table_counts() {
        // A trie of two bytes, then "abc", "d" and an empty text.
        assert_eq!(longest_replacement("AgAAAP//YWJjAGQAAA=="), 3);
        assert_eq!(longest_replacement(""), 0);
        let table = json!({ "type": "Precompiled", "precompiled_charsmap": "AgAAAP//YWJjAGQAAA==" });
        assert_eq!(check_growth(&sequence(&table, 1), &Value::Null), Ok(()));
        assert!(check_growth(&sequence(&table, 2), &Value::Null).is_err());
    }

    #[test]
    fn a_table_has_the_bytes_that_it_claims() {
        // 2 bytes and 2^32 - 4, of which there are 2.
        let (honest, claiming) = ("AgAAAP//", "/P////8A");
        let step = |table: &str| json!({ "type": "Precompiled", "precompiled_charsmap": table });
        assert_eq!(check_tables(&sequence(&step(honest), 2)), Ok(()));
        assert_eq!(check_tables(&Value::Null), Ok(()));
        for normaliser in [step(claiming), sequence(&sequence(&step(claiming), 1), 1), json!([claiming])] {
            let problem = check_tables(&normaliser).unwrap_err();
            assert!(problem.contains("claims 4294967292 bytes and has 2"), "{problem}");
        }
    }

    #[test]
    fn real_tokenizers_are_within_the_bounds() {
        let mark = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" });
        let prepend = json!({ "type": "Prepend", "prepend": "\u{2581}" });
        let llama = json!({ "type": "Sequence", "normalizers": [prepend, mark] });
        assert_eq!(check_growth(&llama, &Value::Null), Ok(()));
        let clip = json!({ "type": "Sequence", "normalizers": [
            { "type": "NFC" }, { "type": "Replace", "pattern": { "Regex": "\\s+" }, "content": " " }, { "type": "Lowercase" }] });
        let words = json!({ "type": "Sequence", "pretokenizers": [{ "type": "Split" }, { "type": "ByteLevel" }] });
        assert_eq!(check_growth(&clip, &words), Ok(()));
    }
}
