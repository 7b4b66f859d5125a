//! The language of `where`: which records of a source are wanted, by their fields.
//!
//! ```text
//! condition  = and { "or" and }          and = not { "and" not }          not = "not" not | comparison
//! comparison = term [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") term ]
//! term       = 4 | -0.5 | "text" | 'text' | true | false | null | [term, …] | (condition) | field | meta.field
//!            | min(term) | max(term) | len(term)
//! ```
//!
//! * Numbers are compared with numbers, to their last digit, and strings with strings. A string that is a number counts as that number
//!   beside one, and by size beside another such string, because CSV has nothing else. Anything else is a mistake of the record, and no
//!   answer.
//! * A field that is absent is null. `== null` asks for that; a comparison by size has no answer then, and the record is left out.
//! * `in` looks for an item of a list, or for a part of a string. `min` and `max` are of a list of numbers, `len` of a list or string.

mod node;
mod syntax;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use manyframe_core::{RejectCode, Rejection};

use self::node::{Constant, Function, Node, Operator};
use crate::number::Number;
use crate::reject::{quoted, unexpected_schema};
use crate::syntax::object_of;
use crate::value::Value;

/// A condition on the fields of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    root: Node,
}

/// What a part of a condition is for a record.
#[derive(Debug, Clone, PartialEq)]
enum Answer<'r> {
    Null,
    Bool(bool),
    Number(Number<'r>),
    Text(Cow<'r, str>),
    List(Vec<Answer<'r>>),
    Object,
}

/// Why there is no answer.
enum Unanswered {
    /// A field that is needed is absent.
    Missing(String),
    /// Values of a record that cannot be compared.
    Clash(String),
}

impl Condition {
    /// The condition that a text states.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let root = syntax::parse(text)?;
        match root.fixed_part() {
            None => Ok(Self { text: text.to_owned(), root }),
            Some(part) => Err(format!(
                "has {:?}, which is the same for every record; a field is compared with a value, such as score >= 4",
                part.written()
            )),
        }
    }

    /// The condition of a pipeline file that was checked. Earlier versions checked less of it.
    pub(crate) fn of_checked(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), root: syntax::parse(text).ok()? })
    }

    /// The names of the fields that it asks for, each once.
    pub fn fields(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.add_fields(&mut names);
        names
    }

    /// Whether it is true of a JSON object. It is not where a field that it needs is absent or null.
    ///
    /// # Errors
    /// What cannot be compared so, or if the text is no JSON object.
    pub fn is_true_of(&self, object: &str) -> Result<bool, String> {
        let object = object_of(object.as_bytes())?;
        match self.check(&|name| object.get_at(name)) {
            Ok(()) => Ok(true),
            Err(rejection) if rejection.code == RejectCode::Filtered => Ok(false),
            Err(rejection) => Err(rejection.detail),
        }
    }

    /// Whether a record with these fields is wanted.
    ///
    /// # Errors
    /// [`RejectCode::Filtered`] if it is not, and another code if its fields cannot be compared so.
    pub(crate) fn check<'v>(&self, field: &dyn Fn(&str) -> Option<&'v Value<'v>>) -> Result<(), Rejection> {
        let filtered =
            |found: &str| Err(Rejection::new(RejectCode::Filtered, format!("where {:?}: {found}", self.text)));
        match self.root.answer(field) {
            Ok(Answer::Bool(true)) => Ok(()),
            Ok(Answer::Bool(false)) => filtered(&self.root.shown(field)),
            Ok(other) => Err(unexpected_schema(format!("where {:?} is {other}, expected true or false", self.text))),
            Err(Unanswered::Missing(name)) => filtered(&format!("the record has no {name:?}")),
            Err(Unanswered::Clash(found)) => Err(unexpected_schema(format!("where {:?}: {found}", self.text))),
        }
    }
}

