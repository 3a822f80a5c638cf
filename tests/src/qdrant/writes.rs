//! Upsert, delete and batches of both: checked, queued, applied in pieces.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use ::qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use ::qdrant_client::qdrant::points_update_operation::{self as batch, Operation as BatchOperation};
use ::qdrant_client::qdrant::value::Kind;
use ::qdrant_client::qdrant::{
    DeletePoints, Filter, PointStruct, PointsSelector, UpdateBatchPoints, UpdateBatchResponse, UpdateMode,
    UpdateResult, UpdateStatus, UpsertPoints, Value,
};
use tonic::Status;

use super::filter::Predicate;
use super::journal::{Call, Method};
use super::store::{Acting, Collection, Point, PointKey, Shared, Store, absent, keys};
use super::vectors::{StoredVectors, check_lengths, storable, taken};
use super::{Answer, not_modelled, wrong_input};

/// Points are applied in pieces of this size; what came before a failure stays.
const PIECE: usize = 32;

/// A write that was taken: checked as far as the server checks before its log.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Upsert { points: Vec<NewPoint>, condition: Option<Predicate>, mode: UpdateMode, deferrable: bool },
    DeleteIds(Vec<PointKey>),
    DeleteMatching(Predicate),
}

#[derive(Debug, Clone)]
pub(super) struct NewPoint {
    key: PointKey,
    payload: HashMap<String, Value>,
    vectors: StoredVectors,
}

impl Operation {
    /// Applies the write; gives how many points it changed, also when it failed on the way.
    pub(super) fn apply(self, name: &str, collection: &mut Collection, shared: &Shared) -> (u64, Result<(), Status>) {
        match self {
            Self::Upsert { points, condition, mode, deferrable } => {
                let upsert = Upserting { name, shared, deferrable };
                upsert.apply(collection, points, condition.as_ref(), mode)
            }
            Self::DeleteIds(ids) => remove(collection, |key, _| ids.contains(&key)),
            Self::DeleteMatching(filter) => remove(collection, |key, point| filter.matches(key, &point.payload)),
        }
    }
}

fn remove(collection: &mut Collection, doomed: impl Fn(PointKey, &Point) -> bool) -> (u64, Result<(), Status>) {
    let before = collection.points.len();
    collection.points.retain(|key, point| !doomed(*key, point));
    collection.next_operation();
    (u64::try_from(before - collection.points.len()).unwrap_or(u64::MAX), Ok(()))
}

struct Upserting<'a> {
    name: &'a str,
    shared: &'a Shared,
    deferrable: bool,
}

impl Upserting<'_> {
    fn apply(
        &self,
        collection: &mut Collection,
        points: Vec<NewPoint>,
        condition: Option<&Predicate>,
        mode: UpdateMode,
    ) -> (u64, Result<(), Status>) {
        let version = collection.next_operation();
        // Of several points with the same id the last one counts.
        let points: BTreeMap<PointKey, NewPoint> = points.into_iter().map(|point| (point.key, point)).collect();
        let mut points: Vec<NewPoint> = points
            .into_values()
            .filter(|point| match (collection.points.get(&point.key), mode) {
                (None, mode) => mode != UpdateMode::UpdateOnly,
                (Some(_), UpdateMode::InsertOnly) => false,
                (Some(there), _) => condition.is_none_or(|filter| filter.matches(point.key, &there.payload)),
            })
            .collect();
        points.sort_by_cached_key(|point| own_order(point.key));
        let mut stored = 0;
        let mut failure = Ok(());
        'pieces: for piece in points.chunks(PIECE) {
            for point in piece {
                if let Err(status) = self.store(collection, point, version) {
                    failure = Err(status);
                    break 'pieces;
                }
                stored += 1;
            }
        }
        if self.deferrable && stored > 0 {
            let waiting = collection.points.values().filter(|point| point.deferred).count();
            let looks = self.shared.options.looks_until_green.max(1);
            collection.optimize_for(looks, u64::try_from(waiting).unwrap_or(u64::MAX) + stored);
        }
        (stored, failure)
    }

    fn store(&self, collection: &mut Collection, point: &NewPoint, version: u64) -> Result<(), Status> {
        if self.shared.faults.is_poisoned(point.key) {
            return Err(wrong_input(format!("scripted: point {} is refused", point.key)));
        }
        let vectors = storable(&collection.config, &point.vectors)?;
        let stored = Point { payload: point.payload.clone(), vectors, version, deferred: false };
        collection.points.insert(point.key, stored);
        self.shared.journal.point_stored(self.name, point.key);
        Ok(())
    }
}

