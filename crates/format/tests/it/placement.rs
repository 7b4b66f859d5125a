//! Where visuals are in the delivered text, and what happens to the text around them.

use manyframe_core::{Message, RejectCode, Role, VisualShape};
use manyframe_format::{FormatError, FormatSpec, Formatter, LiteralTags, Template, TemplateText};
use manyframe_vision::{Dialect, Family};

use crate::{FormatShapes, IMAGE, formatted, formatter, round, tiled, tokenizer, turn, video};

fn question(dialect: Dialect, question: &str, visuals: &[VisualShape]) -> String {
    let spec = FormatSpec { dialect: Some(dialect), ..FormatSpec::default() };
    formatted(&spec, question, visuals).messages[0].content.replace("<img><image></img>", "I")
}

fn strict(text: &str, num_images: usize) -> String {
    question(Dialect::Longllava, text, &vec![IMAGE; num_images])
}

#[test]
fn the_newline_of_the_dialect_replaces_that_of_upstream() {
    assert_eq!(strict("@\nWhat?", 1), "I\nWhat?");
    assert_eq!(strict("@\n@\nWhat?", 2), "I\nI\nWhat?");
    assert_eq!(strict("@\r\n@\r\nWhat?", 2), "I\nI\nWhat?");
}

#[test]
fn only_one_newline_is_replaced_where_there_are_several_images() {
    assert_eq!(strict("@\n\n@What?", 2), "I\n\nI\nWhat?");
}

#[test]
fn images_side_by_side_get_a_line_each() {
    assert_eq!(strict("@@What?", 2), "I\nI\nWhat?");
}

#[test]
fn an_only_image_goes_to_the_front() {
    assert_eq!(strict("What is in the photo.\n@", 1), "I\nWhat is in the photo.");
    assert_eq!(strict(" What?\n\n@\n", 1), "I\nWhat?");
}

#[test]
fn the_gap_of_an_only_image_is_closed() {
    assert_eq!(strict("Look at @ here.", 1), "I\nLook at here.");
    assert_eq!(strict("Look.\n@\nHere.", 1), "I\nLook.\nHere.");
    assert_eq!(strict("left@right", 1), "I\nleftright");
}

#[test]
fn an_only_image_stays_in_its_turn() {
    let turns = [round("Hello"), round("And this? @")].concat();
    let formatted = formatter(&FormatSpec::default()).format_shapes(&turns, &[IMAGE]).unwrap();
    let contents: Vec<_> = formatted.messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(contents, ["Hello", "a", "<img><image></img>\nAnd this?", "a"]);
}

#[test]
fn several_images_stay_where_they_are() {
    assert_eq!(strict("Is @ like @?", 2), "Is I\n like I\n?");
}

#[test]
fn a_video_is_one_visual() {
    assert_eq!(question(Dialect::Longllava, "What happens? @", &[video(2)]), "<vid>I<t>I</vid>\nWhat happens?");
    let compatible = question(Dialect::Longllava202410, "@\nWhat happens?", &[video(2)]);
    assert_eq!(compatible, "<vid>I<t><img><image></img</vid>What happens?");
    assert_eq!(question(Dialect::Plain, "@\nWhat?", &[video(2)]), "<image>\n<image>\nWhat?");
}

#[test]
fn a_tiled_image_is_an_overview_and_rows() {
    let tiled = tiled(2, 2);
    assert_eq!(question(Dialect::Longllava, "@What?", &[tiled]), "I\nII\nII\nWhat?");
}

#[test]
fn spans_contain_each_visual_with_its_newline() {
    let formatted = formatted(&FormatSpec::default(), "é @ b @\nc", &[IMAGE, video(2)]);
    let content: Vec<char> = formatted.messages[0].content.chars().collect();
    let texts: Vec<String> =
        formatted.visual_spans.iter().map(|span| content[span.start..span.end].iter().collect()).collect();
    assert_eq!(texts, ["<img><image></img>\n", "<vid><img><image></img><t><img><image></img></vid>\n"]);
    let images: Vec<_> = formatted.visual_spans.iter().map(|span| (span.first_image, span.num_images)).collect();
    assert_eq!(images, [(0, 1), (1, 2)]);
}

#[test]
fn a_turn_with_visuals_has_no_white_space_at_its_ends() {
    assert_eq!(strict("@", 1), "I");
    assert_eq!(strict(" \x1c@\n\u{3000}", 1), "I");
    assert_eq!(strict(" \u{85}Is @ like @\n\x1f\u{a0}", 2), "Is I\n like I");
    assert_eq!(strict("@@ ", 2), "I\nI");
    assert_eq!(strict(" see @@\n\nboth \u{2028}", 2), "see I\nI\n\nboth");
    assert_eq!(question(Dialect::Plain, "@", &[video(2)]), "<image>\n<image>");
    let tiled = tiled(1, 2);
    assert_eq!(question(Dialect::Longllava, "@", &[tiled]), "I\nII");
}

