//! Whether a tree holds for a document: yes, no, or neither.

use std::cmp::Ordering;

use super::{IdPart, Node, Operand, Operator, SelectionError};
use crate::vespa::document_id::Location;
use crate::vespa::store::Entry;
use crate::vespa::value::FieldValue;

type Verdict = Result<Option<bool>, SelectionError>;

/// `None` is Vespa's *invalid*: no match, and its negation neither.
pub(super) fn evaluate(node: &Node, entry: &Entry) -> Verdict {
    Ok(match node {
        Node::Constant(value) => Some(*value),
        Node::Not(inner) => evaluate(inner, entry)?.map(|value| !value),
        Node::And(left, right) => match (evaluate(left, entry)?, evaluate(right, entry)?) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Node::Or(left, right) => match (evaluate(left, entry)?, evaluate(right, entry)?) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Node::IsType(document_type) => Some(entry.id.document_type == *document_type),
        Node::IsSet { document_type, field } => {
            (entry.id.document_type == *document_type).then(|| value_of(entry, field).is_some())
        }
        Node::Compare(left, operator, right) => return compare(left, *operator, right, entry),
    })
}

enum Side<'a> {
    Text(&'a str),
    Owned(String),
    Number(f64),
    Bool(bool),
    Missing,
    Many(&'a [FieldValue]),
}

impl Side<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Owned(text) => Some(text),
            _ => None,
        }
    }
}

fn compare(left: &Operand, operator: Operator, right: &Operand, entry: &Entry) -> Verdict {
    let (Some(left), Some(right)) = (side(left, entry)?, side(right, entry)?) else { return Ok(None) };
    match (&left, &right) {
        (Side::Missing, _) | (_, Side::Missing) => {
            let both = matches!((&left, &right), (Side::Missing, Side::Missing));
            Ok(match operator {
                Operator::Equal => Some(both),
                Operator::NotEqual => Some(!both),
                _ => None,
            })
        }
        (Side::Many(values), other) | (other, Side::Many(values)) => contains(values, operator, other),
        _ => Ok(decide(&left, operator, &right)),
    }
}

fn contains(values: &[FieldValue], operator: Operator, wanted: &Side<'_>) -> Verdict {
    if operator != Operator::Equal {
        return Err(SelectionError::NotModelled("a comparison of an array other than ==".into()));
    }
    let found = values.iter().any(|value| match value {
        FieldValue::String(text) => wanted.text() == Some(text),
        value => matches!(wanted, Side::Number(number) if value.as_number() == Some(*number)),
    });
    Ok(Some(found))
}

fn decide(left: &Side<'_>, operator: Operator, right: &Side<'_>) -> Option<bool> {
    if operator == Operator::Glob
        && let (Some(text), Some(pattern)) = (left.text(), right.text())
    {
        return Some(glob(pattern, text));
    }
    let order = match (left, right) {
        (Side::Number(left), Side::Number(right)) => left.partial_cmp(right)?,
        (Side::Bool(left), Side::Bool(right)) => left.cmp(right),
        _ => left.text()?.cmp(right.text()?),
    };
    Some(match operator {
        Operator::Equal | Operator::Glob => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::GreaterOrEqual => order != Ordering::Less,
    })
}

/// The value of one side; none when the document is of another type or its id has no such part.
fn side<'a>(operand: &'a Operand, entry: &'a Entry) -> Result<Option<Side<'a>>, SelectionError> {
    Ok(match operand {
        Operand::String(text) => Some(Side::Text(text)),
        Operand::Number(number) => Some(Side::Number(*number)),
        Operand::Bool(value) => Some(Side::Bool(*value)),
        Operand::Null => Some(Side::Missing),
        Operand::Id(part) => id_part(*part, entry),
        Operand::Field { document_type, .. } if entry.id.document_type != *document_type => None,
        Operand::Field { field, .. } => Some(match value_of(entry, field) {
            None => Side::Missing,
            Some(FieldValue::String(text)) => Side::Text(text),
            Some(FieldValue::Bool(value)) => Side::Bool(*value),
            Some(FieldValue::Array(values)) => Side::Many(values),
            Some(value) => match value.as_number() {
                Some(number) => Side::Number(number),
                None => return Err(SelectionError::NotModelled(format!("a comparison of the field '{field}'"))),
            },
        }),
    })
}

#[expect(clippy::cast_precision_loss, reason = "the numbers of the tests' ids are small")]
fn id_part(part: IdPart, entry: &Entry) -> Option<Side<'_>> {
    let id = &entry.id;
    Some(match (part, &id.location) {
        (IdPart::Whole, _) => Side::Owned(id.to_string()),
        (IdPart::Namespace, _) => Side::Text(&id.namespace),
        (IdPart::Type, _) => Side::Text(&id.document_type),
        (IdPart::Specific, _) => Side::Text(&id.user),
        (IdPart::User, Some(Location::Number(number))) => Side::Number(*number as f64),
        (IdPart::Group, Some(Location::Group(group))) => Side::Text(group),
        (IdPart::User | IdPart::Group, _) => return None,
    })
}

fn value_of<'a>(entry: &'a Entry, field: &str) -> Option<&'a FieldValue> {
    entry.fields.as_ref()?.get(field)
}

/// `*` is any text, `?` any one letter.
fn glob(pattern: &str, text: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => text.is_empty(),
        Some('*') => {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(letters.as_str(), &text[at..]))
        }
        Some(wanted) => {
            let mut rest = text.chars();
            rest.next().is_some_and(|letter| wanted == '?' || wanted == letter) && glob(letters.as_str(), rest.as_str())
        }
    }
}
