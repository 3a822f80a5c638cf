//! The values a JSON text can hold, in Python's terms.

use std::collections::{HashMap, HashSet};

use super::PyString;

/// A JSON value as `json.loads` builds it.
///
/// Equality is structural; as in Python, a NaN equals nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    Null,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of any size.
    Int(Int),
    /// A float: NaN and the infinities included.
    Float(f64),
    /// A string.
    String(PyString),
    /// A list.
    Array(Vec<Value>),
    /// A dict with string keys.
    Object(Object),
}

impl Value {
    /// Whether it is `None`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(Int::Small(value)) => Some(*value),
            _ => None,
        }
    }

    /// The string, if it is one without lone surrogates.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_py_str().and_then(PyString::as_str)
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_py_str(&self) -> Option<&PyString> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The value under `key`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object().and_then(|object| object.get(key))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

/// An integer of any size. Canonical: what fits an `i64` is always `Small`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Int {
    /// One that fits.
    Small(i64),
    /// One that does not: its decimal digits, without leading zeros, after a minus sign if negative.
    Big(Box<str>),
}

impl Int {
    /// Reads a JSON integer (`-?(0|[1-9][0-9]*)`, which the caller has checked).
    pub(super) fn from_json(digits: &str) -> Self {
        match digits.parse() {
            Ok(value) => Self::Small(value),
            Err(_) => Self::Big(digits.into()),
        }
    }

    /// The nearest float; infinite when there is none, where Python would raise `OverflowError`.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "rounding to nearest is what Python's float() does")]
            Self::Small(value) => *value as f64,
            Self::Big(digits) => digits.parse().unwrap_or(f64::NAN),
        }
    }
}

/// A dict with string keys, in insertion order, each key once.
#[derive(Debug, Clone, Default)]
pub struct Object {
    entries: Vec<(PyString, Value)>,
}

/// How many entries are compared pairwise when looking for duplicate keys; beyond that a hash set is cheaper.
const PAIRWISE_LIMIT: usize = 48;

impl Object {
    /// From entries in order of appearance. When a key repeats, the last value wins and keeps the place of the first,
    /// as in a Python dict.
    #[must_use]
    pub fn from_entries(entries: Vec<(PyString, Value)>) -> Self {
        if has_duplicates(&entries) { Self { entries: merge_duplicates(entries) } } else { Self { entries } }
    }

    /// The value under `key`. Compares the keys one by one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (PyString, Value)> {
        self.entries.iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Equal when the same keys have equal values, in any order, as Python compares dicts.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.iter().zip(other).all(|((one, _), (two, _))| one == two) {
            return self.iter().zip(other).all(|((_, one), (_, two))| one == two);
        }
        let values: HashMap<_, _> = other.iter().map(|(key, value)| (key, value)).collect();
        self.iter().all(|(key, value)| values.get(key).is_some_and(|found| *found == value))
    }
}

impl IntoIterator for Object {
    type Item = (PyString, Value);
    type IntoIter = std::vec::IntoIter<(PyString, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (PyString, Value);
    type IntoIter = std::slice::Iter<'a, (PyString, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn has_duplicates(entries: &[(PyString, Value)]) -> bool {
    if entries.len() <= PAIRWISE_LIMIT {
        return entries.iter().enumerate().any(|(at, (key, _))| entries[..at].iter().any(|(other, _)| other == key));
    }
    let mut seen = HashSet::with_capacity(entries.len());
    !entries.iter().all(|(key, _)| seen.insert(key))
}

fn merge_duplicates(entries: Vec<(PyString, Value)>) -> Vec<(PyString, Value)> {
    let mut places = HashMap::with_capacity(entries.len());
    let mut merged: Vec<(PyString, Value)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match places.get(&key) {
            Some(place) => merged[*place] = (key, value),
            None => {
                places.insert(key.clone(), merged.len());
                merged.push((key, value));
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: i64) -> Vec<(PyString, Value)> {
        (0..count).map(|n| (PyString::from(n.to_string()), Value::Int(Int::Small(n)))).collect()
    }

    #[test]
    fn the_last_duplicate_wins_in_the_place_of_the_first() {
        for count in [3, 200] {
            let mut entries = numbered(count);
            entries.push(("1".into(), Value::Null));
            let object = Object::from_entries(entries);
            assert_eq!(object.len(), usize::try_from(count).unwrap());
            assert_eq!(object.iter().nth(1), Some(&("1".into(), Value::Null)));
        }
    }

    #[test]
    fn objects_compare_without_order() {
        let mut reversed = numbered(5);
        reversed.reverse();
        assert_eq!(Object::from_entries(numbered(5)), Object::from_entries(reversed));
        assert_ne!(Object::from_entries(numbered(5)), Object::from_entries(numbered(4)));
        let mut changed = numbered(5);
        changed[0].1 = Value::Null;
        assert_ne!(Object::from_entries(numbered(5)), Object::from_entries(changed));
    }

    #[test]
    fn accessors_answer_for_their_kind_only() {
        let object = Value::Object(Object::from_entries(vec![
            ("text".into(), "a".into()),
            ("list".into(), Value::Array(vec![Value::Bool(true), Value::Int(Int::Small(7)), Value::Null])),
        ]));
        assert_eq!(object.get("text").and_then(Value::as_str), Some("a"));
        assert_eq!(object.get("absent"), None);
        let list = object.get("list").and_then(Value::as_array).unwrap();
        assert_eq!((list[0].as_bool(), list[1].as_i64(), list[2].is_null()), (Some(true), Some(7), true));
        assert_eq!((list[1].as_bool(), list[0].as_i64(), list[0].as_str()), (None, None, None));
        assert!(list[0].as_object().is_none() && list[0].as_array().is_none() && list[0].get("x").is_none());
    }

    #[test]
    fn integers_are_canonical() {
        assert_eq!(Int::from_json("-0"), Int::Small(0));
        assert_eq!(Int::from_json("-9223372036854775808"), Int::Small(i64::MIN));
        assert_eq!(Int::from_json("9223372036854775808"), Int::Big("9223372036854775808".into()));
        assert_eq!(Int::from_json("9223372036854775808").to_f64(), 9_223_372_036_854_775_808.0);
        assert_eq!(Int::Small(3).to_f64(), 3.0);
    }
}
