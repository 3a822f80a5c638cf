//! Which points are meant. Every filter begins with the tenant and the sync, and has nothing else that is not indexed.

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
pub(super) fn listing(collection: &str, filter: Filter, keys: &[impl AsRef<str>]) -> ScrollPoints {
    ScrollPoints {
        collection_name: collection.to_owned(),
        filter: Some(filter),
        limit: Some(PAGE_POINTS),
        with_payload: Some(keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>().into()),
        with_vectors: Some(false.into()),
        ..ScrollPoints::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use qdrant_client::qdrant::condition::ConditionOneOf;
    use qdrant_client::qdrant::r#match::MatchValue;
    use uuid::Uuid;

    use super::*;
    use crate::destinations::qdrant::schema::payload_indexes;

    fn matched(condition: &Condition) -> Option<(&str, &MatchValue)> {
        match &condition.condition_one_of {
            Some(ConditionOneOf::Field(field)) => Some((&field.key, field.r#match.as_ref()?.match_value.as_ref()?)),
            _ => None,
        }
    }

    #[test]
    fn every_filter_begins_with_tenant_and_sync_and_needs_no_index_that_is_not_made() {
        let [organization_id, collection_id, sync_id, slot_id] = [1, 2, 3, 4].map(Uuid::from_u128);
        let scope = Scope { organization_id, collection_id, sync_id, slot_id };
        let tenant = MatchValue::Keyword(collection_id.to_string());
        let sync = MatchValue::Keyword(sync_id.to_string());
        let indexed: HashSet<String> = payload_indexes().into_iter().map(|index| index.field).collect();
        let points = || [PointId::from(7)];
        for filter in [
            of_scope(&scope),
            of_entities(&scope, ["a", "b"]),
            of_entities_without(&scope, ["a"], points()),
            of_points(&scope, points()),
        ] {
            assert_eq!(matched(&filter.must[0]), Some((TENANT, &tenant)));
            assert_eq!(matched(&filter.must[1]), Some(("airweave_system_metadata.sync_id", &sync)));
            assert!(filter.should.is_empty() && filter.min_should.is_none(), "nothing that would widen it");
            for condition in filter.must.iter().chain(&filter.must_not) {
                match matched(condition) {
                    Some((field, _)) => assert!(indexed.contains(field), "{field}"),
                    None => assert!(matches!(condition.condition_one_of, Some(ConditionOneOf::HasId(_)))),
                }
            }
        }
    }
}
