//! The conformance suite on real Postgres, and what only this destination promises.
//!
//! `SYNCMUX_TEST_DATABASE_URL` names a database whose role may create databases; each test makes one of its own and
//! drops it unless the test fails.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use activities::destinations::pgvector::{Pgvector, PgvectorPools, PgvectorSettings, PoolLimits};
use activities::destinations::{Destination, EntityDocument, EntityRef, Query, Scope, SearchMode, SparseVector};
use activities::error::ErrorKind;
use async_trait::async_trait;
use harness::until;
use proto::v1::{Hnsw, PgvectorLayout};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::conformance::{DIMENSIONS, World, conformance_tests, documents};

/// A database of its own, with slots of one layout.
struct Database {
    admin: PgConnectOptions,
    name: String,
    pools: PgvectorPools,
    layout: PgvectorLayout,
}

fn layout(vector_type: i32, distance: i32, hnsw: Option<Hnsw>) -> PgvectorLayout {
    PgvectorLayout { vector_type, distance, hnsw }
}

const VECTOR: i32 = 1;
const HALFVEC: i32 = 2;
const HNSW: Option<Hnsw> = Some(Hnsw { m: 0, ef_construction: 0 });

impl Database {
    async fn create(layout: PgvectorLayout) -> Self {
        let url = std::env::var("SYNCMUX_TEST_DATABASE_URL").unwrap_or_else(|_| {
            panic!("SYNCMUX_TEST_DATABASE_URL is not set: run `make test`, or name a Postgres with pgvector in it")
        });
        let admin = PgConnectOptions::from_str(&url).expect("SYNCMUX_TEST_DATABASE_URL is a Postgres URL");
        let name = format!("pgvector_test_{}", Uuid::new_v4().simple());
        let mut connection = admin.connect().await.expect("the Postgres of SYNCMUX_TEST_DATABASE_URL is up");
        let create = format!("CREATE DATABASE {name}");
        connection.execute(AssertSqlSafe(create)).await.expect("the role may create databases");
        println!("database {name}");
        let limits = PoolLimits { max_connections: 8, acquire_timeout: Duration::from_secs(30) };
        Self { admin, name, pools: PgvectorPools::new(limits), layout }
    }

    fn url(&self, change: impl FnOnce(PgConnectOptions) -> PgConnectOptions) -> SecretString {
        change(self.admin.clone().database(&self.name)).to_url_lossy().to_string().into()
    }

    fn slot(&self, scope: &Scope, layout: &PgvectorLayout, dimensions: u32) -> Pgvector {
        let settings = PgvectorSettings::from_layout(layout, dimensions).expect("the layout is valid");
        let pool = self.pools.get(&self.url(|options| options)).expect("the URL is valid");
        Pgvector::new(pool, scope.clone(), settings)
    }

    async fn connection(&self) -> PgConnection {
        self.admin.clone().database(&self.name).connect().await.expect("the test's database is there")
    }
}

#[async_trait]
impl World for Database {
    fn open_sized(&self, scope: &Scope, dimensions: u32) -> Arc<dyn Destination> {
        Arc::new(self.slot(scope, &self.layout, dimensions))
    }

    fn open_denied(&self, scope: &Scope) -> Arc<dyn Destination> {
        // A role that does not exist is refused even by a server that trusts local connections.
        let url = self.url(|options| options.username("syncmux_nobody").password("wrong"));
        let settings = PgvectorSettings::from_layout(&self.layout, DIMENSIONS).expect("the layout is valid");
        Arc::new(Pgvector::connect(&url, scope.clone(), settings).expect("the URL is valid"))
    }

    fn open_away(&self, scope: &Scope) -> Arc<dyn Destination> {
        // A port that was free a moment ago, and that the listener's end leaves refusing.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let url = self.url(|options| options.host("127.0.0.1").port(port));
        let limits = PoolLimits { max_connections: 1, acquire_timeout: Duration::from_millis(200) };
        let settings = PgvectorSettings::from_layout(&self.layout, DIMENSIONS).expect("the layout is valid");
        Arc::new(Pgvector::new(
            PgvectorPools::new(limits).get(&url).expect("the URL is valid"),
            scope.clone(),
            settings,
        ))
    }

