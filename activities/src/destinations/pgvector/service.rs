//! The destination itself: each method is one transaction, or one that can be repeated.

use std::borrow::Cow;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use secrecy::SecretString;
use sqlx::postgres::PgArguments;
use sqlx::query::Query as Statement;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use uuid::Uuid;

use super::classify::{classify, is_data_error, sqlstate};
use super::config::{Distance, PgvectorSettings, VectorType};
use super::pool::{PgvectorPools, PoolLimits};
use super::prepare;
use super::request_builder::{PointRows, Statements, latest, refuse, saturate, stored_text};
use super::schema::{Marker, Table};
use super::search::{self, SearchStatements};
use crate::destinations::{
    Chunk, DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, Rejection, Scope, SparseVector,
    StoredChunk, StoredEntity, UpsertOutcome,
};
use crate::error::{Error, ErrorKind, Result};

/// Entities of one page of a scan.
const SCAN_PAGE_ENTITIES: u32 = 5_000;

/// A slot in a Postgres database with pgvector. Cheap to make; connects when used.
#[derive(Debug, Clone)]
pub struct Pgvector {
    pool: PgPool,
    scope: Scope,
    settings: PgvectorSettings,
    table: Table,
    statements: Statements,
    search: SearchStatements,
}

impl Pgvector {
    /// The slot `scope` on the server behind `pool`, which should come from [`PgvectorPools`].
    #[must_use]
    pub fn new(pool: PgPool, scope: Scope, settings: PgvectorSettings) -> Self {
        let table = Table::new(scope.slot_id, &settings);
        let statements = Statements::new(&table, &settings);
        let search = SearchStatements::new(&table, &settings);
        Self { pool, scope, settings, table, statements, search }
    }

    /// The slot `scope` on the server at `url`, with connections of its own.
    ///
    /// # Errors
    /// `InvalidInput` when `url` is not a Postgres URL.
    pub fn connect(url: &SecretString, scope: Scope, settings: PgvectorSettings) -> Result<Self> {
        Ok(Self::new(PgvectorPools::new(PoolLimits::default()).get(url)?, scope, settings))
    }

    async fn connection(&self, doing: &str) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>> {
        self.pool.acquire().await.map_err(|error| classify(doing, error))
    }

    /// Writes whole entities, sorted and accepted by [`refuse`], inside the caller's transaction.
    async fn write(&self, connection: &mut PgConnection, documents: &[&EntityDocument]) -> Result<(), WriteError> {
        for rows in PointRows::portions(documents, self.scope.sync_id) {
            let sent = rows.len();
            let written = self.statements.upsert(&self.scope, rows).execute(&mut *connection).await?.rows_affected();
            if usize::try_from(written) != Ok(sent) {
                return Err(WriteError::Foreign);
            }
        }
        // After the rows, in a statement of its own: it then sees what a writer left for whom the rows had to wait.
        let ids: Vec<&str> = documents.iter().map(|document| document.entity.0.as_str()).collect();
        let keep: Vec<i32> = documents.iter().map(|document| saturate(document.chunks.len())).collect();
        sqlx::query(self.statements.delete_surplus())
            .bind(self.scope.organization_id)
            .bind(self.scope.sync_id)
            .bind(ids)
            .bind(keep)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn write_and_commit(&self, documents: &[&EntityDocument]) -> Result<(), WriteError> {
        let mut transaction = self.pool.begin().await?;
        self.write(&mut transaction, documents).await?;
        Ok(transaction.commit().await?)
    }

    /// Deletes in one transaction until nothing is found, and answers how many rows went. A statement that waited for a writer
    /// does not see the rows he added, only those he changed: of an entity that got longer meanwhile it would leave the rest.
    async fn until_nothing_is_left<'q>(
        &self,
        mut delete: impl FnMut() -> Statement<'q, Postgres, PgArguments>,
    ) -> Result<u64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let mut deleted = 0;
        loop {
            match delete().execute(&mut *transaction).await?.rows_affected() {
                0 => break,
                rows => deleted += rows,
            }
        }
        transaction.commit().await?;
        Ok(deleted)
    }

    /// A document nobody has, for [`Destination::check`].
    fn sample(&self) -> EntityDocument {
        EntityDocument {
            entity: EntityRef(format!("sync-multiplexer check {}", Uuid::new_v4())),
            class: "Check".into(),
            content_hash: "0".repeat(64),
            chunks: vec![Chunk {
                index: 0,
                text: "check".into(),
                payload: "{}".into(),
                dense: vec![1.0; self.settings.dimensions as usize],
                sparse: SparseVector { indices: vec![1], values: vec![1.0] },
            }],
        }
    }
}

