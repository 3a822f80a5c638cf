//! From objects of the raw store to points of a slot: read, decode, text, chunk, embed or copy, write.
//!
//! `slot` opens everything one slot needs; `entity_text` makes the text of one entity, `preparation` its document without
//! vectors; `vectors` fills those in, with what `donors` have; `batch` carries a batch through and accounts for every
//! object in it, after `hand` noted what is about to be written and took the right to; `removal` takes out what the raw store no
//! longer has. Invariant: each object of a batch ends as written, as textless, as a dead letter, as vanished, or as deleted;
//! there is no other way out.

mod batch;
mod donors;
mod entity_text;
mod hand;
#[cfg(test)]
mod histories;
mod preparation;
mod removal;
#[cfg(test)]
mod shelf;
mod slot;
mod vectors;

pub(crate) use batch::Carrier;
pub(crate) use donors::Donors;
pub(crate) use entity_text::{EntityText, entity_text};
pub(crate) use hand::Hand;
pub(crate) use slot::{Feed, OpenSlot, collection, destination};
