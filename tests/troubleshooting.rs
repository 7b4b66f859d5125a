//! Promise: `pipelines/troubleshooting.md` has every reason for which a record is rejected, with its cause and its cure.

use manyframe_core::RejectCode;

use crate::schemas::compare_text;
use crate::support::{Workshop, llava, stdout};

#[test]
fn the_page_of_reasons_is_generated_from_the_codes() {
    let mut page = "# Why records are rejected, and what to do\n\n\
        Written by `make schemas` from `crates/core/src/reject.rs`.\n\
        [`README.md`](README.md#why-a-record-is-rejected) says where Pillow, FFmpeg or `datasets` read what is rejected, and why it is.\n\n\
        ```sh\n\
        manyframe inspect out/mine                        # how many of each source, for which reasons, each with an example\n\
        manyframe ls out/mine --reason media_missing      # all of them; --ids or --json for scripts\n\
        manyframe why out/mine ID                         # one of them, with its annotation and what was found\n\
        manyframe report out/mine                         # the same as a page, with images\n\
        ```\n\n\
        | reason | cause | cure |\n|---|---|---|\n"
        .to_owned();
    for code in RejectCode::ALL {
        let (cause, cure) = (code.cause(), code.cure());
        assert!(cause.ends_with('.') && !cause.contains("  "), "{code}: {cause:?}");
        assert!(cure.len() > 20 && !cure.ends_with('.') && !cure.contains('|'), "{code}: {cure:?}");
        let (first, rest) = cure.split_at(1);
        page.push_str(&format!("| `{code}` | {cause} | {}{rest}. |\n", first.to_uppercase()));
    }
    compare_text("pipelines/troubleshooting.md", &page);
}

#[test]
fn why_says_what_to_do() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg")]), "");
    let built = workshop.build();
    let why = stdout(&["why", &built.dataset.display().to_string(), "r1"]);
    assert!(why.contains(&format!("cure      {}", RejectCode::MediaMissing.cure())), "{why}");
}
