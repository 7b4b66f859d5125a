//! Promise: crates may import only what lies below them.

use std::collections::BTreeMap;

/// The layer of each member; an import may only point to a lower one.
const LAYERS: &[(&str, u32)] = &[
    // Tests import it.
    ("manyframe-skip", 0),
    // Measures the others and imports none of them.
    ("manyframe-structure", 0),
    ("manyframe-base", 0),
    ("manyframe-core", 0),
    ("manyframe-media", 1),
    ("manyframe-columnar", 1),
    ("manyframe-storage", 1),
    ("manyframe-vision", 1),
    ("manyframe-kernels", 1),
    ("manyframe-sources", 2),
    ("manyframe-format", 2),
    ("manyframe-shards", 2),
    ("manyframe-samplers", 2),
    ("manyframe-validate", 2),
    ("manyframe-pipeline", 3),
    ("manyframe-dataset", 4),
    ("manyframe-plan", 5),
    ("manyframe-report", 5),
    ("manyframe-transfer", 5),
    ("manyframe-engine", 6),
    ("manyframe-python", 7),
    ("manyframe", 7),
];

fn members() -> BTreeMap<String, Vec<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(crate::support::root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .unwrap();
    let normal = |package: &cargo_metadata::Package| {
        let dependencies = package.dependencies.iter();
        let normal = dependencies.filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), normal(package))).collect()
}

#[test]
fn imports_point_down() {
    let layers: BTreeMap<&str, u32> = LAYERS.iter().copied().collect();
    for (member, dependencies) in members() {
        let layer = layers.get(member.as_str()).unwrap_or_else(|| panic!("{member} has no layer"));
        for dependency in dependencies.iter().filter(|name| name.starts_with("manyframe")) {
            assert!(layers[dependency.as_str()] < *layer, "{member} (layer {layer}) imports {dependency}");
        }
    }
}

#[test]
fn samplers_know_the_vocabulary_only_and_kernels_not_even_that() {
    let members = members();
    let ours =
        |member: &str| members[member].iter().filter(|name| name.starts_with("manyframe")).cloned().collect::<Vec<_>>();
    assert_eq!(ours("manyframe-samplers"), ["manyframe-core"]);
    assert!(ours("manyframe-kernels").is_empty());
}

#[test]
fn arrow_and_parquet_are_named_in_columnar_only() {
    for (member, dependencies) in members() {
        let names_them = dependencies.iter().any(|name| name.starts_with("arrow") || name == "parquet");
        assert_eq!(names_them, member == "manyframe-columnar", "{member}");
    }
}

#[test]
fn anyhow_is_named_in_the_command_line_only() {
    for (member, dependencies) in members() {
        assert!(member == "manyframe" || !dependencies.iter().any(|name| name == "anyhow"), "{member}");
    }
}
