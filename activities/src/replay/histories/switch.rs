//! Filling slots and switching between them, by the steps of the workflows; whoever takes them may die between any two, and
//! in some of them.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::Scene;
use super::attempts::until_death;
use super::slot::clean_build;
use crate::database::fence;
use crate::database::plans::PlanSummary;
use crate::database::roles::{self, FlipCommand, Flipped};
use crate::database::{slots, verifications};
use crate::destinations::StoredEntity;
use crate::error::{ErrorKind, Result};
use crate::verification::Comparison;

/// Longer than any switch here: a fence ends when it is lowered, or is made to expire.
const LASTS: Duration = Duration::from_secs(600);

/// After so many attempts something is in the way for good.
const PATIENCE: u32 = 200;

/// How going behind the fence ended.
#[derive(Debug, PartialEq)]
enum Passage {
    Switched,
    /// A job of the platform is in the way, or came in between.
    InTheWay,
    /// The slot was not right.
    Differs,
}

impl Scene<'_> {
    /// Fills a slot until it may be promoted.
    pub(super) async fn fork(&mut self, slot: usize) {
        let scope = self.slots[slot].open.scope;
        slots::mark_building(self.database, &scope).await.unwrap();
        for _ in 0..PATIENCE {
            self.others_act(6).await;
            let Ok(plan) = self.round(slot, Uuid::now_v7()).await else { continue };
            match slots::mark_ready(self.database, &scope, plan.plan_id).await {
                Ok(()) => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", self.name),
            }
        }
        panic!("{}: the fork does not come to its end", self.name);
    }

    /// Makes another slot the active one, whatever gets in the way.
    pub(super) async fn switch(&mut self, target: usize, rollback: bool) {
        let mut command = self.command(target, rollback);
        self.others_act(8).await;
        for _ in 0..PATIENCE {
            self.others_act(3).await;
            if self.random.u8(0..4) == 0 {
                // Before the fence, which proves nothing. It may lose the plan to somebody else.
                let _ = self.round(target, Uuid::now_v7()).await;
            }
            match self.pass(&command).await {
                Passage::Switched => return,
                Passage::InTheWay => {
                    if self.random.u8(0..3) > 0 {
                        self.platform.end_job().await;
                    }
                }
                Passage::Differs => command = self.command(target, rollback),
            }
        }
        panic!("{}: the switch does not come about", self.name);
    }

    fn command(&self, target: usize, rollback: bool) -> FlipCommand {
        let scope = self.slots[target].open.scope;
        FlipCommand {
            organization_id: scope.organization_id,
            sync_id: scope.sync_id,
            target_slot_id: scope.slot_id,
            expected_active: None,
            expected_generation: Some(self.generation),
            operation_id: Uuid::now_v7(),
            requested_by: "a history".into(),
            reason: "it is time".into(),
            reverse_window: Duration::from_secs(3600),
            rollback,
            force: false,
            skipped: Vec::new(),
        }
    }

    /// One round of catching up.
    async fn round(&mut self, slot: usize, operation_id: Uuid) -> Result<PlanSummary> {
        let listing = self.store.listing().await;
        self.others_act(2).await;
        let plan = self.plan(slot, listing, operation_id).await?;
        self.work_through(slot, &plan).await?;
        Ok(plan)
    }

    /// Raises the fence, does what is done behind it, and lowers it; or dies, and the fence ends by itself.
    async fn pass(&mut self, command: &FlipCommand) -> Passage {
        let holds = [command.hold()];
        if !fence::raise(self.database, &holds, LASTS).await.unwrap().is_empty() {
            return Passage::InTheWay;
        }
        self.is_fenced = true;
        let dies = self.random.u8(0..10) == 0;
        let passage =
            if dies { self.die_behind_the_fence(command).await } else { self.behind_the_fence(command).await };
        if !dies {
            while until_death(self.death(3, 12), fence::lower(self.database, &holds))
                .await
                .transpose()
                .unwrap()
                .is_none()
            {}
        }
        self.is_fenced = false;
        passage
    }

    async fn behind_the_fence(&mut self, command: &FlipCommand) -> Passage {
        let target = self.number_of(command);
        if !self.prove(command).await {
            return Passage::Differs;
        }
        self.others_act(3).await;
        let flipped = loop {
            let death = self.death(3, 40);
            let flip = roles::flip(self.database, std::slice::from_ref(command));
            if let Some(flipped) = until_death(death, flip).await {
                break flipped.unwrap();
            }
        };
        let Flipped::Done(outcomes) = flipped else { return Passage::InTheWay };
        self.generation += 1;
        assert_eq!(outcomes[0].generation, self.generation, "{}", self.name);
        assert!(self.platform.is_at_rest(), "{}: a switch while a job runs", self.name);
        self.active = Some(target);
        self.assert_one_is_active().await;
        let clean = clean_build(self.store, command.sync_id).await;
        self.assert_is_right(target, &clean, "at the flip").await;
        self.all_go_on().await;
        self.assert_is_right(target, &clean, "after everybody who was late").await;
        Passage::Switched
    }

    /// The last round and its verification. Answers whether nothing differed.
    async fn prove(&mut self, command: &FlipCommand) -> bool {
        let target = self.number_of(command);
        self.others_act(3).await;
        let plan = self.round(target, command.operation_id).await.unwrap();
        self.others_act(3).await;
        let open = &self.slots[target].open;
        let compared = Comparison::of_delta(self.database, self.store.open(), open, plan.plan_id).await.unwrap();
        let (operation_id, passed) = (command.operation_id, compared.differences() == 0);
        verifications::record(self.database, &open.scope, plan.plan_id, operation_id, passed, &json!({}))
            .await
            .unwrap();
        passed
    }

    /// Somewhere behind the fence whoever raised it dies. Time passes; and then what he was about to do comes late.
    async fn die_behind_the_fence(&mut self, command: &FlipCommand) -> Passage {
        let proved = self.random.bool() && self.prove(command).await;
        sqlx::query("UPDATE sync_multiplexer.sync_state SET fence_expires_at = now() WHERE sync_id = $1")
            .bind(command.sync_id)
            .execute(self.database.pool())
            .await
            .unwrap();
        self.is_fenced = false;
        if self.random.bool() {
            fence::sweep(self.database).await.unwrap();
        }
        self.others_act(6).await;
        let late = roles::flip(self.database, std::slice::from_ref(command)).await;
        let refused = late.expect_err("a fence that expired holds nobody back");
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}: {refused}", self.name);
        self.assert_one_is_active().await;
        if proved { Passage::Differs } else { Passage::InTheWay }
    }

    async fn assert_one_is_active(&self) {
        let active: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM public.sync_connection WHERE sync_id = $1 AND role = 'active'")
                .bind(self.slots[0].open.scope.sync_id)
                .fetch_all(self.database.pool())
                .await
                .unwrap();
        let expected = self.active.map(|slot| self.slots[slot].open.scope.slot_id);
        assert!(
            active.len() == 1 && expected.is_none_or(|expected| active == [expected]),
            "{}: {active:?} are active, not {expected:?}",
            self.name
        );
    }

    /// Nobody writes any more, and somebody may read.
    async fn assert_is_right(&self, slot: usize, clean: &[StoredEntity], when: &str) {
        let (slot, context) = (&self.slots[slot], format!("{}, {when} to generation {}", self.name, self.generation));
        slot.assert_is(clean, self.database, self.store, &context).await;
        slot.assert_ledger_tells_the_truth(self.database, &context).await;
    }

    fn number_of(&self, command: &FlipCommand) -> usize {
        self.slots.iter().position(|slot| slot.open.scope == command.scope()).expect("it is one of these")
    }
}
