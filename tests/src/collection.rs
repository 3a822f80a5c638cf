//! Worlds with several syncs of one collection.

use activities::database::Database;
use proto::v1::{ForkCollectionRequest, ForkCollectionResult};
use sync_multiplexer::demo::Seeded;
use sync_multiplexer::demo::store::{StoreOptions, generate};
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use temporalio_client::{Client, WorkflowHandle};
use uuid::Uuid;
use workflows::fork_collection::ForkCollectionWorkflow;

use crate::{World, WorldOptions};

impl World {
    /// Several syncs of one organisation that feed one collection, each with a source and a raw store of its own: a world
    /// for each. They share the database, the destinations, the queue and its workers, so one [`Self::worker`] works for
    /// all, and [`Self::done`] of one ends all. `options` are those of each.
    ///
    /// # Panics
    ///
    /// When the servers of the suite are not there.
    pub async fn with_syncs<const N: usize>(options: WorldOptions) -> [Self; N] {
        let first = Self::with(options.clone()).await;
        let mut worlds = Vec::with_capacity(N);
        for number in (1..).take(N - 1) {
            worlds.push(first.beside(number, options.entities).await);
        }
        worlds.insert(0, first);
        worlds.try_into().unwrap_or_else(|_| panic!("a collection has at least one sync"))
    }

    /// Adds a sync with a raw store of its own that feeds the same collection; answers its id.
    ///
    /// # Panics
    ///
    /// When the platform's tables refuse the rows, or the store cannot be written.
    pub async fn add_sync(&self, entities: usize) -> Uuid {
        let (number, _) = Uuid::new_v4().as_u64_pair();
        self.beside(number, entities).await.ids.sync_id
    }

    /// A request to fork every sync of this world's collection, with the profile and options of [`Self::fork_request`].
    #[must_use]
    pub fn fork_collection_request(&self, connection: Uuid) -> ForkCollectionRequest {
        let of_one = self.fork_request(connection);
        ForkCollectionRequest {
            organization_id: of_one.organization_id,
            collection_id: self.ids.collection_id.to_string(),
            destination_connection_id: of_one.destination_connection_id,
            profile: of_one.profile,
            options: of_one.options,
            requested_by: of_one.requested_by,
            ..ForkCollectionRequest::default()
        }
    }

    /// Starts the fork of a collection.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_fork_collection(
        &self,
        request: &ForkCollectionRequest,
    ) -> Result<WorkflowHandle<Client, ForkCollectionWorkflow>, Failure> {
        temporal::start_fork_collection(&self.client, &self.task_queue, request).await
    }

    /// Forks a collection and waits for the end.
    ///
    /// # Errors
    ///
    /// What it failed with as a whole.
    pub async fn fork_collection(&self, request: &ForkCollectionRequest) -> Result<ForkCollectionResult, Failure> {
        let handle = self.start_fork_collection(request).await?;
        temporal::watch_fork_collection(&self.client, request, &handle, |_| {}).await
    }

    /// Another sync of this world's collection.
    async fn beside(&self, number: u64, entities: usize) -> Self {
        let sync_id = Uuid::new_v5(&self.ids.sync_id, format!("sync {number}").as_bytes());
        let ids = Seeded { sync_id, ..self.ids };
        let store = StoreOptions { sync_id, seed: self.seed.wrapping_add(number), entities, ..self.store.clone() };
        let entity_ids = generate(&self.folder, &store).expect("a store can be generated").entity_ids;
        add_sync(&self.database, &ids, number, &entity_ids).await;
        Self {
            ids,
            entity_ids,
            database: self.database.clone(),
            database_url: self.database_url.clone(),
            task_queue: self.task_queue.clone(),
            client: self.client.clone(),
            temporal_address: self.temporal_address.clone(),
            seed: store.seed,
            encryption_key: self.encryption_key.clone(),
            store,
            folder: self.folder.clone(),
            admin: self.admin.clone(),
            name: self.name.clone(),
        }
    }
}

/// A sync as the platform keeps it: with its source, its source connection, one job that is over, and what it found.
async fn add_sync(database: &Database, ids: &Seeded, number: u64, entity_ids: &[String]) {
    // Each statement with all parameters: those it does not name are given a type in a common table expression.
    const TYPED: &str =
        "WITH given AS (SELECT $1::uuid, $2::uuid, $3::text, $4::uuid, $5::uuid, $6::uuid, $7::uuid, $8::text[])";
    let id = |name: &str| Uuid::new_v5(&ids.sync_id, name.as_bytes());
    let name = format!("More tools {number}");
    let statements = [
        "INSERT INTO public.sync (id, created_at, modified_at, organization_id, name, status)
         VALUES ($1, now(), now(), $2, $3, 'ACTIVE')",
        "INSERT INTO public.connection (id, created_at, modified_at, organization_id, name, readable_id,
             integration_type, status, short_name)
         VALUES ($4, now(), now(), $2, $3, $4::text, 'SOURCE', 'ACTIVE', 'company_tools')",
        "INSERT INTO public.source_connection (id, created_at, modified_at, organization_id, name, short_name, sync_id,
             connection_id, readable_collection_id, is_authenticated)
         SELECT $5, now(), now(), $2, $3, 'company_tools', $1, $4, readable_id, true
         FROM public.collection WHERE organization_id = $2",
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
         VALUES ($6, now(), now(), $1, $4)",
        "INSERT INTO public.sync_job (id, created_at, modified_at, organization_id, sync_id, status, started_at,
             completed_at, entities_inserted, entities_deleted, entities_skipped)
         VALUES ($7, now(), now(), $2, $1, 'completed', now(), now(), 0, 0, 0)",
        "INSERT INTO public.entity (id, created_at, modified_at, organization_id, sync_id, sync_job_id, entity_id, hash)
         SELECT gen_random_uuid(), now(), now(), $2, $1, $7, entity_id, '' FROM unnest($8::text[]) AS entity_id",
    ];
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(format!("{TYPED} {statement}")))
            .bind(ids.sync_id)
            .bind(ids.organization_id)
            .bind(&name)
            .bind(id("source"))
            .bind(id("source connection"))
            .bind(id("source slot"))
            .bind(id("job"))
            .bind(entity_ids)
            .execute(database.pool())
            .await
            .expect("the platform's rows can be added");
    }
}
