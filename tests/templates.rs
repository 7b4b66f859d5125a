//! Promise: a dataset is written in the chat template of a checkpoint, wherever its files have it; what a template cannot do is
//! found before work begins.

use serde_json::json;

use crate::families::{samples, workshop};
use crate::support::{Workshop, run};

/// ChatML as checkpoints have it: nothing says what is trained.
const CHATML: &str = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}
{%- for part in message.content %}
{{- '<|vision_start|><|image_pad|><|vision_end|>' if part.type == 'image' else part.text }}
{%- endfor %}{{- '<|im_end|>\n' }}{%- endfor %}";

/// The same, and answers are marked.
fn training() -> String {
    let marked = "{%- if message.role == 'assistant' -%}{% generation %}{{ message.content[0].text + '<|im_end|>' }}{% endgeneration %}
{{- '\n' }}{%- else -%}{%- for part";
    let ended = "{{- '<|im_end|>\n' }}{%- endif -%}{%- endfor %}";
    CHATML.replace("{%- for part", marked).replace("{{- '<|im_end|>\n' }}{%- endfor %}", ended)
}

/// A workshop of Qwen3-VL whose `[format]` has these lines.
fn with_format(lines: &str) -> Workshop {
    let mut workshop = workshop("family = \"qwen3-vl\"");
    workshop.head = workshop.head.replace("[model]", &format!("{lines}\n[model]"));
    workshop
}

/// The prompt of the record with two images, and what of it is trained.
fn two(workshop: &Workshop) -> (String, Vec<String>) {
    let built = workshop.build_with(&[], 0);
    built.verify();
    let samples = samples(&built.dataset);
    assert_eq!(samples.len(), 6);
    let sample = samples.into_iter().find(|sample| sample.upstream_id == "two").unwrap();
    let trained = |&(start, end): &(usize, usize)| sample.prompt.chars().skip(start).take(end - start).collect();
    (sample.prompt.clone(), sample.label_spans.iter().map(trained).collect())
}

fn check(workshop: &Workshop, code: i32) -> String {
    String::from_utf8(run(&["check", &workshop.pipeline()], code).stderr).unwrap()
}

const IMAGE: &str = "<|vision_start|><|image_pad|><|vision_end|>";

fn expected() -> String {
    format!(
        "<|im_start|>user\nIs {IMAGE} wider than {IMAGE}?\nSay it.<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
    )
}

#[test]
fn a_template_is_rendered_and_says_what_is_trained() {
    let workshop = with_format("template = { jinja = \"${here}/chat_template.jinja\" }");
    workshop.write("chat_template.jinja", training());
    assert_eq!(two(&workshop), (expected(), vec!["Yes.<|im_end|>".to_owned()]));
    // What differs between machines is not in the dataset.
    let manifest = std::fs::read_to_string(workshop.path("out/manifest.json")).unwrap();
    let template = json!({ "jinja": "${here}/chat_template.jinja" });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&manifest).unwrap()["pipeline"]["format"]["template"],
        template
    );
}

#[test]
fn answers_are_found_in_a_template_that_does_not_mark_them() {
    let workshop = with_format("template = { jinja = \"${here}/chat_template.jinja\" }");
    workshop.write("chat_template.jinja", CHATML);
    assert_eq!(two(&workshop), (expected(), vec!["Yes.<|im_end|>\n".to_owned()]));
}

#[test]
fn the_pipeline_file_may_say_what_is_around_answers() {
    let workshop = with_format(
        "[format.template.jinja]\npath = \"${here}/chat_template.jinja\"\n\
         answers = { after = \"<|im_start|>assistant\\n\", until = \"<|im_end|>\" }",
    );
    workshop.write("chat_template.jinja", CHATML);
    assert_eq!(two(&workshop), (expected(), vec!["Yes.<|im_end|>".to_owned()]));
}