/// The real server walks a hash map. Here the order is as arbitrary, but the same in every run.
fn own_order(key: PointKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// One write as a request describes it.
struct Request {
    collection: String,
    wait: bool,
    asked: Asked,
}

enum Asked {
    Upsert { points: Vec<PointStruct>, filter: Option<Filter>, mode: UpdateMode },
    Delete(Option<PointsSelector>),
}

impl Request {
    /// What the journal keeps; ids that are not valid are left out, the request is refused for them anyway.
    fn journalled(&self, method: Method) -> Call {
        let mut call = Call { wait: self.wait, ..Call::new(method, &self.collection) };
        match &self.asked {
            Asked::Upsert { points, filter, .. } => {
                let ids = points.iter().filter_map(|point| point.id.clone());
                call.ids = ids.filter_map(|id| PointKey::try_from(id).ok()).collect();
                call.filters = filter.iter().cloned().collect();
            }
            Asked::Delete(selector) => match selector.as_ref().and_then(|it| it.points_selector_one_of.as_ref()) {
                Some(PointsSelectorOneOf::Points(list)) => {
                    call.ids = list.ids.iter().filter_map(|id| PointKey::try_from(id.clone()).ok()).collect();
                }
                Some(PointsSelectorOneOf::Filter(filter)) => call.filters = vec![filter.clone()],
                None => {}
            },
        }
        call
    }

    /// Checks what is checked up front, and applies or queues the write.
    fn run(self, store: &mut Store, acting: &Acting<'_>) -> Result<(UpdateResult, u64), Status> {
        let name = store.resolve(&self.collection)?;
        let collection = store.collection(&name)?;
        let operation = self.asked.checked(collection, self.wait)?;
        collection.apply_queue(&name, acting.shared);
        let id = Some(collection.operations);
        if acting.wait_times_out {
            collection.queue.push_back(operation);
            return Ok((UpdateResult { operation_id: id, status: UpdateStatus::WaitTimeout.into() }, 0));
        }
        let (changed, applied) = operation.apply(&name, collection, acting.shared);
        acting.ticket.changed(changed);
        if self.wait {
            applied?;
            return Ok((UpdateResult { operation_id: id, status: UpdateStatus::Completed.into() }, changed));
        }
        // Acknowledged: what failed is lost without a word.
        Ok((UpdateResult { operation_id: id, status: UpdateStatus::Acknowledged.into() }, changed))
    }
}

impl Asked {
    fn checked(self, collection: &mut Collection, wait: bool) -> Result<Operation, Status> {
        match self {
            Self::Upsert { points, filter, mode } => {
                if points.is_empty() {
                    return Err(Status::invalid_argument("Empty update request"));
                }
                let prevents = collection.config.optimizer_config.is_some_and(|it| it.prevent_unoptimized());
                if prevents && wait {
                    return Err(not_modelled("a waiting write while prevent_unoptimized is on"));
                }
                let points: Vec<NewPoint> = points.into_iter().map(new_point).collect::<Result<_, _>>()?;
                for point in &points {
                    check_lengths(&collection.config, &point.vectors)?;
                }
                let condition = filter.map(Predicate::compile).transpose()?;
                collection.check_upsert(points.len())?;
                Ok(Operation::Upsert { points, condition, mode, deferrable: prevents })
            }
            Self::Delete(selector) => match selector.and_then(|selector| selector.points_selector_one_of) {
                None => Err(Status::invalid_argument("PointSelector is missing")),
                Some(PointsSelectorOneOf::Points(list)) if list.ids.is_empty() => {
                    Err(not_modelled("a delete of no points"))
                }
                Some(PointsSelectorOneOf::Points(list)) => {
                    let ids = keys(list.ids)?;
                    collection.pay(ids.len())?;
                    Ok(Operation::DeleteIds(ids))
                }
                Some(PointsSelectorOneOf::Filter(filter)) => {
                    let filter = Predicate::compile(filter)?;
                    collection.check_update_filter(&filter)?;
                    let matching =
                        collection.points.iter().filter(|(key, point)| filter.matches(**key, &point.payload));
                    let matching = matching.count();
                    collection.pay(matching)?;
                    Ok(Operation::DeleteMatching(filter))
                }
            },
        }
    }
}

fn new_point(point: PointStruct) -> Result<NewPoint, Status> {
    let id = point.id.ok_or_else(|| Status::invalid_argument("Empty ID is not allowed"))?;
    if !point.payload.values().all(is_json) {
        return Err(Status::invalid_argument("cannot convert to json number"));
    }
    Ok(NewPoint { key: PointKey::try_from(id)?, payload: point.payload, vectors: taken(point.vectors)? })
}

/// JSON has no NaN and no infinity.
fn is_json(value: &Value) -> bool {
    match &value.kind {
        Some(Kind::DoubleValue(double)) => double.is_finite(),
        Some(Kind::StructValue(fields)) => fields.fields.values().all(is_json),
        Some(Kind::ListValue(list)) => list.values.iter().all(is_json),
        _ => true,
    }
}

impl Shared {
    pub(super) async fn upsert(&self, request: UpsertPoints) -> Answer<UpdateResult> {
        absent(request.shard_key_selector.as_ref(), "custom sharding")?;
        let mode = request.update_mode();
        let asked = Asked::Upsert { points: request.points, filter: request.update_filter, mode };
        self.write(Request { collection: request.collection_name, wait: request.wait.unwrap_or(false), asked }).await
    }

    pub(super) async fn delete(&self, request: DeletePoints) -> Answer<UpdateResult> {
        absent(request.shard_key_selector.as_ref(), "custom sharding")?;
        let asked = Asked::Delete(request.points);
        self.write(Request { collection: request.collection_name, wait: request.wait.unwrap_or(false), asked }).await
    }

    async fn write(&self, request: Request) -> Answer<UpdateResult> {
        let method = if matches!(request.asked, Asked::Upsert { .. }) { Method::Upsert } else { Method::Delete };
        let call = request.journalled(method);
        self.answer(call, |store, acting| Ok(request.run(store, acting)?.0)).await
    }

    /// Runs operations in order; the first failure stops the rest, and what was done stays.
    pub(super) async fn update_batch(&self, request: UpdateBatchPoints) -> Answer<UpdateBatchResponse> {
        let UpdateBatchPoints { collection_name, wait, operations, .. } = request;
        let wait = wait.unwrap_or(false);
        let requests: Vec<Request> = operations
            .into_iter()
            .map(|operation| {
                let asked = batch_operation(operation.operation)?;
                Ok(Request { collection: collection_name.clone(), wait, asked })
            })
            .collect::<Result<_, Status>>()?;
        let mut call = Call { wait, ..Call::new(Method::UpdateBatch, &collection_name) };
        for part in requests.iter().map(|request| request.journalled(Method::UpdateBatch)) {
            call.ids.extend(part.ids);
            call.filters.extend(part.filters);
        }
        self.answer(call, |store, acting| {
            let (mut result, mut total) = (Vec::new(), 0);
            for request in requests {
                let (answer, changed) = request.run(store, acting)?;
                total += changed;
                acting.ticket.changed(total);
                result.push(answer);
            }
            Ok(UpdateBatchResponse { result, ..UpdateBatchResponse::default() })
        })
        .await
    }
}

// The deprecated forms are still served.
#[allow(deprecated)]
fn batch_operation(operation: Option<BatchOperation>) -> Result<Asked, Status> {
    match operation.ok_or_else(|| Status::invalid_argument("Operation is missing"))? {
        BatchOperation::Upsert(list) => {
            absent(list.shard_key_selector.as_ref(), "custom sharding")?;
            let mode = list.update_mode();
            Ok(Asked::Upsert { points: list.points, filter: list.update_filter, mode })
        }
        BatchOperation::DeletePoints(batch::DeletePoints { points, shard_key_selector: None }) => {
            Ok(Asked::Delete(points))
        }
        BatchOperation::DeleteDeprecated(points) => Ok(Asked::Delete(Some(points))),
        _ => Err(not_modelled("batch operations other than upsert and delete")),
    }
}
