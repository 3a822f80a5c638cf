//! The migrations on every shape of database they may meet.

use sqlx::{Connection, Executor, PgPool, Row};
use uuid::Uuid;

use super::world::{connection, join, organization, sync};
use crate::database::fence::{self, Hold};
use crate::database::test_database::TestDatabase;
use crate::error::ErrorKind;

/// The platform's schema with the column `role`, as `pg_dump` wrote it.
const PLATFORM: &str = include_str!("../../../../tests/fixtures/platform/schema_pr.sql");

/// What later versions of the platform changed, as far as it matters here.
const TO_HEAD: &str = include_str!("../../../../tests/fixtures/platform/pr_to_head.sql");

async fn platform() -> TestDatabase {
    let test = TestDatabase::empty().await;
    let mut connection = test.connection().await;
    // Lines that begin with a backslash are for psql.
    let script: String = PLATFORM.split_inclusive('\n').filter(|line| !line.starts_with('\\')).collect();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(script))).await.unwrap();
    connection.close().await.unwrap();
    test
}

async fn head_platform() -> TestDatabase {
    let test = platform().await;
    test.run(TO_HEAD).await;
    test
}

/// Rows of `sync_connection` to seed: role, day of creation, and whether it joins a destination.
type Seed<'a> = (&'a str, i32, bool);

struct Seeded {
    sync_id: Uuid,
    rows: Vec<Uuid>,
}

/// A sync with a source of role `source_role` and the given rows.
async fn seed(pool: &PgPool, rows: &[Seed<'_>]) -> Seeded {
    let organization_id = organization(pool).await;
    let sync_id = sync(pool, organization_id).await;
    let mut ids = Vec::new();
    for (role, day, is_destination) in rows {
        let kind = if *is_destination { "DESTINATION" } else { "SOURCE" };
        let connection_id = connection(pool, Some(organization_id), kind, "some").await;
        let id: Uuid = sqlx::query_scalar(
            "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id, role)
             VALUES (gen_random_uuid(), make_timestamp(2025, 1, $4, 0, 0, 0), make_timestamp(2025, 1, $4, 0, 0, 0), $1, $2, $3)
             RETURNING id",
        )
        .bind(sync_id)
        .bind(connection_id)
        .bind(role)
        .bind(day)
        .fetch_one(pool)
        .await
        .unwrap();
        ids.push(id);
    }
    Seeded { sync_id, rows: ids }
}

async fn role(pool: &PgPool, id: Uuid) -> Option<String> {
    sqlx::query_scalar("SELECT role FROM public.sync_connection WHERE id = $1").bind(id).fetch_one(pool).await.unwrap()
}

async fn roles(pool: &PgPool, seeded: &Seeded) -> Vec<String> {
    let mut roles = Vec::new();
    for id in &seeded.rows {
        roles.push(role(pool, *id).await.unwrap_or_else(|| "-".into()));
    }
    roles
}

/// Every row of every table of the platform as JSON text, `role` of `sync_connection` left out.
async fn platform_rows(pool: &PgPool) -> Vec<String> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let statement = format!("SELECT to_jsonb(t) - 'role' FROM public.\"{table}\" AS t ORDER BY to_jsonb(t)::text");
        let found = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await.unwrap();
        rows.extend(found.iter().map(|row| format!("{table} {}", row.get::<serde_json::Value, _>(0))));
    }
    rows.sort();
    rows
}

