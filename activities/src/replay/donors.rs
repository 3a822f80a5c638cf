//! Other slots of the sync, whose dense vectors stand in for those that would have to be embedded.
//!
//! Invariants kept here: a vector is copied only for exactly the same text embedded by the same model, and only where it
//! means to the target what a new one would mean; a donor that fails is left out and told, and never fails a replay.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::slot::{OpenSlot, destination};
use super::vectors::Wanted;
use crate::context::Context;
use crate::database::{SlotScope, donors};
use crate::destinations::{DenseFidelity, Destination, EntityRef, StoredEntity};
use crate::embedding::check;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::CompleteProfile;

/// How long a donor may take to read the entities of one batch. Embedding is the other way; waiting is none.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// The slots that are asked before the embedder is, in order. They last for one segment.
#[derive(Default)]
pub(crate) struct Donors {
    open: Vec<Donor>,
    /// What went wrong and was not told yet.
    gaps: Vec<String>,
}

/// A slot that may give vectors.
pub(super) struct Donor {
    pub(super) slot_id: Uuid,
    pub(super) destination: Arc<dyn Destination>,
}

impl Donors {
    /// Opens the slots that may give vectors to `target`. Reads their settings; connects when they are asked.
    ///
    /// # Errors
    ///
    /// Those of our own database. A donor that does not open is a gap.
    pub(crate) async fn open(context: &Context, target: &OpenSlot) -> Result<Self> {
        let Some(model) = target.feed.model() else { return Ok(Self::default()) };
        let (mut candidates, mut failed) = (Vec::new(), Vec::new());
        for donor in donors::of_model(&context.database, &target.scope, model).await? {
            match open(context, target, &donor).await {
                Ok(destination) => candidates.push(Donor { slot_id: donor.slot_id, destination }),
                Err(error) => failed.push((donor.slot_id, error)),
            }
        }
        let mut donors = Self::new(target.destination.as_ref(), candidates);
        for (slot_id, error) in failed {
            donors.tell(slot_id, &error);
        }
        Ok(donors)
    }

    /// Those of `candidates` whose vectors mean to `target` what new ones would mean.
    pub(super) fn new(target: &dyn Destination, candidates: Vec<Donor>) -> Self {
        let open = candidates.into_iter().filter(|donor| may_give(donor.destination.as_ref(), target)).collect();
        Self { open, gaps: Vec::new() }
    }

    /// What went wrong since the last call, for operators.
    pub(super) fn take_gaps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gaps)
    }

    /// For each chunk the vector that some donor has for its text. A donor that fails is not asked again.
    pub(super) async fn copy(&mut self, wanted: &[Wanted<'_>], dimensions: usize) -> Vec<Option<Vec<f32>>> {
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; wanted.len()];
        let unaltered = unaltered(wanted);
        for donor in std::mem::take(&mut self.open) {
            let mut seen = HashSet::new();
            let lacking = wanted.iter().zip(&vectors).filter(|(_, vector)| vector.is_none());
            let entities: Vec<EntityRef> = lacking
                .filter(|(wanted, _)| seen.insert(wanted.entity))
                .map(|(wanted, _)| wanted.entity.clone())
                .collect();
            if !entities.is_empty() {
                match read(&donor, &entities).await {
                    Ok(stored) => take_over(&mut vectors, wanted, &stored, &unaltered, dimensions),
                    Err(error) => {
                        self.tell(donor.slot_id, &error);
                        continue;
                    }
                }
            }
            self.open.push(donor);
        }
        vectors
    }

    fn tell(&mut self, slot_id: Uuid, error: &Error) {
        tracing::warn!(%slot_id, error = %error.chain(), "vectors of another slot are not reused in this segment");
        self.gaps.push(format!("vectors of slot {slot_id} not reused: {}", error.kind().name()));
    }
}

async fn open(context: &Context, target: &OpenSlot, donor: &donors::Donor) -> Result<Arc<dyn Destination>> {
    let scope = SlotScope { slot_id: donor.slot_id, ..target.scope };
    let profile = CompleteProfile::from_stored(&donor.profile)?;
    destination(context, scope, target.collection_id, donor.connection_id, &profile).await
}

/// Whether a vector that `donor` gives is as good to `target` as one that was just made.
fn may_give(donor: &dyn Destination, target: &dyn Destination) -> bool {
    let length_is_nothing = target.compares_directions() || target.dense_fidelity() == DenseFidelity::Direction;
    let fits = match donor.dense_fidelity() {
        // Where only directions count, vectors may have been copied of which only the direction was left.
        DenseFidelity::Exact => length_is_nothing || !donor.compares_directions(),
        DenseFidelity::Direction => length_is_nothing,
        DenseFidelity::Rounded => false,
    };
    fits && donor.place() != target.place()
}

async fn read(donor: &Donor, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
    tokio::time::timeout(READ_LIMIT, donor.destination.read(entities)).await.unwrap_or_else(|_| {
        let words = format!("reading {} entities took longer than {} s", entities.len(), READ_LIMIT.as_secs());
        Err(Error::new(ErrorKind::Timeout, words))
    })
}

/// Gives each chunk that lacks a vector the one that is stored with its text, whichever chunk of whichever entity that is.
fn take_over(
    vectors: &mut [Option<Vec<f32>>],
    wanted: &[Wanted<'_>],
    stored: &[StoredEntity],
    unaltered: &HashMap<&EntityRef, &str>,
    dimensions: usize,
) {
    let mut by_text: HashMap<(Option<&EntityRef>, &str), &[f32]> = HashMap::new();
    for entity in stored {
        let same_content = unaltered.get(&entity.entity) == Some(&entity.content_hash.as_str());
        for chunk in &entity.chunks {
            let usable = chunk.dense.len() == dimensions && check(&chunk.dense).is_ok();
            if usable && (same_content || !may_stand_for_another(&chunk.text)) {
                by_text.entry(key(&entity.entity, &chunk.text)).or_insert(&chunk.dense);
            }
        }
    }
    for (vector, wanted) in vectors.iter_mut().zip(wanted).filter(|(vector, _)| vector.is_none()) {
        *vector = by_text.get(&key(wanted.entity, wanted.text)).map(|dense| dense.to_vec());
    }
}

/// What a vector is looked up by: the text, and the entity as well for a text that says less than it should.
fn key<'a>(entity: &'a EntityRef, text: &'a str) -> (Option<&'a EntityRef>, &'a str) {
    (may_stand_for_another(text).then_some(entity), text)
}

/// A destination that cannot hold U+0000 stores U+FFFD for it: its vector may then be that of another text.
fn may_stand_for_another(text: &str) -> bool {
    text.contains('\u{FFFD}')
}

/// Content hashes of the entities whose text every donor holds as it is. Of such an entity, a donor with the same hash has
/// nothing that stands for anything else.
fn unaltered<'a>(wanted: &[Wanted<'a>]) -> HashMap<&'a EntityRef, &'a str> {
    let altered: HashSet<&EntityRef> =
        wanted.iter().filter(|wanted| wanted.text.contains('\0')).map(|wanted| wanted.entity).collect();
    wanted
        .iter()
        .filter(|wanted| !altered.contains(wanted.entity))
        .map(|wanted| (wanted.entity, wanted.content_hash))
        .collect()
}
