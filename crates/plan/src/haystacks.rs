//! The files that patterns of `[source.needles]` name, below the media of their source.

use manyframe_pipeline::{LocatedSource, PatternError, expand_pattern, media_roots};
use manyframe_sources::{SourceError, SourceOptions};

use crate::error::PlanError;

/// The options of a source, its haystacks and images listed: those of a pattern in sorted order, below one directory after the other.
///
/// # Errors
///
/// If a pattern matches nothing, or media roots cannot be listed.
pub(crate) fn listed_options(source: LocatedSource<'_>) -> Result<SourceOptions, PlanError> {
    let mut options = source.table.options.clone();
    let Some(needles) = &mut options.needles else { return Ok(options) };
    let roots: Vec<String> = media_roots(source)?.into_iter().map(|root| root.path.display().to_string()).collect();
    for list in [&mut needles.haystacks, &mut needles.images] {
        let listed = list.iter().map(|pattern| listed(source, &roots, pattern)).collect::<Result<Vec<_>, _>>();
        *list = listed?.into_iter().flatten().collect();
    }
    Ok(options)
}

/// The paths of a pattern, below the roots.
fn listed(source: LocatedSource<'_>, roots: &[String], pattern: &str) -> Result<Vec<String>, PlanError> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let mut found = Vec::new();
    for root in roots {
        let within = format!("{}/{pattern}", root.trim_end_matches('/'));
        // A root may lack what another has.
        let paths: Result<_, PatternError> = expand_pattern(&source.stores.access(), &within);
        let below = paths.unwrap_or_default().into_iter().filter(|path| path.exists());
        found.extend(below.filter_map(|path| Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())));
    }
    if found.is_empty() {
        let error = SourceError::NoHaystack { pattern: pattern.to_owned() };
        return Err(PlanError::Source { source_name: source.table.name.clone(), error });
    }
    Ok(found)
}
