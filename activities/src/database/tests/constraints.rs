//! The schema itself refuses what must not be, whoever writes.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::world::{World, join};

/// The constraint or SQLSTATE with which the database answers.
async fn refusal(world: &World, statement: String) -> String {
    let error = sqlx::query(AssertSqlSafe(statement)).execute(world.pool()).await.expect_err("this must be refused");
    let answer = error.as_database_error().expect("the database itself refuses");
    answer.constraint().map_or_else(|| answer.code().unwrap().into_owned(), ToOwned::to_owned)
}

#[tokio::test]
async fn two_active_slots() {
    let world = World::new().await;
    let shadow = world.shadow().await.slot_id;
    let refused =
        refusal(&world, format!("UPDATE public.sync_connection SET role = 'active' WHERE id = '{shadow}'")).await;
    assert_eq!(refused, "ix_sync_connection_single_active");
}

#[tokio::test]
async fn a_role_on_a_source() {
    let world = World::new().await;
    let row = world.source_row_id;
    for role in ["active", "shadow"] {
        let statement = format!("UPDATE public.sync_connection SET role = '{role}' WHERE id = '{row}'");
        assert_eq!(refusal(&world, statement).await, "sync_multiplexer_guard_role");
    }
    let other_sync = super::world::sync(world.pool(), world.organization_id).await;
    let statement = format!(
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id, role)
         VALUES (gen_random_uuid(), now(), now(), '{other_sync}', '{}', 'active')",
        world.source_connection_id
    );
    assert_eq!(refusal(&world, statement).await, "sync_multiplexer_guard_role");
}

#[tokio::test]
async fn a_destination_turned_into_a_source() {
    let world = World::new().await;
    let shadow = world.shadow().await.slot_id;
    let source = super::world::connection(world.pool(), None, "SOURCE", "jira").await;
    let statement = format!("UPDATE public.sync_connection SET connection_id = '{source}' WHERE id = '{shadow}'");
    assert_eq!(refusal(&world, statement).await, "sync_multiplexer_guard_role");
}

#[tokio::test]
async fn an_unknown_role_and_a_lost_one() {
    let world = World::new().await;
    let active = world.active_slot_id;
    let statement = format!("UPDATE public.sync_connection SET role = 'primary' WHERE id = '{active}'");
    assert_eq!(refusal(&world, statement).await, "sync_multiplexer_known_role");
    let statement = format!("UPDATE public.sync_connection SET role = NULL WHERE id = '{active}'");
    assert_eq!(refusal(&world, statement).await, "sync_multiplexer_guard_role");
}

#[tokio::test]
async fn the_same_connection_twice_in_a_sync() {
    let world = World::new().await;
    let statement = format!(
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
         VALUES (gen_random_uuid(), now(), now(), '{}', '{}')",
        world.sync_id, world.active_connection_id
    );
    assert_eq!(refusal(&world, statement).await, "uq_sync_connection_sync_id_connection_id");
}

#[tokio::test]
async fn a_platform_that_knows_no_roles_gets_sensible_ones() {
    let world = World::new().await;
    let joined = join(world.pool(), world.sync_id, world.destination().await, 3).await;
    let roles = world.roles().await;
    let role = |id: Uuid| roles.iter().find(|row| row.0 == id).unwrap().1.clone();
    assert_eq!(role(world.source_row_id), None);
    assert_eq!(role(world.active_slot_id).as_deref(), Some("active"));
    assert_eq!(role(joined).as_deref(), Some("shadow"));
    // Other columns stay the platform's to change.
    sqlx::query("UPDATE public.sync_connection SET modified_at = now() AT TIME ZONE 'UTC'")
        .execute(world.pool())
        .await
        .unwrap();
    assert_eq!(world.roles().await, roles);
}

