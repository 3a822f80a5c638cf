//! The requests that are sent, and no others: every one waits until it is applied, is repeated while that helps, and is
//! classified when it fails.
//!
//! A write that was answered is not yet a write that was done: a server whose time runs out answers with success and
//! says in the body that it has not applied it. Only `Completed` counts.

use qdrant_client::qdrant::{
    AliasDescription, CollectionInfo, CountPoints, CreateAlias, CreateCollection, CreateFieldIndexCollection,
    DeleteCollection, DeletePoints, Filter, OptimizersConfigDiff, PointStruct, PointsOperationResponse, QueryPoints,
    RetrievedPoint, ScoredPoint, ScrollPoints, ScrollResponse, UpdateCollection, UpdateStatus, UpsertPoints,
};
use qdrant_client::{Qdrant, QdrantError};

use super::classify::{Failure, classify, classify_settings};
use super::clients::REQUEST_TIMEOUT;
use super::throttle::Throttle;
use crate::error::{Error, ErrorKind, Result};

/// One server, as one slot uses it.
pub(super) struct Wire {
    client: Qdrant,
    throttle: Throttle,
}

impl Wire {
    pub(super) fn new(client: Qdrant) -> Self {
        Self { client, throttle: Throttle::default() }
    }

    /// How often the server has asked for less.
    pub(super) fn limited(&self) -> u64 {
        self.throttle.limited()
    }

