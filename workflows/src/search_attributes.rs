//! Search attributes operators filter by. `syncmux setup` registers them; an unregistered one stalls the workflow
//! until it is registered.

use temporalio_common::SearchAttributeKey;

/// The sync an operation works on.
pub const SYNC_ID: SearchAttributeKey<String> = SearchAttributeKey::keyword("SyncId");
/// The organisation it belongs to.
pub const ORGANIZATION_ID: SearchAttributeKey<String> = SearchAttributeKey::keyword("OrganizationId");
/// `fork`, `fork-collection`, `follow`, `switch`, `rollback`, `retire` or `resync`.
pub const OPERATION: SearchAttributeKey<String> = SearchAttributeKey::keyword("Operation");
/// The step of the journey.
pub const PHASE: SearchAttributeKey<String> = SearchAttributeKey::keyword("Phase");
/// Kind of the destination that is being built, such as `pgvector`.
pub const DESTINATION_KIND: SearchAttributeKey<String> = SearchAttributeKey::keyword("DestinationKind");

/// Every name above; all are of type Keyword.
pub const NAMES: [&str; 5] = ["SyncId", "OrganizationId", "Operation", "Phase", "DestinationKind"];
