//! Copying against embedding: which vectors are taken, which are not, and that nobody can tell afterwards.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rstest::rstest;
use uuid::Uuid;

use super::super::donors::{Donor, Donors};
use super::super::shelf::{DIMENSIONS, Echo, REFUSED, Reading, Shelf, vector};
use super::{Vectors, Wanted, fill};
use crate::destinations::{DenseFidelity, EntityRef};
use crate::embedding::EmbedFailure;

/// An entity of a batch: id, content hash, texts of its chunks.
type Entity<'a> = (&'a str, &'a str, &'a [&'a str]);

/// The shelves as donors to `target`, in order; slot ids count from 1.
fn donors(target: &Shelf, shelves: &[Arc<Shelf>]) -> Donors {
    let donor = |(number, shelf): (u128, &Arc<Shelf>)| Donor {
        slot_id: Uuid::from_u128(number),
        destination: Arc::<Shelf>::clone(shelf),
    };
    Donors::new(target, (1..).zip(shelves).map(donor).collect())
}

async fn filled(embedder: &Echo, donors: &mut Donors, batch: &[Entity<'_>]) -> Vectors {
    let entities: Vec<_> = batch.iter().map(|(id, ..)| EntityRef((*id).to_owned())).collect();
    let chunks = batch.iter().zip(&entities).flat_map(|((_, content_hash, texts), entity)| {
        texts.iter().map(move |text| Wanted { entity, content_hash, text })
    });
    fill(embedder, donors, &chunks.collect::<Vec<_>>()).await.expect("the embedder answers")
}

fn honest(texts: &[&'static str]) -> Vec<(&'static str, Vec<f32>)> {
    texts.iter().map(|text| (*text, vector(text))).collect()
}

#[tokio::test]
async fn what_a_donor_holds_is_not_embedded() {
    let donor = Arc::new(Shelf::new("donor"));
    donor.put("e", "h", &honest(&["one", "two"]));
    let (embedder, target) = (Echo::default(), Shelf::new("target"));
    let mut donors = donors(&target, &[Arc::clone(&donor)]);
    // Another order, another hash, another entity: the text decides.
    let batch: [Entity<'_>; 2] = [("e", "other hash", &["two", "three"]), ("f", "h", &["one"])];
    let vectors = filled(&embedder, &mut donors, &batch).await;
    assert_eq!(vectors.outcomes, ["two", "three", "one"].map(|text| Ok(vector(text))));
    assert_eq!((vectors.embedded, vectors.reused), (1, 2));
    assert_eq!(embedder.asked(), ["three"]);
    assert_eq!(donor.reads(), [["e", "f"].map(|id| EntityRef(id.to_owned()))], "one reading for the batch");
    assert!(donors.take_gaps().is_empty());
}

#[tokio::test]
async fn later_donors_are_asked_only_for_what_earlier_ones_lack() {
    let shelves = ["first", "second", "third"].map(|place| Arc::new(Shelf::new(place)));
    shelves[0].put("e", "h", &honest(&["one"]));
    shelves[1].put("e", "h", &[("one", vec![9.0; DIMENSIONS])]);
    shelves[1].put("f", "h", &honest(&["two"]));
    let (embedder, target) = (Echo::default(), Shelf::new("target"));
    let mut donors = donors(&target, &shelves);
    let vectors = filled(&embedder, &mut donors, &[("e", "h", &["one"]), ("f", "h", &["two", "two"])]).await;
    assert_eq!(vectors.outcomes, ["one", "two", "two"].map(|text| Ok(vector(text))));
    assert_eq!((vectors.embedded, vectors.reused, embedder.asked().len()), (0, 3, 0));
    assert_eq!(shelves[1].reads(), [[EntityRef("f".to_owned())]]);
    assert!(shelves[2].reads().is_empty(), "nothing was left to ask for");
}

#[tokio::test]
async fn a_text_that_cannot_be_embedded_fails_alone() {
    let donor = Arc::new(Shelf::new("donor"));
    donor.put("e", "h", &honest(&["one"]));
    let (embedder, target) = (Echo::default(), Shelf::new("target"));
    let vectors = filled(&embedder, &mut donors(&target, &[donor]), &[("e", "h", &[REFUSED, "one", "two"])]).await;
    let failure = Err(EmbedFailure::Refused { status: 400 });
    assert_eq!(vectors.outcomes, [failure, Ok(vector("one")), Ok(vector("two"))]);
    assert_eq!((vectors.embedded, vectors.reused), (1, 1), "a failure is neither");
}

#[rstest]
#[case::failing(Reading::FailsAfter(1), "Unavailable")]
#[case::hanging(Reading::Hangs, "Timeout")]
#[tokio::test(start_paused = true)]
async fn a_donor_that_fails_is_left_out_and_told_once(#[case] reading: Reading, #[case] kind: &str) {
    let bad = Arc::new(Shelf { reading, ..Shelf::new("bad") });
    bad.put("e", "h", &honest(&["one"]));
    let good = Arc::new(Shelf::new("good"));
    good.put("e", "h", &honest(&["one", "two"]));
    let (embedder, target) = (Echo::default(), Shelf::new("target"));
    let mut donors = donors(&target, &[Arc::clone(&bad), good]);
    for batch in [["one", "two"], ["one", "three"], ["two", "four"]] {
        let vectors = filled(&embedder, &mut donors, &[("e", "h", &batch)]).await;
        assert_eq!(vectors.outcomes, batch.map(|text| Ok(vector(text))));
    }
    assert_eq!(embedder.asked(), ["three", "four"], "the next donor stands in");
    let asked = if reading == Reading::Hangs { 1 } else { 2 };
    assert_eq!(bad.reads().len(), asked, "not asked again after the failure");
    let gap = format!("vectors of slot {} not reused: {kind}", Uuid::from_u128(1));
    assert_eq!(donors.take_gaps(), [gap]);
    assert!(donors.take_gaps().is_empty());
}

#[rstest]
#[case::short(vec![1.0; DIMENSIONS - 1])]
#[case::long(vec![1.0; DIMENSIONS + 1])]
#[case::none(vec![])]
#[case::not_a_number(vec![1.0, f32::NAN, 1.0])]
#[case::infinite(vec![1.0, f32::NEG_INFINITY, 1.0])]
#[case::zeros(vec![0.0; DIMENSIONS])]
#[tokio::test]
async fn an_unusable_vector_is_not_copied(#[case] dense: Vec<f32>) {
    let donor = Arc::new(Shelf::new("donor"));
    donor.put("e", "h", &[("one", dense)]);
    let (embedder, target) = (Echo::default(), Shelf::new("target"));
    let vectors = filled(&embedder, &mut donors(&target, &[donor]), &[("e", "h", &["one"])]).await;
    assert_eq!((vectors.outcomes, vectors.reused), (vec![Ok(vector("one"))], 0));
}

/// Donor and target by what they keep and how they compare, and whether a vector may go from one to the other.
#[rstest]
#[case::exact_to_directions(DenseFidelity::Exact, true, DenseFidelity::Exact, true, true)]
#[case::exact_to_keeping_directions(DenseFidelity::Exact, true, DenseFidelity::Direction, true, true)]
#[case::exact_to_rounding(DenseFidelity::Exact, false, DenseFidelity::Rounded, false, true)]
#[case::exact_to_lengths(DenseFidelity::Exact, false, DenseFidelity::Exact, false, true)]
#[case::perhaps_copied_direction_to_lengths(DenseFidelity::Exact, true, DenseFidelity::Exact, false, false)]
#[case::direction_to_directions(DenseFidelity::Direction, true, DenseFidelity::Exact, true, true)]
#[case::direction_to_rounded_directions(DenseFidelity::Direction, true, DenseFidelity::Rounded, true, true)]
#[case::direction_to_lengths(DenseFidelity::Direction, true, DenseFidelity::Exact, false, false)]
#[case::rounded_to_the_same(DenseFidelity::Rounded, true, DenseFidelity::Rounded, true, false)]
#[tokio::test]
async fn a_vector_goes_only_where_it_means_the_same(
    #[case] donor: DenseFidelity,
    #[case] donor_compares: bool,
    #[case] target: DenseFidelity,
    #[case] target_compares: bool,
    #[case] goes: bool,
) {
    let donor = Shelf { fidelity: donor, compares_directions: donor_compares, ..Shelf::new("donor") };
    donor.put("e", "h", &honest(&["one"]));
    let target = Shelf { fidelity: target, compares_directions: target_compares, ..Shelf::new("target") };
    let vectors = filled(&Echo::default(), &mut donors(&target, &[Arc::new(donor)]), &[("e", "h", &["one"])]).await;
    assert_eq!(vectors.reused, u64::from(goes));
}

#[tokio::test]
async fn a_slot_in_the_targets_own_place_is_no_donor() {
    let donor = Arc::new(Shelf::new("same"));
    donor.put("e", "h", &honest(&["one"]));
    let vectors = filled(&Echo::default(), &mut donors(&Shelf::new("same"), &[donor]), &[("e", "h", &["one"])]).await;
    assert_eq!((vectors.embedded, vectors.reused), (1, 0));
}

#[tokio::test]
async fn a_text_that_may_stand_for_another_needs_the_same_content() {
    let donor = Arc::new(Shelf { replaces_nul: true, ..Shelf::new("donor") });
    // Stored as "a\u{FFFD}b", with the vector of what it was.
    donor.put("e", "h", &honest(&["a\0b", "c"]));
    donor.put("f", "h", &honest(&["a\u{FFFD}b"]));
    let (embedder, target) = (Echo::default(), Shelf::new("target"));
    let reused = async |batch: Entity<'_>| {
        let vectors = filled(&embedder, &mut donors(&target, &[Arc::clone(&donor)]), &[batch]).await;
        assert_eq!(vectors.outcomes, batch.2.iter().map(|text| Ok(vector(text))).collect::<Vec<_>>());
        vectors.reused
    };
    assert_eq!(reused(("f", "h", &["a\u{FFFD}b"])).await, 1, "nothing changed, and nothing was replaced");
    assert_eq!(reused(("f", "new", &["a\u{FFFD}b"])).await, 0, "it may have been a\\0b before");
    assert_eq!(reused(("e", "h", &["a\0b", "a\u{FFFD}b", "c"])).await, 1, "only what no character was replaced in");
    assert_eq!(reused(("e", "new", &["a\u{FFFD}b", "c"])).await, 1);
}

const TEXTS: [&str; 6] = ["alpha", "beta", "gamma", "a\0b", "a\u{FFFD}b", REFUSED];

/// What a donor holds for one entity of the batch.
#[derive(Debug, Clone)]
struct Held {
    /// The same content, so that its texts are among those of the batch; else any.
    same: bool,
    /// Which text, and what is wrong with its vector.
    chunks: Vec<(prop::sample::Index, Option<Vec<f32>>)>,
}

#[derive(Debug, Clone)]
struct AnyDonor {
    fidelity: DenseFidelity,
    compares_directions: bool,
    /// It took its vectors over from a donor that only keeps directions.
    copied: bool,
    replaces_nul: bool,
    reading: Reading,
    held: Vec<Option<Held>>,
}

fn any_fidelity() -> impl Strategy<Value = DenseFidelity> {
    prop_oneof![Just(DenseFidelity::Exact), Just(DenseFidelity::Direction), Just(DenseFidelity::Rounded)]
}

fn any_donor(entities: usize) -> impl Strategy<Value = AnyDonor> {
    let unusable = prop_oneof![
        Just(vec![1.0; DIMENSIONS + 1]),
        Just(vec![f32::NAN; DIMENSIONS]),
        Just(vec![0.0; DIMENSIONS]),
        Just(Vec::new()),
    ];
    let chunk = (any::<prop::sample::Index>(), prop::option::weighted(0.2, unusable));
    let held = (any::<bool>(), prop::collection::vec(chunk, 0..5)).prop_map(|(same, chunks)| Held { same, chunks });
    let held = prop::collection::vec(prop::option::weighted(0.8, held), entities);
    let reading = prop_oneof![4 => Just(Reading::Answers), 1 => (0..2_usize).prop_map(Reading::FailsAfter)];
    (any_fidelity(), any::<bool>(), any::<bool>(), any::<bool>(), reading, held).prop_map(
        |(fidelity, compares_directions, copied, replaces_nul, reading, held)| AnyDonor {
            fidelity,
            compares_directions: compares_directions || fidelity == DenseFidelity::Direction,
            copied,
            replaces_nul,
            reading,
            held,
        },
    )
}

fn direction(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

impl AnyDonor {
    /// The shelf of a slot that was filled as any slot is, and then lost some of its vectors.
    fn shelf(&self, place: &str, batch: &[Vec<&'static str>]) -> Shelf {
        let shelf = Shelf {
            fidelity: self.fidelity,
            compares_directions: self.compares_directions,
            replaces_nul: self.replaces_nul,
            reading: self.reading,
            ..Shelf::new(place)
        };
        for (number, (held, own)) in self.held.iter().zip(batch).enumerate() {
            let Some(held) = held else { continue };
            let texts = if held.same { own.as_slice() } else { &TEXTS };
            let chunks = held.chunks.iter().map(|(text, unusable)| {
                let text = *text.get(texts);
                (text, unusable.clone().unwrap_or_else(|| self.kept(text)))
            });
            let hash = if held.same { "now" } else { "before" };
            shelf.put(&format!("e{number}"), hash, &chunks.collect::<Vec<_>>());
        }
        shelf
    }

    fn kept(&self, text: &str) -> Vec<f32> {
        let made = vector(text);
        match self.fidelity {
            DenseFidelity::Exact if self.compares_directions && self.copied => direction(&made),
            DenseFidelity::Exact => made,
            DenseFidelity::Direction => direction(&made),
            DenseFidelity::Rounded => made.iter().map(|value| (value / 64.0).round() * 64.0 + 1.0).collect(),
        }
    }
}

/// A target, the texts of each entity of a batch, and the donors.
fn any_case() -> impl Strategy<Value = ((DenseFidelity, bool), Vec<Vec<&'static str>>, Vec<AnyDonor>)> {
    let texts = prop::collection::vec(prop::sample::select(&TEXTS[..]), 1..5);
    (any_fidelity(), any::<bool>(), prop::collection::vec(texts, 1..5)).prop_flat_map(|(fidelity, compares, batch)| {
        let compares = compares || fidelity == DenseFidelity::Direction;
        let donors = prop::collection::vec(any_donor(batch.len()), 0..4);
        (Just((fidelity, compares)), Just(batch), donors)
    })
}

proptest! {
    #[test]
    fn whatever_donors_hold_the_vectors_are_those_that_embedding_gives(
        ((fidelity, compares_directions), batch, donors_given) in any_case(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let target = Shelf { fidelity, compares_directions, ..Shelf::new("target") };
        let shelves: Vec<_> = (0..)
            .zip(&donors_given)
            .map(|(number, donor): (usize, _)| Arc::new(donor.shelf(&format!("donor {number}"), &batch)))
            .collect();
        let (embedder, mut donors) = (Echo::default(), donors(&target, &shelves));
        let ids: Vec<String> = (0..batch.len()).map(|number| format!("e{number}")).collect();
        let entities: Vec<Entity<'_>> =
            ids.iter().zip(&batch).map(|(id, texts)| (id.as_str(), "now", texts.as_slice())).collect();
        // Twice, because donors fail in the middle of a segment.
        for _ in 0..2 {
            let before = embedder.asked().len();
            let vectors = runtime.block_on(filled(&embedder, &mut donors, &entities));
            let texts: Vec<&str> = batch.iter().flatten().copied().collect();
            prop_assert_eq!(vectors.outcomes.len(), texts.len());
            let made = vectors.outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
            prop_assert_eq!(vectors.embedded + vectors.reused, made);
            let asked = (embedder.asked().len() - before) as u64;
            prop_assert_eq!(asked + vectors.reused, texts.len() as u64);
            for (text, outcome) in texts.into_iter().zip(&vectors.outcomes) {
                same_meaning(text, outcome.as_deref(), &target)?;
            }
        }
    }
}

/// Whether `outcome` is to the target what embedding `text` gives.
fn same_meaning(text: &str, outcome: Result<&[f32], &EmbedFailure>, target: &Shelf) -> Result<(), TestCaseError> {
    let Ok(got) = outcome else {
        prop_assert_eq!(text, REFUSED);
        return Ok(());
    };
    let made = vector(text);
    if target.compares_directions {
        let difference = direction(got).iter().zip(direction(&made)).map(|(got, made)| (got - made).abs()).sum::<f32>();
        prop_assert!(difference < 1e-6, "{:?} got {:?} instead of {:?}", text, got, made);
    } else {
        prop_assert_eq!(got, made.as_slice(), "{:?}", text);
    }
    Ok(())
}
