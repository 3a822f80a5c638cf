//! The fence: it keeps the platform's jobs and other operations out, ends by itself, and a flip notices what broke through.

use std::time::Duration;

use uuid::Uuid;

use super::world::{World, listing, sized, sync};
use crate::database::fence::{self, Hold, Obstacle};
use crate::database::plans::{self, PlanOptions};
use crate::database::roles::{self, FlipCommand, Flipped};
use crate::database::{collection, retire, verifications};
use crate::error::ErrorKind;

const LASTS: Duration = Duration::from_secs(60);

fn hold(world: &World) -> Hold {
    Hold { sync_id: world.sync_id, organization_id: world.organization_id, operation_id: Uuid::now_v7() }
}

async fn job(world: &World, status: &str) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.sync_job (id, created_at, modified_at, organization_id, sync_id, status, entities_inserted,
             entities_deleted, entities_skipped)
         VALUES (gen_random_uuid(), now(), now(), $1, $2, $3, 0, 0, 0) RETURNING id",
    )
    .bind(world.organization_id)
    .bind(world.sync_id)
    .bind(status)
    .fetch_one(world.pool())
    .await
    .unwrap()
}

async fn end(world: &World, job: Uuid) {
    sqlx::query("UPDATE public.sync_job SET status = 'completed' WHERE id = $1")
        .bind(job)
        .execute(world.pool())
        .await
        .unwrap();
}

/// Jobs that the platform takes for active, by status and in their order.
async fn active_jobs(world: &World) -> Vec<(String, bool)> {
    sqlx::query_as(
        "SELECT status, started_at IS NOT NULL FROM public.sync_job
         WHERE sync_id = $1 AND status IN ('pending', 'running', 'cancelling') ORDER BY status",
    )
    .bind(world.sync_id)
    .fetch_all(world.pool())
    .await
    .unwrap()
}

async fn let_it_expire(world: &World) {
    sqlx::query("UPDATE sync_multiplexer.sync_state SET fence_expires_at = now() WHERE fence_owner IS NOT NULL")
        .execute(world.pool())
        .await
        .unwrap();
}

async fn raised(world: &World, hold: Hold) {
    assert_eq!(fence::raise(world.database(), &[hold], LASTS).await.unwrap(), []);
}

/// A command whose fence is up and whose slot is proved.
async fn proved(world: &World) -> FlipCommand {
    let command = world.flip_to(world.ready_shadow().await.slot_id);
    raised(world, command.hold()).await;
    world.prove(&command).await.unwrap();
    command
}

