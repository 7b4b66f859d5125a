//! Annotation files in JSON, from those of the demo.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: manyframe_fuzz::let_contained_panics_pass(), |bytes: &[u8]| {
    manyframe_fuzz::read_annotations(bytes);
});
