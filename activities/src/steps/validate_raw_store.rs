//! `validate_raw_store`: proves that the raw store is readable, not empty, and holds what the platform knows. Read only.

use proto::v1::{Gap, ValidateRawStoreInput, ValidateRawStoreOutput};

use super::phase;
use crate::context::Context;
use crate::database::platform;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::raw_store::entity_file_name;

pub(crate) async fn run(context: &Context, input: ValidateRawStoreInput) -> Result<ValidateRawStoreOutput> {
    let (organization_id, sync_id) = ids::sync(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "validate").await?;
    let store = context.store.sync(sync_id);
    let manifest = store.manifest().await?;
    if manifest.organization_id.is_some_and(|it| it != organization_id) {
        return Err(Error::new(ErrorKind::RawStoreInvalid, "the raw store's manifest names another organisation"));
    }

    let listing = Box::pin(store.list());
    let comparison =
        platform::compare_with_listing(&context.database, organization_id, sync_id, listing, entity_file_name).await?;
    if comparison.listed == 0 {
        return Err(Error::new(
            ErrorKind::RawStoreInvalid,
            format!("the raw store of sync {sync_id} has no entities; resync it with a rebuild of the raw store"),
        ));
    }
    if comparison.missing > 0 && !input.allow_incomplete {
        return Err(Error::new(
            ErrorKind::RawStoreInvalid,
            format!(
                "the raw store lacks {} of the {} entities the platform knows, such as {}; resync with a rebuild of the \
                 raw store, or fork with allow_incomplete",
                comparison.missing,
                comparison.known_to_platform,
                comparison.missing_sample.iter().take(5).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", "),
            ),
        ));
    }
    let mut gaps: Vec<Gap> =
        manifest.problems.iter().map(|problem| Gap { what: format!("manifest: {problem}"), count: 1 }).collect();
    if comparison.missing > 0 {
        gaps.push(Gap {
            what: "known to the platform, missing in the raw store".to_owned(),
            count: comparison.missing,
        });
    }
    Ok(ValidateRawStoreOutput {
        listed: comparison.listed,
        bytes: comparison.bytes,
        missing: comparison.missing,
        missing_sample: comparison.missing_sample,
        gaps,
        known: comparison.known_to_platform,
    })
}
