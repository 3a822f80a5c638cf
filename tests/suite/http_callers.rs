//! Who gets in over HTTP, how much they may ask for, and what is public.

use std::time::Duration;

use harness::{Api, Reply, World, until};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

const PATH: &str = "/operations";

async fn ask(api: &Api, headers: &[(&str, &str)]) -> Reply {
    api.send(api.request(Method::GET, PATH, headers)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_a_key_of_the_organisation_or_the_backend() {
    let world = World::new().await;
    let api = world.api(&[]).await;
    let (own, stranger) = (world.ids.organization_id, world.stranger().await);
    let key = world.api_key(own, "1 day").await;
    let (own, without_feature) = (own.to_string(), stranger.to_string());
    let strange = world.api_key(stranger, "1 day").await;
    let expired = world.api_key(world.ids.organization_id, "-1 second").await;
    let bearer = format!("Bearer {}", api.internal_token());
    let nobody = Uuid::new_v4().to_string();
    for (headers, status, kind, words) in [
        (&[][..], 401, "Unauthorized", "No valid authentication provided"),
        (&[("x-api-key", "")], 403, "Forbidden", "Invalid or expired API key"),
        (&[("x-api-key", "guess")], 403, "Forbidden", "Invalid or expired API key"),
        (&[("x-api-key", &expired)], 403, "Forbidden", "Invalid or expired API key"),
        (&[("x-api-key", &key), ("x-organization-id", &without_feature)], 403, "Forbidden", "does not belong"),
        (&[("x-api-key", &key), ("x-organization-id", "mine")], 400, "InvalidInput", "no UUID"),
        (&[("x-api-key", &strange)], 403, "Forbidden", "Sync multiplexer feature is not enabled"),
        (&[("authorization", "Bearer guess"), ("x-organization-id", &own)], 403, "Forbidden", "bearer"),
        (&[("authorization", &bearer)], 400, "InvalidInput", "X-Organization-ID"),
        (&[("authorization", &bearer), ("x-organization-id", &nobody)], 403, "Forbidden", "no such organization"),
        (&[("authorization", &bearer), ("x-organization-id", &without_feature)], 403, "Forbidden", "not enabled"),
        (&[("authorization", "Basic YTpi")], 401, "Unauthorized", "No valid"),
    ] {
        let reply = ask(&api, headers).await;
        let said = reply.refusal(status, kind);
        assert!(said.contains(words), "{headers:?} said {said}");
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    }
    for headers in [
        &[("x-api-key", key.as_str())][..],
        &[("x-api-key", &key), ("x-organization-id", &own)],
        &[("authorization", &bearer), ("x-organization-id", &own), ("x-requested-by", "ann@example.com")],
    ] {
        assert_eq!(ask(&api, headers).await.status, 200, "{headers:?}");
    }
    assert!(!api.log().contains(&key) && !api.log().contains(api.internal_token()), "no secret is logged");

    // A key that is taken away stops working within moments, and so does the feature.
    sqlx::query("UPDATE public.feature_flag SET enabled = false").execute(world.database.pool()).await.expect("it can");
    until("the feature to be gone", Duration::from_secs(10), || async {
        ask(&api, &[("x-api-key", &key)]).await.text.contains("not enabled")
    })
    .await;
    sqlx::query("DELETE FROM public.api_key").execute(world.database.pool()).await.expect("keys can be removed");
    until("the key to be gone", Duration::from_secs(10), || async {
        ask(&api, &[("x-api-key", &key)]).await.text.contains("Invalid or expired")
    })
    .await;
    drop(api);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_bounded_and_what_is_public_says_nothing() {
    let world = World::new().await;
    let api = world.api(&["--requests-per-second", "1", "--request-burst", "5"]).await;
    for (path, content) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/openapi.json", "application/json"),
        ("/livez", "application/json"),
        ("/readyz", "application/json"),
    ] {
        let reply = api.send(api.request(Method::GET, path, &[])).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(content)), "{path}: {}", reply.text);
        if content.starts_with("text/html") {
            let policy = reply.header("content-security-policy").expect("a policy");
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert!(!reply.text.contains("http://") && !reply.text.contains("https://"), "it needs nobody else");
        }
    }
    let _ = api.send(api.request(Method::GET, "/no/such/route", &[])).await.refusal(404, "NotFound");
    let wrong = api.send(api.request(Method::DELETE, PATH, &[])).await;
    let _ = wrong.refusal(405, "InvalidInput");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));

    let resync = format!("/sync-multiplex/{}/resync", world.ids.sync_id);
    let own = world.api_key(world.ids.organization_id, "1 day").await;
    let post = |body: Vec<u8>, content: &'static str| {
        let request = api.request(Method::POST, &resync, &[("x-api-key", &own), ("content-type", content)]);
        api.send(request.body(body))
    };
    let _ = post(vec![b' '; 70_000], "application/json").await.refusal(413, "TooLarge");
    let _ = post(b"a=b".to_vec(), "application/x-www-form-urlencoded").await.refusal(415, "InvalidInput");
    let _ = post(b"{".to_vec(), "application/json").await.refusal(400, "InvalidInput");
    let _ = post(b"[]".to_vec(), "application/json; charset=utf-8").await.refusal(422, "InvalidInput");
    // The fifth is let through, the sixth is not; another caller does not feel it.
    let _ = post(b"7".to_vec(), "application/json").await.refusal(422, "InvalidInput");
    let limited = post(b"{}".to_vec(), "application/json").await;
    let _ = limited.refusal(429, "RateLimited");
    assert!(limited.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|it| it >= 1)));
    assert_eq!(api.get(PATH).await.expect(200)["items"], json!([]));
    for _ in 0..5 {
        let _ = ask(&api, &[("x-api-key", "guess")]).await.refusal(403, "Forbidden");
    }
    let _ = ask(&api, &[("x-api-key", "another guess")]).await.refusal(429, "RateLimited");
    assert_eq!(api.get(PATH).await.status, 200, "guesses slow down nobody else");
    drop(api);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_temporal_away_what_needs_it_says_so_and_the_rest_is_answered() {
    let world = World::new().await;
    let api = world.api(&["--temporal-address", "127.0.0.1:1"]).await;
    let ready = api.get("/readyz").await.expect(503);
    assert_eq!((&ready["database"]["ok"], &ready["temporal"]["ok"]), (&json!(true), &json!(false)));
    let destinations = format!("/sync/{}/destinations", world.ids.sync_id);
    assert_eq!(api.get(&destinations).await.expect(200), json!([]));
    let body = json!({ "destination_connection_id": world.ids.connection_v0, "profile": { "pgvector": {} } });
    for reply in [api.post_once(&format!("{destinations}/fork"), "k", &body).await, api.get(PATH).await] {
        let said = reply.refusal(503, "Unavailable");
        assert!(!said.contains("127.0.0.1"), "{said}");
    }
    // What began nothing left the key free.
    let other = api.post_once(&format!("{destinations}/fork"), "k", &json!({})).await;
    let _ = other.refusal(422, "InvalidInput");
    drop(api);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_operations_together_are_throttled_by_the_backend_alone() {
    let world = World::new().await;
    let api = world.api(&[]).await;
    let (bearer, own) = (format!("Bearer {}", api.internal_token()), world.ids.organization_id.to_string());
    let backend = [("authorization", bearer.as_str()), ("x-organization-id", &own), ("x-requested-by", "ann")];
    let stop = json!({ "entities_per_second": 0, "reason": "the destination is moved" });
    let _ = api.post("/throttle", &stop).await.refusal(403, "Forbidden");
    let _ = api.get("/throttle").await.refusal(403, "Forbidden");
    let show = async || api.send(api.request(Method::GET, "/throttle/", &backend)).await.expect(200);
    assert_eq!(show().await, json!(null));
    let limited = api.send(api.request(Method::POST, "/throttle", &backend).json(&stop)).await.expect(200);
    assert_eq!(limited["entities_per_second"], 0.0, "{limited}");
    let in_force = show().await;
    assert_eq!(in_force["requested_by"], "ann by the platform's backend", "{in_force}");
    let nothing = json!({ "unlimited": true });
    let refused = api.send(api.request(Method::POST, "/throttle", &backend).json(&nothing)).await;
    assert!(refused.refusal(422, "InvalidInput").contains("reason"));
    drop(api);
    world.done().await;
}
