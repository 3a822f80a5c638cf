//! The gRPC service of collections, and what a collection says of itself.

use std::sync::Arc;

use ::qdrant_client::qdrant::collections_server::Collections;
use ::qdrant_client::qdrant::{
    ChangeAliases, CollectionClusterInfoRequest, CollectionClusterInfoResponse, CollectionDescription,
    CollectionExists, CollectionExistsRequest, CollectionExistsResponse, CollectionInfo, CollectionOperationResponse,
    CollectionStatus, CreateCollection, CreateShardKeyRequest, CreateShardKeyResponse, DeleteCollection,
    DeleteShardKeyRequest, DeleteShardKeyResponse, GetCollectionInfoRequest, GetCollectionInfoResponse,
    ListAliasesRequest, ListAliasesResponse, ListCollectionAliasesRequest, ListCollectionsRequest,
    ListCollectionsResponse, ListShardKeysRequest, ListShardKeysResponse, OptimizerStatus, UpdateCollection,
    UpdateCollectionClusterSetupRequest, UpdateCollectionClusterSetupResponse, UpdateQueueInfo,
};
use tonic::{Request, Status};

use super::config::{check_name, created, updated};
use super::journal::{Call, Method};
use super::store::{Collection, Shared};
use super::{Answer, not_modelled};

pub(super) struct CollectionsService(pub(super) Arc<Shared>);

impl Collection {
    /// The collection info; the optimizer gets one step further.
    fn info(&mut self, name: &str, shared: &Shared) -> CollectionInfo {
        let points = u64::try_from(self.points.len()).unwrap_or(u64::MAX);
        let look = self.look(name, shared);
        CollectionInfo {
            status: look.status.into(),
            optimizer_status: Some(OptimizerStatus { ok: true, error: String::new() }),
            segments_count: 1,
            config: Some(self.config.clone()),
            payload_schema: self.payload_schema().collect(),
            points_count: Some(points),
            indexed_vectors_count: Some(if look.status == CollectionStatus::Green { points } else { 0 }),
            update_queue: Some(UpdateQueueInfo {
                length: look.queue,
                deferred_points: (look.deferred > 0).then_some(look.deferred),
            }),
            ..CollectionInfo::default()
        }
    }

    fn indexing_is_off(&self) -> bool {
        self.config.optimizer_config.is_some_and(|optimizers| optimizers.indexing_threshold == Some(0))
    }
}

impl Shared {
    async fn collection_info(&self, request: GetCollectionInfoRequest) -> Answer<GetCollectionInfoResponse> {
        let name = request.collection_name;
        self.answer(Call::new(Method::CollectionInfo, &name), |store, _| {
            let name = store.resolve(&name)?;
            let info = store.collection(&name)?.info(&name, self);
            Ok(GetCollectionInfoResponse { result: Some(info), time: 0.0 })
        })
        .await
    }

    async fn create_collection(&self, request: CreateCollection) -> Answer<CollectionOperationResponse> {
        let name = request.collection_name.clone();
        let journalled = Some(Box::new(request.clone()));
        let call = Call { created: journalled, ..Call::new(Method::CreateCollection, &name) };
        self.answer(call, |store, _| {
            check_name(&name)?;
            if store.collections.contains_key(&name) {
                return Err(Status::already_exists(format!("Wrong input: Collection `{name}` already exists!")));
            }
            if store.aliases.contains_key(&name) {
                return Err(not_modelled("a collection with the name of an alias"));
            }
            let config = created(request, &self.options)?;
            let mut collection = Collection { config, ..Collection::default() };
            collection.refresh_write_limit();
            store.collections.insert(name, collection);
            Ok(CollectionOperationResponse { result: true, time: 0.0 })
        })
        .await
    }

    async fn update_collection(&self, request: UpdateCollection) -> Answer<CollectionOperationResponse> {
        let name = request.collection_name.clone();
        let optimizers = request.optimizers_config;
        let call = Call { optimizers, ..Call::new(Method::UpdateCollection, &name) };
        self.answer(call, |store, _| {
            if store.aliases.contains_key(&name) {
                return Err(not_modelled("an update of a collection by an alias"));
            }
            let collection = store.collection(&name)?;
            let was_off = collection.indexing_is_off();
            updated(&mut collection.config, request)?;
            collection.refresh_write_limit();
            if was_off && !collection.indexing_is_off() && !collection.points.is_empty() {
                collection.optimize_for(self.options.looks_until_green, 0);
            }
            Ok(CollectionOperationResponse { result: true, time: 0.0 })
        })
        .await
    }

