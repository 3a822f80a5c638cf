//! Which points are meant. Every filter begins with the tenant and the sync, and has nothing else that is not indexed.

use std::fmt::Display;

use qdrant_client::qdrant::{Condition, Filter, PointId, ScrollPoints};

use super::schema::{ENTITY, SYNC, TENANT, metadata};
use crate::destinations::Scope;

/// Ids in one filter at most. A condition is one pass over an index per id; listings of more are cut.
pub(super) const MAX_IDS: usize = 1_000;

/// Points of a page of a listing.
pub(super) const PAGE_POINTS: u32 = 1_000;

/// Everything of the scope.
pub(super) fn of_scope(scope: &Scope) -> Filter {
    Filter::must([
        Condition::matches(TENANT, scope.collection_id.to_string()),
        Condition::matches(metadata(SYNC), scope.sync_id.to_string()),
    ])
}

/// The chunks of some entities.
pub(super) fn of_entities<'a>(scope: &Scope, ids: impl IntoIterator<Item = &'a str>) -> Filter {
    let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
    let mut filter = of_scope(scope);
    filter.must.push(Condition::matches(metadata(ENTITY), ids));
    filter
}

/// The chunks of some entities, without some points.
pub(super) fn of_entities_without<'a>(
    scope: &Scope,
    ids: impl IntoIterator<Item = &'a str>,
    points: impl IntoIterator<Item = PointId>,
) -> Filter {
    let mut filter = of_entities(scope, ids);
    filter.must_not.push(Condition::has_id(points));
    filter
}

/// Some points, as far as they are of the scope.
pub(super) fn of_points(scope: &Scope, points: impl IntoIterator<Item = PointId>) -> Filter {
    let mut filter = of_scope(scope);
    filter.must.push(Condition::has_id(points));
    filter
}

/// A listing of what matches, with some keys of the payload and without vectors.
pub(super) fn listing(collection: &str, filter: Filter, keys: &[impl AsRef<str> + Display]) -> ScrollPoints {
    ScrollPoints {
        collection_name: collection.to_owned(),
        filter: Some(filter),
        limit: Some(PAGE_POINTS),
        with_payload: Some(keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>().into()),
        with_vectors: Some(false.into()),
        ..ScrollPoints::default()
    }
}
