//! Two slots of a sync in one namespace of one cluster would write over each other, or at least remove each other: they
//! are refused, and nothing is changed.

use std::collections::BTreeMap;

use harness::World;
use harness::vespa::VespaServer;
use proto::v1::VespaLayout;
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::{Documents, Ids};
use serde_json::{Value, json};
use workflows::domain::ErrorKind;

use super::stage::{layout, request, vespa};

/// Every document with its fields.
fn content(server: &VespaServer) -> BTreeMap<String, Option<Value>> {
    server.ids().into_iter().map(|id| (id.clone(), server.document(&id))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_over_the_active_slots_documents_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let server = vespa(Documents::Chunk).await;
    let connect = async || world.connect_destination("vespa", json!({ "url": server.url() })).await;
    let layout = layout(Documents::Chunk, Ids::Platform);
    let active = world
        .fork(&request(&world, connect().await, Destination::Vespa(layout.clone())))
        .await
        .expect("the first fork completes");
    world.switch(&world.switch_request(&active.slot_id)).await.expect("the first switch completes");
    let (before, residue) = (content(&server), world.residue().await);
    assert_eq!(before.len() as u64, active.points);

    let connection = connect().await;
    // Other ids would not collide, but a removal by collection and sync would still meet both.
    for ids in [Ids::Platform, Ids::Scoped] {
        let layout = VespaLayout { ids: ids.into(), ..layout.clone() };
        let request = request(&world, connection, Destination::Vespa(layout));
        let failure = world.fork(&request).await.expect_err("the fork is refused");
        assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
        let said = failure.to_string();
        for words in [active.slot_id.as_str(), "(active, ", "namespace (Vespa)"] {
            assert!(said.contains(words), "{words:?} is not in: {said}");
        }
        assert_eq!(content(&server), before, "{ids:?}");
        assert_eq!(world.residue().await, residue);
    }

    // In a namespace of its own there is room, with either ids.
    for (namespace, ids) in [("blue", Ids::Platform), ("green", Ids::Scoped)] {
        let layout = VespaLayout { ids: ids.into(), namespace: namespace.to_owned(), ..layout.clone() };
        let request = request(&world, connect().await, Destination::Vespa(layout));
        let apart = world.fork(&request).await.expect("the fork completes");
        assert_eq!((apart.points, apart.chunks_embedded, apart.continued), (active.points, 0, false));
        let theirs = server.ids().into_iter().filter(|id| id.starts_with(&format!("id:{namespace}:"))).count() as u64;
        assert_eq!(theirs, active.points);
    }
    let kept: BTreeMap<_, _> = content(&server).into_iter().filter(|(id, _)| id.starts_with("id:airweave:")).collect();
    assert_eq!(kept, before, "the active slot is untouched");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}
