//! Vespa.

mod destination;
mod feeder;
mod slots;
