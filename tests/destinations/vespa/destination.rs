//! What only this destination promises: ids, layouts, what is deployed, and how it is reached.

use std::time::Duration;

use activities::destinations::vespa::{Vespa, VespaCredentials, VespaEndpoint, VespaSettings};
use activities::destinations::{Destination, EntityDocument, EntityRef, Query, SearchMode, SparseVector};
use activities::error::ErrorKind;
use futures::TryStreamExt;
use harness::vespa::{Generation, Indexing, Security, VespaServer, VespaServerOptions};
use proto::v1::vespa_field::{Derived, Type, Value as Source};
use proto::v1::vespa_layout::{Documents, Ids, Package};
use proto::v1::vespa_mapping::Grain;
use proto::v1::{VespaField, VespaLayout, VespaMapping, VespaRankProfiles};
use reqwest::Version;
use serde_json::json;

use super::slots::{Place, layout, limits, many, store, whole};
use crate::conformance::DIMENSIONS;
use crate::conformance::documents::{axis, document, refs, scope};

#[tokio::test]
async fn a_document_of_another_sync_is_never_written_over() {
    let (place, first) = Place::simple().await;
    store(&first, &[document("shared", 1, 2)]).await;
    let stranger = place.chunks(&scope());
    let outcome = stranger.upsert(&[document("shared", 2, 2), document("own", 1, 1)]).await.expect("upsert");
    assert_eq!(outcome.accepted, [(EntityRef("own".into()), 1)]);
    assert!(outcome.rejected[0].reason.contains("IDS_SCOPED"), "{:?}", outcome.rejected);
    assert_eq!(first.read(&refs(&["shared"])).await.expect("read")[0].content_hash, format!("{:064x}", 1));

    let scoped = layout(Documents::Chunk, Ids::Scoped);
    let scopes = [scope(), scope()];
    for (version, scope) in (3..).zip(&scopes) {
        store(&place.slot(scope, &scoped), &[document("shared", version, 2)]).await;
    }
    for (version, scope) in (3..).zip(&scopes) {
        let stored = place.slot(scope, &scoped).read(&refs(&["shared"])).await.expect("read");
        assert_eq!(stored[0].content_hash, format!("{version:064x}"));
    }
}

#[tokio::test]
async fn odd_ids_and_characters_arrive_as_they_are() {
    let (place, slot) = Place::simple().await;
    let ids =
        ["a+b", "a b", "a/b", "http://x//y?z=1#f", "..", ".", "/", "trail/", "%2F", "id:x:y::z", "a|b^c[d]{e}`f\\g\""];
    let mut documents: Vec<EntityDocument> = ids.iter().map(|id| document(id, 1, 1)).collect();
    documents[0].chunks[0].payload = json!({
        "name": "bell\u{7} and\ttab", "key\u{1}": {"deep\u{0}": ["\u{ffff}"]},
        "breadcrumbs": [{"entity_id": "p\u{8}", "name": "n"}],
    })
    .to_string();
    store(&slot, &documents).await;
    let mut expected: Vec<String> =
        ids.iter().map(|id| format!("id:airweave:base_entity::ConformanceEntity_{id}__chunk_0")).collect();
    expected.sort_unstable();
    assert_eq!(place.server.ids(), expected);
    let fields = place.server.document("id:airweave:base_entity::ConformanceEntity_a+b__chunk_0").expect("it is there");
    assert_eq!((&fields["name"], &fields["breadcrumbs"][0]["entity_id"]), (&json!("bell and\ttab"), &json!("p")));
    let payload: serde_json::Value = serde_json::from_str(fields["payload"].as_str().expect("a text")).expect("JSON");
    assert_eq!(payload, json!({"key\u{1}": {"deep\u{0}": ["\u{ffff}"]}}), "escapes keep what a text cannot hold");
    for id in ids {
        assert_eq!(slot.delete(&refs(&[id])).await.expect("delete"), 1, "{id}");
    }
}

#[tokio::test]
async fn whole_entities_are_documents_without_vectors() {
    let options = VespaServerOptions { generation: Generation::RawEntities, ..VespaServerOptions::default() };
    let place = Place::new(options, limits()).await;
    let slot = place.slot(&scope(), &layout(Documents::RawEntity, Ids::Platform));
    slot.check().await.expect("check");
    slot.prepare().await.expect("prepare");
    assert_eq!(place.server.ids().len(), 0, "neither leaves anything behind");
    store(&slot, &[whole("a", 1), whole("b", 1), whole("a", 2)][1..]).await;
    let scanned: Vec<(EntityRef, u32)> = slot.scan().await.expect("scan").try_collect().await.expect("pages");
    assert_eq!(scanned, [(EntityRef("a".into()), 1), (EntityRef("b".into()), 1)]);
    let stored = slot.read(&refs(&["a"])).await.expect("read");
    assert_eq!((stored[0].content_hash.as_str(), stored[0].chunks[0].index), (&*format!("{:064x}", 2), 0));
    assert_eq!(stored[0].chunks[0].dense, [] as [f32; 0]);
    let rejected = slot.upsert(&[document("chunked", 1, 1)]).await.expect("upsert").rejected;
    assert_eq!(rejected.len(), 1, "vectors have no place here");
    assert_eq!(slot.trim(&EntityRef("a".into()), 1).await.expect("trim"), 0);
    assert_eq!(slot.clear().await.expect("clear"), 2);
}