    /// A collection, unless there is none of this name or alias.
    pub(super) async fn collection(&self, name: &str) -> Result<Option<CollectionInfo>> {
        let doing = "describe the collection";
        match self.configure(doing, || self.client.collection_info(name)).await {
            Ok(answer) => answer.result.map(Some).ok_or_else(|| unexplained(doing)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a collection, unless somebody else just did.
    pub(super) async fn create_collection(&self, request: &CreateCollection) -> Result<()> {
        let doing = "create the collection";
        match self.configure(doing, || self.client.create_collection(request.clone())).await {
            Ok(answer) if answer.result => Ok(()),
            Ok(_) => Err(unexplained(doing)),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a collection, if there is one.
    pub(super) async fn delete_collection(&self, name: &str) -> Result<()> {
        let request = DeleteCollection { collection_name: name.to_owned(), timeout: Some(REQUEST_TIMEOUT.as_secs()) };
        match self.configure("remove the collection", || self.client.delete_collection(request.clone())).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes the optimiser's settings that `change` names. One that names none starts an optimiser that waits.
    pub(super) async fn configure_optimizer(&self, collection: &str, change: OptimizersConfigDiff) -> Result<()> {
        let request = UpdateCollection {
            collection_name: collection.to_owned(),
            optimizers_config: Some(change),
            timeout: Some(REQUEST_TIMEOUT.as_secs()),
            ..UpdateCollection::default()
        };
        let doing = "configure the collection's optimiser";
        self.configure(doing, || self.client.update_collection(request.clone())).await.map(drop)
    }

    /// Makes a payload index; one that is there already is left.
    pub(super) async fn create_index(&self, request: &CreateFieldIndexCollection) -> Result<()> {
        let doing = "index the payload";
        let answer = self.configure(doing, || self.client.create_field_index(request.clone())).await?;
        Ok(applied(doing, answer)?)
    }

    /// Every alias with its collection.
    pub(super) async fn aliases(&self) -> Result<Vec<AliasDescription>> {
        Ok(self.configure("list its aliases", || self.client.list_aliases()).await?.aliases)
    }

    /// Whether there is a collection of this name, not counting aliases.
    pub(super) async fn has_collection(&self, name: &str) -> Result<bool> {
        let answer = self.configure("list its collections", || self.client.list_collections()).await?;
        Ok(answer.collections.iter().any(|collection| collection.name == name))
    }

    /// Makes an alias or points it at another collection, in one step.
    pub(super) async fn point_alias(&self, alias: &str, collection: &str) -> Result<()> {
        let request = CreateAlias { collection_name: collection.to_owned(), alias_name: alias.to_owned() };
        self.configure("point the alias", || self.client.create_alias(request.clone())).await.map(drop)
    }

    /// Stores points. After a refusal a part of them may be stored.
    pub(super) async fn upsert(&self, collection: &str, points: Vec<PointStruct>) -> Result<(), Failure> {
        let request = UpsertPoints {
            collection_name: collection.to_owned(),
            wait: Some(true),
            points,
            timeout: Some(REQUEST_TIMEOUT.as_secs()),
            ..UpsertPoints::default()
        };
        let doing = "store points";
        applied(doing, self.send(doing, classify, || self.client.upsert_points(request.clone())).await?)
    }

    /// Removes the points that match. The server resolves the filter first, while other writers of the shard wait.
    pub(super) async fn delete(&self, collection: &str, filter: Filter) -> Result<(), Failure> {
        let request = DeletePoints {
            collection_name: collection.to_owned(),
            wait: Some(true),
            points: Some(filter.into()),
            timeout: Some(REQUEST_TIMEOUT.as_secs()),
            ..DeletePoints::default()
        };
        let doing = "remove points";
        applied(doing, self.send(doing, classify, || self.client.delete_points(request.clone())).await?)
    }

    /// How many points match, exactly.
    pub(super) async fn count(&self, collection: &str, filter: Filter) -> Result<u64> {
        let request = CountPoints {
            collection_name: collection.to_owned(),
            filter: Some(filter),
            exact: Some(true),
            timeout: Some(REQUEST_TIMEOUT.as_secs()),
            ..CountPoints::default()
        };
        let doing = "count points";
        let answer = self.send(doing, classify, || self.client.count(request.clone())).await?;
        answer.result.map(|counted| counted.count).ok_or_else(|| unexplained(doing))
    }

    /// A page of points in an order of the server's; the answer says where the next one begins.
    pub(super) async fn scroll(&self, mut request: ScrollPoints) -> Result<ScrollResponse> {
        request.timeout = Some(REQUEST_TIMEOUT.as_secs());
        Ok(self.send("list points", classify, || self.client.scroll(request.clone())).await?)
    }

    /// Every point of a listing, page by page. Only for listings that are known to be short.
    pub(super) async fn scroll_all(&self, mut request: ScrollPoints) -> Result<Vec<RetrievedPoint>> {
        let mut points = Vec::new();
        loop {
            let page = self.scroll(request.clone()).await?;
            points.extend(page.result);
            match page.next_page_offset {
                Some(next) => request.offset = Some(next),
                None => return Ok(points),
            }
        }
    }

    /// The best points for a query.
    pub(super) async fn query(&self, mut request: QueryPoints) -> Result<Vec<ScoredPoint>> {
        request.timeout = Some(REQUEST_TIMEOUT.as_secs());
        Ok(self.send("search", classify, || self.client.query(request.clone())).await?.result)
    }

    /// Sends a request that holds nothing but settings.
    async fn configure<T, F>(&self, doing: &str, request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, QdrantError>>,
    {
        Ok(self.send(doing, classify_settings, request).await?)
    }

    async fn send<T, F>(
        &self,
        doing: &str,
        classify: fn(&str, QdrantError) -> Failure,
        mut request: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, QdrantError>>,
    {
        let send = || {
            let answer = request();
            async move { answer.await.map_err(|error| classify(doing, error)) }
        };
        self.throttle.send(send).await
    }
}

/// Whether a write was done.
fn applied(doing: &str, answer: PointsOperationResponse) -> Result<(), Failure> {
    let status = answer.result.map_or(UpdateStatus::UnknownUpdateStatus, |result| result.status());
    let (kind, problem) = match status {
        UpdateStatus::Completed => return Ok(()),
        UpdateStatus::WaitTimeout | UpdateStatus::Acknowledged => {
            (ErrorKind::Timeout, "it took the request but did not get to it in time; it is busy")
        }
        UpdateStatus::ClockRejected => (ErrorKind::Unavailable, "its replicas disagree about the order of writes"),
        UpdateStatus::UnknownUpdateStatus => (ErrorKind::Internal, "it did not say what became of the request"),
    };
    Err(Failure::Failed(Error::new(kind, format!("Qdrant could not {doing}: {problem}"))))
}

fn unexplained(doing: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("Qdrant could not {doing}: its answer says nothing"))
}

#[cfg(test)]
mod tests {
    use qdrant_client::qdrant::UpdateResult;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Some(UpdateStatus::Completed), None)]
    #[case(Some(UpdateStatus::WaitTimeout), Some(ErrorKind::Timeout))]
    #[case(Some(UpdateStatus::Acknowledged), Some(ErrorKind::Timeout))]
    #[case(Some(UpdateStatus::ClockRejected), Some(ErrorKind::Unavailable))]
    #[case(Some(UpdateStatus::UnknownUpdateStatus), Some(ErrorKind::Internal))]
    #[case(None, Some(ErrorKind::Internal))]
    fn only_completed_is_done(#[case] status: Option<UpdateStatus>, #[case] kind: Option<ErrorKind>) {
        let result = status.map(|status| UpdateResult { operation_id: Some(1), status: status.into() });
        let answer = PointsOperationResponse { result, ..PointsOperationResponse::default() };
        assert_eq!(applied("test", answer).err().map(|failure| Error::from(failure).kind()), kind);
    }
}