async fn tables_in(pool: &PgPool, schema: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY tablename")
        .bind(schema)
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_empty_database_gets_the_platforms_tables_and_ours() {
    let test = TestDatabase::empty().await;
    let status = test.database.migration_status().await.unwrap();
    assert!(!status.is_current());
    assert_eq!(status.applied, 0);
    assert_eq!(status.pending[0].description, "platform tables");

    test.database.migrate().await.unwrap();

    let status = test.database.migration_status().await.unwrap();
    assert!(status.is_current(), "{status:?}");
    assert_eq!(
        tables_in(test.database.pool(), "public").await,
        [
            "api_key",
            "collection",
            "connection",
            "entity",
            "entity_definition",
            "feature_flag",
            "integration_credential",
            "organization",
            "source_connection",
            "sync",
            "sync_connection",
            "sync_job"
        ]
    );
    assert!(tables_in(test.database.pool(), "sync_multiplexer").await.contains(&"applied_migration".into()));
}

#[tokio::test]
async fn a_database_with_half_a_platform_is_refused() {
    let test = TestDatabase::empty().await;
    test.run("CREATE TABLE public.organization (id uuid PRIMARY KEY)").await;
    let error = test.database.migrate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("sync_connection"), "{error}");
    assert_eq!(tables_in(test.database.pool(), "public").await, ["organization"]);
}

#[tokio::test]
async fn the_tables_made_for_an_empty_database_are_the_platforms_own() {
    let ours = TestDatabase::migrated().await;
    let theirs = platform().await;
    theirs.database.migrate().await.unwrap();
    let columns = "SELECT format('%s.%s %s null=%s default=%s', table_name, column_name, coalesce(udt_name, data_type)
                                 || coalesce('(' || character_maximum_length || ')', ''), is_nullable, column_default)
                   FROM information_schema.columns
                   WHERE table_schema = 'public'
                     AND table_name IN ('api_key', 'collection', 'connection', 'entity', 'entity_definition',
                                        'feature_flag', 'integration_credential', 'organization',
                                        'source_connection', 'sync', 'sync_connection', 'sync_job')
                     -- Refers to a table that is of no use here.
                     AND column_name <> 'connection_init_session_id'
                   ORDER BY 1";
    let ours: Vec<String> = sqlx::query_scalar(columns).fetch_all(ours.database.pool()).await.unwrap();
    let theirs: Vec<String> = sqlx::query_scalar(columns).fetch_all(theirs.database.pool()).await.unwrap();
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn roles_of_the_platform_are_put_right_and_nothing_else_changes() {
    let test = platform().await;
    let pool = test.database.pool();
    // As the platform's own migration left it: everything active, the source as well.
    let plain = seed(pool, &[("active", 1, false), ("active", 2, true)]).await;
    let several =
        seed(pool, &[("active", 1, false), ("active", 5, true), ("active", 3, true), ("deprecated", 2, true)]).await;
    let decided = seed(pool, &[("shadow", 1, true), ("active", 9, true), ("deprecated", 2, true)]).await;
    let nobody = seed(pool, &[("shadow", 1, true), ("deprecated", 2, true)]).await;
    let odd_source = seed(pool, &[("whatever", 1, false), ("active", 2, true)]).await;
    let before = platform_rows(pool).await;

    test.database.migrate().await.unwrap();

    assert_eq!(roles(pool, &plain).await, ["-", "active"]);
    assert_eq!(roles(pool, &several).await, ["-", "shadow", "active", "deprecated"]);
    assert_eq!(roles(pool, &decided).await, ["shadow", "active", "deprecated"]);
    assert_eq!(roles(pool, &nobody).await, ["shadow", "deprecated"]);
    assert_eq!(roles(pool, &odd_source).await, ["-", "active"]);
    assert_eq!(platform_rows(pool).await, before);
    assert!(before.len() > 20, "the comparison saw rows");
}

