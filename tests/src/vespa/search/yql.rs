//! YQL as a tree. Names of fields, parameters and functions are not looked up here.

use super::{QueryError, not_modelled, refused};

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Yql {
    /// Fields of the hits; all when empty.
    pub(super) fields: Vec<String>,
    /// Where to search; everywhere when empty.
    pub(super) sources: Vec<String>,
    pub(super) condition: Expression,
    /// A field, and whether it descends.
    pub(super) order: Option<(String, bool)>,
    /// Position behind the last hit, counted from the start and not from the offset.
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

/// Something that is true of a document or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Constant(bool),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    /// A field, one of `contains`, `in`, `=`, `<`, `>`, `<=`, `>=`, and what it is compared with.
    Compare(String, String, Vec<Term>),
    Call(String, Vec<Argument>, Annotations),
}

/// What a function is called with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    Term(Term),
    Name(String),
    Expression(Expression),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Text(String),
    Number(f64),
    Bool(bool),
    /// A parameter of the request.
    Parameter(String),
}

/// Names and values in braces before a function.
pub(super) type Annotations = Vec<(String, Term)>;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 14] = ["<=", ">=", "!=", "(", ")", "{", "}", ",", ":", ";", "=", "<", ">", "*"];

/// Those that are modelled.
const FUNCTIONS: [&str; 4] = ["userInput", "userQuery", "nearestNeighbor", "rank"];

pub(super) fn parse(text: &str) -> Result<Yql, QueryError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0 };
    parser.query()
}

fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '@');
        let (token, length) = match first {
            '"' | '\'' => quoted(rest, first)?,
            '0'..='9' | '-' => {
                let length = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |at| at + 1);
                match rest[..length].parse() {
                    Ok(number) => (Token::Number(number), length),
                    Err(_) => return refused(format!("'{}' is no number", &rest[..length])),
                }
            }
            'a'..='z' | 'A'..='Z' | '_' | '@' => {
                let length = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            '!' if !rest.starts_with("!=") => (Token::Sign("!"), 1),
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return refused(format!("query contains unexpected '{first}'")),
            },
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn quoted(text: &str, quote: char) -> Result<(Token, usize), QueryError> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 'f')) => value.push('\u{c}'),
                Some((_, 'b')) => value.push('\u{8}'),
                Some((at, 'u')) => {
                    let code = text.get(at + 1..at + 5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    let Some(letter) = code.and_then(char::from_u32) else {
                        return not_modelled("an escape of a surrogate");
                    };
                    value.push(letter);
                    letters.nth(3);
                }
                Some((_, escaped @ ('\\' | '"' | '\'' | '/'))) => value.push(escaped),
                _ => return refused("illegal escape sequence in a string"),
            },
            _ if letter == quote => return Ok((Token::Text(value), at + letter.len_utf8())),
            _ => value.push(letter),
        }
    }
    refused("a string that does not end")
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn unexpected<T>(&self) -> Result<T, QueryError> {
        match self.peek() {
            Some(token) => refused(format!("query contains unexpected {token:?}")),
            None => refused("query ends too early"),
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), QueryError> {
        if self.takes(sign) { Ok(()) } else { self.unexpected() }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), QueryError> {
        if self.takes_word(word) { Ok(()) } else { self.unexpected() }
    }

    fn name(&mut self) -> Result<String, QueryError> {
        match self.peek() {
            Some(Token::Word(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => self.unexpected(),
        }
    }

    /// Names with commas between them; none for a star.
    fn names(&mut self) -> Result<Vec<String>, QueryError> {
        if self.takes("*") {
            return Ok(Vec::new());
        }
        let mut names = vec![self.name()?];
        while self.takes(",") {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn query(&mut self) -> Result<Yql, QueryError> {
        self.expect_word("select")?;
        let fields = self.names()?;
        self.expect_word("from")?;
        let sources = if self.takes_word("sources") { self.names()? } else { vec![self.name()?] };
        self.expect_word("where")?;
        let condition = self.or()?;
        let order = if self.takes_word("order") {
            self.expect_word("by")?;
            let field = self.name()?;
            let descending = self.takes_word("desc");
            if !descending {
                self.takes_word("asc");
            }
            Some((field, descending))
        } else {
            None
        };
        if self.takes(",") {
            return not_modelled("an order by several fields");
        }
        let limit = if self.takes_word("limit") { Some(self.count()?) } else { None };
        let offset = if self.takes_word("offset") { Some(self.count()?) } else { None };
        if self.takes_word("timeout") {
            self.count()?;
        }
        self.takes(";");
        if self.peek().is_some() {
            return self.unexpected();
        }
        Ok(Yql { fields, sources, condition, order, limit, offset })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small whole number")]
    fn count(&mut self) -> Result<usize, QueryError> {
        match self.peek() {
            Some(Token::Number(number)) if *number >= 0.0 && number.fract() == 0.0 && *number < 1e9 => {
                self.at += 1;
                Ok(*number as usize)
            }
            _ => self.unexpected(),
        }
    }

    fn or(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.and()?];
        while self.takes_word("or") {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn and(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.part()?];
        while self.takes_word("and") {
            parts.push(self.part()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) })
    }

    fn part(&mut self) -> Result<Expression, QueryError> {
        if self.takes("!") {
            return Ok(Expression::Not(Box::new(self.part()?)));
        }
        if self.takes("{") {
            let annotations = self.annotations()?;
            let name = self.name()?;
            return self.call(name, annotations);
        }
        if self.takes("(") {
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        match name.to_ascii_lowercase().as_str() {
            "true" => return Ok(Expression::Constant(true)),
            "false" => return Ok(Expression::Constant(false)),
            _ => {}
        }
        if matches!(self.peek(), Some(Token::Sign("("))) {
            return self.call(name, Vec::new());
        }
        let (operator, terms) = if self.takes_word("contains") {
            if matches!(self.peek(), Some(Token::Sign("(" | "{")))
                || matches!(self.peek(), Some(Token::Word(word)) if !word.starts_with('@'))
            {
                return not_modelled("'contains' with anything but a string");
            }
            ("contains", vec![self.term()?])
        } else if self.takes_word("in") {
            ("in", self.list()?)
        } else if self.takes_word("matches") {
            return not_modelled("'matches'");
        } else {
            let Some(sign) = ["<=", ">=", "=", "<", ">"].into_iter().find(|sign| self.takes(sign)) else {
                return self.unexpected();
            };
            (sign, vec![self.term()?])
        };
        Ok(Expression::Compare(name, operator.to_owned(), terms))
    }

    /// `(1, 2)` or a parameter with such a list.
    fn list(&mut self) -> Result<Vec<Term>, QueryError> {
        if !self.takes("(") {
            return Ok(vec![self.term()?]);
        }
        let mut terms = vec![self.term()?];
        while self.takes(",") {
            terms.push(self.term()?);
        }
        self.expect(")")?;
        Ok(terms)
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let term = match self.peek() {
            Some(Token::Text(text)) => Term::Text(text.clone()),
            Some(Token::Number(number)) => Term::Number(*number),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Term::Bool(true),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Term::Bool(false),
            Some(Token::Word(word)) => match word.strip_prefix('@') {
                Some(name) => Term::Parameter(name.to_owned()),
                None => return self.unexpected(),
            },
            _ => return self.unexpected(),
        };
        self.at += 1;
        Ok(term)
    }

    fn annotations(&mut self) -> Result<Annotations, QueryError> {
        let mut annotations = Vec::new();
        while !self.takes("}") {
            let name = match self.peek() {
                Some(Token::Text(name) | Token::Word(name)) => name.clone(),
                _ => return self.unexpected(),
            };
            self.at += 1;
            self.expect(":")?;
            annotations.push((name, self.term()?));
            self.takes(",");
        }
        Ok(annotations)
    }

    fn call(&mut self, name: String, annotations: Annotations) -> Result<Expression, QueryError> {
        if !FUNCTIONS.contains(&name.as_str()) {
            return not_modelled(format!("the function '{name}'"));
        }
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.takes(")") {
            let is_name = matches!(
                (self.peek(), self.tokens.get(self.at + 1)),
                (Some(Token::Word(word)), Some(Token::Sign("," | ")"))) if !word.starts_with('@')
            );
            arguments.push(if name == "rank" {
                Argument::Expression(self.or()?)
            } else if is_name {
                Argument::Name(self.name()?)
            } else {
                Argument::Term(self.term()?)
            });
            self.takes(",");
        }
        Ok(Expression::Call(name, arguments, annotations))
    }
}
