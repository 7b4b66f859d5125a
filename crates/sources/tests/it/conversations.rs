//! Text: the shapes of conversations, roles, order, and answers that are none.

use manyframe_sources::{LeadingAnswer, SourceKind::Text, SourceOptions};

use crate::support::{check, check_with, parse};

#[test]
fn every_shape_gives_the_same_turns() {
    let same = r#"U "hi" A "ho""#;
    check(
        Text,
        &[
            (
                r#"{"id": "1", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}"#,
                same,
            ),
            (r#"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}"#, same),
            (r#"{"conversation": [{"content": "hi", "role": "user"}, {"text": "ho", "role": "Assistant"}]}"#, same),
            (r#"{"conversation": [{"human": "hi", "assistant": "ho"}]}"#, same),
            (r#"{"id": 1, "data": ["hi", "ho"]}"#, same),
            (r#"{"instruction": "hi", "input": "", "output": "ho"}"#, same),
            (r#"{"instruction": "hi", "response": "ho", "gen_input_configs": {"seed": null}}"#, same),
            (r#"{"query": "hi", "response": "ho", "history": []}"#, same),
            (
                r#"{"prompt": "x", "prompt_id": "p", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}"#,
                same,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "text", "value": "h"}, {"type": "text", "text": "i"}], "loss_weight": 0.0}, {"role": "assistant", "content": [{"type": "text", "value": "ho"}]}]}"#,
                same,
            ),
            (
                r#"{"system": "", "conversations": [{"from": "system", "value": " "}, {"from": "human", "value": "hi"}, {"from": "chatgpt", "value": "ho"}]}"#,
                same,
            ),
        ],
    );
}

#[test]
fn what_came_before_a_question_is_kept() {
    check(
        Text,
        &[
            (
                r#"{"query": "c", "response": "d", "history": [["a", "b"]], "system": "s"}"#,
                r#"S "s" U "a" A "b" U "c" A "d""#,
            ),
            (r#"{"instruction": "do", "input": "this", "output": "x"}"#, r#"U "do\nthis" A "x""#),
            (r#"{"data": ["a", "b", "c", "d"]}"#, r#"U "a" A "b" U "c" A "d""#),
        ],
    );
}

#[test]
fn text_is_kept_to_the_byte() {
    check(
        Text,
        &[
            (r#"{"data": [" a\n", "\tb "]}"#, r#"U " a\n" A "\tb ""#),
            (
                r#"{"data": ["what is <image> in HTML? </s> [INST]", "<video> \u00e9 \ud83d\ude00"]}"#,
                r#"U "what is <image> in HTML? </s> [INST]" A "<video> é 😀""#,
            ),
        ],
    );
}

#[test]
fn turns_out_of_order_are_rejected() {
    check(
        Text,
        &[
            (r#"{"data": ["a"]}"#, "turn_order"),
            (r#"{"data": ["a", "b", "c"]}"#, "turn_order"),
            (
                r#"{"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}, {"from": "gpt", "value": "c"}]}"#,
                "turn_order",
            ),
            (
                r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}, {"from": "gpt", "value": "c"}]}"#,
                "turn_order",
            ),
            (
                r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "system", "value": "b"}, {"from": "gpt", "value": "c"}]}"#,
                "turn_order",
            ),
            (r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "tool", "value": "b"}]}"#, "unknown_role"),
            (r#"{"conversations": []}"#, "empty_conversation"),
            (r#"{"data": ["a", ""]}"#, "empty_turn"),
            (r#"{"data": [" \n", "a"]}"#, "empty_turn"),
            (
                r#"{"messages": [{"role": "user", "content": null}, {"role": "assistant", "content": "a"}]}"#,
                "empty_turn",
            ),
        ],
    );
}

#[test]
fn a_leading_answer_is_dropped_where_that_is_asked_for() {
    let options = SourceOptions { leading_answer: LeadingAnswer::Drop, ..SourceOptions::default() };
    check_with(
        Text,
        &options,
        &[
            (
                r#"{"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}, {"from": "gpt", "value": "c"}]}"#,
                r#"U "b" A "c""#,
            ),
            (r#"{"conversations": [{"from": "gpt", "value": "a"}]}"#, "empty_conversation"),
        ],
    );
}

#[test]
fn known_artefacts_are_rejected_and_more_can_be_named() {
    let options = SourceOptions { artefacts: vec!["As an AI".into()], ..SourceOptions::default() };
    check_with(
        Text,
        &options,
        &[
            (r#"{"data": ["a", "Placeholder for visual caption."]}"#, "artefact_text"),
            (r#"{"data": ["a", " As an AI\n"]}"#, "artefact_text"),
            (r#"{"data": ["Answer the question with GPT-T-COCO format.", "b"]}"#, "artefact_text"),
            (
                r#"{"data": ["what is a Placeholder for visual caption.", "As an AI, I do"]}"#,
                r#"U "what is a Placeholder for visual caption." A "As an AI, I do""#,
            ),
        ],
    );
}

#[test]
fn a_text_source_has_no_media() {
    check(
        Text,
        &[
            (r#"{"data": ["a", "b"], "image": "x.jpg"}"#, "unsupported_media"),
            (r#"{"data": ["a", "b"], "images": [], "image": "", "video": null}"#, r#"U "a" A "b""#),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "value": "x.jpg"}]}, {"role": "assistant", "content": "a"}]}"#,
                "unsupported_media",
            ),
        ],
    );
}

#[test]
fn odd_types_are_a_schema_reject() {
    for text in [
        r#"{"conversations": "hi"}"#,
        r#"{"conversations": [1, 2]}"#,
        r#"{"conversations": [{"from": 1, "value": "a"}]}"#,
        r#"{"conversations": [{"from": "human", "value": 5}]}"#,
        r#"{"conversations": [{"value": "a"}]}"#,
        r#"{"messages": [{"role": "user", "content": [{"type": "widget"}]}]}"#,
        r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#,
        r#"{"messages": [{"role": "user", "content": [7]}]}"#,
        r#"{"query": "a"}"#,
        r#"{"query": "a", "response": "b", "history": {"x": 1}}"#,
        r#"{"query": "a", "response": "b", "history": [["x"]]}"#,
        r#"{"query": "a", "response": "b", "system": 1}"#,
        r#"{"instruction": "a", "input": 1, "output": "b"}"#,
        r#"{"id": [], "data": ["a", "b"]}"#,
        r#"{"sharegpt4v": {"root": "playground/data/"}}"#,
        r#"{"id": 1}"#,
        "{}",
    ] {
        let reject = parse(Text, text).unwrap_err();
        assert_eq!(reject.rejection.code.as_str(), "unexpected_schema", "{text}: {}", reject.rejection.detail);
        assert!(
            reject.rejection.detail.contains("expected") || reject.rejection.detail.contains("has no"),
            "{text}: {}",
            reject.rejection.detail
        );
    }
}

#[test]
fn ids_are_strings_or_numbers() {
    let id = |text: &str| parse(Text, text).unwrap().upstream_id;
    assert_eq!(id(r#"{"id": 33471, "data": ["a", "b"]}"#), "33471");
    assert_eq!(id(r#"{"idx": "heR0vZB", "data": ["a", "b"]}"#), "heR0vZB");
    assert_eq!(id(r#"{"id": null, "uuid": "u", "data": ["a", "b"]}"#), "u");
    assert_eq!(id(r#"{"data": ["a", "b"]}"#), "");
    assert_eq!(parse(Text, r#"{"id": "x", "data": ["a"]}"#).unwrap_err().upstream_id, "x");
}

#[test]
fn ids_that_are_numbers_keep_every_digit() {
    for (number, expected) in [
        ("0.1", "0.1"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("5.0", "5"),
        ("1e22", "10000000000000000000000"),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740993.0", "9007199254740993.0"),
        ("12345678901234567890", "12345678901234567890"),
        ("-12345678901234567890", "-12345678901234567890"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.12345678901234567891", "0.12345678901234567891"),
        ("1e400", "1e400"),
    ] {
        // However deep a neighbour of it is nested.
        for beside in ["0".to_owned(), "[".repeat(100) + &"]".repeat(100)] {
            let text = format!(r#"{{"beside": {beside}, "id": {number}, "data": ["a", "b"]}}"#);
            assert_eq!(parse(Text, &text).unwrap().upstream_id, expected, "{text}");
        }
    }
}

#[test]
fn what_turns_have_beside_their_texts_rejects_a_record_of_text_too() {
    for (fields, expected) in [
        (r#""reasoning_content": "thought""#, "\"reasoning_content\" beside \"content\""),
        (r#""tool_calls": [{"x": 1}]"#, "a turn has \"tool_calls\""),
        (r#""weight": 0"#, "not to be learned"),
    ] {
        let text = format!(
            r#"{{"messages": [{{"role": "user", "content": "q"}}, {{"role": "assistant", "content": "a", {fields}}}]}}"#
        );
        let rejected = parse(Text, &text).unwrap_err().rejection;
        assert!(rejected.detail.contains(expected), "{fields}: {rejected}");
    }
    let empty = r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "tool_calls": null}]}"#;
    check(Text, &[(empty, r#"U "q" A "a""#)]);
}
