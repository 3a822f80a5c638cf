//! Tokens as a tree; `not` binds stronger than `and`, `and` stronger than `or`.

use super::lexer::Token;
use super::{IdPart, Node, Operand, Operator, SelectionError};

pub(super) fn parse(tokens: &[Token]) -> Result<Node, SelectionError> {
    let mut parser = Parser { tokens, at: 0 };
    let node = parser.or()?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => Err(unexpected(Some(token))),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

fn unexpected(token: Option<&Token>) -> SelectionError {
    SelectionError::Malformed(match token {
        Some(token) => format!("unexpected {token:?}"),
        None => "unexpected end".into(),
    })
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Node, SelectionError> {
        let mut node = self.and()?;
        while self.takes_word("or") {
            node = Node::Or(Box::new(node), Box::new(self.and()?));
        }
        Ok(node)
    }

    fn and(&mut self) -> Result<Node, SelectionError> {
        let mut node = self.not()?;
        while self.takes_word("and") {
            node = Node::And(Box::new(node), Box::new(self.not()?));
        }
        Ok(node)
    }

    fn not(&mut self) -> Result<Node, SelectionError> {
        if self.takes_word("not") {
            return Ok(Node::Not(Box::new(self.not()?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let node = self.or()?;
            return match self.next() {
                Some(Token::Close) => Ok(node),
                other => Err(unexpected(other)),
            };
        }
        self.leaf()
    }

    /// A comparison, or something that is a test by itself.
    fn leaf(&mut self) -> Result<Node, SelectionError> {
        let left = self.operand()?;
        let Some(Token::Operator(operator)) = self.peek() else {
            return match left {
                Leaf::Type(document_type) => Ok(Node::IsType(document_type)),
                Leaf::Value(Operand::Bool(value)) => Ok(Node::Constant(value)),
                Leaf::Value(Operand::Field { document_type, field }) => Ok(Node::IsSet { document_type, field }),
                Leaf::Value(_) => Err(SelectionError::Malformed("a value that is compared with nothing".into())),
            };
        };
        self.at += 1;
        let operator = match *operator {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => Operator::Glob,
        };
        let right = self.operand()?;
        match (left, right) {
            (Leaf::Value(left), Leaf::Value(right)) => Ok(Node::Compare(left, operator, right)),
            (Leaf::Type(name), _) | (_, Leaf::Type(name)) => {
                let hint = "a field is written with its type before it, as in type.field";
                Err(SelectionError::Malformed(format!("the document type '{name}' cannot be compared; {hint}")))
            }
        }
    }

    fn operand(&mut self) -> Result<Leaf, SelectionError> {
        let word = match self.next() {
            Some(Token::Text(text)) => return Ok(Leaf::Value(Operand::String(text.clone()))),
            Some(Token::Number(number)) => return Ok(Leaf::Value(Operand::Number(*number))),
            Some(Token::Word(word)) => word,
            other => return Err(unexpected(other)),
        };
        match word.to_ascii_lowercase().as_str() {
            "true" => return Ok(Leaf::Value(Operand::Bool(true))),
            "false" => return Ok(Leaf::Value(Operand::Bool(false))),
            "null" => return Ok(Leaf::Value(Operand::Null)),
            "and" | "or" | "not" => return Err(unexpected(Some(&Token::Word(word.clone())))),
            _ => {}
        }
        let part = if self.peek() == Some(&Token::Dot) {
            self.at += 1;
            match self.next() {
                Some(Token::Word(part)) => Some(part.clone()),
                other => return Err(unexpected(other)),
            }
        } else {
            None
        };
        if matches!(self.peek(), Some(Token::Open | Token::Dot)) {
            return Err(SelectionError::NotModelled("a function or a path into a field".into()));
        }
        if word != "id" {
            return Ok(match part {
                None => Leaf::Type(word.clone()),
                Some(field) => Leaf::Value(Operand::Field { document_type: word.clone(), field }),
            });
        }
        Ok(Leaf::Value(Operand::Id(match part.as_deref() {
            None => IdPart::Whole,
            Some("namespace") => IdPart::Namespace,
            Some("type") => IdPart::Type,
            Some("specific") => IdPart::Specific,
            Some("user") => IdPart::User,
            Some("group") => IdPart::Group,
            Some(other) => return Err(SelectionError::NotModelled(format!("id.{other}"))),
        })))
    }
}

enum Leaf {
    Type(String),
    Value(Operand),
}
