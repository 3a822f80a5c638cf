//! Properties of scan, read and count.

use activities::destinations::{EntityRef, SearchMode, SparseVector, UpsertOutcome};

use super::World;
use super::documents::{axis, document, refs, scope};
use super::observe::{assert_holds, found, ready, scanned, store};

pub(crate) async fn scan_is_everything_in_byte_order(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    // Upper case, digits, accents and non-BMP letters: orders other than by bytes put these elsewhere. More entities
    // than any page a destination may read at once would be slow, so most destinations see a few pages at most.
    let mut letters = vec!["a", "B", "é", "Z", "_", "~", "ß", "\u{10ffff}", "\u{e000}", "-"];
    letters.retain(|letter| world.takes_id(letter));
    let documents: Vec<_> = (0..6_000_u32)
        .map(|n| {
            document(
                &format!("{}{}", letters[n as usize % letters.len()], n * 7_919 % 6_000),
                1,
                1 + u32::from(n % 500 == 0),
            )
        })
        .collect();
    for batch in documents.chunks(1_000) {
        store(slot.as_ref(), batch).await;
    }
    let mut expected: Vec<(EntityRef, u32)> =
        documents.iter().map(|d| (d.entity.clone(), d.chunks.len() as u32)).collect();
    expected.sort();
    assert_eq!(expected.len(), 6_000, "ids are unique");
    assert!(scanned(slot.as_ref()).await == expected, "scan: exactly what was written, in byte order");
    assert_eq!(slot.count().await.expect("count"), 6_012);
}

pub(crate) async fn an_empty_slot_is_empty_and_not_an_error(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    assert_holds(world, slot.as_ref(), &[]).await;
    assert_eq!(slot.upsert(&[]).await.expect("upsert nothing"), UpsertOutcome::default());
    assert_eq!(slot.read(&refs(&["absent"])).await.expect("read"), []);
    for mode in [SearchMode::Dense, SearchMode::Sparse, SearchMode::Hybrid] {
        assert_eq!(found(slot.as_ref(), mode, axis(0), &[1], 5).await, []);
    }
}

pub(crate) async fn read_gives_back_what_was_written(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let mut bare = document("no sparse", 3, 2);
    bare.chunks[0].sparse = SparseVector::default();
    let mut extreme = document("extreme", 4, 1);
    extreme.chunks[0].dense = vec![0.0, -0.0, 1.0, -1.0, 1e-3, 123.25, -60_000.0, 0.333_333_34];
    let mut empty_text = document("no text", 5, 1);
    empty_text.chunks[0].text = String::new();
    let documents = [document("plain", 1, 3), bare, extreme, empty_text];
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
    let stored = slot.read(&refs(&["plain", "absent", "plain"])).await.expect("read");
    assert_eq!(stored.len(), 1, "asked for twice, answered once; absent is absent");
}

pub(crate) async fn hostile_ids_round_trip(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let long = "x".repeat(1_000);
    let long_unicode = "\u{1f980}漢é".repeat(334);
    let (twin_a, twin_b) = (format!("{long}a"), format!("{long}b"));
    let ids = [
        "plain",
        "Plain",
        "it's",
        "\"quoted\"",
        "new\nline",
        "tab\tcr\r",
        "100%",
        "under_score",
        "back\\slash",
        "\\'",
        "$1",
        "{a,b}",
        "NULL",
        "a__chunk_1",
        "a",
        "é",
        "e\u{301}",
        "日本語",
        "\u{1f980}",
        "\u{202e}rtl",
        " ",
        " a ",
        "a/b?c=d&e#f",
        "<id>",
        "'; DROP TABLE x; --",
        "\u{1}\u{7f}\u{fffd}",
        &long,
        &long_unicode,
        &twin_a,
        &twin_b,
    ];
    let (ids, refused): (Vec<&str>, Vec<&str>) = ids.into_iter().partition(|id| world.takes_id(id));
    let refused: Vec<_> = refused.into_iter().map(|id| document(id, 1, 2)).collect();
    let outcome = slot.upsert(&refused).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (0, refused.len()), "rejected by name");
    let documents: Vec<_> = ids.iter().map(|id| document(id, 1, 2)).collect();
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
    // An id that matches as a pattern, by case or by prefix must not take its neighbours along.
    for (position, id) in ids.iter().enumerate() {
        assert_eq!(slot.trim(&EntityRef((*id).into()), 1).await.expect("trim"), 1, "{id:?}");
        assert_eq!(slot.delete(&refs(&[id])).await.expect("delete"), 1, "{id:?}");
        assert_eq!(slot.count().await.expect("count"), 2 * (ids.len() - position - 1) as u64, "after {id:?}");
    }
}

pub(crate) async fn hostile_texts_round_trip(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let texts = [
        "",
        " ",
        "\n\r\t",
        "'; --",
        "\\N",
        "\\x41",
        "{\"a\":[1]}",
        "\u{1f980} é e\u{301}",
        "\u{1}\u{1b}\u{7f}\u{85}\u{2028}",
        "a\0b",
    ];
    let documents: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let mut document = document(&format!("text {n}"), 1, 1);
            document.chunks[0].text = (*text).to_owned();
            document.chunks[0].payload = r#"{"z":"\u0000","a":"\ud83e\udd80","n":1e400,"z":2}"#.into();
            document
        })
        .collect();
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}
