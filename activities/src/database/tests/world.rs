//! A platform with one organisation, one sync and some connections, and a stranger's organisation beside it.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::database::ledger::{self, ContentDigest, LedgerEntry, TokenDigest};
use crate::database::plans::{self, PlanOptions};
use crate::database::retire::RetireCommand;
use crate::database::segments::BatchRecord;
use crate::database::shadow::{self, NewShadow, Shadow};
use crate::database::test_database::TestDatabase;
use crate::database::{Database, PlannedChange, SlotScope, fence, roles, segments, slots, verifications};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

/// The seeded platform.
pub struct World {
    test: TestDatabase,
    pub organization_id: Uuid,
    pub stranger_id: Uuid,
    pub sync_id: Uuid,
    pub source_connection_id: Uuid,
    /// The row of the source in `sync_connection`.
    pub source_row_id: Uuid,
    /// A native connection, and the slot that is active from the beginning.
    pub active_connection_id: Uuid,
    pub active_slot_id: Uuid,
}

impl World {
    pub async fn new() -> Self {
        let test = TestDatabase::migrated().await;
        let pool = test.database.pool();
        let organization_id = organization(pool).await;
        let stranger_id = organization(pool).await;
        let sync_id = sync(pool, organization_id).await;
        let source_connection_id = connection(pool, Some(organization_id), "SOURCE", "slack").await;
        let active_connection_id = connection(pool, None, "DESTINATION", "qdrant_native").await;
        let source_row_id = join(pool, sync_id, source_connection_id, 1).await;
        let active_slot_id = join(pool, sync_id, active_connection_id, 2).await;
        Self {
            organization_id,
            stranger_id,
            sync_id,
            source_connection_id,
            source_row_id,
            active_connection_id,
            active_slot_id,
            test,
        }
    }

    pub fn database(&self) -> &Database {
        &self.test.database
    }

    pub fn pool(&self) -> &PgPool {
        self.test.database.pool()
    }

    /// A destination connection of the organisation.
    pub async fn destination(&self) -> Uuid {
        connection(self.pool(), Some(self.organization_id), "DESTINATION", "qdrant").await
    }

    pub fn scope(&self, slot_id: Uuid) -> SlotScope {
        SlotScope { organization_id: self.organization_id, sync_id: self.sync_id, slot_id }
    }

    pub fn new_shadow(&self, connection_id: Uuid) -> NewShadow {
        let scope = self.scope(Uuid::now_v7());
        NewShadow {
            scope,
            connection_id,
            profile: json!({"chunker": {"max_tokens": 512}}),
            profile_name: "v1".into(),
            fingerprint: "f1".into(),
            place: format!("place of {}", scope.slot_id),
            embedder_model: Some("model one".into()),
            operation_id: Uuid::now_v7(),
        }
    }

    /// An empty shadow on a connection of its own.
    pub async fn shadow(&self) -> SlotScope {
        let new = self.new_shadow(self.destination().await);
        match shadow::create(self.database(), &new).await.unwrap() {
            Shadow::Created(scope) => scope,
            Shadow::Continued(_) => panic!("the connection is new"),
        }
    }

