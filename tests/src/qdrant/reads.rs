//! Get, scroll and count, and what a point looks like in an answer.

use std::collections::HashMap;

use ::qdrant_client::qdrant::value::Kind;
use ::qdrant_client::qdrant::with_payload_selector::SelectorOptions;
use ::qdrant_client::qdrant::{
    CountPoints, CountResponse, CountResult, Filter, GetPoints, GetResponse, RetrievedPoint, ScrollPoints,
    ScrollResponse, Struct, Value, VectorsOutput, WithPayloadSelector, WithVectorsSelector,
};
use tonic::Status;

use super::filter::{Predicate, at};
use super::journal::{Call, Method};
use super::store::{Collection, Point, PointKey, Shared, absent, keys, limit};
use super::vectors::selected;
use super::{Answer, not_modelled};

/// How much of each point goes into an answer.
pub(super) struct Shown {
    payload: SelectorOptions,
    vectors: Option<WithVectorsSelector>,
}

impl Shown {
    pub(super) fn new(
        payload: Option<WithPayloadSelector>,
        vectors: Option<WithVectorsSelector>,
    ) -> Result<Self, Status> {
        // The defaults differ from call to call, and a client had better say what it wants.
        let payload = payload.and_then(|with| with.selector_options);
        let payload = payload.ok_or_else(|| not_modelled("reads that do not say with_payload"))?;
        Ok(Self { payload, vectors })
    }

    pub(super) fn of(&self, point: &Point) -> (HashMap<String, Value>, Option<VectorsOutput>) {
        let payload = match &self.payload {
            SelectorOptions::Enable(true) => point.payload.clone(),
            SelectorOptions::Enable(false) => HashMap::new(),
            SelectorOptions::Include(fields) => included(&point.payload, &fields.fields),
            SelectorOptions::Exclude(fields) => {
                let mut payload = point.payload.clone();
                fields.fields.iter().for_each(|path| exclude(&mut payload, path));
                payload
            }
        };
        (payload, selected(&point.vectors, self.vectors.as_ref()))
    }

    fn retrieved(&self, key: PointKey, point: &Point) -> RetrievedPoint {
        let (payload, vectors) = self.of(point);
        RetrievedPoint { id: Some(key.into()), payload, vectors, shard_key: None, order_value: None }
    }
}

fn included(payload: &HashMap<String, Value>, paths: &[String]) -> HashMap<String, Value> {
    let mut kept = HashMap::new();
    for path in paths {
        if let Some(value) = at(payload, path) {
            include(&mut kept, path, value);
        }
    }
    kept
}

fn include(kept: &mut HashMap<String, Value>, path: &str, value: &Value) {
    let Some((first, rest)) = path.split_once('.') else {
        kept.insert(path.to_owned(), value.clone());
        return;
    };
    let parent =
        kept.entry(first.to_owned()).or_insert_with(|| Value { kind: Some(Kind::StructValue(Struct::default())) });
    if let Some(Kind::StructValue(parent)) = &mut parent.kind {
        include(&mut parent.fields, rest, value);
    }
}

fn exclude(payload: &mut HashMap<String, Value>, path: &str) {
    match path.split_once('.') {
        None => {
            payload.remove(path);
        }
        Some((first, rest)) => {
            if let Some(Kind::StructValue(inner)) = payload.get_mut(first).and_then(|value| value.kind.as_mut()) {
                exclude(&mut inner.fields, rest);
            }
        }
    }
}

/// Understands a filter of a read, and lets strict mode look at it.
pub(super) fn read_filter(collection: &Collection, filter: Option<Filter>) -> Result<Option<Predicate>, Status> {
    let filter = filter.map(Predicate::compile).transpose()?;
    if let Some(filter) = &filter {
        collection.check_read_filter(filter)?;
    }
    Ok(filter)
}

impl Shared {
    /// Points by id, each once, in the order of the ids and not in that of the request.
    pub(super) async fn get(&self, request: GetPoints) -> Answer<GetResponse> {
        absent(request.shard_key_selector.as_ref(), "custom sharding")?;
        let ids = keys(request.ids)?;
        let call = Call { ids: ids.clone(), ..Call::new(Method::Get, &request.collection_name) };
        self.answer(call, |store, _| {
            let collection = store.collection(&request.collection_name)?;
            let shown = Shown::new(request.with_payload, request.with_vectors)?;
            let found = collection.visible().filter(|(key, _)| ids.contains(key));
            let result = found.map(|(key, point)| shown.retrieved(key, point)).collect();
            Ok(GetResponse { result, ..GetResponse::default() })
        })
        .await
    }

    pub(super) async fn scroll(&self, request: ScrollPoints) -> Answer<ScrollResponse> {
        absent(request.shard_key_selector.as_ref(), "custom sharding")?;
        absent(request.order_by.as_ref(), "order_by")?;
        let filters = request.filter.iter().cloned().collect();
        let call = Call { filters, ..Call::new(Method::Scroll, &request.collection_name) };
        self.answer(call, |store, _| {
            let collection = store.collection(&request.collection_name)?;
            let limit = limit(request.limit.map(u64::from), 10)?;
            collection.check_query_limit(limit)?;
            let filter = read_filter(collection, request.filter)?;
            let shown = Shown::new(request.with_payload, request.with_vectors)?;
            let from = request.offset.map(PointKey::try_from).transpose()?;
            let mut found = collection
                .visible()
                .skip_while(|(key, _)| from.is_some_and(|from| *key < from))
                .filter(|(key, point)| filter.as_ref().is_none_or(|filter| filter.matches(*key, &point.payload)));
            let result = found.by_ref().take(limit).map(|(key, point)| shown.retrieved(key, point)).collect();
            let next_page_offset = found.next().map(|(key, _)| key.into());
            Ok(ScrollResponse { result, next_page_offset, ..ScrollResponse::default() })
        })
        .await
    }

    /// Counts exactly, or as roughly as an estimate may be: deferred points and points beside the filter included.
    pub(super) async fn count(&self, request: CountPoints) -> Answer<CountResponse> {
        absent(request.shard_key_selector.as_ref(), "custom sharding")?;
        let filters = request.filter.iter().cloned().collect();
        let call = Call { filters, ..Call::new(Method::Count, &request.collection_name) };
        self.answer(call, |store, _| {
            let collection = store.collection(&request.collection_name)?;
            let filter = read_filter(collection, request.filter)?;
            let count = if request.exact.unwrap_or(true) {
                let matching = |(key, point): &(PointKey, &Point)| {
                    filter.as_ref().is_none_or(|filter| filter.matches(*key, &point.payload))
                };
                collection.visible().filter(matching).count()
            } else {
                collection.points.len()
            };
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            Ok(CountResponse { result: Some(CountResult { count }), ..CountResponse::default() })
        })
        .await
    }
}
