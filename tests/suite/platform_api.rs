//! The client of the platform's API against a server that is as strict as the platform.

use std::time::Duration;

use activities::database::sync_jobs::{ConfigurationForm, get};
use activities::platform_api::{
    Outcome, PlatformApi, PlatformApiSettings, PlatformApiTiming, Refused, captures_everything, is_of, mark,
};
use harness::World;
use harness::platform_api::{Fault, PlatformServer, PlatformServerOptions, Version};
use serde_json::json;
use uuid::Uuid;
use workflows::domain::ErrorKind;

fn settings(platform: &PlatformServer) -> PlatformApiSettings {
    PlatformApiSettings {
        url: Some(platform.url()),
        api_key: Some(platform.own_key().into()),
        admin_api_key: Some(platform.admin_key().into()),
        timing: PlatformApiTiming::default(),
    }
}

fn client(settings: &PlatformApiSettings) -> PlatformApi {
    PlatformApi::new(settings).expect("usable settings").expect("an address")
}

async fn platform(world: &World, version: Version) -> PlatformServer {
    PlatformServer::start(world, PlatformServerOptions { version, ..PlatformServerOptions::default() }).await
}

fn seen(refused: &Refused) -> (Outcome, ErrorKind) {
    (refused.outcome, refused.error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_who_acts_and_whether_a_job_may_have_come_of_it() {
    let world = World::new().await;
    let server = platform(&world, Version::Original).await;
    let api = client(&settings(&server));
    let (organization, source) = (world.ids.organization_id, server.source_connection());
    for (fault, outcome, kind, jobs) in [
        (Fault::Unauthorized, Outcome::Nothing, ErrorKind::Unauthorized, 0),
        (Fault::Forbidden, Outcome::Nothing, ErrorKind::Forbidden, 0),
        (Fault::NotFound, Outcome::Nothing, ErrorKind::NotFound, 0),
        (Fault::Refused("Usage limit reached".to_owned()), Outcome::Nothing, ErrorKind::Conflict, 0),
        (Fault::Misunderstood, Outcome::Nothing, ErrorKind::InvalidInput, 0),
        (Fault::SlowDown(7), Outcome::Nothing, ErrorKind::RateLimited, 0),
        (Fault::Redirect("http://127.0.0.1:9/stolen".to_owned()), Outcome::Nothing, ErrorKind::InvalidInput, 0),
        (Fault::Failed, Outcome::Over, ErrorKind::Unavailable, 0),
        (Fault::Unavailable, Outcome::Unknown, ErrorKind::Unavailable, 0),
        (Fault::Endless, Outcome::Over, ErrorKind::Internal, 0),
        (Fault::FailedAfterStart, Outcome::Over, ErrorKind::Unavailable, 1),
        (Fault::LoseAnswer, Outcome::Unknown, ErrorKind::Unavailable, 1),
        (Fault::Garbage, Outcome::Over, ErrorKind::Internal, 1),
    ] {
        let before = server.jobs().await.len();
        server.fail_next([fault.clone()]);
        let refused = api.run(organization, source, false).await.expect_err("refused");
        assert_eq!(seen(&refused), (outcome, kind), "{fault:?}: {}", refused.error);
        assert_eq!(server.jobs().await.len() - before, jobs, "{fault:?}");
        assert!(!refused.error.chain().contains(server.own_key()), "{}", refused.error.chain());
        if fault == Fault::SlowDown(7) {
            assert_eq!(refused.error.retry_after(), Some(Duration::from_secs(7)));
        }
        until_idle(&server).await;
    }

    let nobody = Uuid::new_v4();
    let refused = api.run(organization, nobody, false).await.expect_err("no such source connection");
    assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::NotFound));
    let refused = api.run(nobody, source, false).await.expect_err("another organisation");
    assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::Forbidden));
    let refused = api.run(organization, source, true).await.expect_err("this version refuses");
    assert_eq!(refused.outcome, Outcome::NoCursor, "{}", refused.error);

    let options =
        PlatformServerOptions { has_cursor: true, version: Version::Original, ..PlatformServerOptions::default() };
    let continuous = PlatformServer::start(&world, options).await;
    client(&settings(&continuous)).run(organization, source, true).await.expect("there is a cursor to ignore");
    until_idle(&server).await;

    server.hold_jobs();
    let job = api.run(organization, source, false).await.expect("a job starts");
    let refused = api.run(organization, source, false).await.expect_err("one at a time");
    assert_eq!(seen(&refused), (Outcome::Occupied, ErrorKind::Conflict));
    assert!(refused.error.message().contains("a sync job is already"), "{}", refused.error);
    assert!(matches!(api.status(organization, source, job).await.as_deref(), Ok("pending" | "running")));
    assert_eq!(api.status(organization, source, nobody).await.expect_err("unknown").kind(), ErrorKind::NotFound);
    api.cancel(organization, source, job).await.expect("it can be cancelled");
    until_idle(&server).await;
    let refused = api.cancel(organization, source, job).await.expect_err("it has ended");
    assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::Conflict));
    drop(server);
    world.done().await;
}

