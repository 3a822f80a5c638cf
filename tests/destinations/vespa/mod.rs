//! Vespa.

mod destination;
mod faults;
mod slots;
