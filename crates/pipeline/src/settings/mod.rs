//! The tables of a pipeline file as types. Their doc comments are the reference of every setting: the JSON Schema
//! `schemas/pipeline.schema.json` and the messages of the check are made from them.
//!
//! Defaults are those of the LongLLaVA paper (arXiv 2409.02889) where it states one.

pub(crate) mod file;
pub(crate) mod packing;
pub(crate) mod paths;
pub(crate) mod selection;
pub(crate) mod source;
pub(crate) mod validation;
pub(crate) mod values;
pub(crate) mod video;