impl Node {
    fn answer<'v>(&self, field: &dyn Fn(&str) -> Option<&'v Value<'v>>) -> Result<Answer<'v>, Unanswered> {
        Ok(match self {
            Self::Constant(constant) => constant.answer(),
            Self::List(items) => Answer::List(items.iter().map(|item| item.answer(field)).collect::<Result<_, _>>()?),
            Self::Field(name) => field(name).map_or(Answer::Null, Answer::of),
            Self::Call(function, argument) => {
                let found = argument.answer(field)?;
                let number = function.call(&found).map(Number::into_owned);
                match (number, found) {
                    (Some(number), _) => Answer::Number(number),
                    (None, Answer::Null) => return Err(Unanswered::Missing(argument.to_string())),
                    (None, found) => {
                        return Err(Unanswered::Clash(format!(
                            "{argument} is {found}, of which there is no {function}"
                        )));
                    }
                }
            }
            Self::Not(inner) => Answer::Bool(!inner.truth(field)?),
            Self::All(parts) => {
                for part in parts {
                    if !part.truth(field)? {
                        return Ok(Answer::Bool(false));
                    }
                }
                Answer::Bool(true)
            }
            Self::Any(parts) => {
                let mut missing = None;
                for part in parts {
                    match part.truth(field) {
                        Ok(true) => return Ok(Answer::Bool(true)),
                        // Another part may hold, whichever is written first.
                        Err(Unanswered::Missing(name)) => missing = missing.or(Some(name)),
                        answer => _ = answer?,
                    }
                }
                if let Some(name) = missing {
                    return Err(Unanswered::Missing(name));
                }
                Answer::Bool(false)
            }
            Self::Compare(left, operator, right) => {
                Answer::Bool(compare((left, left.answer(field)?), *operator, (right, right.answer(field)?))?)
            }
        })
    }

    fn truth<'v>(&self, field: &dyn Fn(&str) -> Option<&'v Value<'v>>) -> Result<bool, Unanswered> {
        match self.answer(field)? {
            Answer::Bool(truth) => Ok(truth),
            Answer::Null => Err(Unanswered::Missing(self.to_string())),
            other => Err(Unanswered::Clash(format!("{self} is {other}, expected true or false"))),
        }
    }

    /// What the fields of a condition are that does not hold.
    fn shown<'v>(&self, field: &dyn Fn(&str) -> Option<&'v Value<'v>>) -> String {
        let mut names = Vec::new();
        self.add_fields(&mut names);
        let shown = names.iter().map(|name| format!("{name} is {}", field(name).map_or(Answer::Null, Answer::of)));
        shown.collect::<Vec<_>>().join(", ")
    }

    /// A part that is true of all records, or of none.
    fn fixed_part(&self) -> Option<&Self> {
        match self {
            Self::Not(inner) => inner.fixed_part(),
            Self::All(parts) | Self::Any(parts) => parts.iter().find_map(Self::fixed_part),
            Self::Compare(left, _, right) if left == right => Some(self),
            Self::Compare(_, Operator::In | Operator::NotIn, all) if **all == Self::List(Vec::new()) => Some(self),
            part => {
                let mut names = Vec::new();
                part.add_fields(&mut names);
                names.is_empty().then_some(part)
            }
        }
    }

    /// A part without `and`, `or` and `not`, as a text of its language.
    fn written(&self) -> String {
        match self {
            Self::Field(name) => name.clone(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::written).collect::<Vec<_>>().join(", ")),
            Self::Call(function, argument) => format!("{}({})", function.as_str(), argument.written()),
            Self::Compare(left, operator, right) => {
                format!("{} {} {}", left.written(), operator.as_str(), right.written())
            }
            Self::Constant(Constant::Text(text)) => format!("'{text}'"),
            part => part.to_string(),
        }
    }

    fn add_fields<'n>(&'n self, names: &mut Vec<&'n str>) {
        match self {
            Self::Constant(_) => {}
            Self::Field(name) if names.contains(&name.as_str()) => {}
            Self::Field(name) => names.push(name),
            Self::Call(_, inner) | Self::Not(inner) => inner.add_fields(names),
            Self::List(parts) | Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.add_fields(names);
                }
            }
            Self::Compare(left, _, right) => {
                left.add_fields(names);
                right.add_fields(names);
            }
        }
    }
}

