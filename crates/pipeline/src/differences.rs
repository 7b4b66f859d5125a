//! What differs between the settings of two pipeline files, defaults filled in.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// A setting that two pipeline files have different values of.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SettingDifference {
    /// Its dotted path. Sources go by their names: `source.NAME.take`.
    pub setting: String,
    /// Its value in the first; null if it has none.
    pub a: Value,
    /// Its value in the second; null if it has none.
    pub b: Value,
}

/// Every setting that differs, by its path.
pub fn differences(a: &Value, b: &Value) -> Vec<SettingDifference> {
    let mut found = Vec::new();
    add_differences("", a, b, &mut found);
    found
}

fn add_differences(path: &str, a: &Value, b: &Value, found: &mut Vec<SettingDifference>) {
    if a == b {
        return;
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let value = |fields: &Map<String, Value>, key: &String| fields.get(key).cloned().unwrap_or_default();
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                add_differences(&below(key), &value(a, key), &value(b, key), found);
            }
        }
        (Value::Array(first), Value::Array(second)) => match (by_name(first), by_name(second)) {
            (Some(first), Some(second)) => {
                if first.order_of_shared(&second) != second.order_of_shared(&first) {
                    let (a, b) = (first.names().into(), second.names().into());
                    found.push(SettingDifference { setting: path.to_owned(), a, b });
                }
                for name in first.tables.keys().chain(second.tables.keys()).collect::<BTreeSet<_>>() {
                    let value =
                        |named: &Named<'_>| named.tables.get(name).map_or(Value::Null, |table| (*table).clone());
                    add_differences(&below(name), &value(&first), &value(&second), found);
                }
            }
            _ => found.push(SettingDifference { setting: path.to_owned(), a: a.clone(), b: b.clone() }),
        },
        _ => found.push(SettingDifference { setting: path.to_owned(), a: a.clone(), b: b.clone() }),
    }
}

/// Tables with names, as sources are, and their order.
struct Named<'v> {
    order: Vec<&'v str>,
    tables: BTreeMap<&'v str, &'v Value>,
}

impl<'v> Named<'v> {
    /// The names that others have, too, in order.
    fn order_of_shared(&self, others: &Self) -> Vec<&'v str> {
        self.order.iter().copied().filter(|name| others.tables.contains_key(name)).collect()
    }

    fn names(&self) -> Vec<Value> {
        self.order.iter().copied().map(Value::from).collect()
    }
}

/// The tables of a list by their names; `None` if it is a list of something else, or two have one name.
fn by_name(list: &[Value]) -> Option<Named<'_>> {
    let named = |table| Some((Value::as_object(table)?.get("name")?.as_str()?, table));
    let tables: Vec<(&str, &Value)> = list.iter().map(named).collect::<Option<_>>()?;
    let order: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
    let tables: BTreeMap<&str, &Value> = tables.into_iter().collect();
    (tables.len() == order.len()).then_some(Named { order, tables })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(a: &Value, b: &Value) -> Vec<String> {
        differences(a, b).into_iter().map(|difference| difference.setting).collect()
    }

    #[test]
    fn settings_that_differ_are_named_by_their_path() {
        let a = json!({"tiles": {"max": 4, "edge": 336}, "overlength": null, "format": {"dialect": "a"}});
        let b = json!({"tiles": {"max": 6, "edge": 336}, "overlength": ["reject", 5], "format": {"dialect": "a"}});
        assert_eq!(paths(&a, &b), ["overlength", "tiles.max"]);
    }

    #[test]
    fn sources_are_compared_by_their_names() {
        let a = json!({"source": [{"name": "p", "take": 1}, {"name": "q"}, {"name": "r"}]});
        let b = json!({"source": [{"name": "q"}, {"name": "p", "take": 2}, {"name": "s"}]});
        assert_eq!(paths(&a, &b), ["source", "source.p.take", "source.r", "source.s"]);
        assert_eq!(paths(&json!({"s": [{"name": "p"}]}), &json!({"s": [{"name": "q"}, {"name": "p"}]})), ["s.q"]);
    }

    #[test]
    fn lists_of_anything_else_are_one_setting() {
        assert_eq!(paths(&json!({"formats": ["mds"]}), &json!({"formats": ["mds", "vila"]})), ["formats"]);
        assert_eq!(paths(&json!({"s": [{"name": "p"}, {"name": "p"}]}), &json!({"s": [{"name": "p"}]})), ["s"]);
    }
}