#[test]
fn the_template_of_the_tokenizer_is_in_its_directory() {
    let workshop = with_format("template = \"tokenizer\"");
    let named = json!([{ "name": "tool_use", "template": "no" }, { "name": "default", "template": CHATML }]);
    workshop.write("tokenizer_config.json", json!({ "chat_template": named }).to_string());
    assert_eq!(two(&workshop).0, expected());
    workshop.write("chat_template.jinja", training());
    assert_eq!(two(&workshop).1, ["Yes.<|im_end|>"]);
}

#[test]
fn another_template_makes_every_sample_again_and_the_same_one_none() {
    let workshop = with_format("template = { jinja = \"${here}/chat_template.jinja\" }");
    workshop.write("chat_template.jinja", CHATML);
    let first = workshop.build_with(&[], 0).manifest;
    let again = workshop.build_with(&[], 0).manifest;
    assert_eq!(again, first);
    workshop.write("chat_template.jinja", training());
    let second = workshop.build_with(&[], 0).manifest;
    assert_ne!(first.template_digest, second.template_digest);
    assert_eq!(two(&workshop).1, ["Yes.<|im_end|>"]);
}

#[test]
fn a_template_that_cannot_be_used_is_an_error_of_the_check() {
    let workshop = with_format("template = { jinja = \"${here}/chat_template.jinja\" }");
    let problem = |text: &str| {
        workshop.write("chat_template.jinja", text);
        check(&workshop, 2)
    };
    assert!(check(&workshop, 2).contains("format.template.jinja: it does not exist"));
    assert!(problem("\n{% for %}").contains("line 2: "));
    let refuses = problem("{{ raise_exception('only tools') }}");
    assert!(refuses.contains("line 1: only tools"), "{refuses}");
    assert!(problem("{{ messages[0].content }}").contains("it leaves out texts"));
    let no_image = problem(&CHATML.replace("<|image_pad|>", ""));
    assert!(no_image.contains("no visual can be written: the template shows 0 images, expected 1"), "{no_image}");
    // The form that it takes has the problem that counts: contents that are texts, and not the first that is tried.
    let texts = "{%- for message in messages %}\n{{- '<|im_start|>' + message.role + '\\n' + message.content }}\n{{- message.content.encode() }}\n{%- endfor %}";
    let encodes = problem(texts);
    assert!(encodes.contains("line 3: ") && encodes.contains("encode"), "{encodes}");
    let changed = problem(&CHATML.replace(
        "else part.text",
        "else (part.text | replace('A', 'a') if message.role == 'assistant' else part.text)",
    ));
    assert!(
        changed.contains("where it writes answers cannot be found") || changed.contains("it leaves out texts"),
        "{changed}"
    );
    let today = problem(&format!("{{{{ strftime_now('%d') }}}}{CHATML}"));
    assert!(today.contains("differ from build to build"), "{today}");
}

#[test]
fn what_a_template_does_not_show_is_a_warning_and_its_records_are_rejected() {
    let workshop = with_format("template = { jinja = \"${here}/chat_template.jinja\" }");
    workshop.write(
        "chat_template.jinja",
        CHATML.replace("{%- for message in messages %}", "{%- for message in messages if message.role != 'system' %}"),
    );
    let warnings = check(&workshop, 0);
    assert!(
        warnings.contains("records with videos will be rejected: the template shows 0 videos, expected 1"),
        "{warnings}"
    );
    assert!(warnings.contains("records with system texts will be rejected"), "{warnings}");
    let mut workshop = workshop;
    let record = json!([{
        "id": "s",
        "conversations": [{ "from": "system", "value": "Kind." }, { "from": "human", "value": "?" }, { "from": "gpt", "value": "!" }],
    }]);
    workshop.add_source("systems", "llava", &record, "");
    let built = workshop.build_with(&[], 0);
    let rejected = built.row("s").detail.clone().unwrap();
    assert!(rejected.contains("does not write system turns"), "{rejected}");
}
