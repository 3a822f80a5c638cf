//! Filters over payloads: match of keywords, integers and booleans, ranges of numbers, ids; `must`, `should`, `must_not`.
//!
//! A filter is compiled before anything is looked at, so that what is not modelled is refused whole.

use std::collections::{HashMap, HashSet};

use ::qdrant_client::qdrant::condition::ConditionOneOf;
use ::qdrant_client::qdrant::r#match::MatchValue;
use ::qdrant_client::qdrant::value::Kind;
use ::qdrant_client::qdrant::{Condition, FieldCondition, Filter, PayloadSchemaType, Range, Struct, Value};
use tonic::Status;

use super::not_modelled;
use super::store::{PointKey, keys};

/// A filter that was understood.
#[derive(Debug, Clone, Default)]
pub(super) struct Predicate {
    must: Vec<Test>,
    should: Vec<Test>,
    must_not: Vec<Test>,
}

#[derive(Debug, Clone)]
enum Test {
    Field { key: String, check: Check },
    Id(HashSet<PointKey>),
    Filter(Predicate),
}

#[derive(Debug, Clone)]
enum Check {
    Keyword(HashSet<String>),
    Integer(HashSet<i64>),
    Boolean(bool),
    Range(Range),
}

impl Predicate {
    /// Understands a filter, or says what it does not model.
    pub(super) fn compile(filter: Filter) -> Result<Self, Status> {
        if filter.min_should.is_some() {
            return Err(not_modelled("min_should"));
        }
        let tests = |conditions: Vec<Condition>| conditions.into_iter().map(test).collect::<Result<_, Status>>();
        Ok(Self { must: tests(filter.must)?, should: tests(filter.should)?, must_not: tests(filter.must_not)? })
    }

    /// Whether a point fits.
    pub(super) fn matches(&self, key: PointKey, payload: &HashMap<String, Value>) -> bool {
        self.must.iter().all(|test| test.holds(key, payload))
            && !self.must_not.iter().any(|test| test.holds(key, payload))
            && (self.should.is_empty() || self.should.iter().any(|test| test.holds(key, payload)))
    }

    /// Payload fields it looks at, each with the types of index that serve it.
    pub(super) fn fields(&self) -> Vec<(&str, &'static [PayloadSchemaType])> {
        let mut fields = Vec::new();
        for test in self.must.iter().chain(&self.should).chain(&self.must_not) {
            match test {
                Test::Field { key, check } => fields.push((key.as_str(), check.index_types())),
                Test::Filter(inner) => fields.extend(inner.fields()),
                Test::Id(_) => {}
            }
        }
        fields
    }
}

fn test(condition: Condition) -> Result<Test, Status> {
    match condition.condition_one_of {
        Some(ConditionOneOf::Field(field)) => field_test(field),
        Some(ConditionOneOf::HasId(ids)) => Ok(Test::Id(keys(ids.has_id)?.into_iter().collect())),
        Some(ConditionOneOf::Filter(filter)) => Ok(Test::Filter(Predicate::compile(filter)?)),
        Some(ConditionOneOf::IsEmpty(_)) => Err(not_modelled("the condition is_empty")),
        Some(ConditionOneOf::IsNull(_)) => Err(not_modelled("the condition is_null")),
        Some(ConditionOneOf::Nested(_)) => Err(not_modelled("nested conditions")),
        Some(ConditionOneOf::HasVector(_)) => Err(not_modelled("the condition has_vector")),
        Some(ConditionOneOf::Slice(_)) => Err(not_modelled("the condition slice")),
        None => Err(Status::invalid_argument("Malformed Condition type")),
    }
}

fn field_test(field: FieldCondition) -> Result<Test, Status> {
    let FieldCondition {
        key,
        r#match,
        range,
        geo_bounding_box: None,
        geo_radius: None,
        values_count: None,
        geo_polygon: None,
        datetime_range: None,
        is_empty: None,
        is_null: None,
    } = field
    else {
        return Err(not_modelled("conditions on fields other than match and range"));
    };
    if key.contains(['[', '"']) || key.split('.').any(str::is_empty) {
        return Err(not_modelled(format_args!("the path {key}")));
    }
    let check = match (r#match.and_then(|it| it.match_value), range) {
        (Some(value), None) => matched(value)?,
        (None, Some(range)) => Check::Range(range),
        _ => return Err(not_modelled(format_args!("none or several conditions in one on {key}"))),
    };
    Ok(Test::Field { key, check })
}

fn matched(value: MatchValue) -> Result<Check, Status> {
    Ok(match value {
        MatchValue::Keyword(keyword) => Check::Keyword(HashSet::from([keyword])),
        MatchValue::Keywords(keywords) => Check::Keyword(keywords.strings.into_iter().collect()),
        MatchValue::Integer(integer) => Check::Integer(HashSet::from([integer])),
        MatchValue::Integers(integers) => Check::Integer(integers.integers.into_iter().collect()),
        MatchValue::Boolean(boolean) => Check::Boolean(boolean),
        MatchValue::ExceptKeywords(_) | MatchValue::ExceptIntegers(_) => return Err(not_modelled("match except")),
        MatchValue::Text(_)
        | MatchValue::Phrase(_)
        | MatchValue::TextAny(_)
        | MatchValue::Prefix(_)
        | MatchValue::Substring(_) => return Err(not_modelled("match of text")),
    })
}

impl Test {
    fn holds(&self, key: PointKey, payload: &HashMap<String, Value>) -> bool {
        match self {
            Self::Id(ids) => ids.contains(&key),
            Self::Filter(predicate) => predicate.matches(key, payload),
            Self::Field { key, check } => at(payload, key).is_some_and(|value| check.holds(value)),
        }
    }
}

impl Check {
    fn holds(&self, value: &Value) -> bool {
        match (self, &value.kind) {
            // One fitting element of a list is enough.
            (_, Some(Kind::ListValue(list))) => list.values.iter().any(|value| self.holds(value)),
            (Self::Keyword(wanted), Some(Kind::StringValue(text))) => wanted.contains(text),
            (Self::Integer(wanted), Some(Kind::IntegerValue(integer))) => wanted.contains(integer),
            (Self::Boolean(wanted), Some(Kind::BoolValue(boolean))) => wanted == boolean,
            (Self::Range(range), Some(Kind::DoubleValue(double))) => within(range, *double),
            // Numbers are compared as f64, as the real server does.
            #[allow(clippy::cast_precision_loss)]
            (Self::Range(range), Some(Kind::IntegerValue(integer))) => within(range, *integer as f64),
            _ => false,
        }
    }

    fn index_types(&self) -> &'static [PayloadSchemaType] {
        match self {
            Self::Keyword(_) => &[PayloadSchemaType::Keyword],
            Self::Integer(_) => &[PayloadSchemaType::Integer],
            Self::Boolean(_) => &[PayloadSchemaType::Bool],
            Self::Range(_) => &[PayloadSchemaType::Float, PayloadSchemaType::Integer],
        }
    }
}

fn within(range: &Range, number: f64) -> bool {
    range.lt.is_none_or(|bound| number < bound)
        && range.lte.is_none_or(|bound| number <= bound)
        && range.gt.is_none_or(|bound| number > bound)
        && range.gte.is_none_or(|bound| number >= bound)
}

/// The value at a path such as `a.b`.
pub(super) fn at<'a>(payload: &'a HashMap<String, Value>, path: &str) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_once('.') else { return payload.get(path) };
    match &payload.get(first)?.kind {
        Some(Kind::StructValue(Struct { fields })) => at(fields, rest),
        _ => None,
    }
}
