//! The request of a recorded operation, to ask for it again.
//!
//! Every operation records the whole request that it began with. Of a switch of a collection each sync has a record of its
//! own; what is asked for again is the collection, because its roles change together.

use activities::database::operations::{Operation, OperationKind};
use proto::v1::{FollowRequest, ForkCollectionRequest, ForkRequest, ResyncRequest, RetireRequest, SwitchRequest};
use serde::de::DeserializeOwned;
use temporalio_client::Client;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use crate::output::Failure;
use crate::temporal;

/// A request of some kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Fork(ForkRequest),
    ForkCollection(ForkCollectionRequest),
    Follow(FollowRequest),
    Switch(SwitchRequest),
    Retire(RetireRequest),
    Resync(ResyncRequest),
}

impl Request {
    /// The request that an operation was begun with.
    ///
    /// # Errors
    ///
    /// `Internal` when the record holds none that this version can read.
    pub(super) fn recorded(record: &Operation) -> Result<Self, Failure> {
        match record.kind {
            OperationKind::Fork if record.collection_id.is_some() => read(record).map(Self::ForkCollection),
            OperationKind::Fork => read(record).map(Self::Fork),
            OperationKind::Follow => read(record).map(Self::Follow),
            OperationKind::Switch | OperationKind::Rollback => read(record).map(of_the_whole).map(Self::Switch),
            OperationKind::Retire => read(record).map(Self::Retire),
            OperationKind::Resync => read(record).map(Self::Resync),
            OperationKind::Verify => {
                Err(Failure::new(ErrorKind::InvalidInput, "a verification is not retried: ask for another one"))
            }
        }
    }

    /// The same request as another operation.
    pub(super) fn again(mut self, operation_id: Uuid, requested_by: &str) -> Self {
        let (id, by) = match &mut self {
            Self::Fork(it) => (&mut it.operation_id, &mut it.requested_by),
            Self::ForkCollection(it) => (&mut it.operation_id, &mut it.requested_by),
            Self::Follow(it) => (&mut it.operation_id, &mut it.requested_by),
            Self::Switch(it) => (&mut it.operation_id, &mut it.requested_by),
            Self::Retire(it) => (&mut it.operation_id, &mut it.requested_by),
            Self::Resync(it) => (&mut it.operation_id, &mut it.requested_by),
        };
        *id = operation_id.to_string();
        requested_by.clone_into(by);
        self
    }

    /// Starts the workflow and returns its id.
    ///
    /// # Errors
    ///
    /// `Conflict` when one with that id runs.
    pub(super) async fn start(&self, client: &Client, task_queue: &str) -> Result<String, Failure> {
        Ok(match self {
            Self::Fork(it) => temporal::start_fork(client, task_queue, it).await?.info().workflow_id.clone(),
            Self::ForkCollection(it) => {
                temporal::start_fork_collection(client, task_queue, it).await?.info().workflow_id.clone()
            }
            Self::Follow(it) => temporal::start_follow(client, task_queue, it).await?.info().workflow_id.clone(),
            Self::Switch(it) => temporal::start_switch(client, task_queue, it).await?.info().workflow_id.clone(),
            Self::Retire(it) => temporal::start_retire(client, task_queue, it).await?.info().workflow_id.clone(),
            Self::Resync(it) => temporal::start_resync(client, task_queue, it).await?.info().workflow_id.clone(),
        })
    }
}

/// The request about the collection, of the record of one of its syncs.
fn of_the_whole(request: SwitchRequest) -> SwitchRequest {
    if request.collection_id.is_empty() {
        return request;
    }
    SwitchRequest {
        sync_id: String::new(),
        target_slot_id: String::new(),
        expected_active_slot_id: String::new(),
        expected_generation: None,
        ..request
    }
}

fn read<T: DeserializeOwned>(record: &Operation) -> Result<T, Failure> {
    serde_json::from_value(record.options.clone()).map_err(|error| {
        Failure::new(
            ErrorKind::Internal,
            format!(
                "the recorded request of operation {} is not readable by this version: {error}",
                record.operation_id
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::{Value, json};

    use super::*;
    use activities::database::operations::OperationState;

    fn record(kind: OperationKind, collection_id: Option<Uuid>, options: Value) -> Operation {
        Operation {
            operation_id: Uuid::nil(),
            organization_id: Uuid::nil(),
            sync_id: collection_id.is_none().then(Uuid::nil),
            collection_id,
            slot_id: None,
            kind,
            workflow_id: "w".to_owned(),
            run_id: "r".to_owned(),
            requested_by: "ann".to_owned(),
            options,
            phase: "check".to_owned(),
            state: OperationState::Failed,
            error_kind: None,
            error_message: None,
            result: None,
            started_at: Utc::now(),
            updated_at: Utc::now(),
            ended_at: None,
            terminated: false,
        }
    }

    #[test]
    fn what_was_asked_is_asked_again_under_another_id() {
        let asked = json!({"sync_id": "s", "operation_id": "first", "requested_by": "ann", "options": {"lanes": 3}});
        let request = Request::recorded(&record(OperationKind::Fork, None, asked)).unwrap().again(Uuid::nil(), "ben");
        let Request::Fork(request) = request else { panic!("{request:?}") };
        assert_eq!((request.sync_id.as_str(), request.options.unwrap().lanes), ("s", 3));
        assert_eq!((request.operation_id, request.requested_by.as_str()), (Uuid::nil().to_string(), "ben"));
    }

    #[test]
    fn a_switch_of_a_collection_is_asked_for_as_a_whole() {
        let asked = json!({
            "collection_id": "c", "sync_id": "s", "target_slot_id": "t", "expected_generation": "4", "rollback": true,
            "destination_connection_id": "d", "reason": "why",
        });
        let request = Request::recorded(&record(OperationKind::Rollback, None, asked)).unwrap();
        let expected = SwitchRequest {
            collection_id: "c".to_owned(),
            destination_connection_id: "d".to_owned(),
            reason: "why".to_owned(),
            rollback: true,
            ..SwitchRequest::default()
        };
        assert_eq!(request, Request::Switch(expected));
    }

    #[test]
    fn a_record_that_cannot_be_read_says_so() {
        let failure = Request::recorded(&record(OperationKind::Retire, None, json!({"slot": 1}))).unwrap_err();
        assert_eq!(failure.kind(), Some(ErrorKind::Internal));
    }
}