#[tokio::test]
async fn destinations_that_join_at_once_do_not_collide() {
    let world = World::new().await;
    let sync_id = super::world::sync(world.pool(), world.organization_id).await;
    let mut tasks = Vec::new();
    for day in 1..=6 {
        let (pool, connection_id) = (world.pool().clone(), world.destination().await);
        tasks.push(tokio::spawn(async move { join(&pool, sync_id, connection_id, day).await }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let (active, shadows): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE role = 'active'), count(*) FILTER (WHERE role = 'shadow')
         FROM public.sync_connection WHERE sync_id = $1",
    )
    .bind(sync_id)
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!((active, shadows), (1, 5));
}

#[tokio::test]
async fn our_own_tables() {
    let world = World::new().await;
    world.ready_shadow().await;
    let before = world.everything().await;
    for (statement, constraint) in [
        ("slot SET state = 'done', ready_at = NULL, ready_plan_id = NULL", "slot_state_check"),
        ("slot SET state = 'ready', ready_at = NULL", "slot_ready_by_a_plan"),
        ("slot SET profile = '[]'", "slot_profile_check"),
        ("slot SET organization_id = gen_random_uuid()", "plan_slot_id_sync_id_organization_id_fkey"),
        ("ledger_page SET organization_id = gen_random_uuid()", "ledger_page_slot_id_sync_id_organization_id_fkey"),
        ("ledger_page SET entry_count = 0", "ledger_page_entry_count_check"),
        ("ledger_page SET textless = 2", "ledger_page_check"),
        ("ledger_page SET odd_names = -1", "ledger_page_check1"),
        ("ledger_page SET points = -1", "ledger_page_points_check"),
        ("ledger_page SET entries = ''", "ledger_page_entries_check"),
        ("segment SET deleted = 1", "segment_accounts_for_every_entry"),
        ("plan SET held_back = 1", "plan_accounts_for_what_vanished"),
        ("segment SET entities = 0, textless = 0", "segment_accounts_for_every_entry"),
        ("segment SET state = 'pending'", "segment_state_follows_cursor"),
        ("plan SET unchanged = unchanged + 1", "plan_accounts_for_every_object"),
        ("plan SET segments = 9", "plan_segments_hold_all"),
        ("sync_state SET generation = -1", "sync_state_generation_check"),
        ("sync_state SET fence_expires_at = now()", "sync_state_fence_is_owned_and_expires"),
        ("sync_state SET fence_job_id = gen_random_uuid()", "sync_state_fence_is_whole"),
    ] {
        assert_eq!(refusal(&world, format!("UPDATE sync_multiplexer.{statement}")).await, constraint, "{statement}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn an_operation_ends_once_and_fails_for_a_reason() {
    let world = World::new().await;
    let insert = |columns: &str, values: &str| {
        format!(
            "INSERT INTO sync_multiplexer.operation
                 (operation_id, organization_id, sync_id, workflow_id, run_id, requested_by, options, phase, {columns})
             VALUES (gen_random_uuid(), '{}', '{}', 'w', 'r', 'ann', '{{}}', 'p', {values})",
            world.organization_id, world.sync_id
        )
    };
    for (columns, values, constraint) in [
        ("kind", "'dance'", "operation_kind_check"),
        ("kind, state, ended_at", "'fork', 'paused', now()", "operation_state_check"),
        ("kind, state", "'fork', 'completed'", "operation_ends_once"),
        ("kind, state, ended_at", "'fork', 'failed', now()", "operation_failed_for_a_reason"),
        ("kind, result", "'fork', '{}'", "operation_result_is_of_success"),
    ] {
        assert_eq!(refusal(&world, insert(columns, values)).await, constraint, "{columns} {values}");
    }
    let of_nothing = insert("kind", "'fork'").replace(&format!("'{}'", world.sync_id), "NULL");
    assert_eq!(refusal(&world, of_nothing).await, "operation_about_one_thing");
}

#[tokio::test]
async fn a_deleted_sync_takes_everything_with_it_but_the_audit() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    world.flip(&world.flip_to(slot.slot_id)).await.unwrap();
    sqlx::query("DELETE FROM public.organization WHERE id = $1")
        .bind(world.organization_id)
        .execute(world.pool())
        .await
        .unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM sync_multiplexer.slot) + (SELECT count(*) FROM sync_multiplexer.plan)
              + (SELECT count(*) FROM sync_multiplexer.segment) + (SELECT count(*) FROM sync_multiplexer.ledger_page)
              + (SELECT count(*) FROM sync_multiplexer.sync_state)",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    let audit: i64 = sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.audit WHERE sync_id = $1")
        .bind(world.sync_id)
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!((left, audit), (0, 1));
}