    fn precision(&self) -> f32 {
        // Half a unit in the last place of binary16, whose significand has 11 bits; binary32 is kept as it is.
        if self.layout.vector_type == HALFVEC { 1.0 / 2_048.0 } else { 0.0 }
    }

    async fn inventory(&self) -> Vec<String> {
        let mut connection = self.connection().await;
        let mut inventory: Vec<String> = sqlx::query_scalar(
            "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' \
             UNION ALL SELECT 'extension ' || extname FROM pg_extension \
             UNION ALL SELECT 'relation ' || oid::text || ' ' || oid::regclass::text FROM pg_class \
             WHERE relnamespace = to_regnamespace('sync_multiplexer_vectors') \
             UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid IN (SELECT oid FROM pg_class \
             WHERE relnamespace = to_regnamespace('sync_multiplexer_vectors')) ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the catalogue is readable");
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' \
             AND relnamespace = to_regnamespace('sync_multiplexer_vectors') ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the catalogue is readable");
        for table in tables {
            let rows = format!("SELECT count(*) FROM {table}");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut connection).await.expect("count");
            inventory.push(format!("{rows} rows in {table}"));
        }
        inventory
    }

    async fn close(self: Box<Self>) {
        let mut connection = self.admin.connect().await.expect("the server is up");
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        connection.execute(AssertSqlSafe(drop)).await.expect("the test's database can be dropped");
    }
}

conformance_tests!(vector_without_index, Database::create(layout(VECTOR, 0, None)).await);
conformance_tests!(vector_with_hnsw, Database::create(layout(VECTOR, 0, HNSW)).await);
conformance_tests!(halfvec_without_index, Database::create(layout(HALFVEC, 0, None)).await);
conformance_tests!(halfvec_with_hnsw, Database::create(layout(HALFVEC, 0, HNSW)).await);

/// A prepared slot in a database of its own.
async fn prepared(layout: PgvectorLayout) -> (Box<Database>, Scope, Pgvector) {
    let (database, scope) = (Box::new(Database::create(layout).await), documents::scope());
    let slot = database.slot(&scope, &layout, DIMENSIONS);
    slot.prepare().await.expect("prepare");
    (database, scope, slot)
}

fn table(scope: &Scope) -> String {
    format!("sync_multiplexer_vectors.slot_{}", scope.slot_id.simple())
}

/// Documents that only the server can refuse are found by halving the batch.
#[tokio::test]
async fn what_the_server_refuses_is_found_and_named() {
    let (database, _, slot) = prepared(layout(HALFVEC, 0, HNSW)).await;
    let mut documents: Vec<EntityDocument> =
        (0..64).map(|n| documents::document(&format!("entity {n:02}"), 1, 2)).collect();
    documents[5].chunks[1].payload = "{secret".into();
    documents[6].chunks[0].payload = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    documents[63].chunks[0].payload = "{\"raw\": \"\0\"}".into();
    let outcome = slot.upsert(&documents).await.expect("upsert");
    let mut rejected: Vec<&str> = outcome.rejected.iter().map(|rejection| rejection.entity.0.as_str()).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, ["entity 05", "entity 06", "entity 63"]);
    assert!(outcome.rejected.iter().all(|rejection| rejection.reason.contains("SQLSTATE")));
    assert!(outcome.rejected.iter().all(|rejection| !rejection.reason.contains("secret")));
    assert_eq!((outcome.accepted.len(), slot.count().await.expect("count")), (61, 122));
    database.close().await;
}

#[tokio::test]
async fn what_the_types_cannot_hold_is_rejected() {
    let (database, scope, slot) = prepared(layout(HALFVEC, 0, None)).await;
    let mut big = documents::document("too big for halfvec", 1, 1);
    big.chunks[0].dense[2] = 65_520.0;
    let nul = documents::document("nul\0", 1, 1);
    let outcome = slot.upsert(&[big.clone(), nul, documents::document("fine", 1, 1)]).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (1, 2));
    let nul = EntityRef("nul\0".into());
    assert_eq!(slot.delete(std::slice::from_ref(&nul)).await.expect("delete"), 0);
    assert_eq!(slot.trim(&nul, 0).await.expect("trim"), 0);
    assert_eq!(slot.read(&[nul]).await.expect("read"), []);
    assert_eq!(slot.clear().await.expect("clear"), 1);
    let wide = layout(VECTOR, 0, None);
    let slot = database.slot(&scope, &wide, DIMENSIONS);
    slot.prepare().await.expect("prepare");
    assert_eq!(slot.upsert(&[big]).await.expect("upsert").rejected, []);
    database.close().await;
}

