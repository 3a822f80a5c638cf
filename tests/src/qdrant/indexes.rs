//! Payload indexes: remembered with their types, listed in the collection info, and asked for by strict mode.

use ::qdrant_client::qdrant::payload_index_params::IndexParams;
use ::qdrant_client::qdrant::{
    CreateFieldIndexCollection, DeleteFieldIndexCollection, FieldType, PayloadIndexParams, PayloadSchemaInfo,
    PayloadSchemaType, UpdateResult, UpdateStatus,
};
use tonic::Status;

use super::filter::at;
use super::journal::{Call, Method};
use super::store::{Collection, Shared};
use super::{Answer, not_modelled};

impl Collection {
    /// The indexes with the number of points that have their field.
    pub(super) fn payload_schema(&self) -> impl Iterator<Item = (String, PayloadSchemaInfo)> {
        self.indexes.iter().map(|(field, index)| {
            let points = self.points.values().filter(|point| at(&point.payload, field).is_some()).count();
            (field.clone(), PayloadSchemaInfo { points: u64::try_from(points).ok(), ..index.clone() })
        })
    }
}

impl Shared {
    /// Makes an index, also over points that are there. The same index again is fine.
    pub(super) async fn create_field_index(&self, request: CreateFieldIndexCollection) -> Answer<UpdateResult> {
        let wait = request.wait.unwrap_or(false);
        let field = request.field_name.clone();
        let call = Call { wait, field, ..Call::new(Method::CreateFieldIndex, &request.collection_name) };
        self.answer(call, |store, _| {
            let collection = store.collection(&request.collection_name)?;
            let field_type = request.field_type.ok_or_else(|| Status::invalid_argument("field type is missing"))?;
            let data_type = data_type(field_type)?;
            check_params(data_type, request.field_index_params.as_ref())?;
            let index =
                PayloadSchemaInfo { data_type: data_type.into(), params: request.field_index_params, points: None };
            match collection.indexes.get(&request.field_name) {
                Some(there) if *there == index => {}
                Some(_) => return Err(not_modelled("an index over another one of the same field")),
                None => {
                    collection.check_one_more_index()?;
                    collection.indexes.insert(request.field_name, index);
                }
            }
            Ok(done(collection, wait))
        })
        .await
    }

    pub(super) async fn delete_field_index(&self, request: DeleteFieldIndexCollection) -> Answer<UpdateResult> {
        let wait = request.wait.unwrap_or(false);
        let field = request.field_name.clone();
        let call = Call { wait, field, ..Call::new(Method::DeleteFieldIndex, &request.collection_name) };
        self.answer(call, |store, _| {
            let collection = store.collection(&request.collection_name)?;
            collection.indexes.remove(&request.field_name);
            Ok(done(collection, wait))
        })
        .await
    }
}

fn done(collection: &mut Collection, wait: bool) -> UpdateResult {
    let status = if wait { UpdateStatus::Completed } else { UpdateStatus::Acknowledged };
    UpdateResult { operation_id: Some(collection.next_operation()), status: status.into() }
}

fn data_type(field_type: i32) -> Result<PayloadSchemaType, Status> {
    match FieldType::try_from(field_type) {
        Ok(FieldType::Keyword) => Ok(PayloadSchemaType::Keyword),
        Ok(FieldType::Integer) => Ok(PayloadSchemaType::Integer),
        Ok(FieldType::Float) => Ok(PayloadSchemaType::Float),
        Ok(FieldType::Bool) => Ok(PayloadSchemaType::Bool),
        Ok(FieldType::Datetime) => Ok(PayloadSchemaType::Datetime),
        Ok(FieldType::Geo | FieldType::Text | FieldType::Uuid) => Err(not_modelled("indexes of this type")),
        Err(_) => Err(Status::invalid_argument("Malformed payload schema")),
    }
}

/// The parameters must be those of the type.
fn check_params(data_type: PayloadSchemaType, params: Option<&PayloadIndexParams>) -> Result<(), Status> {
    let of = match params.map(|params| &params.index_params) {
        None => return Ok(()),
        Some(Some(IndexParams::KeywordIndexParams(_))) => PayloadSchemaType::Keyword,
        Some(Some(IndexParams::IntegerIndexParams(_))) => PayloadSchemaType::Integer,
        Some(Some(IndexParams::FloatIndexParams(_))) => PayloadSchemaType::Float,
        Some(Some(IndexParams::BoolIndexParams(_))) => PayloadSchemaType::Bool,
        Some(Some(IndexParams::DatetimeIndexParams(_))) => PayloadSchemaType::Datetime,
        Some(_) => return Err(not_modelled("index parameters of this type")),
    };
    if of == data_type {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("field type {} and its parameters differ", data_type.as_str_name())))
}