    /// A shadow that holds the object `a.json` and is ready.
    pub async fn ready_shadow(&self) -> SlotScope {
        let scope = self.shadow().await;
        slots::mark_building(self.database(), &scope).await.unwrap();
        let plan_id = self.plan(&scope, &["a.json"], None).await;
        let batch = BatchRecord { next_index: 1, accepted: vec![accepted("a.json", 2)], ..Default::default() };
        segments::checkpoint(self.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
        slots::mark_ready(self.database(), &scope, plan_id).await.unwrap();
        scope
    }

    /// A plan over objects whose token is `t`.
    pub async fn plan(&self, scope: &SlotScope, keys: &[&str], segment_entities: Option<u32>) -> Uuid {
        let plan_id = Uuid::now_v7();
        plans::create(self.database(), scope, plan_id, listing(keys), &sized(segment_entities)).await.unwrap();
        plan_id
    }

    pub fn flip_to(&self, target_slot_id: Uuid) -> roles::FlipCommand {
        roles::FlipCommand {
            organization_id: self.organization_id,
            sync_id: self.sync_id,
            target_slot_id,
            expected_active: None,
            expected_generation: None,
            operation_id: Uuid::now_v7(),
            requested_by: "tester".into(),
            reason: "test".into(),
            reverse_window: Duration::from_secs(3600),
            rollback: false,
            force: false,
            skipped: Vec::new(),
        }
    }

    /// Makes a switch the way its workflow does: behind a fence, after a last catch-up that was verified. One that cannot be
    /// made, or was made already, needs neither.
    pub async fn flip(&self, command: &roles::FlipCommand) -> Result<roles::FlipOutcome> {
        if !self.is_open(command).await? {
            return self.flip_alone(command).await;
        }
        let hold = command.hold();
        while !fence::raise(self.database(), &[hold], Duration::from_secs(60)).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if self.is_open(command).await? {
            self.prove(command).await?;
        }
        let flipped = self.flip_alone(command).await;
        fence::lower(self.database(), &[hold]).await?;
        flipped
    }

    /// The flip and nothing else.
    pub async fn flip_alone(&self, command: &roles::FlipCommand) -> Result<roles::FlipOutcome> {
        match roles::flip(self.database(), std::slice::from_ref(command)).await? {
            roles::Flipped::Done(mut outcomes) => Ok(outcomes.remove(0)),
            roles::Flipped::Breached(by) => panic!("nobody starts jobs here: {by:?}"),
        }
    }

    /// Makes a plan of the operation from what the slot holds, which leaves nothing to do, and records that it is right.
    pub async fn prove(&self, command: &roles::FlipCommand) -> Result<()> {
        let scope = command.scope();
        let entries: Vec<_> =
            ledger::stream(self.database(), &scope).await?.map_ok(|entry| entry.object_key).try_collect().await?;
        let keys: Vec<&str> = entries.iter().map(String::as_str).collect();
        let options = PlanOptions { operation_id: command.operation_id, ..sized(None) };
        let plan_id = Uuid::now_v7();
        plans::create(self.database(), &scope, plan_id, listing(&keys), &options).await?;
        verifications::record(self.database(), &scope, plan_id, command.operation_id, true, &json!({})).await
    }

    async fn is_open(&self, command: &roles::FlipCommand) -> Result<bool> {
        let check = roles::check_switch(self.database(), command).await?;
        Ok(check.finished.is_none() && check.blockers.is_empty())
    }

    pub fn retire(&self, scope: SlotScope) -> RetireCommand {
        RetireCommand {
            scope,
            force: false,
            operation_id: Uuid::now_v7(),
            workflow_id: format!("retire/{}", scope.slot_id),
            requested_by: "tester".into(),
            reason: String::new(),
        }
    }

    /// Lets the reverse window of a slot end a second ago.
    pub async fn end_window(&self, slot_id: Uuid) {
        for statement in [
            "UPDATE sync_multiplexer.slot SET kept_until = now() - interval '1 second' WHERE slot_id = $1",
            "UPDATE sync_multiplexer.audit SET kept_until = now() - interval '1 second' WHERE previous_active = $1",
        ] {
            sqlx::query(statement).bind(slot_id).execute(self.pool()).await.unwrap();
        }
    }

    /// Roles of the sync's rows by row id.
    pub async fn roles(&self) -> Vec<(Uuid, Option<String>)> {
        sqlx::query_as("SELECT id, role FROM public.sync_connection WHERE sync_id = $1 ORDER BY id")
            .bind(self.sync_id)
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    /// Everything that functions here can change, as text: equal texts mean that nothing changed.
    pub async fn everything(&self) -> String {
        sqlx::query_scalar(
            "SELECT jsonb_pretty(jsonb_build_array(
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM public.sync_connection t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.operation t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.slot t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.sync_state t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.plan t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.segment t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.ledger_page t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.dead_letter t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.verification t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.retirement t) AS y (x)),
                 (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT to_jsonb(t) FROM sync_multiplexer.audit t) AS y (x))))",
        )
        .fetch_one(self.pool())
        .await
        .unwrap()
    }
}

