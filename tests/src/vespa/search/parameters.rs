//! Parameters of a query, from the URL or a JSON body.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::yql::Yql;
use super::{QueryError, not_modelled, refused};

/// Parameters that change nothing here.
const WITHOUT_EFFECT: [&str; 12] = [
    "timeout",
    "type",
    "language",
    "model.language",
    "model.type",
    "model.locale",
    "presentation.timing",
    "ranking.softtimeout.enable",
    "ranking.softtimeout.factor",
    "softtimeout",
    "format",
    "presentation.format",
];

/// The parameters of one query.
#[derive(Debug)]
pub(super) struct QueryParameters {
    pub(super) yql: String,
    pub(super) profile: String,
    values: BTreeMap<String, String>,
    inputs: BTreeMap<String, Input>,
}

/// A tensor of the query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Input {
    Dense(Vec<f32>),
    Sparse(BTreeMap<String, f32>),
}

impl QueryParameters {
    pub(super) fn from_query(query: &BTreeMap<String, String>) -> Result<Self, QueryError> {
        let values = query.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        Self::new(values.collect())
    }

    pub(super) fn from_body(query: &BTreeMap<String, String>, body: &[u8]) -> Result<Self, QueryError> {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
            return refused("the body is not a JSON object");
        };
        let mut values = BTreeMap::new();
        for (name, value) in object {
            flatten(&name, value, &mut values);
        }
        // Parameters of the URL are ignored beside a body.
        if !query.is_empty() {
            return not_modelled("parameters in the URL beside a body");
        }
        Self::new(values)
    }

    fn new(mut given: BTreeMap<String, Value>) -> Result<Self, QueryError> {
        let mut take = |names: &[&str]| names.iter().find_map(|name| given.remove(*name));
        let Some(Value::String(yql)) = take(&["yql"]) else { return not_modelled("a query without yql") };
        let profile = match take(&["ranking.profile", "ranking"]) {
            None => "default".to_owned(),
            Some(Value::String(name)) => name,
            Some(_) => return refused("'ranking' must be the name of a rank profile"),
        };
        let (mut values, mut inputs) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in given {
            let input = ["input.query(", "ranking.features.query("].iter().find_map(|prefix| name.strip_prefix(prefix));
            match input.and_then(|input| input.strip_suffix(')')) {
                Some(input) => {
                    inputs.insert(input.to_owned(), tensor(input, &value)?);
                }
                None => {
                    let text = if let Value::String(text) = value { text } else { value.to_string() };
                    values.insert(name, text);
                }
            }
        }
        Ok(Self { yql, profile, values, inputs })
    }

    /// A parameter that the query refers to.
    pub(super) fn text(&self, name: &str) -> Result<&str, QueryError> {
        match self.values.get(name) {
            Some(text) => Ok(text),
            None => refused(format!("Trying to resolve parameter '{name}' which is not in the request")),
        }
    }

    /// A tensor of the query.
    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }

    /// Names of all tensors of the query.
    pub(super) fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(String::as_str)
    }

    /// Refuses parameters that nothing here knows and the query does not refer to.
    pub(super) fn check_names(&self, yql: &str) -> Result<(), QueryError> {
        let known: BTreeSet<&str> = WITHOUT_EFFECT.into_iter().chain(["hits", "offset", "query"]).collect();
        match self.values.keys().find(|name| !known.contains(name.as_str()) && !yql.contains(&format!("@{name}"))) {
            Some(name) => not_modelled(format!("the parameter '{name}'")),
            None => Ok(()),
        }
    }

    /// Which hits are given: those of the query's `limit` and `offset`, or of the parameters.
    pub(super) fn window(&self, query: &Yql, largest: usize) -> Result<Range<usize>, QueryError> {
        let number = |name: &str| match self.values.get(name).map(|text| text.parse::<usize>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => refused(format!("Could not set '{name}': not a whole number")),
        };
        let (hits, offset) = match query.limit {
            // The position behind the last hit: a limit of 31 with an offset of 29 gives two hits.
            Some(limit) => {
                let offset = query.offset.unwrap_or(0);
                (limit.saturating_sub(offset), offset)
            }
            None => (number("hits")?.unwrap_or(10), query.offset.or(number("offset")?).unwrap_or(0)),
        };
        if hits > largest {
            return refused(format!("{hits} hits requested, configured limit: {largest}."));
        }
        if offset > largest {
            return refused(format!("Offset of {offset} requested, configured limit: {largest}."));
        }
        Ok(offset..offset + hits)
    }
}

/// `{"ranking": {"profile": "x"}}` is `ranking.profile=x`; tensors are not taken apart.
fn flatten(name: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(inner) if !name.contains('(') => {
            for (key, value) in inner {
                flatten(&format!("{name}.{key}"), value, into);
            }
        }
        other => {
            into.insert(name.to_owned(), other);
        }
    }
}

/// `[0.5, 1]`, `{"17": 0.5}`, or one of them as `values` or `cells` or as a text.
#[expect(clippy::cast_possible_truncation, reason = "tensors of a query are floats")]
fn tensor(name: &str, value: &Value) -> Result<Input, QueryError> {
    let parsed = match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    };
    let parsed = match &parsed {
        Value::Object(form) if form.len() == 1 => form.get("values").or(form.get("cells")).unwrap_or(&parsed),
        other => other,
    };
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    let read = match parsed {
        Value::Array(values) => values.iter().map(number).collect::<Option<_>>().map(Input::Dense),
        Value::Object(cells) => {
            let cell = |(label, value): (&String, &Value)| Some((label.clone(), number(value)?));
            cells.iter().map(cell).collect::<Option<_>>().map(Input::Sparse)
        }
        _ => None,
    };
    match read {
        Some(input) => Ok(input),
        None => not_modelled(format!("the form in which query({name}) is given")),
    }
}
