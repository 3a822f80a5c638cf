//! Somebody who looks at the roles all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::World;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks at the slots of a sync until it is asked what it saw.
pub struct RoleWatch {
    over: Arc<AtomicBool>,
    seen: JoinHandle<(u64, Vec<i64>)>,
}

impl RoleWatch {
    /// Begins to look at this world's sync.
    #[must_use]
    pub fn start(world: &World) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = tokio::spawn(look(world.database.pool().clone(), world.ids.sync_id, Arc::clone(&over)));
        Self { over, seen }
    }

    /// Ends, and holds that every look found exactly one active slot.
    ///
    /// # Panics
    ///
    /// When one did not.
    pub async fn saw_one_active_slot_always(self) {
        self.over.store(true, Ordering::Relaxed);
        let (looks, others) = self.seen.await.expect("the roles can be read");
        assert!(looks > 10, "{looks} looks prove nothing");
        assert!(others.is_empty(), "of {looks} looks some found other numbers of active slots: {others:?}");
    }
}

async fn look(pool: PgPool, sync_id: Uuid, over: Arc<AtomicBool>) -> (u64, Vec<i64>) {
    let (mut looks, mut others) = (0, Vec::new());
    while !over.load(Ordering::Relaxed) {
        let active: i64 =
            sqlx::query_scalar("SELECT count(*) FROM public.sync_connection WHERE sync_id = $1 AND role = 'active'")
                .bind(sync_id)
                .fetch_one(&pool)
                .await
                .expect("the roles can be read");
        looks += 1;
        others.extend((active != 1).then_some(active));
        tokio::time::sleep(PAUSE).await;
    }
    (looks, others)
}