/// A deletion that waits for a writer does not see by itself what he adds.
#[tokio::test]
async fn an_entity_that_gets_longer_while_its_deletion_waits_goes_whole() {
    let (database, scope, slot) = prepared(layout(VECTOR, 0, None)).await;
    let (table, document) = (table(&scope), documents::document("growing", 1, 2));
    let mut writer = database.connection().await;
    for keep in [0, 1] {
        slot.upsert(std::slice::from_ref(&document)).await.expect("upsert");
        let grow = format!(
            "BEGIN; CREATE TEMPORARY TABLE added ON COMMIT DROP AS SELECT * FROM {table} WHERE chunk_index = 1;
             UPDATE added SET point_id = gen_random_uuid(), chunk_index = 2;
             UPDATE {table} SET content_hash = content_hash; INSERT INTO {table} SELECT * FROM added"
        );
        writer.execute(AssertSqlSafe(grow)).await.expect("a third chunk");
        let (slot, entity) = (slot.clone(), document.entity.clone());
        let deletion = tokio::spawn(async move {
            if keep == 0 { slot.delete(&[entity]).await } else { slot.trim(&entity, keep).await }
        });
        until("the deletion waits", Duration::from_secs(30), async || {
            let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                          WHERE datname = current_database() AND wait_event_type = 'Lock')";
            sqlx::query_scalar(waiting).fetch_one(&mut database.connection().await).await.expect("the activity")
        })
        .await;
        writer.execute("COMMIT").await.expect("the writer is done");
        assert_eq!(deletion.await.expect("no panic").expect("a deletion"), u64::from(3 - keep));
    }
    assert_eq!(slot.count().await.expect("count"), 1);
    database.close().await;
}

#[tokio::test]
async fn u_0000_in_a_text_is_replaced_and_the_payload_keeps_it() {
    let (database, scope, slot) = prepared(layout(VECTOR, 0, None)).await;
    let mut document = documents::document("with nul", 1, 1);
    document.chunks[0].text = "a\0b".into();
    document.chunks[0].payload = r#"{"b":"a\u0000b","a":1}"#.into();
    assert_eq!(slot.upsert(&[document.clone()]).await.expect("upsert").rejected, []);
    let stored = slot.read(&[document.entity.clone()]).await.expect("read");
    assert_eq!(stored[0].chunks[0].text, "a\u{fffd}b");
    assert_eq!(stored[0].chunks[0].text, slot.stored_text("a\0b"));
    let payload = format!("SELECT payload::text FROM {}", table(&scope));
    let payload: String =
        sqlx::query_scalar(AssertSqlSafe(payload)).fetch_one(&mut database.connection().await).await.expect("payload");
    assert_eq!(payload, document.chunks[0].payload, "byte for byte");
    database.close().await;
}

#[tokio::test]
async fn every_difference_of_the_layout_is_refused() {
    let (database, scope, slot) = prepared(layout(VECTOR, 1, HNSW)).await;
    let before = database.inventory().await;
    let others = [
        (layout(HALFVEC, 1, HNSW), "vector type"),
        (layout(VECTOR, 2, HNSW), "distance"),
        (layout(VECTOR, 1, None), "HNSW index"),
        (layout(VECTOR, 1, Some(Hnsw { m: 17, ef_construction: 64 })), "HNSW index"),
    ];
    for (other, what) in others {
        let error = database.slot(&scope, &other, DIMENSIONS).prepare().await.expect_err("it differs");
        assert_eq!(error.kind(), ErrorKind::IncompatibleDestination);
        assert!(error.message().contains(what), "{error}");
    }
    let stranger = Scope { organization_id: Uuid::new_v4(), ..scope.clone() };
    let error = database.slot(&stranger, &layout(VECTOR, 1, HNSW), DIMENSIONS).prepare().await.expect_err("a stranger");
    assert!(error.message().contains("organisation"), "{error}");
    assert_eq!(database.inventory().await, before);
    slot.prepare().await.expect("the same again");
    database.close().await;
}

