//! The one suite every destination passes: what [`Destination`] promises, as observed from outside.
//!
//! A destination implements [`World`], which opens slots in some server, and runs every property with
//! [`conformance_tests!`], a test each. Properties that only one destination has are in its own file.

pub(crate) mod documents;
pub(crate) mod lifecycle;
pub(crate) mod observe;
pub(crate) mod reading;
pub(crate) mod scoping;
pub(crate) mod searching;
pub(crate) mod writing;

use std::sync::Arc;

use activities::destinations::{Destination, Scope};
use async_trait::async_trait;

/// Length of every dense vector, unless a property says otherwise.
pub(crate) const DIMENSIONS: u32 = 8;

/// A place for slots, empty at first, that belongs to one test.
#[async_trait]
pub(crate) trait World: Send + Sync {
    /// A slot whose dense vectors have `dimensions` values.
    fn open_sized(&self, scope: &Scope, dimensions: u32) -> Arc<dyn Destination>;

    /// A slot, reached with credentials that the server refuses.
    fn open_denied(&self, scope: &Scope) -> Arc<dyn Destination>;

    /// A slot on a server that is not there. May not take long to notice.
    fn open_away(&self, scope: &Scope) -> Arc<dyn Destination>;

    /// Relative error of a dense value that was written and read back.
    fn precision(&self) -> f32;

    /// Everything the server has, in words that change when anything is added; to notice what was left behind.
    async fn inventory(&self) -> Vec<String>;

    /// Whether writers of the same entity at the same time leave one whole version. Where a server knows no transactions
    /// over several points, only the writer that goes last alone decides.
    fn writes_whole_entities(&self) -> bool {
        true
    }

    /// Whether an entity of this id can be stored. Others are rejected by name.
    fn takes_id(&self, _id: &str) -> bool {
        true
    }

    /// Whether a word that few points have weighs more in a search. Where the server only multiplies the weights that it
    /// was given, it does not.
    fn weighs_rare_words(&self) -> bool {
        true
    }

    /// Whether a hybrid search ranks in each of its two rankings only what that one found. Where every candidate has a rank
    /// in both, those without the word are tied there and who is next to the best is not sure.
    fn ranks_only_what_is_found(&self) -> bool {
        true
    }

    /// Removes the place. Not reached when the test fails, so that one can look at it.
    async fn close(self: Box<Self>);

    /// A slot as most properties use it.
    fn open(&self, scope: &Scope) -> Arc<dyn Destination> {
        self.open_sized(scope, DIMENSIONS)
    }
}

/// Makes one test per property, in a module: `conformance_tests!(halfvec, open_world(…).await)`.
macro_rules! conformance_tests {
    ($module:ident, $world:expr) => {
        conformance_tests!(@ $module, $world,
            writing::upsert_is_idempotent,
            writing::an_update_with_fewer_chunks_leaves_exactly_those,
            writing::the_last_version_in_a_batch_wins,
            writing::delete_and_trim_remove_what_they_say,
            writing::a_bad_entity_is_rejected_alone,
            writing::a_rejected_update_leaves_the_old_version,
            writing::random_operations_match_a_model,
            writing::concurrent_writers_of_the_same_entities_converge,
            reading::scan_is_everything_in_byte_order,
            reading::an_empty_slot_is_empty_and_not_an_error,
            reading::read_gives_back_what_was_written,
            reading::hostile_ids_round_trip,
            reading::hostile_texts_round_trip,
            scoping::scopes_do_not_meet,
            scoping::a_foreign_slot_is_never_cleared,
            lifecycle::prepare_twice_is_fine,
            lifecycle::prepare_refuses_other_dimensions,
            lifecycle::concurrent_prepares_agree,
            lifecycle::clear_is_idempotent_and_prepare_starts_over,
            lifecycle::finish_twice_is_fine_and_search_works_before_and_after,
            lifecycle::check_leaves_nothing_behind,
            lifecycle::refused_credentials_are_denied,
            lifecycle::a_server_that_is_away_is_unavailable,
            searching::searches_find_the_keyword_and_the_neighbour,
            searching::rare_words_weigh_more,
            searching::an_unfit_query_is_invalid_input,
        );
    };
    (@ $module:ident, $world:expr, $($group:ident :: $property:ident,)+) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $property() {
                    let world: Box<dyn $crate::conformance::World> = Box::new($world);
                    $crate::conformance::$group::$property(world.as_ref()).await;
                    world.close().await;
                }
            )+
        }
    };
}
pub(crate) use conformance_tests;