#[test]
fn white_space_stays_where_there_is_no_visual() {
    let turns = [round(" Hello\n"), round("@ or @")].concat();
    let formatted = formatter(&FormatSpec::default()).format_shapes(&turns, &[IMAGE, IMAGE]).unwrap();
    assert_eq!(formatted.messages[0].content, " Hello\n");
}

#[test]
fn a_system_text_before_visuals_starts_with_text() {
    let of = |question: &str, visuals: &[VisualShape]| {
        let turns = [vec![turn(Role::System, "\n Be kind. ")], round(question)].concat();
        formatter(&FormatSpec::default()).format_shapes(&turns, visuals).unwrap().messages[0].content.clone()
    };
    assert_eq!(of("@What?", &[IMAGE]), "Be kind. ");
    assert_eq!(of("What?", &[]), "\n Be kind. ");
}

#[test]
fn a_literal_tag_is_spelled_differently() {
    let formatted = formatted(&FormatSpec::default(), "the <image> tag, <img> and <|User|>", &[]);
    assert_eq!(formatted.messages[0].content, "the <IMAGE> tag, <img> and <|USER|>");
    assert_eq!(formatted.cost.num_images, 0);
}

#[test]
fn texts_that_meet_do_not_form_a_tag() {
    assert_eq!(strict("<ima@ge>", 1), "I\n<IMAGE>");
}

#[test]
fn a_literal_tag_can_be_rejected() {
    let spec = FormatSpec { literal_tags: LiteralTags::Reject, ..FormatSpec::default() };
    let turns = vec![turn(Role::User, "Hi"), turn(Role::Assistant, "an <image>")];
    let rejection = formatter(&spec).format_shapes(&turns, &[]).unwrap_err();
    assert_eq!(rejection.code, RejectCode::LiteralTag);
    assert_eq!(rejection.detail, "the text of turn 1 contains \"<image>\"");
}

#[test]
fn of_two_faults_the_same_is_named_where_a_prompt_is_measured_and_where_it_is_made() {
    let spec = FormatSpec { literal_tags: LiteralTags::Reject, ..FormatSpec::default() };
    // A literal tag, and no turn of a user that could take the system's.
    let turns = [turn(Role::System, "an <image>"), turn(Role::Assistant, "Hi")];
    let formatter = formatter(&spec);
    let measured = formatter.measure_shapes(&turns, &[]).unwrap_err();
    assert_eq!(measured, formatter.format_shapes(&turns, &[]).unwrap_err());
    assert_eq!(measured.code, RejectCode::LiteralTag);
}

#[test]
fn visuals_that_were_not_resolved_are_a_mismatch() {
    let rejection = formatter(&FormatSpec::default()).measure_shapes(&round("@@"), &[IMAGE]).unwrap_err();
    assert_eq!(rejection.code, RejectCode::PlaceholderMismatch);
}

#[test]
fn a_video_without_frames_is_rejected() {
    let none = video(0);
    assert_eq!(
        formatter(&FormatSpec::default()).measure_shapes(&round("@"), &[none]).unwrap_err().code,
        RejectCode::NoFrames
    );
}

#[test]
fn an_absurd_number_of_images_is_not_written_out() {
    let huge = tiled(u32::MAX, u32::MAX);
    assert_eq!(
        formatter(&FormatSpec::default()).measure_shapes(&round("@"), &[huge]).unwrap_err().code,
        RejectCode::TooLong
    );
}

#[test]
fn a_template_with_a_placeholder_is_an_error() {
    let text = TemplateText { user_prefix: "<image>".into(), ..TemplateText::default() };
    let spec = FormatSpec { template: Some(Template::Custom(Box::new(text))), ..FormatSpec::default() };
    let error = Formatter::new(&spec, &Family::default(), tokenizer("jamba.model")).unwrap_err();
    assert!(matches!(error, FormatError::PlaceholderInTemplate { field: "user_prefix", .. }));
}

#[test]
fn a_system_turn_is_a_message_of_its_own() {
    let turns = [vec![turn(Role::System, "Be <image> kind")], round("@ Hi")].concat();
    let formatted = formatter(&FormatSpec::default()).format_shapes(&turns, &[IMAGE]).unwrap();
    assert_eq!(formatted.messages[0], Message { role: Role::System, content: "Be <IMAGE> kind".into() });
    assert!(formatted.prompt.starts_with("<|startoftext|><|User|>\nBe <IMAGE> kind\n<img><image></img>\nHi\n"));
}
