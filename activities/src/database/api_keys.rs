//! Who may use the HTTP API, as the platform's tables say: rows of `api_key` and `feature_flag`, read only.
//!
//! A key is kept encrypted with a random start, so no statement can look for one: [`unseen`] gives the rows to decrypt, and
//! [`standing`] says of one row whether it still counts.

use secrecy::SecretString;
use uuid::Uuid;

use super::Database;
use super::classify::During;
use crate::error::Result;

/// The feature flag of organisations that may use this product.
pub const FEATURE_FLAG: &str = "sync_multiplexer";

/// Keys that one process knows at most.
pub const MAX_KEYS: usize = 100_000;

/// A row to decrypt.
#[derive(Debug)]
pub struct EncryptedKey {
    /// Its id.
    pub key_id: Uuid,
    /// A Fernet token over `{"key": …}`.
    pub encrypted: SecretString,
}

/// What a row says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyStanding {
    /// The tenant it belongs to.
    pub organization_id: Uuid,
    /// Whether its time is over.
    pub is_expired: bool,
    /// Whether that organisation may use this product.
    pub is_enabled: bool,
}

/// Rows that are not among `known` and have not expired; at most as many as a process may still get to know.
///
/// # Errors
/// Those of the database.
pub async fn unseen(database: &Database, known: &[Uuid]) -> Result<Vec<EncryptedKey>> {
    let room = i64::try_from(MAX_KEYS.saturating_sub(known.len())).unwrap_or(0);
    let rows: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT id, encrypted_key FROM public.api_key
         WHERE id <> ALL ($1) AND expiration_date > (now() AT TIME ZONE 'UTC')
         ORDER BY created_at DESC, id
         LIMIT $2",
    )
    .bind(known)
    .bind(room)
    .fetch_all(database.pool())
    .await
    .during("reading the platform's API keys")?;
    Ok(rows.into_iter().map(|(key_id, encrypted)| EncryptedKey { key_id, encrypted: encrypted.into() }).collect())
}

/// How a row stands whose text had this MD5; absent when it is gone or its text is another one.
///
/// # Errors
/// Those of the database.
pub async fn standing(database: &Database, key_id: Uuid, text_md5: &str) -> Result<Option<KeyStanding>> {
    sqlx::query_as(
        "SELECT api_key.organization_id, api_key.expiration_date <= (now() AT TIME ZONE 'UTC') AS is_expired,
                EXISTS (SELECT FROM public.feature_flag
                        WHERE feature_flag.organization_id = api_key.organization_id AND flag = $3 AND enabled)
                    AS is_enabled
         FROM public.api_key
         WHERE id = $1 AND md5(encrypted_key) = $2",
    )
    .bind(key_id)
    .bind(text_md5)
    .bind(FEATURE_FLAG)
    .fetch_optional(database.pool())
    .await
    .during("looking at an API key")
}

/// Whether an organisation exists, and if so whether it may use this product.
///
/// # Errors
/// Those of the database.
pub async fn is_enabled(database: &Database, organization_id: Uuid) -> Result<Option<bool>> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.feature_flag
                        WHERE feature_flag.organization_id = organization.id AND flag = $2 AND enabled)
         FROM public.organization WHERE id = $1",
    )
    .bind(organization_id)
    .bind(FEATURE_FLAG)
    .fetch_optional(database.pool())
    .await
    .during("looking for the organisation's features")
}
