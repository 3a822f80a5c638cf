//! One suite for every backend, then what only one of them can do wrong.

mod faults;
mod local;
mod s3_wire;
mod stores;
mod suite;