impl Constant {
    fn answer<'r>(&self) -> Answer<'r> {
        match self {
            Self::Null => Answer::Null,
            Self::Bool(truth) => Answer::Bool(*truth),
            Self::Number(number) => Answer::Number(number.clone()),
            Self::Text(text) => Answer::Text(Cow::Owned(text.clone())),
        }
    }
}

impl Function {
    fn call<'n>(self, argument: &'n Answer<'_>) -> Option<Number<'n>> {
        let numbers = |items: &'n [Answer<'_>]| items.iter().map(Answer::number).collect::<Option<Vec<_>>>();
        match (self, argument) {
            (Self::Min, Answer::List(items)) => numbers(items)?.into_iter().min_by(Number::order),
            (Self::Max, Answer::List(items)) => numbers(items)?.into_iter().max_by(Number::order),
            (Self::Min | Self::Max, other) => other.number(),
            (Self::Len, Answer::List(items)) => Some(Number::Integer(items.len() as i128)),
            (Self::Len, Answer::Text(text)) => Some(Number::Integer(text.chars().count() as i128)),
            (Self::Len, _) => None,
        }
    }
}

impl<'r> Answer<'r> {
    fn of(value: &'r Value<'r>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(_) => Self::Object,
            number => number.as_number().map_or(Self::Null, Self::Number),
        }
    }

    /// The number that it is, or that it is the text of.
    fn number(&self) -> Option<Number<'_>> {
        match self {
            Self::Number(number) => Some(number.clone()),
            Self::Text(text) => Number::of_text(text.trim()),
            _ => None,
        }
    }
}

fn compare(
    (left_node, left): (&Node, Answer<'_>),
    operator: Operator,
    (right_node, right): (&Node, Answer<'_>),
) -> Result<bool, Unanswered> {
    match operator {
        Operator::In | Operator::NotIn if left == Answer::Null => {
            return Err(Unanswered::Missing(left_node.to_string()));
        }
        Operator::In => return contains(&left, (right_node, &right)),
        Operator::NotIn => return contains(&left, (right_node, &right)).map(|found| !found),
        Operator::Equal | Operator::NotEqual if left == Answer::Null || right == Answer::Null => {
            return Ok((left == right) == (operator == Operator::Equal));
        }
        _ => {}
    }
    for (node, answer) in [(left_node, &left), (right_node, &right)] {
        if *answer == Answer::Null {
            return Err(Unanswered::Missing(node.to_string()));
        }
    }
    let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    let order = if is_equality { order_of(&left, &right) } else { size_order_of(&left, &right) };
    let order = order
        .ok_or_else(|| Unanswered::Clash(format!("{left_node} is {left}, which cannot be compared with {right}")))?;
    if !is_equality && matches!(left, Answer::Bool(_)) {
        return Err(Unanswered::Clash(format!("{left_node} is {left}, which has no size")));
    }
    Ok(match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::AtMost => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::AtLeast => order != Ordering::Less,
        Operator::In | Operator::NotIn => false,
    })
}

/// How two values of one kind are ordered.
fn order_of(left: &Answer<'_>, right: &Answer<'_>) -> Option<Ordering> {
    match (left, right) {
        (Answer::Text(left), Answer::Text(right)) => Some(left.cmp(right)),
        (Answer::Bool(left), Answer::Bool(right)) => Some(left.cmp(right)),
        _ => Some(left.number()?.order(&right.number()?)),
    }
}

/// As [`order_of`], for a comparison by size: two strings are compared as numbers if both are, since columns of CSV are strings.
fn size_order_of(left: &Answer<'_>, right: &Answer<'_>) -> Option<Ordering> {
    match (left, right, left.number(), right.number()) {
        (Answer::Text(_), Answer::Text(_), Some(left), Some(right)) => Some(left.order(&right)),
        (Answer::Text(_), Answer::Text(_), Some(_), None) | (Answer::Text(_), Answer::Text(_), None, Some(_)) => None,
        _ => order_of(left, right),
    }
}

fn contains(item: &Answer<'_>, (node, all): (&Node, &Answer<'_>)) -> Result<bool, Unanswered> {
    match (item, all) {
        (_, Answer::List(items)) => {
            Ok(items.iter().any(|one| one == item || order_of(one, item) == Some(Ordering::Equal)))
        }
        (Answer::Text(part), Answer::Text(text)) => Ok(text.contains(&**part)),
        (_, Answer::Null) => Err(Unanswered::Missing(node.to_string())),
        _ => Err(Unanswered::Clash(format!("{node} is {all}, expected a list, or a string beside a string"))),
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Min => "minimum",
            Self::Max => "maximum",
            Self::Len => "length",
        })
    }
}