/// Why a batch could not be written.
#[derive(Debug)]
enum WriteError {
    Sql(sqlx::Error),
    /// A row with the same point id belongs to another organisation or sync.
    Foreign,
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Sql(error) => classify("write points", error),
            WriteError::Foreign => {
                Self::new(ErrorKind::Internal, "the slot's table holds a point of another organisation or sync")
            }
        }
    }
}

#[async_trait]
impl Destination for Pgvector {
    async fn check(&self) -> Result<()> {
        let mut connection = self.connection("connect").await?;
        let mut transaction = connection.begin().await.map_err(|error| classify("begin", error))?;
        let marker = Marker::new(&self.scope, &self.settings);
        prepare::create_or_verify(&mut transaction, &self.table, &marker).await?;
        self.write(&mut transaction, &[&self.sample()]).await?;
        transaction.rollback().await.map_err(|error| classify("roll back", error))
    }

    async fn prepare(&self) -> Result<()> {
        let mut connection = self.connection("connect").await?;
        let mut transaction = connection.begin().await.map_err(|error| classify("begin", error))?;
        let marker = Marker::new(&self.scope, &self.settings);
        prepare::create_or_verify(&mut transaction, &self.table, &marker).await?;
        transaction.commit().await.map_err(|error| classify("prepare the slot's table", error))
    }

    async fn finish(&self) -> Result<()> {
        prepare::finish(&mut *self.connection("connect").await?, &self.table).await
    }

    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        let mut outcome = UpsertOutcome::default();
        let mut sound = Vec::with_capacity(documents.len());
        for document in latest(documents) {
            match refuse(document, &self.settings) {
                Ok(()) => sound.push(document),
                Err(reason) => outcome.rejected.push(Rejection { entity: document.entity.clone(), reason }),
            }
        }
        // A batch with data that the server refuses is halved until the entity is alone.
        let mut pending: Vec<&[&EntityDocument]> = vec![&sound];
        while let Some(part) = pending.pop().filter(|part| !part.is_empty()) {
            match (self.write_and_commit(part).await, part) {
                (Ok(()), _) => outcome
                    .accepted
                    .extend(part.iter().map(|document| (document.entity.clone(), chunk_count(document)))),
                (Err(WriteError::Sql(error)), [document]) if is_data_error(&error) => {
                    let code = sqlstate(&error).unwrap_or_default();
                    let reason = format!("Postgres refuses its data (SQLSTATE {code})");
                    outcome.rejected.push(Rejection { entity: document.entity.clone(), reason });
                }
                (Err(WriteError::Sql(error)), _) if is_data_error(&error) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    pending.extend([right, left]);
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(outcome)
    }

    async fn delete(&self, entities: &[EntityRef]) -> Result<u64> {
        // An id with U+0000 cannot be stored, so there is nothing of it to remove.
        let ids: Vec<&str> = entities.iter().map(|entity| entity.0.as_str()).filter(|id| !id.contains('\0')).collect();
        let delete = || sqlx::query(self.statements.delete()).bind(self.scope.organization_id).bind(self.scope.sync_id);
        let deleted = self.until_nothing_is_left(|| delete().bind(&ids)).await;
        deleted.map_err(|error| classify("delete points", error))
    }

    async fn trim(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        if entity.0.contains('\0') {
            return Ok(0);
        }
        let (ids, keep) = ([entity.0.as_str()], [saturate(keep)]);
        let delete =
            || sqlx::query(self.statements.delete_surplus()).bind(self.scope.organization_id).bind(self.scope.sync_id);
        let deleted = self.until_nothing_is_left(|| delete().bind(&ids[..]).bind(&keep[..])).await;
        deleted.map_err(|error| classify("trim an entity", error))
    }

    async fn read(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        let ids: Vec<&str> = entities.iter().map(|entity| entity.0.as_str()).filter(|id| !id.contains('\0')).collect();
        let rows: Vec<(String, String, i32, String, Vec<f32>)> = sqlx::query_as(self.statements.read())
            .bind(self.scope.organization_id)
            .bind(self.scope.sync_id)
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| classify("read entities", error))?;
        let mut stored: Vec<StoredEntity> = Vec::new();
        for (id, content_hash, index, text, dense) in rows {
            let chunk = StoredChunk { index: index.unsigned_abs(), text, dense };
            match stored.last_mut().filter(|entity| entity.entity.0 == id) {
                Some(entity) => {
                    if entity.content_hash != content_hash {
                        entity.content_hash.clear();
                    }
                    entity.chunks.push(chunk);
                }
                None => stored.push(StoredEntity { entity: EntityRef(id), content_hash, chunks: vec![chunk] }),
            }
        }
        Ok(stored)
    }