pub async fn organization(pool: &PgPool) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.organization (id, created_at, modified_at, name)
         VALUES (gen_random_uuid(), now(), now(), 'organization') RETURNING id",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

pub async fn sync(pool: &PgPool, organization_id: Uuid) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.sync (id, created_at, modified_at, organization_id, name, status)
         VALUES (gen_random_uuid(), now(), now(), $1, 'sync', 'ACTIVE') RETURNING id",
    )
    .bind(organization_id)
    .fetch_one(pool)
    .await
    .unwrap()
}

pub async fn connection(pool: &PgPool, organization_id: Option<Uuid>, kind: &str, short_name: &str) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.connection
             (id, created_at, modified_at, organization_id, name, readable_id, integration_type, status, short_name)
         VALUES (gen_random_uuid(), now(), now(), $1, $3 || ' connection', gen_random_uuid()::text,
                 $2::public.integrationtype, 'ACTIVE', $3)
         RETURNING id",
    )
    .bind(organization_id)
    .bind(kind)
    .bind(short_name)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Joins a connection to a sync as a platform does that knows nothing of roles; `day` orders the rows by age.
pub async fn join(pool: &PgPool, sync_id: Uuid, connection_id: Uuid, day: i32) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
         VALUES (gen_random_uuid(), make_timestamp(2025, 1, $3, 0, 0, 0), make_timestamp(2025, 1, $3, 0, 0, 0), $1, $2)
         RETURNING id",
    )
    .bind(sync_id)
    .bind(connection_id)
    .bind(day)
    .fetch_one(pool)
    .await
    .unwrap()
}

pub fn object(key: &str, token: &str) -> ListedObject {
    ListedObject { key: key.into(), size: 10, token: token.into(), modified_ms: 1_700_000_000_000 }
}

/// What a plan wants done about an object that is to be written.
pub fn write(key: &str, token: &str) -> PlannedChange {
    PlannedChange::Write(object(key, token))
}

/// What a plan wants done about an object of [`listing`] that is gone.
pub fn delete(key: &str) -> PlannedChange {
    PlannedChange::Delete { object_key: key.into(), entity_id: key.trim_end_matches(".json").into() }
}

/// Options of a plan with segments of this size, and with any drop.
pub fn sized(segment_entities: Option<u32>) -> PlanOptions {
    PlanOptions { segment_entities, max_drop_percent: 100, ..PlanOptions::default() }
}

pub fn stream_of(lines: Vec<Result<ListedObject>>) -> BoxStream<'static, Result<ListedObject>> {
    stream::iter(lines).boxed()
}

/// A listing of objects whose token is `t`.
pub fn listing(keys: &[&str]) -> BoxStream<'static, Result<ListedObject>> {
    stream_of(keys.iter().map(|key| Ok(object(key, "t"))).collect())
}

/// A listing that breaks off after one object.
pub fn broken_listing() -> BoxStream<'static, Result<ListedObject>> {
    stream_of(vec![Ok(object("a.json", "t")), Err(Error::new(ErrorKind::Timeout, "the listing stalled"))])
}

/// A ledger entry for an object of [`listing`], whose entity id is the key without its extension.
pub fn accepted(key: &str, points: u32) -> LedgerEntry {
    LedgerEntry {
        object_key: key.into(),
        entity_id: key.trim_end_matches(".json").into(),
        token: TokenDigest::of("t"),
        content: ContentDigest::of(&"07".repeat(32)).unwrap(),
        points,
    }
}