#[tokio::test]
async fn a_class_that_changes_its_kind_moves_to_the_other_type() {
    let (place, slot) = Place::simple().await;
    store(&slot, &[document("moves", 1, 2)]).await;
    let mut moved = document("moves", 2, 1);
    moved.class = "WebEntity".into();
    store(&slot, &[moved]).await;
    assert_eq!(place.server.ids(), ["id:airweave:web_entity::WebEntity_moves__chunk_0"]);
}

#[tokio::test]
async fn an_entity_of_more_chunks_than_a_query_gives_is_found_whole() {
    let options = VespaServerOptions { max_hits: 400, ..VespaServerOptions::default() };
    let place = Place::new(options, limits()).await;
    let slot = place.chunks(&scope());
    store(&slot, &[document("long", 1, 950), document("short", 1, 2), document("Long", 1, 3)]).await;
    assert_eq!(slot.read(&refs(&["long", "short"])).await.expect("read")[0].chunks.len(), 950);
    place.server.journal().clear();
    assert_eq!(slot.trim(&EntityRef("long".into()), 900).await.expect("trim"), 50);
    assert_eq!(slot.delete(&refs(&["long", "short"])).await.expect("delete"), 902);
    assert!(place.server.journal().requests().iter().all(|it| it.method != "GET"), "found by queries, without a visit");
    assert_eq!(slot.count().await.expect("count"), 3);
}

fn mapping(grain: Grain) -> VespaMapping {
    let derived = |name: &str, derived: Derived| VespaField {
        name: name.into(),
        value: Some(Source::Derived(derived.into())),
        r#type: 0,
    };
    let mut fields = vec![
        derived("id", Derived::EntityId),
        derived("hash", Derived::ContentHash),
        derived("collection", Derived::CollectionId),
        derived("sync", Derived::SyncId),
        derived("body", Derived::Text),
        VespaField {
            name: "version".into(),
            value: Some(Source::EntityField("version".into())),
            r#type: Type::Long.into(),
        },
    ];
    if grain == Grain::Chunk {
        fields.push(derived("part", Derived::ChunkIndex));
        fields.push(derived("dense", Derived::Dense));
    }
    VespaMapping { document_type: "article".into(), grain: grain.into(), fields }
}

fn mapped_options(grain: Grain) -> VespaServerOptions {
    let mut rows = vec![
        ("id", "string", Indexing::Attribute),
        ("hash", "string", Indexing::Attribute),
        ("collection", "string", Indexing::Attribute),
        ("sync", "string", Indexing::Attribute),
        ("body", "string", Indexing::Index),
        ("version", "long", Indexing::Attribute),
    ];
    if grain == Grain::Chunk {
        rows.push(("part", "int", Indexing::Attribute));
        rows.push(("dense", "tensor<bfloat16>(x[DIM])", Indexing::Attribute));
    }
    VespaServerOptions { more_types: vec![("article".into(), rows)], ..VespaServerOptions::default() }
}

fn mapped_layout(grain: Grain) -> VespaLayout {
    VespaLayout { mapping: Some(mapping(grain)), ..layout(Documents::Custom, Ids::Platform) }
}

#[tokio::test]
async fn a_mapping_fills_a_type_of_ones_own() {
    for grain in [Grain::Chunk, Grain::Entity] {
        let place = Place::new(mapped_options(grain), limits()).await;
        let slot = place.slot(&scope(), &mapped_layout(grain));
        slot.check().await.expect("check");
        let documents = if grain == Grain::Chunk {
            [document("a", 7, 3), document("b", 7, 1)]
        } else {
            [whole("a", 7), whole("b", 7)]
        };
        store(&slot, &documents).await;
        let points: u64 = documents.iter().map(|it| it.chunks.len() as u64).sum();
        assert_eq!(slot.count().await.expect("count"), points);
        let stored = slot.read(&refs(&["a"])).await.expect("read");
        assert_eq!(stored[0].content_hash, format!("{:064x}", 7));
        assert_eq!(stored[0].chunks.len(), documents[0].chunks.len());
        assert_eq!(stored[0].chunks[0].dense.len(), documents[0].chunks[0].dense.len());
        let id = &place.server.ids()[0];
        assert_eq!(place.server.document(id).expect("it is there")["version"], 7);
        let mut misfit = documents[1].clone();
        misfit.chunks[0].payload = json!({"version": "seven"}).to_string();
        let reason = slot.upsert(&[misfit]).await.expect("upsert").rejected.remove(0).reason;
        assert!(reason.contains("\"version\"") && !reason.contains("seven"), "{reason}");
        assert_eq!(slot.clear().await.expect("clear"), points);
    }
}