#[tokio::test]
async fn a_table_that_was_altered_by_hand_is_refused() {
    for (alter, what) in [
        ("ALTER TABLE {} ALTER COLUMN dense TYPE vector(9)", "dense"),
        ("ALTER TABLE {} ALTER COLUMN payload DROP NOT NULL", "payload"),
        ("ALTER TABLE {} DROP COLUMN class", "class"),
        ("ALTER TABLE {} ADD COLUMN note text", "note"),
        ("ALTER TABLE {} ALTER COLUMN entity_id TYPE text COLLATE \"default\"", "entity_id"),
        ("COMMENT ON TABLE {} IS 'mine'", "comment"),
    ] {
        let (database, scope, slot) = prepared(layout(VECTOR, 1, None)).await;
        let alter = alter.replace("{}", &table(&scope));
        database.connection().await.execute(AssertSqlSafe(alter)).await.expect("alter");
        let error = slot.prepare().await.expect_err("it was altered");
        assert_eq!(error.kind(), ErrorKind::IncompatibleDestination);
        assert!(error.message().contains(what), "{error}");
        database.close().await;
    }
}

#[tokio::test]
async fn without_its_table_a_slot_is_not_found() {
    let (database, _, slot) = prepared(layout(VECTOR, 0, None)).await;
    assert_eq!(slot.clear().await.expect("clear"), 0);
    let upsert = slot.upsert(&[documents::document("a", 1, 1)]).await.expect_err("cleared");
    assert_eq!(upsert.kind(), ErrorKind::NotFound);
    assert_eq!(slot.count().await.expect_err("cleared").kind(), ErrorKind::NotFound);
    assert_eq!(slot.finish().await.expect_err("cleared").kind(), ErrorKind::NotFound);
    database.close().await;
}

#[tokio::test]
async fn an_index_left_invalid_is_rebuilt() {
    let (database, scope, slot) = prepared(layout(HALFVEC, 0, HNSW)).await;
    let documents: Vec<_> = (0..20).map(|n| documents::document(&format!("entity {n}"), 1, 1)).collect();
    slot.upsert(&documents).await.expect("upsert");
    slot.finish().await.expect("finish");
    let mut connection = database.connection().await;
    // What CREATE INDEX CONCURRENTLY leaves when it is interrupted.
    sqlx::query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass($1)")
        .bind(format!("{}_dense", table(&scope)))
        .execute(&mut connection)
        .await
        .expect("the test's role is a superuser");
    let before = database.inventory().await;
    slot.finish().await.expect("finish again");
    let valid: Vec<(String, bool)> = sqlx::query_as(
        "SELECT am.amname::text, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_am am ON am.oid = c.relam WHERE i.indrelid = to_regclass($1) ORDER BY 1",
    )
    .bind(table(&scope))
    .fetch_all(&mut connection)
    .await
    .expect("the catalogue is readable");
    let valid: Vec<(&str, bool)> = valid.iter().map(|(method, valid)| (method.as_str(), *valid)).collect();
    assert_eq!(valid, [("btree", true), ("btree", true), ("gin", true), ("hnsw", true)]);
    let after = database.inventory().await;
    assert_ne!(after, before, "the index is another one");
    slot.finish().await.expect("a third time");
    assert_eq!(database.inventory().await, after, "a valid index is left alone");
    database.close().await;
}

