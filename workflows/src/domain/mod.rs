//! The words of the product as types: error kinds, roles, identifiers. No I/O, no clock, no randomness.

pub mod error_kind;

pub use error_kind::ErrorKind;
