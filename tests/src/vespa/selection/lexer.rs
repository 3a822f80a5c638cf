//! Selections as tokens.

use super::SelectionError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A keyword, a type, or what follows a dot.
    Word(String),
    Text(String),
    Number(f64),
    /// One of the operators.
    Operator(&'static str),
    Dot,
    Open,
    Close,
}

/// The longest first, so that none hides another.
const OPERATORS: [&str; 8] = ["==", "!=", "<=", ">=", "=~", "<", ">", "="];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SelectionError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '.' => (Token::Dot, 1),
            '\'' | '"' => quoted(rest, first)?,
            '0'..='9' => number(rest)?,
            '-' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => number(rest)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                Some(&"=~") => return Err(SelectionError::NotModelled("a regular expression".into())),
                Some(operator) => (Token::Operator(operator), operator.len()),
                None if "{}[]+*/%$,-".contains(first) => {
                    return Err(SelectionError::NotModelled(format!("the character '{first}'")));
                }
                None => return Err(SelectionError::Malformed(format!("unexpected character '{first}'"))),
            },
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn quoted(text: &str, quote: char) -> Result<(Token, usize), SelectionError> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 't')) => value.push('\t'),
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 'f')) => value.push('\u{c}'),
                Some((_, escaped @ ('\\' | '\'' | '"'))) => value.push(escaped),
                Some((_, 'x')) => return Err(SelectionError::NotModelled("an escape of a byte".into())),
                _ => return Err(SelectionError::Malformed("a backslash that escapes nothing".into())),
            },
            _ if letter == quote => return Ok((Token::Text(value), at + letter.len_utf8())),
            _ => value.push(letter),
        }
    }
    Err(SelectionError::Malformed("a string that does not end".into()))
}

fn number(text: &str) -> Result<(Token, usize), SelectionError> {
    let sign = usize::from(text.starts_with('-'));
    let digits = &text[sign..];
    if digits.starts_with("0x") || (digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit())) {
        return Err(SelectionError::NotModelled("a number that is not decimal".into()));
    }
    let length = sign + digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    match text[..length].parse() {
        Ok(value) => Ok((Token::Number(value), length)),
        Err(_) => Err(SelectionError::Malformed(format!("'{}' is no number", &text[..length]))),
    }
}
