//! Conditions with their parameters filled in, checked against the document types that are searched.

use super::parameters::QueryParameters;
use super::yql::{Annotations, Argument, Expression, Term};
use super::{QueryError, not_modelled, refused};
use crate::vespa::schema::{DocumentType, FieldType, Indexing};

/// What a document has to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Constant(bool),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// One of these strings is a value of the field or, in an indexed one, its words in this order.
    Strings(String, Vec<String>),
    Numbers(String, Comparison, Vec<f64>),
    Bool(String, bool),
    /// Any word of the text is in the default fields.
    Words(String),
    /// Among the nearest so many to the tensor of this name.
    Nearest {
        field: String,
        input: String,
        hits: usize,
    },
    /// The first decides; the others only take part in ranking.
    Rank(Box<Condition>, Vec<Condition>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Fills parameters in.
pub(super) fn resolve(expression: &Expression, parameters: &QueryParameters) -> Result<Condition, QueryError> {
    let all = |parts: &[Expression]| parts.iter().map(|part| resolve(part, parameters)).collect::<Result<Vec<_>, _>>();
    Ok(match expression {
        Expression::Constant(value) => Condition::Constant(*value),
        Expression::And(parts) => Condition::And(all(parts)?),
        Expression::Or(parts) => Condition::Or(all(parts)?),
        Expression::Not(inner) => Condition::Not(Box::new(resolve(inner, parameters)?)),
        Expression::Compare(field, operator, terms) => compare(field, operator, terms, parameters)?,
        Expression::Call(name, arguments, annotations) => call(name, arguments, annotations, parameters)?,
    })
}

fn compare(field: &str, operator: &str, terms: &[Term], parameters: &QueryParameters) -> Result<Condition, QueryError> {
    let field = field.to_owned();
    let comparison = match operator {
        "contains" | "in" | "=" => Comparison::Equal,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    };
    let mut values = Vec::new();
    for term in terms {
        match term {
            Term::Parameter(name) if operator == "in" => {
                let list = parameters.text(name)?;
                values.extend(list.split(',').map(|text| match text.trim().parse() {
                    Ok(number) => Term::Number(number),
                    Err(_) => Term::Text(text.trim().trim_matches(['"', '\'']).to_owned()),
                }));
            }
            Term::Parameter(name) => values.push(Term::Text(parameters.text(name)?.to_owned())),
            other => values.push(other.clone()),
        }
    }
    let numbers: Option<Vec<f64>> =
        values.iter().map(|value| if let Term::Number(n) = value { Some(*n) } else { None }).collect();
    let strings: Option<Vec<String>> =
        values.iter().map(|value| if let Term::Text(text) = value { Some(text.clone()) } else { None }).collect();
    match (operator, values.as_slice(), strings, numbers) {
        ("contains" | "in", _, Some(strings), _) => Ok(Condition::Strings(field, strings)),
        ("contains", ..) => refused(format!("'contains' needs a string for the field '{field}'")),
        ("=", [Term::Bool(value)], ..) => Ok(Condition::Bool(field, *value)),
        (_, _, _, Some(numbers)) => Ok(Condition::Numbers(field, comparison, numbers)),
        ("=" | "<" | "<=" | ">" | ">=", [Term::Text(text)], ..) => {
            refused(format!("Expected a number for the field '{field}' but got \"{text}\"; strings need 'contains'"))
        }
        _ => refused(format!("The values of the field '{field}' are of different types")),
    }
}

fn call(
    name: &str,
    arguments: &[Argument],
    annotations: &Annotations,
    parameters: &QueryParameters,
) -> Result<Condition, QueryError> {
    if let Some((unknown, _)) = annotations.iter().find(|(name, _)| {
        !matches!(name.as_str(), "targetHits" | "label" | "approximate" | "grammar" | "totalTargetHits")
    }) {
        return not_modelled(format!("the annotation '{unknown}'"));
    }
    match (name, arguments) {
        ("userInput", [Argument::Term(Term::Text(text))]) => Ok(Condition::Words(text.clone())),
        ("userInput", [Argument::Term(Term::Parameter(name))]) => {
            Ok(Condition::Words(parameters.text(name)?.to_owned()))
        }
        ("userQuery", []) => Ok(Condition::Words(parameters.text("query")?.to_owned())),
        ("nearestNeighbor", [Argument::Name(field), Argument::Name(input)]) => {
            let hits = annotations.iter().find(|(name, _)| matches!(name.as_str(), "targetHits" | "totalTargetHits"));
            let Some((_, Term::Number(hits))) = hits else {
                return refused("nearestNeighbor needs the annotation targetHits");
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of hits")]
            let hits = hits.max(0.0) as usize;
            Ok(Condition::Nearest { field: field.clone(), input: input.clone(), hits })
        }
        ("rank", [Argument::Expression(first), others @ ..]) => {
            let others = others.iter().filter_map(|argument| match argument {
                Argument::Expression(expression) => Some(resolve(expression, parameters)),
                _ => None,
            });
            Ok(Condition::Rank(Box::new(resolve(first, parameters)?), others.collect::<Result<_, _>>()?))
        }
        _ => refused(format!("the arguments of '{name}' do not fit")),
    }
}

impl Condition {
    /// Refuses fields that a type does not have, or that are not of the right type or not searchable.
    pub(super) fn check(&self, document_type: &DocumentType) -> Result<(), QueryError> {
        let field = |name: &String| match document_type.fields.get(name) {
            None => refused(format!("Field '{name}' does not exist.")),
            Some(field) if field.indexing == Indexing::SummaryOnly => {
                refused(format!("Field '{name}' is neither an attribute nor an index"))
            }
            Some(field) => Ok(&field.field_type),
        };
        match self {
            Self::Constant(_) | Self::Words(_) => Ok(()),
            Self::And(parts) | Self::Or(parts) => parts.iter().try_for_each(|part| part.check(document_type)),
            Self::Not(inner) => inner.check(document_type),
            Self::Rank(first, others) => {
                first.check(document_type)?;
                others.iter().try_for_each(|part| part.check(document_type))
            }
            Self::Strings(name, _) => match field(name)? {
                FieldType::String => Ok(()),
                FieldType::Array(inner) if **inner == FieldType::String => Ok(()),
                _ => not_modelled(format!("strings in the field '{name}'")),
            },
            Self::Numbers(name, ..) => match field(name)? {
                FieldType::Int | FieldType::Long | FieldType::Float | FieldType::Double => Ok(()),
                FieldType::String => {
                    refused(format!("Field '{name}' is a string and cannot be compared with a number"))
                }
                _ => not_modelled(format!("numbers in the field '{name}'")),
            },
            Self::Bool(name, _) => match field(name)? {
                FieldType::Bool => Ok(()),
                _ => refused(format!("Field '{name}' is not a bool")),
            },
            Self::Nearest { field: name, .. } => match field(name)? {
                FieldType::Tensor(tensor) if tensor.mapped.is_none() => Ok(()),
                _ => refused(format!("Field '{name}' has no tensor that distances are defined for")),
            },
        }
    }

    /// Every text whose words count for ranking.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Words(text) => vec![text],
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::texts).collect(),
            Self::Rank(first, others) => first.texts().into_iter().chain(others.iter().flat_map(Self::texts)).collect(),
            _ => Vec::new(),
        }
    }

    /// The first search for neighbours: its field and its input.
    pub(super) fn nearest(&self) -> Option<(&str, &str)> {
        match self {
            Self::Nearest { field, input, .. } => Some((field, input)),
            Self::And(parts) | Self::Or(parts) => parts.iter().find_map(Self::nearest),
            Self::Rank(first, others) => first.nearest().or_else(|| others.iter().find_map(Self::nearest)),
            _ => None,
        }
    }
}