    /// Its aliases go with it. A collection that is not there is no error, but the result says false.
    async fn delete_collection(&self, request: DeleteCollection) -> Answer<CollectionOperationResponse> {
        let name = request.collection_name;
        self.answer(Call::new(Method::DeleteCollection, &name), |store, _| {
            if store.aliases.contains_key(&name) {
                return Err(not_modelled("removal of a collection by an alias"));
            }
            store.aliases.retain(|_, target| *target != name);
            let result = store.collections.remove(&name).is_some();
            Ok(CollectionOperationResponse { result, time: 0.0 })
        })
        .await
    }

    async fn list_collections(&self) -> Answer<ListCollectionsResponse> {
        self.answer(Call::new(Method::ListCollections, ""), |store, _| {
            let names = store.collections.keys().cloned();
            let collections = names.map(|name| CollectionDescription { name }).collect();
            Ok(ListCollectionsResponse { collections, time: 0.0 })
        })
        .await
    }

    async fn collection_exists(&self, request: CollectionExistsRequest) -> Answer<CollectionExistsResponse> {
        let name = request.collection_name;
        self.answer(Call::new(Method::CollectionExists, &name), |store, _| {
            if store.aliases.contains_key(&name) {
                return Err(not_modelled("the question whether an alias exists"));
            }
            let exists = store.collections.contains_key(&name);
            Ok(CollectionExistsResponse { result: Some(CollectionExists { exists }), time: 0.0 })
        })
        .await
    }
}

#[tonic::async_trait]
impl Collections for CollectionsService {
    async fn get(&self, request: Request<GetCollectionInfoRequest>) -> Answer<GetCollectionInfoResponse> {
        self.0.collection_info(request.into_inner()).await
    }

    async fn list(&self, _: Request<ListCollectionsRequest>) -> Answer<ListCollectionsResponse> {
        self.0.list_collections().await
    }

    async fn create(&self, request: Request<CreateCollection>) -> Answer<CollectionOperationResponse> {
        self.0.create_collection(request.into_inner()).await
    }

    async fn update(&self, request: Request<UpdateCollection>) -> Answer<CollectionOperationResponse> {
        self.0.update_collection(request.into_inner()).await
    }

    async fn delete(&self, request: Request<DeleteCollection>) -> Answer<CollectionOperationResponse> {
        self.0.delete_collection(request.into_inner()).await
    }

    async fn update_aliases(&self, request: Request<ChangeAliases>) -> Answer<CollectionOperationResponse> {
        self.0.update_aliases(request.into_inner()).await
    }

    async fn list_collection_aliases(
        &self,
        request: Request<ListCollectionAliasesRequest>,
    ) -> Answer<ListAliasesResponse> {
        self.0.list_collection_aliases(request.into_inner()).await
    }

    async fn list_aliases(&self, request: Request<ListAliasesRequest>) -> Answer<ListAliasesResponse> {
        self.0.list_aliases(request.into_inner()).await
    }

    async fn collection_exists(&self, request: Request<CollectionExistsRequest>) -> Answer<CollectionExistsResponse> {
        self.0.collection_exists(request.into_inner()).await
    }

    async fn collection_cluster_info(
        &self,
        _: Request<CollectionClusterInfoRequest>,
    ) -> Answer<CollectionClusterInfoResponse> {
        Err(not_modelled("the call collection_cluster_info"))
    }

    async fn update_collection_cluster_setup(
        &self,
        _: Request<UpdateCollectionClusterSetupRequest>,
    ) -> Answer<UpdateCollectionClusterSetupResponse> {
        Err(not_modelled("the call update_collection_cluster_setup"))
    }

    async fn create_shard_key(&self, _: Request<CreateShardKeyRequest>) -> Answer<CreateShardKeyResponse> {
        Err(not_modelled("the call create_shard_key"))
    }

    async fn delete_shard_key(&self, _: Request<DeleteShardKeyRequest>) -> Answer<DeleteShardKeyResponse> {
        Err(not_modelled("the call delete_shard_key"))
    }

    async fn list_shard_keys(&self, _: Request<ListShardKeysRequest>) -> Answer<ListShardKeysResponse> {
        Err(not_modelled("the call list_shard_keys"))
    }
}
