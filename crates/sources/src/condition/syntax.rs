//! From the text of a condition to its parts.

use std::fmt;

use super::node::{Constant, Function, Node, Operator};
use crate::number::Number;
use crate::reject::quoted;

/// Deepest nesting of a condition.
const MAX_DEPTH: usize = 64;

/// The parts of a condition.
///
/// # Errors
/// What is wrong with the text, and where.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { tokens: tokens_of(text)?, at: 0, depth: 0 };
    let root = parser.any()?;
    match parser.peek() {
        None => Ok(root),
        Some(token) => Err(format!("has {token} where it should end")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Number(Number<'static>),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 12] = ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", "-"];

fn tokens_of(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let token;
        if first == '"' || first == '\'' {
            let inner = rest.get(1..).unwrap_or_default();
            let end = inner.find(first).ok_or_else(|| format!("has a string that does not end: {}", quoted(rest)))?;
            token = Token::Text(inner.get(..end).unwrap_or_default().to_owned());
            rest = inner.get(end + 1..).unwrap_or_default();
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let is_inside = |c: char| c.is_alphanumeric() || "_.$-".contains(c);
            let (word, after) = rest.split_at(rest.find(|c| !is_inside(c)).unwrap_or(rest.len()));
            token = Token::Word(word.to_owned());
            rest = after;
        } else if first.is_ascii_digit() || first == '.' {
            let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '.';
            let (number, after) = rest.split_at(rest.find(|c| !is_inside(c)).unwrap_or(rest.len()));
            let read = Number::of_text(number).ok_or_else(|| format!("has {number:?}, which is no number"))?;
            token = Token::Number(read.into_owned());
            rest = after;
        } else if let Some((sign, after)) = SIGNS.iter().find_map(|sign| Some((sign, rest.strip_prefix(sign)?))) {
            token = Token::Sign(sign);
            rest = after;
        } else {
            let hint = if first == '=' { "; equality is ==" } else { "" };
            return Err(format!("has {first:?} where a field, a value or an operator belongs{hint}"));
        }
        tokens.push(token);
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_it = self.peek() == Some(token);
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        if self.takes(&Token::Sign(sign)) {
            return Ok(());
        }
        Err(self
            .peek()
            .map_or_else(|| format!("ends before {sign:?}"), |found| format!("has {found} where {sign:?} belongs")))
    }

    fn any(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("is nested more than {MAX_DEPTH} deep"));
        }
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        self.depth -= 1;
        Ok(single_or(parts, Node::Any))
    }

    fn all(&mut self) -> Result<Node, String> {
        let mut parts = vec![self.negation()?];
        while self.takes_word("and") {
            parts.push(self.negation()?);
        }
        Ok(single_or(parts, Node::All))
    }

    fn negation(&mut self) -> Result<Node, String> {
        let mut num_not = 0_usize;
        while self.takes_word("not") {
            num_not += 1;
        }
        let inner = self.comparison()?;
        Ok(if num_not.is_multiple_of(2) { inner } else { Node::Not(Box::new(inner)) })
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.term()?;
        let operator = match self.peek() {
            Some(Token::Sign("==")) => Operator::Equal,
            Some(Token::Sign("!=")) => Operator::NotEqual,
            Some(Token::Sign("<")) => Operator::Less,
            Some(Token::Sign("<=")) => Operator::AtMost,
            Some(Token::Sign(">")) => Operator::Greater,
            Some(Token::Sign(">=")) => Operator::AtLeast,
            Some(Token::Word(word)) if word == "in" => Operator::In,
            Some(Token::Word(word)) if word == "not" => {
                self.at += 1;
                Operator::NotIn
            }
            _ => return Ok(left),
        };
        if operator == Operator::NotIn && self.peek() != Some(&Token::Word("in".to_owned())) {
            return Err("has \"not\" after a value without \"in\"".to_owned());
        }
        self.at += 1;
        let right = self.term()?;
        Ok(Node::Compare(Box::new(left), operator, Box::new(right)))
    }

    fn term(&mut self) -> Result<Node, String> {
        let token = self.next().ok_or("ends where a field or value belongs")?;
        Ok(match token {
            Token::Number(number) => Node::Constant(Constant::Number(number)),
            Token::Text(text) => Node::Constant(Constant::Text(text)),
            Token::Sign("-") => match self.next() {
                Some(Token::Number(number)) => Node::Constant(Constant::Number(number.negated())),
                _ => return Err("has \"-\" before something else than a number".to_owned()),
            },
            Token::Sign("(") => {
                let inner = self.any()?;
                self.expect(")")?;
                inner
            }
            Token::Sign("[") => {
                let mut items = Vec::new();
                while !self.takes(&Token::Sign("]")) {
                    items.push(self.term()?);
                    if self.peek() != Some(&Token::Sign("]")) {
                        self.expect(",")?;
                    }
                }
                Node::List(items)
            }
            Token::Word(word) => self.word(&word)?,
            Token::Sign(sign) => return Err(format!("has {sign:?} where a field or value belongs")),
        })
    }

    fn word(&mut self, word: &str) -> Result<Node, String> {
        let function = match word {
            "min" => Function::Min,
            "max" => Function::Max,
            "len" => Function::Len,
            "true" => return Ok(Node::Constant(Constant::Bool(true))),
            "false" => return Ok(Node::Constant(Constant::Bool(false))),
            "null" => return Ok(Node::Constant(Constant::Null)),
            "and" | "or" | "not" | "in" => return Err(format!("has {word:?} where a field or value belongs")),
            name if self.peek() == Some(&Token::Sign("(")) => {
                return Err(format!("has a function {name:?}; there are min, max and len"));
            }
            name => return Ok(Node::Field(name.to_owned())),
        };
        if !self.takes(&Token::Sign("(")) {
            return Ok(Node::Field(word.to_owned()));
        }
        let argument = self.term()?;
        self.expect(")")?;
        Ok(Node::Call(function, Box::new(argument)))
    }
}

fn single_or(mut parts: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            several(parts)
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "the string {text:?}"),
            Self::Sign(sign) => write!(f, "{sign:?}"),
        }
    }
}