async fn until_idle(server: &PlatformServer) {
    harness::until("all jobs to have ended", Duration::from_secs(20), async || {
        server.jobs().await.iter().all(|(_, status)| ["completed", "failed", "cancelled"].contains(&status.as_str()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_does_not_answer_is_told_from_one_that_is_not_there() {
    let world = World::new().await;
    let server = platform(&world, Version::Original).await;
    let timing = PlatformApiTiming { request_timeout: Duration::from_millis(200), ..PlatformApiTiming::default() };
    let impatient = client(&PlatformApiSettings { timing, ..settings(&server) });
    server.fail_next([Fault::Slow(Duration::from_secs(3600))]);
    let (organization, source) = (world.ids.organization_id, server.source_connection());
    let refused = impatient.run(organization, source, false).await.expect_err("it takes an hour");
    assert_eq!(seen(&refused), (Outcome::Unknown, ErrorKind::Timeout), "{}", refused.error);
    drop(server);
    let refused = impatient.run(organization, source, false).await.expect_err("nobody listens");
    assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::Unavailable), "{}", refused.error);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_asked_for_in_the_form_that_the_platform_reads() {
    for (version, form) in [(Version::Flat, ConfigurationForm::Flat), (Version::Nested, ConfigurationForm::Nested)] {
        let world = World::new().await;
        let server = platform(&world, version).await;
        let api = client(&settings(&server));
        let (organization, sync, operation) = (world.ids.organization_id, world.ids.sync_id, Uuid::new_v4());
        let job = api.rebuild(organization, sync, form, operation).await.expect("a job starts");
        let row = get(&world.database, organization, sync, job).await.expect("its row is there");
        assert!(captures_everything(&row), "{version:?}: {row:?}");
        assert_eq!(is_of(&row, operation), (version == Version::Nested).then_some(true), "{row:?}");

        let asked = server.take_asked();
        let [asked] = asked.as_slice() else { panic!("one request: {asked:?}") };
        assert_eq!(asked.route, format!("POST /admin/resync/{sync}"));
        assert_eq!((asked.key.as_deref(), &asked.organization), (Some(server.admin_key()), &None));
        let body = asked.body.clone().expect("JSON");
        let configuration = if form == ConfigurationForm::Flat { &body } else { &body["execution_config"] };
        if form == ConfigurationForm::Nested {
            assert_eq!(body["tags"], json!([mark(operation)]));
            let parts = ["destinations", "handlers", "cursor", "behavior"];
            assert!(parts.iter().all(|part| configuration[part].is_object()), "every part is sent: {body}");
        }
        until_idle(&server).await;

        // In the other form it is an ordinary job, and that shows.
        let other = if form == ConfigurationForm::Flat { ConfigurationForm::Nested } else { ConfigurationForm::Flat };
        let job = api.rebuild(organization, sync, other, operation).await.expect("a job starts");
        let row = get(&world.database, organization, sync, job).await.expect("its row is there");
        assert!(!captures_everything(&row), "{version:?}: {row:?}");
        until_idle(&server).await;

        // Without an administrator's key the organisation's own is tried.
        let plain = client(&PlatformApiSettings { admin_api_key: None, ..settings(&server) });
        let refused = plain.rebuild(organization, sync, form, operation).await.expect_err("no administrator");
        assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::Forbidden));
        assert!(refused.error.message().contains("PLATFORM_ADMIN_API_KEY"), "{}", refused.error);
        let refused = api.rebuild(organization, Uuid::new_v4(), form, operation).await.expect_err("no such sync");
        assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::NotFound));
        drop(server);
        world.done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_where_they_belong_and_nowhere_else() {
    let world = World::new().await;
    let options = PlatformServerOptions { own_key_is_admin: true, ..PlatformServerOptions::default() };
    let server = PlatformServer::start(&world, options).await;
    let thief = PlatformServer::start(&world, options).await;
    let (organization, sync) = (world.ids.organization_id, world.ids.sync_id);
    let api = client(&PlatformApiSettings { admin_api_key: None, ..settings(&server) });
    server.fail_next([Fault::Redirect(format!("{}/source-connections/x/run", thief.url()))]);
    let refused = api.run(organization, server.source_connection(), false).await.expect_err("it is not followed");
    assert!(refused.error.message().contains("set PLATFORM_API_URL"), "{}", refused.error);
    assert_eq!(thief.take_asked(), [], "the key went elsewhere");

    api.rebuild(organization, sync, ConfigurationForm::Nested, Uuid::new_v4()).await.expect("the flag lets it through");
    let asked = server.take_asked().pop().expect("a request");
    assert_eq!((asked.key.as_deref(), asked.organization), (Some(server.own_key()), Some(organization.to_string())));

    let nobody = client(&PlatformApiSettings { api_key: None, admin_api_key: None, ..settings(&server) });
    let refused = nobody.run(organization, server.source_connection(), false).await.expect_err("a key is wanted");
    assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::Unauthorized));
    assert!(refused.error.message().contains("PLATFORM_API_KEY"), "{}", refused.error);
    let shown = format!("{:?} {api:?}", settings(&server));
    assert!(!shown.contains(server.own_key()) && !shown.contains(server.admin_key()), "{shown}");

    // A server behind a path.
    let behind = client(&PlatformApiSettings { url: Some(format!("{}/behind/", server.url())), ..settings(&server) });
    let refused = behind.run(organization, server.source_connection(), false).await.expect_err("nothing is there");
    assert_eq!(seen(&refused), (Outcome::Nothing, ErrorKind::NotFound));
    drop((server, thief));
    world.done().await;
}
