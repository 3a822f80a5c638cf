//! What belongs to another slot, sync or organisation is never seen and never touched.

use activities::destinations::{EntityRef, Scope, SearchMode};
use uuid::Uuid;

use super::World;
use super::documents::{axis, document, refs, scope};
use super::observe::{assert_holds, found, ready, scanned, store};

/// Two slots of one sync, two syncs of one organisation, and two organisations.
pub(crate) fn neighbours() -> Vec<Scope> {
    let first = scope();
    let other_slot = Scope { slot_id: Uuid::new_v4(), ..first.clone() };
    let other_sync = Scope { slot_id: Uuid::new_v4(), sync_id: Uuid::new_v4(), ..first.clone() };
    vec![first, other_slot, other_sync, scope()]
}

pub(crate) async fn scopes_do_not_meet(world: &dyn World) {
    let mut slots = Vec::new();
    for (n, scope) in neighbours().iter().enumerate() {
        let slot = ready(world, scope).await;
        let documents = vec![document("shared", 1, 1 + n as u32), document(&format!("own {n}"), 1, 2)];
        store(slot.as_ref(), &documents).await;
        slots.push((slot, documents));
    }
    while let Some((cleared, documents)) = slots.pop() {
        for (slot, documents) in &slots {
            assert_holds(world, slot.as_ref(), documents).await;
            let hits = found(slot.as_ref(), SearchMode::Sparse, axis(0), &[3], 100).await;
            assert_eq!(hits.len() as u64, slot.count().await.expect("count"), "a search sees its own scope only");
        }
        let points: usize = documents.iter().map(|document| document.chunks.len()).sum();
        assert_eq!(cleared.clear().await.expect("clear"), points as u64);
    }
}

pub(crate) async fn a_foreign_slot_is_never_cleared(world: &dyn World) {
    let owner = scope();
    let slot = ready(world, &owner).await;
    // A collection belongs to one organisation, so that another one also has another collection.
    let other_organization = Scope { organization_id: Uuid::new_v4(), collection_id: Uuid::new_v4(), ..owner.clone() };
    // Nothing in it yet: even the empty store is not a stranger's to remove.
    for stranger in [other_organization, Scope { sync_id: Uuid::new_v4(), ..owner.clone() }] {
        let foreign = world.open(&stranger);
        assert_eq!(foreign.clear().await.expect("clear"), 0);
        let documents = [document("kept", 1, 2)];
        store(slot.as_ref(), &documents).await;
        assert_eq!(foreign.clear().await.expect("clear"), 0);
        assert_eq!(foreign.delete(&refs(&["kept"])).await.expect("delete"), 0);
        assert_eq!(foreign.trim(&EntityRef("kept".into()), 0).await.expect("trim"), 0);
        assert_eq!(foreign.count().await.expect("count"), 0);
        assert_eq!(foreign.read(&refs(&["kept"])).await.expect("read"), []);
        assert_eq!(scanned(foreign.as_ref()).await, []);
        assert_eq!(found(foreign.as_ref(), SearchMode::Hybrid, axis(0), &[3], 10).await, []);
        assert_holds(world, slot.as_ref(), &documents).await;
        slot.delete(&refs(&["kept"])).await.expect("delete");
    }
}