/// As messages name a part of a condition.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Call(function, argument) => write!(f, "the {function} of {argument}"),
            Self::Constant(constant) => write!(f, "{}", constant.answer()),
            Self::List(_) => f.write_str("the list"),
            Self::Not(_) | Self::All(_) | Self::Any(_) | Self::Compare(..) => f.write_str("a part of it"),
        }
    }
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Object => f.write_str("an object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str =
        r#"{"score": 4, "text": "4.5", "lang": "en", "ok": true, "ratings": [3, 5], "none": null, "meta": {"n": 2}}"#;

    /// Whether the record is wanted, or why it is not.
    fn check(condition: &str) -> Result<(), String> {
        let row: Value<'_> = serde_json::from_str(FIELDS).unwrap();
        let Value::Object(row) = &row else { panic!("no object") };
        let condition = Condition::parse(condition).map_err(|problem| format!("it {problem}"))?;
        condition.check(&|name| row.get_at(name)).map_err(|rejection| rejection.to_string())
    }

    #[test]
    fn what_holds() {
        for condition in [
            "score >= 4",
            "score == 4 and lang == 'en'",
            "text > 4",
            "4 < text",
            "lang in [\"en\", \"de\"] and not (score < 4 or ok == false)",
            "lang not in ['fr']",
            "ok",
            "not not ok",
            "min(ratings) >= 3 and max(ratings) == 5 and len(ratings) == 2",
            "min(score) > -1",
            "'n' in lang",
            "5 in ratings",
            "meta.n != 3",
            "none == null and absent == null and score != null",
            "len(lang) == 2",
            "absent >= 1 or lang == 'en'",
            "lang == 'en' or absent >= 1",
            "text < '10'",
        ] {
            assert_eq!(check(condition), Ok(()), "{condition}");
        }
    }

    #[test]
    fn numbers_are_compared_to_their_last_digit() {
        let row = r#"{"id": 9007199254740993, "whole": 9007199254740992.0, "long": 18446744073709551616, "cell": "9007199254740993",
            "next": "9007199254740992", "exact": 9007199254740993.0, "ids": [9007199254740992, 9007199254740993], "large": 1e999, "zero": -0,
            "tenth": 0.1, "money": 12345678901234567890.12, "tiny": 1e-400}"#;
        for (condition, expected) in [
            ("id == 9007199254740993", true),
            ("id == 9007199254740992", false),
            ("id > 9007199254740992", true),
            ("id == whole", false),
            ("id > whole", true),
            ("id == exact", true),
            ("whole == 9007199254740992", true),
            ("long > 18446744073709551615", true),
            ("long == 18446744073709551616", true),
            ("long != 18446744073709551617", true),
            ("cell == 9007199254740993", true),
            ("cell == 9007199254740992", false),
            ("cell > next", true),
            ("next < cell", true),
            ("cell == id", true),
            ("9007199254740991 in ids", false),
            ("id in [9007199254740992]", false),
            ("cell in ids", true),
            ("max(ids) == 9007199254740993", true),
            ("min(ids) == 9007199254740992", true),
            ("max(ids) == min(ids)", false),
            ("large == 1e999", true),
            ("large > 1e998", true),
            ("zero == 0", true),
            ("tenth == 0.1", true),
            ("tenth == '0.10'", true),
            ("money == 12345678901234567890.12", true),
            ("money == 12345678901234567890.13", false),
            ("money < 12345678901234567890.13", true),
            ("tiny > 0", true),
        ] {
            assert_eq!(Condition::parse(condition).unwrap().is_true_of(row), Ok(expected), "{condition}");
        }
    }

    #[test]
    fn what_does_not_hold_is_filtered_with_what_was_found() {
        for (condition, expected) in [
            ("score > 4", "filtered: where \"score > 4\": score is 4"),
            ("lang == 'de' or min(ratings) > 3", "lang is \"en\", ratings is a list of 2"),
            ("absent >= 1", "filtered: where \"absent >= 1\": the record has no \"absent\""),
            ("none < 3", "the record has no \"none\""),
            ("absent >= 1 or lang == 'de'", "the record has no \"absent\""),
            ("absent not in ['fr']", "the record has no \"absent\""),
            ("lang >= 4", "unexpected_schema: where \"lang >= 4\": lang is \"en\", which cannot be compared with 4"),
            ("score", "unexpected_schema: where \"score\" is 4, expected true or false"),
            ("ok > false", "ok is true, which has no size"),
            ("min(lang) > 1", "lang is \"en\", of which there is no minimum"),
            ("score in lang", "lang is \"en\", expected a list, or a string beside a string"),
        ] {
            let found = check(condition).unwrap_err();
            assert!(found.contains(expected), "{condition}: {found}");
        }
    }

    #[test]
    fn a_condition_of_json() {
        let condition = Condition::parse("score > 3 and (meta.n == 2 or score < 9)").unwrap();
        assert_eq!(condition.fields(), ["score", "meta.n"]);
        let found = [FIELDS, r#"{"score": 3}"#, r#"{"score": null}"#].map(|object| condition.is_true_of(object));
        assert_eq!(found, [Ok(true), Ok(false), Ok(false)]);
        assert!(condition.is_true_of(r#"{"score": "high"}"#).unwrap_err().contains("cannot be compared with 3"));
        assert!(condition.is_true_of("[]").is_err());
    }

    #[test]
    fn what_is_no_condition_is_said() {
        for (condition, expected) in [
            ("", "it ends where a field or value belongs"),
            ("score = 4", "has '=' where a field, a value or an operator belongs; equality is =="),
            ("score >= ", "it ends where a field or value belongs"),
            ("score >= 4 4", "has 4 where it should end"),
            ("(score", "ends before \")\""),
            ("'a", "has a string that does not end"),
            ("sqrt(score) > 2", "has a function \"sqrt\"; there are min, max and len"),
            ("a not b", "has \"not\" after a value without \"in\""),
            ("1.2.3 < a", "has \"1.2.3\", which is no number"),
            ("1 == 2", "has \"1 == 2\", which is the same for every record; a field is compared with a value"),
            ("'a' in ['b', 'a']", "has \"'a' in ['b', 'a']\", which is the same"),
            ("true", "has \"true\", which is the same"),
            ("4", "has \"4\", which is the same"),
            ("score > 3 and (lang == 'en' or not 2 > 1)", "has \"2 > 1\", which is the same"),
            ("lang == lang", "has \"lang == lang\", which is the same"),
            ("min(ratings) >= min(ratings)", "has \"min(ratings) >= min(ratings)\", which is the same"),
            ("lang not in []", "has \"lang not in []\", which is the same"),
        ] {
            let found = check(condition).unwrap_err();
            assert!(found.contains(expected), "{condition}: {found}");
        }
        assert!(check(&"(".repeat(1000)).unwrap_err().contains("nested"));
    }
}