#[tokio::test]
async fn every_distance_scores_higher_for_nearer() {
    let database = Box::new(Database::create(layout(VECTOR, 0, None)).await);
    for (distance, best, score) in [(1, "aligned", 1.0), (2, "close", -0.5), (3, "long", 8.0)] {
        for layout in [layout(VECTOR, distance, HNSW), layout(HALFVEC, distance, None)] {
            let slot = database.slot(&documents::scope(), &layout, DIMENSIONS);
            slot.prepare().await.expect("prepare");
            let at = |id: &str, x: f32, y: f32| {
                let mut document = documents::document(id, 1, 1);
                document.chunks[0].dense = vec![x, y, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
                document
            };
            let documents =
                [at("aligned", 3.0, 0.0), at("close", 1.0, 0.5), at("long", 8.0, 8.0), at("zero", 0.0, 0.0)];
            slot.upsert(&documents).await.expect("upsert");
            slot.finish().await.expect("finish");
            let dense = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
            let query = Query {
                text: String::new(),
                dense,
                sparse: SparseVector::default(),
                mode: SearchMode::Dense,
                limit: 4,
            };
            let hits = slot.search(&query).await.expect("search");
            assert_eq!(hits[0].entity.0, best, "{hits:?}");
            assert!((hits[0].score - score).abs() < 1e-6, "{hits:?}");
            // The angle to a vector of zeros is undefined; the other distances know where it is.
            assert_eq!(hits.len(), if distance == 1 { 3 } else { 4 }, "{hits:?}");
        }
    }
    database.close().await;
}

/// The plans that keep a slot of millions of rows usable do not depend on statistics.
#[tokio::test]
async fn lookups_use_the_index_without_statistics() {
    let (database, scope, _) = prepared(layout(VECTOR, 0, None)).await;
    // One session, which can then be told to publish what it counted.
    let limits = PoolLimits { max_connections: 1, ..PoolLimits::default() };
    let pool = PgvectorPools::new(limits).get(&database.url(|options| options)).expect("the URL is valid");
    let settings = PgvectorSettings::from_layout(&database.layout, DIMENSIONS).expect("the layout is valid");
    let slot = Pgvector::new(pool.clone(), scope.clone(), settings);
    let off = format!("ALTER TABLE {} SET (autovacuum_enabled = off)", table(&scope));
    pool.execute(AssertSqlSafe(off)).await.expect("alter");
    for batch in 0..20 {
        let documents: Vec<_> = (0..500).map(|n| documents::document(&format!("{batch} {n}"), 1, 1)).collect();
        slot.upsert(&documents).await.expect("upsert");
    }
    let scans = || async {
        pool.execute("SELECT pg_stat_force_next_flush()").await.expect("flush");
        let scans = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relid = to_regclass($1)";
        let scans: (i64, i64) =
            sqlx::query_as(scans).bind(table(&scope)).fetch_one(&pool).await.expect("statistics are on");
        scans
    };
    let before = scans().await;
    let ids: Vec<EntityRef> = (0..64).map(|n| EntityRef(format!("7 {n}"))).collect();
    slot.upsert(&[documents::document("0 0", 2, 1)]).await.expect("upsert");
    assert_eq!(slot.read(&ids).await.expect("read").len(), 64);
    slot.trim(&ids[0], 1).await.expect("trim");
    assert_eq!(slot.delete(&ids).await.expect("delete"), 64);
    let after = scans().await;
    assert_eq!(after.0, before.0, "reads of the whole table");
    assert!(after.1 > before.1 + 64 * 2, "lookups by index");
    database.close().await;
}

#[tokio::test]
async fn pools_are_shared_by_url() {
    let pools = PgvectorPools::default();
    let first = pools.get(&"postgres://a@127.0.0.1/x".into()).expect("valid");
    let again = pools.get(&"postgres://a@127.0.0.1/x".into()).expect("valid");
    let other = pools.get(&"postgres://b@127.0.0.1/x".into()).expect("valid");
    first.close().await;
    assert!(again.is_closed() && !other.is_closed());
    for bad in ["http://me:secret@host", "postgres://me:secret@host:port/x", "secret"] {
        let error = pools.get(&bad.into()).expect_err("not a URL of Postgres");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.chain().contains("secret"), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_role_without_privileges_is_denied() {
    let (database, scope, slot) = prepared(layout(VECTOR, 0, None)).await;
    let mut connection = database.connection().await;
    let role = format!("reader_{}", Uuid::new_v4().simple());
    connection.execute(AssertSqlSafe(format!("CREATE ROLE {role} LOGIN PASSWORD 'x'"))).await.expect("create role");
    let url = database.url(|options| options.username(&role).password("x"));
    let settings = PgvectorSettings::from_layout(&database.layout, DIMENSIONS).expect("valid");
    let poor = Pgvector::connect(&url, documents::scope(), settings).expect("valid");
    assert_eq!(poor.check().await.expect_err("may not create").kind(), ErrorKind::DestinationDenied);
    let same = Pgvector::connect(&url, scope, settings).expect("valid");
    assert_eq!(same.count().await.expect_err("may not read").kind(), ErrorKind::DestinationDenied);
    drop((poor, same, slot));
    connection.close().await.expect("close");
    let admin = database.admin.clone();
    database.close().await;
    let mut connection = admin.connect().await.expect("the server is up");
    connection.execute(AssertSqlSafe(format!("DROP ROLE {role}"))).await.expect("drop role");
}
