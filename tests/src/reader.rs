//! An example of a reader: how a search service follows the flips of a sync.
//!
//! * It resolves the active destination through the view `sync_multiplexer.active_destination`, and keeps the answer with
//!   the generation it was true at.
//! * It listens to the channel of flips, and forgets what it knew when it hears of one. That keeps searches from being
//!   wasted; it is not what makes answers right, because a notice may be late, or lost with a connection.
//! * An answer counts when the generation after the search is still the one that was resolved. Generations only grow, so
//!   the slot was the active one during the whole search, and all of the answer is from it. Otherwise it asks again.

use std::sync::{Arc, Mutex};

use activities::Activities;
use activities::database::SlotScope;
use activities::database::roles::CHANNEL;
use activities::destinations::Hit;
use activities::error::{Error, ErrorKind, Result};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::World;

/// Where to look, as of a generation.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Destination {
    /// The slot.
    pub slot_id: Uuid,
    /// The connection to read through.
    pub connection_id: Uuid,
    /// The kind of destination.
    pub short_name: String,
    /// The collection that is searched.
    pub collection_readable_id: Option<String>,
    /// The number of role changes so far.
    pub generation: i64,
}

/// What a reader answers: the hits, all of one slot, and which one that was.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Where the hits are from.
    pub destination: Destination,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Searches that were made for nothing, because the roles changed meanwhile.
    pub wasted: u32,
}

/// A reader of one sync. Dropping it ends its listening.
pub struct Reader {
    pool: PgPool,
    activities: Activities,
    organization_id: Uuid,
    sync_id: Uuid,
    known: Arc<Mutex<Option<Destination>>>,
    listening: JoinHandle<()>,
}

impl Reader {
    /// Connects and listens.
    ///
    /// # Panics
    ///
    /// When the database does not answer.
    pub async fn start(world: &World) -> Self {
        let pool = world.database.pool().clone();
        let known = Arc::new(Mutex::new(None));
        let mut listener = PgListener::connect_with(&pool).await.expect("the database answers");
        listener.listen(CHANNEL).await.expect("the channel can be listened to");
        let listening = tokio::spawn(listen(listener, world.ids.sync_id, Arc::clone(&known)));
        let (organization_id, sync_id) = (world.ids.organization_id, world.ids.sync_id);
        Self { pool, activities: world.activities().await, organization_id, sync_id, known, listening }
    }

    /// What it knows without asking.
    ///
    /// # Panics
    ///
    /// When another use of it panicked.
    #[must_use]
    pub fn known(&self) -> Option<Destination> {
        self.known.lock().expect("nobody panicked").clone()
    }

    /// Answers a question from the slot that is the active one.
    ///
    /// # Errors
    ///
    /// What the search failed with while its slot was the active one.
    pub async fn ask(&self, question: &str) -> Result<Answer> {
        let mut wasted = 0;
        loop {
            let destination = match self.known() {
                Some(destination) => destination,
                None => self.resolve().await?,
            };
            let answer = self.search(&destination, question).await;
            if self.generation().await? == destination.generation {
                return answer.map(|hits| Answer { destination, hits, wasted });
            }
            forget(&self.known, destination.generation);
            wasted += 1;
        }
    }

    /// The search alone, with no look at whether the slot is still the active one: half a reader.
    ///
    /// # Errors
    ///
    /// What the search failed with.
    pub async fn search(&self, destination: &Destination, question: &str) -> Result<Vec<Hit>> {
        let scope =
            SlotScope { organization_id: self.organization_id, sync_id: self.sync_id, slot_id: destination.slot_id };
        self.activities.search(scope, question, 5).await
    }

    /// Looks up the active destination and keeps it.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none.
    ///
    /// # Panics
    ///
    /// When another use of it panicked.
    pub async fn resolve(&self) -> Result<Destination> {
        let found: Option<Destination> = sqlx::query_as(
            "SELECT slot_id, connection_id, short_name, collection_readable_id, generation
             FROM sync_multiplexer.active_destination WHERE sync_id = $1 AND organization_id = $2",
        )
        .bind(self.sync_id)
        .bind(self.organization_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| Error::new(ErrorKind::Unavailable, "no destination can be looked up").with_source(error))?;
        let found = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "the sync has no active destination"))?;
        *self.known.lock().expect("nobody panicked") = Some(found.clone());
        Ok(found)
    }

    async fn generation(&self) -> Result<i64> {
        sqlx::query_scalar(
            "SELECT generation FROM sync_multiplexer.active_destination WHERE sync_id = $1 AND organization_id = $2",
        )
        .bind(self.sync_id)
        .bind(self.organization_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| Error::new(ErrorKind::Unavailable, "no generation can be looked up").with_source(error))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Forgets what is older than each flip it hears of.
async fn listen(mut listener: PgListener, sync_id: Uuid, known: Arc<Mutex<Option<Destination>>>) {
    // After a lost connection the listener makes another; what was said meanwhile is lost, and the generations tell.
    while let Ok(notice) = listener.recv().await {
        let Ok(notice) = serde_json::from_str::<Value>(notice.payload()) else { continue };
        if notice["sync_id"].as_str() == Some(sync_id.to_string().as_str())
            && let Some(generation) = notice["generation"].as_i64()
        {
            forget(&known, generation - 1);
        }
    }
}

/// Forgets a destination of this generation or an older one.
fn forget(known: &Mutex<Option<Destination>>, generation: i64) {
    let mut known = known.lock().expect("nobody panicked");
    if known.as_ref().is_some_and(|destination| destination.generation <= generation) {
        *known = None;
    }
}
