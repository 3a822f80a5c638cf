//! Switches without a workflow: for tests that need many, or exactly two at the same time.

use std::time::Duration;

use activities::database::fence;
use activities::database::plans::{self, PlanOptions};
use activities::database::roles::{self, FlipCommand, FlipOutcome, Flipped};
use activities::database::verifications;
use activities::error::Result;
use activities::raw_store::RawStore;
use uuid::Uuid;

use crate::World;

/// Longer than any of these switches.
const LASTS: Duration = Duration::from_secs(60);

impl World {
    /// A switch of this world's sync to one of its slots.
    #[must_use]
    pub fn flip_command(&self, slot_id: Uuid, rollback: bool) -> FlipCommand {
        FlipCommand {
            organization_id: self.ids.organization_id,
            sync_id: self.ids.sync_id,
            target_slot_id: slot_id,
            expected_active: None,
            expected_generation: None,
            operation_id: Uuid::new_v4(),
            requested_by: "a test".to_owned(),
            reason: "back and forth".to_owned(),
            reverse_window: Duration::from_secs(3600),
            rollback,
            force: false,
            skipped: Vec::new(),
        }
    }

    /// Makes a switch as its workflow does: behind a fence, when a plan of the whole raw store has found nothing to do.
    ///
    /// # Errors
    ///
    /// What the switch is refused with.
    ///
    /// # Panics
    ///
    /// When the slot differs from the raw store, or a job of the platform comes in between.
    pub async fn flip(&self, command: &FlipCommand) -> Result<FlipOutcome> {
        let hold = command.hold();
        while !fence::raise(&self.database, &[hold], LASTS).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let flipped = self.flip_behind_fence(command).await;
        fence::lower(&self.database, &[hold]).await?;
        flipped
    }

    async fn flip_behind_fence(&self, command: &FlipCommand) -> Result<FlipOutcome> {
        let check = roles::check_switch(&self.database, command).await?;
        if check.finished.is_none() && check.blockers.is_empty() {
            let (scope, plan_id) = (command.scope(), Uuid::new_v4());
            let store = RawStore::open(&self.store_root().to_string_lossy())?.sync(self.ids.sync_id);
            let options = PlanOptions { operation_id: command.operation_id, ..PlanOptions::default() };
            let plan = plans::create(&self.database, &scope, plan_id, Box::pin(store.list()), &options).await?;
            assert_eq!((plan.entities, plan.deletes), (0, 0), "the slot equals the raw store");
            let result = serde_json::json!({});
            verifications::record(&self.database, &scope, plan_id, command.operation_id, true, &result).await?;
        }
        match roles::flip(&self.database, std::slice::from_ref(command)).await? {
            Flipped::Done(mut outcomes) => Ok(outcomes.remove(0)),
            Flipped::Breached(by) => panic!("a job came in between: {by:?}"),
        }
    }
}
