use uuid::Uuid;

use super::world::World;
use crate::database::shadow::{self, NewShadow};
use crate::database::{SlotScope, donors, slots};
use crate::error::ErrorKind;

/// Slots that may give vectors of a model to `scope`.
async fn found(world: &World, scope: &SlotScope, model: &str) -> Vec<Uuid> {
    let donors = donors::of_model(world.database(), scope, model).await.unwrap();
    donors.into_iter().map(|donor| donor.slot_id).collect()
}

/// A slot that a replay writes to.
async fn building(world: &World, embedder_model: Option<&str>) -> SlotScope {
    let new =
        NewShadow { embedder_model: embedder_model.map(str::to_owned), ..world.new_shadow(world.destination().await) };
    shadow::create(world.database(), &new).await.unwrap();
    slots::mark_building(world.database(), &new.scope).await.unwrap();
    new.scope
}

#[tokio::test]
async fn donors_have_vectors_of_the_model_and_come_in_the_order_of_roles() {
    let world = World::new().await;
    let first = world.ready_shadow().await;
    let second = world.ready_shadow().await;
    let half = building(&world, Some("model one")).await;
    let other_model = building(&world, Some("model two")).await;
    building(&world, None).await;
    let empty = world.shadow().await;
    assert_eq!(found(&world, &empty, "model one").await, [first.slot_id, second.slot_id, half.slot_id]);
    assert_eq!(found(&world, &empty, "model two").await, [other_model.slot_id]);
    assert!(found(&world, &empty, "model three").await.is_empty());
    assert_eq!(found(&world, &second, "model one").await, [first.slot_id, half.slot_id], "never the slot itself");

    world.flip(&world.flip_to(first.slot_id)).await.unwrap();
    world.flip(&world.flip_to(second.slot_id)).await.unwrap();
    assert_eq!(
        found(&world, &empty, "model one").await,
        [second.slot_id, half.slot_id, first.slot_id],
        "active, shadow, deprecated"
    );
    let donors = donors::of_model(world.database(), &empty, "model one").await.unwrap();
    let slot = slots::get(world.database(), &second).await.unwrap();
    assert_eq!((donors[0].connection_id, &donors[0].profile), (slot.connection_id, &slot.built.unwrap().profile));
}

#[tokio::test]
async fn another_syncs_slots_are_no_donors() {
    let world = World::new().await;
    let own = world.shadow().await;
    world.ready_shadow().await;
    let other_sync = SlotScope { sync_id: super::world::sync(world.pool(), world.organization_id).await, ..own };
    let error = donors::of_model(world.database(), &other_sync, "model one").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let new = NewShadow {
        scope: SlotScope { slot_id: Uuid::now_v7(), ..other_sync },
        ..world.new_shadow(world.destination().await)
    };
    shadow::create(world.database(), &new).await.unwrap();
    assert!(found(&world, &new.scope, "model one").await.is_empty());
}