#[tokio::test]
async fn a_fence_is_a_running_job_to_the_platform_and_leaves_nothing() {
    let world = World::new().await;
    job(&world, "completed").await;
    let before = world.everything().await;
    let hold = hold(&world);
    raised(&world, hold).await;
    assert_eq!(active_jobs(&world).await, [("running".to_owned(), true)]);
    raised(&world, hold).await;
    assert_eq!(active_jobs(&world).await.len(), 1, "raised twice, it is one");
    fence::renew(world.database(), &[hold], LASTS).await.unwrap();

    // Nobody else can lower or renew it.
    let other = Hold { operation_id: Uuid::now_v7(), ..hold };
    fence::lower(world.database(), &[other]).await.unwrap();
    assert_eq!(fence::renew(world.database(), &[other], LASTS).await.unwrap_err().kind(), ErrorKind::Conflict);
    let in_the_way = fence::raise(world.database(), &[other], LASTS).await.unwrap();
    assert!(
        matches!(&in_the_way[0].what, Obstacle::Fence { owner, .. } if *owner == hold.operation_id),
        "{in_the_way:?}"
    );

    for _ in 0..2 {
        fence::lower(world.database(), &[hold]).await.unwrap();
        assert_eq!(active_jobs(&world).await, []);
    }
    sqlx::query("DELETE FROM sync_multiplexer.sync_state").execute(world.pool()).await.unwrap();
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn an_active_job_is_in_the_way_and_of_two_syncs_none_gets_a_fence() {
    let world = World::new().await;
    let free = sync(world.pool(), world.organization_id).await;
    let holds = [hold(&world), Hold { sync_id: free, ..hold(&world) }];
    for status in ["pending", "running", "cancelling"] {
        let job = job(&world, status).await;
        let in_the_way = fence::raise(world.database(), &holds, LASTS).await.unwrap();
        assert_eq!(in_the_way, fence::in_the_way(world.database(), &holds).await.unwrap());
        let [found] = in_the_way.as_slice() else { panic!("{in_the_way:?}") };
        let Obstacle::Job(found_job) = &found.what else { panic!("{found:?}") };
        assert_eq!((found.sync_id, found_job.job_id, found_job.status.as_str()), (world.sync_id, job, status));
        let fences: i64 = sqlx::query_scalar("SELECT count(fence_owner) FROM sync_multiplexer.sync_state")
            .fetch_one(world.pool())
            .await
            .unwrap();
        assert_eq!(fences, 0, "{status}");
        end(&world, job).await;
    }
    assert_eq!(fence::raise(world.database(), &holds, LASTS).await.unwrap(), []);
    fence::lower(world.database(), &holds).await.unwrap();
}

#[tokio::test]
async fn a_fence_whose_owner_is_gone_is_swept_or_taken_over() {
    let world = World::new().await;
    let gone = hold(&world);
    raised(&world, gone).await;
    assert_eq!(fence::sweep(world.database()).await.unwrap(), 0, "it stands");
    let_it_expire(&world).await;
    assert_eq!(fence::sweep(world.database()).await.unwrap(), 1);
    assert_eq!(active_jobs(&world).await, []);
    assert_eq!(fence::renew(world.database(), &[gone], LASTS).await.unwrap_err().kind(), ErrorKind::Conflict);

    raised(&world, gone).await;
    let_it_expire(&world).await;
    let next = hold(&world);
    raised(&world, next).await;
    assert_eq!(active_jobs(&world).await.len(), 1, "the job of the one before went with its fence");
    fence::lower(world.database(), &[gone]).await.unwrap();
    assert_eq!(active_jobs(&world).await.len(), 1, "its owner, late, finds that it is not his any more");
    // Expired, but nobody took it away: its owner may go on.
    let_it_expire(&world).await;
    fence::renew(world.database(), &[next], LASTS).await.unwrap();
    assert_eq!(fence::sweep(world.database()).await.unwrap(), 0);
}

#[tokio::test]
async fn while_a_fence_stands_nobody_else_plans_or_retires() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let hold = hold(&world);
    raised(&world, hold).await;
    let plan = async |operation_id| {
        let options = PlanOptions { operation_id, ..sized(None) };
        plans::create(world.database(), &slot, Uuid::now_v7(), listing(&["a.json"]), &options).await
    };
    let error = plan(Uuid::now_v7()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("is switching sync"), "{error}");
    let error = retire::mark(world.database(), &world.retire(slot)).await.unwrap_err();
    assert!(error.message().contains("is switching sync"), "{error}");
    plan(hold.operation_id).await.unwrap();
    let_it_expire(&world).await;
    plan(Uuid::now_v7()).await.unwrap();
}

#[tokio::test]
async fn a_flip_needs_a_fence_of_its_own_that_nothing_broke_through() {
    let world = World::new().await;
    let command = proved(&world).await;
    let flip = async || roles::flip(world.database(), std::slice::from_ref(&command)).await;
    let broke_through = async |by: Uuid| match flip().await.unwrap() {
        Flipped::Breached(it) => assert!(matches!(&it.what, Obstacle::Job(job) if job.job_id == by), "{it:?}"),
        Flipped::Done(outcomes) => panic!("{outcomes:?}"),
    };
    let slipped_in = job(&world, "running").await;
    broke_through(slipped_in).await;
    end(&world, slipped_in).await;
    broke_through(slipped_in).await;
    let found = fence::lower(world.database(), &[command.hold()]).await.unwrap();
    assert!(
        matches!(&found[..], [it] if matches!(&it.what, Obstacle::Job(job) if job.job_id == slipped_in)),
        "{found:?}"
    );
    assert!(flip().await.unwrap_err().message().contains("no longer holds the fence"));

    raised(&world, command.hold()).await;
    let_it_expire(&world).await;
    assert!(flip().await.unwrap_err().message().contains("no longer holds the fence"));
    fence::renew(world.database(), &[command.hold()], LASTS).await.unwrap();
    // Somebody ended our job at the platform, so the platform may have started one.
    sqlx::query("UPDATE public.sync_job SET status = 'cancelled' WHERE status = 'running'")
        .execute(world.pool())
        .await
        .unwrap();
    assert!(flip().await.unwrap_err().message().contains("no longer holds the fence"));
    raised(&world, command.hold()).await;
    assert!(matches!(flip().await.unwrap(), Flipped::Done(_)), "raised anew, it holds");
}