#[tokio::test]
async fn a_platform_without_roles_gets_them() {
    let test = head_platform().await;
    let pool = test.database.pool();
    let organization_id = organization(pool).await;
    let sync_id = sync(pool, organization_id).await;
    let source = connection(pool, Some(organization_id), "SOURCE", "slack").await;
    let auth = connection(pool, Some(organization_id), "AUTH_PROVIDER", "composio").await;
    let mut destinations = Vec::new();
    for _ in 0..3 {
        destinations.push(connection(pool, Some(organization_id), "DESTINATION", "qdrant").await);
    }
    let source = join(pool, sync_id, source, 1).await;
    let auth = join(pool, sync_id, auth, 1).await;
    let newest = join(pool, sync_id, destinations[0], 9).await;
    // Of the same age: the id decides.
    let twins = [join(pool, sync_id, destinations[1], 4).await, join(pool, sync_id, destinations[2], 4).await];
    let before = platform_rows(pool).await;

    test.database.migrate().await.unwrap();

    assert_eq!(role(pool, source).await, None);
    assert_eq!(role(pool, auth).await, None);
    assert_eq!(role(pool, newest).await.as_deref(), Some("shadow"));
    assert_eq!(role(pool, *twins.iter().min().unwrap()).await.as_deref(), Some("active"));
    assert_eq!(role(pool, *twins.iter().max().unwrap()).await.as_deref(), Some("shadow"));
    assert_eq!(platform_rows(pool).await, before);
    let pairs: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 'public.sync_connection'::regclass AND contype = 'u'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(pairs, 1, "the platform's own unique constraint is enough");
}

#[tokio::test]
async fn a_row_without_a_role_beside_an_active_one_becomes_a_shadow() {
    let test = platform().await;
    let pool = test.database.pool();
    test.run("ALTER TABLE public.sync_connection ALTER COLUMN role DROP NOT NULL").await;
    let seeded = seed(pool, &[("active", 9, true)]).await;
    let connection_id = connection(pool, None, "DESTINATION", "qdrant_native").await;
    let older = join(pool, seeded.sync_id, connection_id, 1).await;
    test.database.migrate().await.unwrap();
    assert_eq!(roles(pool, &seeded).await, ["active"]);
    assert_eq!(role(pool, older).await.as_deref(), Some("shadow"));
}

#[tokio::test]
async fn an_unknown_role_of_a_destination_stops_the_migration_and_changes_nothing() {
    let test = platform().await;
    let pool = test.database.pool();
    let good = seed(pool, &[("active", 1, false), ("active", 2, true)]).await;
    let bad = seed(pool, &[("primary", 1, true)]).await;

    let error = test.database.migrate().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains(&bad.rows[0].to_string()), "{error}");
    assert!(error.message().contains("'primary'"), "{error}");
    assert!(error.message().contains("Set each to active, shadow or deprecated"), "{error}");
    assert_eq!(roles(pool, &good).await, ["active", "active"]);
    assert!(!test.database.migration_status().await.unwrap().is_current());

    // Put right by the operator, it goes on.
    sqlx::query("UPDATE public.sync_connection SET role = 'active' WHERE id = $1")
        .bind(bad.rows[0])
        .execute(pool)
        .await
        .unwrap();
    test.database.migrate().await.unwrap();
    assert!(test.database.migration_status().await.unwrap().is_current());
}

#[tokio::test]
async fn duplicate_pairs_stop_the_migration() {
    let test = platform().await;
    let pool = test.database.pool();
    let seeded = seed(pool, &[("active", 1, true)]).await;
    sqlx::query(
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id, role)
         SELECT gen_random_uuid(), now(), now(), sync_id, connection_id, 'shadow' FROM public.sync_connection",
    )
    .execute(pool)
    .await
    .unwrap();
    let error = test.database.migrate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains(&seeded.sync_id.to_string()), "{error}");
    assert!(error.message().contains("Delete the surplus rows"), "{error}");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let test = platform().await;
    let pool = test.database.pool();
    seed(pool, &[("active", 1, false), ("active", 2, true), ("active", 3, true)]).await;
    test.database.migrate().await.unwrap();
    let recorded = "SELECT jsonb_agg(to_jsonb(m) ORDER BY version)::text FROM sync_multiplexer.applied_migration AS m";
    let first: String = sqlx::query_scalar(recorded).fetch_one(pool).await.unwrap();
    let rows = platform_rows(pool).await;
    test.database.migrate().await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, String>(recorded).fetch_one(pool).await.unwrap(), first);
    assert_eq!(platform_rows(pool).await, rows);
}