/// What differs is told before anything is written.
#[tokio::test]
async fn another_application_is_refused() {
    let raw = VespaServerOptions { generation: Generation::RawEntities, ..VespaServerOptions::default() };
    let ignoring = VespaServerOptions { ignore_undefined_fields: true, ..mapped_options(Grain::Entity) };
    let chunk = layout(Documents::Chunk, Ids::Platform);
    let elsewhere = VespaLayout { cluster: "elsewhere".into(), ..chunk.clone() };
    let mut wider = mapped_layout(Grain::Entity);
    wider.mapping.as_mut().expect("a mapping").fields[5].name = "edition".into();
    for (options, layout, words) in [
        (VespaServerOptions { dimensions: 9, ..VespaServerOptions::default() }, chunk.clone(), "9 values"),
        (raw.clone(), chunk.clone(), "has no field"),
        (
            VespaServerOptions::default(),
            layout(Documents::RawEntity, Ids::Platform),
            "base_entity takes dense_embedding",
        ),
        (VespaServerOptions::default(), elsewhere, "no content cluster elsewhere"),
        (VespaServerOptions::default(), mapped_layout(Grain::Entity), "document type article is not deployed"),
        (mapped_options(Grain::Entity), wider.clone(), "article has no field edition"),
        (ignoring, wider, "X-Vespa-Ignored-Fields"),
    ] {
        let place = Place::new(options, limits()).await;
        let slot = place.slot(&scope(), &layout);
        let error = match slot.prepare().await {
            // A server that drops what it does not know tells only when it has done so.
            Ok(()) => slot.check().await.expect_err("the application differs"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::IncompatibleDestination, "{words}: {error}");
        assert!(error.message().contains(words), "{words}: {error}");
        assert_eq!(place.server.ids(), [] as [String; 0], "{words}");
    }
    let bare = VespaServerOptions { document_api: false, ..VespaServerOptions::default() };
    let error = Place::new(bare, limits()).await.chunks(&scope()).prepare().await.expect_err("no document API");
    assert!(error.kind() == ErrorKind::InvalidInput && error.message().contains("document-api"), "{error}");
}

#[tokio::test]
async fn words_are_matched_where_the_rank_profiles_do() {
    let (place, _) = Place::simple().await;
    for (package, words, found) in [
        (Package::January2026, "second", Some("b")),
        (Package::Own, "FIRST", Some("a")),
        (Package::Own, "nowhere", None),
    ] {
        let slot =
            place.slot(&scope(), &VespaLayout { package: package.into(), ..layout(Documents::Chunk, Ids::Scoped) });
        let mut documents = [document("a", 1, 1), document("b", 1, 1)];
        documents[0].chunks[0].text = "the first of two".into();
        documents[1].chunks[0].text = "the second of two".into();
        store(&slot, &documents).await;
        let sparse = SparseVector::default();
        let query = Query { text: words.into(), dense: axis(0), sparse, mode: SearchMode::Sparse, limit: 5 };
        let hits = slot.search(&query).await.expect("search");
        assert_eq!(hits.first().map(|hit| hit.entity.0.as_str()), found, "{words}");
        let hybrid = slot.search(&Query { mode: SearchMode::Hybrid, ..query.clone() }).await.expect("search");
        assert_eq!(hybrid.len(), 2, "the nearest are found without the word");
        slot.clear().await.expect("clear");
    }
    let names = VespaRankProfiles { keyword: "nobody".into(), ..VespaRankProfiles::default() };
    let slot =
        place.slot(&scope(), &VespaLayout { rank_profiles: Some(names), ..layout(Documents::Chunk, Ids::Scoped) });
    let sparse = SparseVector { indices: vec![1], values: vec![1.0] };
    let query = Query { text: String::new(), dense: axis(0), sparse, mode: SearchMode::Sparse, limit: 5 };
    assert_eq!(slot.search(&query).await.expect_err("no such profile").kind(), ErrorKind::IncompatibleDestination);
}

#[tokio::test]
async fn a_search_does_not_see_the_slot_beside_it() {
    let (place, active) = Place::simple().await;
    let scope = scope();
    let active_scope = place.chunks(&scope);
    drop(active);
    let beside =
        place.slot(&scope, &VespaLayout { namespace: "beside".into(), ..layout(Documents::Chunk, Ids::Platform) });
    assert_ne!(active_scope.place(), beside.place());
    store(&active_scope, &many(60)).await;
    store(&beside, &many(60)).await;
    let query = Query {
        text: String::new(),
        dense: axis(0),
        sparse: SparseVector::default(),
        mode: SearchMode::Dense,
        limit: 50,
    };
    for slot in [&active_scope, &beside] {
        let hits = slot.search(&query).await.expect("search");
        let mut entities: Vec<_> = hits.iter().map(|hit| &hit.entity).collect();
        entities.sort();
        entities.dedup();
        assert_eq!((hits.len(), entities.len()), (50, 50), "as many as asked for, each once");
    }
    assert_eq!(beside.clear().await.expect("clear"), 60);
    assert_eq!(active_scope.count().await.expect("count"), 60);
}

#[tokio::test]
async fn requests_go_over_several_http_2_connections_and_are_compressed() {
    // Slow enough that requests meet.
    let options = VespaServerOptions { service_time: Duration::from_millis(5), ..VespaServerOptions::default() };
    let place = Place::new(options, limits()).await;
    let slot = place.chunks(&scope());
    let mut documents = many(2_000);
    for document in &mut documents {
        document.chunks[0].text = "a text that is long enough to be worth it ".repeat(20);
    }
    store(&slot, &documents).await;
    let puts: Vec<_> = place.server.journal().requests().into_iter().filter(|it| it.path.contains("/docid/")).collect();
    assert!(puts.iter().all(|put| put.version == Version::HTTP_2 && put.compressed));
    assert_eq!(place.server.journal().connections(), 8);
    let most = place.server.journal().most_in_flight();
    assert!((17..=4_096).contains(&most), "{most} requests at a time");
}

#[tokio::test]
async fn certificates_and_tokens_are_shown() {
    let secured = async |security: Security| {
        VespaServer::start(VespaServerOptions { security, ..VespaServerOptions::default() }).await
    };
    let prepared = async |endpoint: VespaEndpoint| {
        let settings = VespaSettings::from_layout(&layout(Documents::Chunk, Ids::Platform), DIMENSIONS)
            .expect("the layout is valid");
        Vespa::connect(&endpoint, scope(), settings).expect("a client").prepare().await
    };
    let endpoint = |server: &VespaServer, credentials| {
        let endpoint = VespaEndpoint::new(&server.url().into(), credentials).expect("an endpoint");
        match server.authority_pem() {
            Some(ca) => endpoint.with_ca(ca).expect("PEM"),
            None => endpoint,
        }
    };
    let token = |token: &str| VespaCredentials::Token(token.into());

    let mutual = secured(Security::MutualTls).await;
    let identity = mutual.client_identity().expect("it asks for certificates");
    let certificate = VespaCredentials::Certificate {
        certificate_pem: identity.certificate_pem.clone(),
        key_pem: identity.key_pem.clone().into(),
    };
    prepared(endpoint(&mutual, certificate)).await.expect("the right certificate");
    let nobody = prepared(endpoint(&mutual, VespaCredentials::None)).await.expect_err("no certificate");
    assert_eq!(nobody.kind(), ErrorKind::DestinationDenied, "{}", nobody.chain());

    for security in [Security::TlsWithToken("right".into()), Security::Token("right".into())] {
        let server = secured(security).await;
        prepared(endpoint(&server, token("right"))).await.expect("the right token");
        for wrong in [token("wrong"), VespaCredentials::None] {
            assert_eq!(
                prepared(endpoint(&server, wrong)).await.expect_err("wrong").kind(),
                ErrorKind::DestinationDenied
            );
        }
    }

    let server = secured(Security::Tls).await;
    let url = server.url().into();
    let untrusted = VespaEndpoint::new(&url, VespaCredentials::None).expect("an endpoint");
    let stranger = prepared(untrusted).await.expect_err("nobody vouches for it");
    assert_eq!(stranger.kind(), ErrorKind::DestinationDenied, "{}", stranger.chain());
    assert!(server.ids().is_empty());
}

#[tokio::test]
async fn a_check_that_fails_names_why_and_leaves_nothing() {
    let (place, slot) = Place::simple().await;
    use harness::vespa::{Fault, FaultRule, Victim};
    place.server.inject(FaultRule::new(Fault::LoseAnswer).on(Victim::Puts).times(1));
    slot.check().await.expect("a lost answer is asked for again");
    assert!(place.server.ids().is_empty());
    place.server.inject(FaultRule::new(Fault::IgnoredOperation).on(Victim::Puts));
    let error = slot.check().await.expect_err("writes are thrown away");
    assert_eq!(error.kind(), ErrorKind::IncompatibleDestination, "{}", error.chain());
}
