//! The document selection language, as far as it is modelled: conditions of writes and selections of visits.
//!
//! Modelled are `true`, `false`, `and`, `or`, `not`, parentheses; a type as a test; `type.field` as a test; comparisons
//! with `== != < <= > >=` and the glob `=` between fields, ids (`id`, `id.namespace`, `.type`, `.specific`, `.user`,
//! `.group`), strings, numbers, booleans and `null`. Everything else of the language (regular expressions, arithmetic,
//! functions, field paths, variables) is refused with 400, so that no test passes by a guess.
//!
//! A comparison of a missing field is neither true nor false unless it is `==` or `!=`; nor is its negation. A type names
//! itself alone, not what inherits from it.

mod evaluate;
mod lexer;
mod parser;

use super::reply::Refusal;
use super::schema::Schemas;
use super::store::Entry;

/// A selection that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    root: Node,
}

/// Why a selection was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionError {
    /// Vespa refuses it too.
    Malformed(String),
    /// Vespa may take it.
    NotModelled(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Constant(bool),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsType(String),
    IsSet { document_type: String, field: String },
    Compare(Operand, Operator, Operand),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    String(String),
    Number(f64),
    Bool(bool),
    Null,
    Id(IdPart),
    Field { document_type: String, field: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdPart {
    Whole,
    Namespace,
    Type,
    Specific,
    User,
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Glob,
}

impl Selection {
    /// Reads a selection and checks that the types and fields it names exist.
    ///
    /// # Errors
    /// When it is no selection, or one that is not modelled.
    pub fn parse(text: &str, schemas: &Schemas) -> Result<Self, SelectionError> {
        let root = parser::parse(&lexer::tokens(text)?)?;
        check_names(&root, schemas)?;
        Ok(Self { root })
    }

    /// Whether the selection takes a document.
    ///
    /// # Errors
    /// When a comparison of these values is not modelled.
    pub fn matches(&self, entry: &Entry) -> Result<bool, SelectionError> {
        Ok(evaluate::evaluate(&self.root, entry)? == Some(true))
    }
}

impl SelectionError {
    /// As the answer to a visit.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Malformed(why) => Refusal::bad(format!("Failed parsing document selector: {why}")),
            Self::NotModelled(what) => Refusal::bad(format!("not supported by test server: {what} in a selection")),
        }
    }
}

fn check_names(node: &Node, schemas: &Schemas) -> Result<(), SelectionError> {
    let known = |document_type: &str, field: Option<&str>| {
        let Some(found) = schemas.get(document_type) else {
            return Err(SelectionError::Malformed(format!("Document type {document_type} not found")));
        };
        match field {
            Some(field) if !found.fields.contains_key(field) => {
                Err(SelectionError::Malformed(format!("Field '{field}' not found in document type {document_type}")))
            }
            _ => Ok(()),
        }
    };
    match node {
        Node::Constant(_) => Ok(()),
        Node::And(left, right) | Node::Or(left, right) => {
            check_names(left, schemas)?;
            check_names(right, schemas)
        }
        Node::Not(inner) => check_names(inner, schemas),
        Node::IsType(document_type) => known(document_type, None),
        Node::IsSet { document_type, field } => known(document_type, Some(field)),
        Node::Compare(left, _, right) => [left, right].into_iter().try_for_each(|operand| match operand {
            Operand::Field { document_type, field } => known(document_type, Some(field)),
            _ => Ok(()),
        }),
    }
}

#[cfg(test)]
mod tests;