    async fn scan(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        // Page by page instead of one cursor: a slow consumer then holds neither a connection nor a snapshot. No id is
        // empty, so the scan starts after the empty one.
        let pages = stream::try_unfold(Some(String::new()), move |after| async move {
            let Some(after) = after else { return Ok::<_, Error>(None) };
            let page: Vec<(String, i64)> = sqlx::query_as(self.statements.scan_page())
                .bind(self.scope.organization_id)
                .bind(self.scope.sync_id)
                .bind(after)
                .bind(i64::from(SCAN_PAGE_ENTITIES))
                .fetch_all(&self.pool)
                .await
                .map_err(|error| classify("scan the slot", error))?;
            let last = page.last().map(|(id, _)| id.clone());
            let page =
                page.into_iter().map(|(id, points)| Ok((EntityRef(id), u32::try_from(points).unwrap_or(u32::MAX))));
            Ok(last.is_some().then(|| (stream::iter(page), last)))
        });
        Ok(pages.try_flatten().boxed())
    }

    async fn count(&self) -> Result<u64> {
        let points: i64 = sqlx::query_scalar(self.statements.count())
            .bind(self.scope.organization_id)
            .bind(self.scope.sync_id)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| classify("count points", error))?;
        Ok(points.unsigned_abs())
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        let mut connection = self.connection("connect").await?;
        search::search(&mut connection, &self.search, &self.settings, &self.scope, query).await
    }

    async fn clear(&self) -> Result<u64> {
        let mut connection = self.connection("connect").await?;
        prepare::clear(&mut connection, &self.table, &self.statements, &self.scope).await
    }

    fn place(&self) -> String {
        // A table per slot.
        format!("pgvector {}", self.scope.slot_id)
    }

    fn stored_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        stored_text(text)
    }

    fn dense_fidelity(&self) -> DenseFidelity {
        match self.settings.vector_type {
            VectorType::Vector => DenseFidelity::Exact,
            VectorType::Halfvec => DenseFidelity::Rounded,
        }
    }

    fn compares_directions(&self) -> bool {
        self.settings.distance == Distance::Cosine
    }

    /// Postgres never asks for less: it refuses connections, which is an error.
    fn overloads(&self) -> u64 {
        0
    }
}

/// How many chunks; [`refuse`] saw that the count fits.
fn chunk_count(document: &EntityDocument) -> u32 {
    u32::try_from(document.chunks.len()).unwrap_or(u32::MAX)
}