#[tokio::test]
async fn what_touches_the_platform_may_be_run_by_hand_again() {
    let test = platform().await;
    let pool = test.database.pool();
    let seeded = seed(pool, &[("active", 1, false), ("active", 2, true), ("active", 3, true)]).await;
    test.database.migrate().await.unwrap();
    for script in [
        include_str!("../../../../migrations/0001_platform_tables.sql"),
        include_str!("../../../../migrations/0002_sync_connection_pair.sql"),
        include_str!("../../../../migrations/0003_sync_connection_role_column.sql"),
        include_str!("../../../../migrations/0004_guard_role.sql"),
        include_str!("../../../../migrations/0005_roles_hold.sql"),
        include_str!("../../../../migrations/0006_sync_connection_sync_index.sql"),
    ] {
        test.run(script).await;
    }
    assert_eq!(roles(pool, &seeded).await, ["-", "active", "shadow"]);
}

#[tokio::test]
async fn slots_made_before_places_were_recorded_get_theirs() {
    let test = TestDatabase::migrated().await;
    let pool = test.database.pool();
    test.run("DROP INDEX sync_multiplexer.slot_place_taken_once; ALTER TABLE sync_multiplexer.slot DROP COLUMN place")
        .await;
    let organization_id = organization(pool).await;
    let sync_id = sync(pool, organization_id).await;
    let mut slots = Vec::new();
    for day in [1, 2] {
        let connection_id = connection(pool, Some(organization_id), "DESTINATION", "pgvector").await;
        let slot_id = join(pool, sync_id, connection_id, day).await;
        sqlx::query(
            "INSERT INTO sync_multiplexer.slot
                 (slot_id, organization_id, sync_id, profile, profile_name, fingerprint, created_by_operation)
             VALUES ($1, $2, $3, '{\"pgvector\": {}}', 'v0', 'f', gen_random_uuid())",
        )
        .bind(slot_id)
        .bind(organization_id)
        .bind(sync_id)
        .execute(pool)
        .await
        .unwrap();
        slots.push(slot_id);
    }
    test.run(include_str!("../../../../migrations/0020_slot_place.sql")).await;
    test.run(include_str!("../../../../migrations/0021_slot_place_taken_once.sql")).await;
    for slot_id in slots {
        let place: String = sqlx::query_scalar("SELECT place FROM sync_multiplexer.slot WHERE slot_id = $1")
            .bind(slot_id)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(place, format!("pgvector {slot_id}"));
    }
}

#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    let test = platform().await;
    seed(test.database.pool(), &[("active", 1, false), ("active", 2, true)]).await;
    let outcomes = futures::future::join_all((0..4).map(|_| {
        let database = test.database.clone();
        tokio::spawn(async move { database.migrate().await })
    }))
    .await;
    for outcome in outcomes {
        outcome.unwrap().unwrap();
    }
    assert!(test.database.migration_status().await.unwrap().is_current());
}

#[tokio::test]
async fn a_newer_releases_database_is_recognised() {
    let test = TestDatabase::migrated().await;
    test.run(
        "INSERT INTO sync_multiplexer.applied_migration (version, description, success, checksum, execution_time)
         VALUES (9000, 'from the future', true, '', 0)",
    )
    .await;
    let status = test.database.migration_status().await.unwrap();
    assert_eq!(status.unknown, [9000]);
    assert!(!status.is_current());
    let error = test.database.migrate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("newer release"), "{error}");
}

#[tokio::test]
async fn nothing_of_ours_is_in_the_platforms_schema() {
    let test = head_platform().await;
    let before = tables_in(test.database.pool(), "public").await;
    test.database.migrate().await.unwrap();
    assert_eq!(tables_in(test.database.pool(), "public").await, before);
    let functions: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE '%guard_role%'",
    )
    .fetch_one(test.database.pool())
    .await
    .unwrap();
    assert_eq!(functions, 0);
}