#[tokio::test]
async fn a_fence_is_lowered_whatever_the_platform_did_to_its_jobs() {
    let world = World::new().await;
    let (old, hold) = (job(&world, "completed").await, hold(&world));
    raised(&world, hold).await;
    sqlx::query("DELETE FROM public.sync_job WHERE id = $1").bind(old).execute(world.pool()).await.unwrap();
    assert_eq!(fence::lower(world.database(), &[hold]).await.unwrap(), []);
    assert_eq!(active_jobs(&world).await, []);
}

#[tokio::test]
async fn a_flip_needs_a_plan_of_its_own_that_is_done_and_verified() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let command = world.flip_to(slot.slot_id);
    raised(&world, command.hold()).await;
    let refused = async |command: &FlipCommand| {
        let error = roles::flip(world.database(), std::slice::from_ref(command)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        error.message().to_owned()
    };
    let words = refused(&command).await;
    assert!(words.contains("its last catch-up is not one of this switch"), "{words}");
    let plan = async |keys: &[&str]| {
        let (plan_id, options) = (Uuid::now_v7(), PlanOptions { operation_id: command.operation_id, ..sized(None) });
        plans::create(world.database(), &slot, plan_id, listing(keys), &options).await.unwrap();
        plan_id
    };
    plan(&["a.json", "b.json"]).await;
    let words = refused(&command).await;
    assert!(words.contains("a part of the last catch-up is not done"), "{words}");
    let plan_id = plan(&["a.json"]).await;
    let words = refused(&command).await;
    assert!(words.contains("it was not verified"), "{words}");
    let differs = serde_json::json!({ "examples": ["one"] });
    verifications::record(world.database(), &slot, plan_id, command.operation_id, false, &differs).await.unwrap();
    let words = refused(&command).await;
    assert!(words.contains("its verification found differences"), "{words}");

    // Force is not past the fence, and what is left out must be said.
    let forced = FlipCommand { force: true, ..command.clone() };
    assert!(refused(&forced).await.contains("found differences"), "nothing was left out");
    let skipped = vec!["verification: it found differences".to_owned()];
    let unforced = FlipCommand { skipped: skipped.clone(), ..command.clone() };
    assert!(refused(&unforced).await.contains("found differences"));
    let forced = FlipCommand { skipped: skipped.clone(), ..forced };
    fence::lower(world.database(), &[command.hold()]).await.unwrap();
    assert!(refused(&forced).await.contains("no longer holds the fence"));
    raised(&world, command.hold()).await;
    assert_eq!(world.flip_alone(&forced).await.unwrap().skipped, skipped);
    assert_eq!(roles::made_by(world.database(), &command.hold()).await.unwrap().unwrap().skipped, skipped);
}

#[tokio::test]
async fn of_two_syncs_both_change_or_none() {
    let world = World::new().await;
    let good = proved(&world).await;
    let another = sync(world.pool(), world.organization_id).await;
    let bad = FlipCommand { sync_id: another, operation_id: Uuid::now_v7(), ..good.clone() };
    let before = world.everything().await;
    let error = roles::flip(world.database(), &[good.clone(), bad]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(world.everything().await, before);
    world.flip_alone(&good).await.unwrap();
}

#[tokio::test]
async fn strangers_have_no_fences_here() {
    let world = World::new().await;
    let theirs = Hold { organization_id: world.stranger_id, ..hold(&world) };
    let holds = [theirs];
    for error in [
        fence::raise(world.database(), &holds, LASTS).await.unwrap_err(),
        fence::lower(world.database(), &holds).await.unwrap_err(),
        fence::in_the_way(world.database(), &holds).await.unwrap_err(),
        collection::syncs(world.database(), world.stranger_id, Uuid::now_v7()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    let ours = Hold { organization_id: world.organization_id, ..theirs };
    raised(&world, ours).await;
    assert_eq!(fence::renew(world.database(), &holds, LASTS).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(roles::made_by(world.database(), &theirs).await.unwrap(), None);
}
