//! Nothing is deleted because a listing was short.
//!
//! A listing that failed never gets here. One that came to an end may still be short, when a store answers with less than it
//! has, or when somebody else's objects were looked at. It is doubted where the platform knows better, and where it lacks
//! much at once.

use sqlx::PgConnection;

use super::PlanOptions;
use super::difference::Difference;
use crate::database::SlotScope;
use crate::database::classify::During;
use crate::error::{Error, ErrorKind, Result};

/// Takes out of what vanished the entities that the platform still has a row for. It removes object and row one after the
/// other, so either it is just doing that and the next plan sees more, or the raw store has lost the object. Not what is in
/// doubt: there is nothing known to be kept.
pub(super) async fn hold_back(
    connection: &mut PgConnection,
    scope: &SlotScope,
    difference: &mut Difference,
) -> Result<()> {
    // `COLLATE "default"` lets the platform's own index find the row.
    let (count, sample): (i64, Vec<String>) = sqlx::query_as(
        "WITH known AS (
             DELETE FROM pg_temp.vanished
             WHERE NOT vanished.in_doubt
               AND EXISTS (SELECT FROM public.entity
                           WHERE entity.sync_id = $1 AND entity.organization_id = $2
                             AND entity.entity_id = vanished.entity_id COLLATE \"default\")
             RETURNING entity_id
         )
         SELECT (SELECT count(*) FROM known), ARRAY(SELECT entity_id FROM known ORDER BY entity_id LIMIT 5)",
    )
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .persistent(false)
    .fetch_one(connection)
    .await
    .during("asking the platform about what vanished")?;
    difference.held_back = count.unsigned_abs();
    difference.held_back_sample = sample;
    Ok(())
}

/// Refuses a listing that lacks too much of what the slot holds.
pub(super) fn check(scope: &SlotScope, difference: &Difference, options: &PlanOptions) -> Result<()> {
    let Difference { listed, held, vanished, held_back, .. } = difference;
    let refuse = |text: String| Err(Error::new(ErrorKind::RawStoreInvalid, text));
    if *listed == 0 {
        return refuse(format!(
            "the raw store of this sync lists no entity, while slot {} holds {held}; nothing was deleted. Check where the \
             worker looks for the raw store, or run a resync; a slot that is to be empty is retired",
            scope.slot_id
        ));
    }
    let drop_is_large = u128::from(*vanished) * 100 > u128::from(*held) * u128::from(options.max_drop_percent);
    if drop_is_large && *vanished > options.confirm_drop {
        return refuse(format!(
            "the raw store lists {listed} entities, and {vanished} of the {held} that slot {} holds are not among them, more \
             than max_drop_percent = {}{}; nothing was deleted. If the listing is short, mend the raw store with a resync; if \
             they are meant to be gone, say so with confirm_drop = {vanished}",
            scope.slot_id,
            options.max_drop_percent,
            known_words(*held_back, &difference.held_back_sample),
        ));
    }
    Ok(())
}

fn known_words(held_back: u64, sample: &[String]) -> String {
    if held_back == 0 {
        return String::new();
    }
    let named: Vec<_> = sample.iter().map(|id| format!("{id:?}")).collect();
    format!("; the platform still knows {held_back} of them, such as {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use uuid::Uuid;

    use super::*;

    #[rstest]
    #[case::nothing_gone(100, 0, 20, 0, true)]
    #[case::at_the_limit(100, 20, 20, 0, true)]
    #[case::above_it(100, 21, 20, 0, false)]
    #[case::confirmed(100, 21, 20, 21, true)]
    #[case::more_than_was_confirmed(100, 22, 20, 21, false)]
    #[case::nothing_allowed(100, 1, 0, 0, false)]
    #[case::anything_allowed(100, 100, 100, 0, true)]
    #[case::an_empty_slot(0, 0, 0, 0, true)]
    fn a_large_drop_needs_a_confirmation_of_its_size(
        #[case] held: u64,
        #[case] vanished: u64,
        #[case] max_drop_percent: u32,
        #[case] confirm_drop: u64,
        #[case] goes_on: bool,
    ) {
        let scope = SlotScope { organization_id: Uuid::nil(), sync_id: Uuid::nil(), slot_id: Uuid::nil() };
        let difference = Difference { listed: 5, held, vanished, ..Difference::default() };
        let options = PlanOptions { max_drop_percent, confirm_drop, ..PlanOptions::default() };
        let answer = check(&scope, &difference, &options);
        assert_eq!(answer.is_ok(), goes_on);
        if let Err(error) = answer {
            assert_eq!(error.kind(), ErrorKind::RawStoreInvalid);
            assert!(error.message().contains(&format!("confirm_drop = {vanished}")), "{error}");
        }
    }
}