/// Fills the ledger as the release before pages left it, then applies what came since.
#[tokio::test]
async fn the_rows_of_the_ledger_become_pages() {
    use futures::TryStreamExt;

    use crate::database::ledger::{self, ContentDigest, LedgerEntry, TokenDigest};

    let world = super::world::World::new().await;
    let (scope, other) = (world.shadow().await, world.shadow().await);
    // As if `ledger_page` had just been made: this migration only copies.
    sqlx::query(
        "INSERT INTO sync_multiplexer.ledger
             (slot_id, sync_id, organization_id, object_key, entity_id, token, content_hash, points)
         SELECT slot_id, sync_id, organization_id, 'o \"' || n || E'\\n\\\\é.json', 'e \"' || n || E'\\n\\\\é', 'token ' || n,
                sha256(convert_to(n::text, 'UTF8')), n % 4
         FROM sync_multiplexer.slot, generate_series(1, 1300) AS n
         WHERE slot.slot_id = $1 OR n <= 3",
    )
    .bind(scope.slot_id)
    .execute(world.pool())
    .await
    .unwrap();
    let migration = include_str!("../../../../migrations/0023_ledger_page_rows.sql");
    sqlx::raw_sql(migration).execute(world.pool()).await.unwrap();

    let mut expected: Vec<LedgerEntry> = (1..=1300_u32)
        .map(|n| LedgerEntry {
            object_key: format!("o \"{n}\n\\é.json"),
            entity_id: format!("e \"{n}\n\\é"),
            token: TokenDigest::of(&format!("token {n}")),
            content: ContentDigest::of(&hex::encode(<sha2::Sha256 as sha2::Digest>::digest(n.to_string()))).unwrap(),
            points: n % 4,
        })
        .collect();
    expected.sort_by(|one, two| one.object_key.as_bytes().cmp(two.object_key.as_bytes()));
    let found: Vec<LedgerEntry> = ledger::stream(world.database(), &scope).await.unwrap().try_collect().await.unwrap();
    assert!(found == expected, "every row is an entry, in order");
    let totals = ledger::totals(world.database(), &scope).await.unwrap();
    assert_eq!((totals.entities, totals.textless, totals.points), (1300, 325, 325 * 6));
    assert_eq!(ledger::totals(world.database(), &other).await.unwrap().entities, 3);

    // Such pages take changes like any other.
    let mut changes = ledger::LedgerChanges::default();
    for entry in &expected[..700] {
        changes.remove(entry.object_key.clone());
    }
    changes.put(LedgerEntry { points: 9, ..expected[1299].clone() });
    let mut transaction = world.pool().begin().await.unwrap();
    ledger::apply(&mut transaction, &scope, changes).await.unwrap();
    transaction.commit().await.unwrap();
    let found: Vec<LedgerEntry> = ledger::stream(world.database(), &scope).await.unwrap().try_collect().await.unwrap();
    expected[1299].points = 9;
    assert!(found == expected[700..], "the rest is as it was");
}

#[tokio::test]
async fn a_fence_stands_on_every_platform() {
    for test in [platform().await, head_platform().await, TestDatabase::empty().await] {
        test.database.migrate().await.unwrap();
        let pool = test.database.pool();
        let organization_id = organization(pool).await;
        let hold = Hold { sync_id: sync(pool, organization_id).await, organization_id, operation_id: Uuid::now_v7() };
        let lasts = std::time::Duration::from_secs(60);
        assert_eq!(fence::raise(&test.database, &[hold], lasts).await.unwrap(), []);
        let jobs: Vec<serde_json::Value> =
            sqlx::query_scalar("SELECT to_jsonb(job) FROM public.sync_job AS job WHERE sync_id = $1")
                .bind(hold.sync_id)
                .fetch_all(pool)
                .await
                .unwrap();
        assert_eq!((jobs.len(), &jobs[0]["status"]), (1, &"running".into()));
        if let Some(configuration) = jobs[0].get("sync_config") {
            assert_eq!(configuration["handlers"]["enable_postgres_handler"], false, "the reaper leaves it alone");
        }
        fence::lower(&test.database, &[hold]).await.unwrap();
    }
}
