//! The platform: jobs that write to raw store and slots, in any order.
//!
//! Before it starts a job it looks for an active one, and inserts its own some time after that without looking again: so one
//! may slip in while a fence goes up. A job writes to the active slot and to shadows, and, when it knows the roles of
//! yesterday, to a deprecated slot. It does one thing at a time about an entity: the parts of it in any order, with anything
//! in between.

use std::collections::VecDeque;

use fastrand::Rng;
use sqlx::PgPool;
use uuid::Uuid;

use super::OF_THE_PLATFORM;
use super::slot::Slot;
use super::store::{Store, entity_id, message};
use crate::destinations::{EntityRef, StoredEntity};
use crate::raw_store::{ListedObject, entity_file_name};
use crate::replay::Carrier;

/// The platform, with its shelves.
pub(super) struct Platform<'s> {
    pool: &'s PgPool,
    organization_id: Uuid,
    sync_id: Uuid,
    store: &'s Store,
    slots: &'s [Slot],
    /// What makes of an entity what a slot holds of it: the platform makes the same as we do.
    press: Press<'s>,
    /// It looked and saw no job.
    sees_none: bool,
    job: Option<Job>,
}

struct Job {
    id: Uuid,
    /// Slots that it writes to.
    targets: Vec<usize>,
    /// By entity, the parts that are still to be done.
    begun: Vec<VecDeque<Part>>,
}

/// A part of what the platform does about an entity.
enum Part {
    WriteStore { text: String },
    WriteSlot { slot: usize, text: String },
    DeleteStore,
    DeleteSlot { slot: usize },
}

/// A slot of its own, with a raw store of its own.
pub(super) struct Press<'s> {
    pub(super) store: &'s Store,
    pub(super) slot: &'s Slot,
}

impl Press<'_> {
    async fn make(&self, id: &str, text: &str) -> StoredEntity {
        let key = entity_file_name(id);
        self.store.put(&key, text);
        let object = ListedObject { key, size: 0, token: String::new(), modified_ms: 0 };
        let mut carrier = Carrier::new(&self.slot.open, self.store.open()).await.unwrap();
        carrier.carry(&[object], 1).await.unwrap();
        self.slot.shelf.entities.lock().unwrap().remove(&EntityRef(id.to_owned())).expect("it has text")
    }
}

impl<'s> Platform<'s> {
    pub(super) fn new(pool: &'s PgPool, store: &'s Store, slots: &'s [Slot], press: Press<'s>) -> Self {
        let scope = &slots[0].open.scope;
        let (organization_id, sync_id) = (scope.organization_id, scope.sync_id);
        Self { pool, organization_id, sync_id, store, slots, press, sees_none: false, job: None }
    }

    /// Does the next thing, whatever it is.
    pub(super) async fn act(&mut self, random: &mut Rng) {
        if self.job.is_none() {
            if !self.sees_none {
                self.sees_none = !self.sees_a_job().await;
            } else {
                // It starts a job some time later, or none after all.
                match random.u8(0..4) {
                    0 => self.job = Some(self.start(random).await),
                    1 => {}
                    _ => return,
                }
                self.sees_none = false;
            }
        } else if random.u8(0..12) == 0 {
            self.end_job().await;
        } else {
            self.write(random).await;
        }
    }

    /// Ends what it began, and its job.
    pub(super) async fn end_job(&mut self) {
        let Some(mut job) = self.job.take() else { return };
        for (number, parts) in job.begun.iter_mut().enumerate() {
            while let Some(part) = parts.pop_front() {
                self.finish(number, part).await;
            }
        }
        sqlx::query("UPDATE public.sync_job SET status = 'completed' WHERE id = $1")
            .bind(job.id)
            .execute(self.pool)
            .await
            .unwrap();
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.job.is_none()
    }

    async fn sees_a_job(&self) -> bool {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM public.sync_job
                            WHERE sync_id = $1 AND status IN ('pending', 'running', 'cancelling'))",
        )
        .bind(self.sync_id)
        .fetch_one(self.pool)
        .await
        .unwrap()
    }

    async fn start(&self, random: &mut Rng) -> Job {
        let id = sqlx::query_scalar(
            "INSERT INTO public.sync_job (id, created_at, modified_at, organization_id, sync_id, status,
                 entities_inserted, entities_deleted, entities_skipped)
             VALUES (gen_random_uuid(), now(), now(), $1, $2, 'running', 0, 0, 0) RETURNING id",
        )
        .bind(self.organization_id)
        .bind(self.sync_id)
        .fetch_one(self.pool)
        .await
        .unwrap();
        let roles: Vec<(Uuid, Option<String>)> =
            sqlx::query_as("SELECT id, role FROM public.sync_connection WHERE sync_id = $1")
                .bind(self.sync_id)
                .fetch_all(self.pool)
                .await
                .unwrap();
        let yesterday = random.u8(0..4) == 0;
        let writes_to = |slot: &Slot| {
            let role =
                roles.iter().find(|(id, _)| *id == slot.open.scope.slot_id).and_then(|(_, role)| role.as_deref());
            role == Some("active") || role == Some("shadow") || yesterday
        };
        let targets = (0..self.slots.len()).filter(|slot| writes_to(&self.slots[*slot])).collect();
        Job { id, targets, begun: (0..OF_THE_PLATFORM).map(|_| VecDeque::new()).collect() }
    }

    /// Begins with an entity, or does the next part of what it began.
    async fn write(&mut self, random: &mut Rng) {
        let number = random.usize(0..OF_THE_PLATFORM);
        let Some(job) = &mut self.job else { return };
        let parts = &mut job.begun[number];
        if parts.is_empty() {
            let mut all: Vec<Part> = if random.u8(0..3) > 0 {
                let text = message(&entity_id(number), random);
                let slots = job.targets.iter().map(|slot| Part::WriteSlot { slot: *slot, text: text.clone() });
                slots.chain([Part::WriteStore { text: text.clone() }]).collect()
            } else {
                let slots = job.targets.iter().map(|slot| Part::DeleteSlot { slot: *slot });
                slots.chain([Part::DeleteStore]).collect()
            };
            random.shuffle(&mut all);
            parts.extend(all);
        }
        if let Some(part) = parts.pop_front() {
            self.finish(number, part).await;
        }
    }

    async fn finish(&self, number: usize, part: Part) {
        let id = entity_id(number);
        match part {
            Part::WriteStore { text } => self.store.put(&entity_file_name(&id), &text),
            Part::DeleteStore => self.store.remove(&entity_file_name(&id)),
            Part::WriteSlot { slot, text } => {
                let made = self.press.make(&id, &text).await;
                self.slots[slot].shelf.entities.lock().unwrap().insert(made.entity.clone(), made);
            }
            Part::DeleteSlot { slot } => {
                self.slots[slot].shelf.entities.lock().unwrap().remove(&EntityRef(id));
            }
        }
    }
}
