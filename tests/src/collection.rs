//! More syncs in the world's collection.

use sync_multiplexer::demo::store::{StoreOptions, generate};
use uuid::Uuid;

use crate::World;

impl World {
    /// Adds a sync with a small raw store of its own that feeds the same collection. Its destinations are the world's.
    ///
    /// # Panics
    ///
    /// When the platform's tables refuse the rows, or the store cannot be written.
    pub async fn add_sync(&self, entities: usize) -> Uuid {
        let sync_id = Uuid::new_v4();
        let store = StoreOptions {
            sync_id,
            organization_id: self.ids.organization_id,
            collection_id: self.ids.collection_id,
            collection_readable_id: "company-knowledge".to_owned(),
            source_short_name: "company_tools".to_owned(),
            seed: self.seed,
            entities,
        };
        generate(&self.store_root(), &store).expect("a store can be generated");
        for statement in [
            "INSERT INTO public.sync (id, created_at, modified_at, organization_id, name, status)
             VALUES ($1, now(), now(), $2, 'Another', 'ACTIVE')",
            "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
             SELECT gen_random_uuid(), now(), now(), $1, id FROM public.connection
             WHERE integration_type = 'SOURCE' AND organization_id = $2",
            "INSERT INTO public.source_connection (id, created_at, modified_at, organization_id, name, short_name, sync_id,
                 connection_id, readable_collection_id, is_authenticated)
             SELECT gen_random_uuid(), now(), now(), $2, 'Another', short_name, $1, connection_id, readable_collection_id,
                    true
             FROM public.source_connection WHERE organization_id = $2 LIMIT 1",
        ] {
            sqlx::query(statement)
                .bind(sync_id)
                .bind(self.ids.organization_id)
                .execute(self.database.pool())
                .await
                .expect("a sync can be added");
        }
        sync_id
    }
}
