use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::database::tests::world::World;

struct Keys {
    world: World,
    writer: CredentialReader,
    keys: ApiKeys,
}

impl Keys {
    async fn new() -> Self {
        let world = World::new().await;
        let secret = CredentialReader::generate_key().into();
        let reader = || CredentialReader::new(Some(&secret)).unwrap();
        let keys = ApiKeys::new(world.database().clone(), reader());
        sqlx::query("INSERT INTO public.feature_flag (id, organization_id, flag) VALUES ($1, $2, 'sync_multiplexer')")
            .bind(Uuid::new_v4())
            .bind(world.organization_id)
            .execute(world.pool())
            .await
            .unwrap();
        Self { writer: reader(), keys, world }
    }

    async fn add(&self, organization_id: Uuid, key: &str, valid_for: &str) -> Uuid {
        let id = Uuid::new_v4();
        sqlx::query(
            "INSERT INTO public.api_key (id, created_at, modified_at, organization_id, encrypted_key, expiration_date)
             VALUES ($1, now(), now(), $2, $3, (now() AT TIME ZONE 'UTC') + $4::text::interval)",
        )
        .bind(id)
        .bind(organization_id)
        .bind(self.writer.encrypt(&json!({"key": key})).unwrap())
        .bind(valid_for)
        .execute(self.world.pool())
        .await
        .unwrap();
        id
    }

    async fn owner(&self, key: &str) -> Option<(Uuid, bool)> {
        self.keys.owner(&key.into()).await.unwrap().map(|owner| (owner.organization_id, owner.is_enabled))
    }

    /// As if what is known were old.
    fn age(&self) {
        let mut known = self.keys.known();
        known.unknown.clear();
        for row in known.by_digest.values_mut() {
            row.standing = None;
        }
    }
}

#[tokio::test]
async fn a_key_is_its_organisations_as_long_as_its_row_says_so() {
    let all = Keys::new().await;
    let (own, stranger) = (all.world.organization_id, all.world.stranger_id);
    let first = all.add(own, "first", "1 day").await;
    all.add(stranger, "strange", "1 day").await;
    all.add(own, "over", "-1 second").await;
    assert_eq!(all.owner("first").await, Some((own, true)));
    assert_eq!(all.owner("strange").await, Some((stranger, false)), "without the feature");
    for refused in ["over", "First", "", "first ", &"x".repeat(MAX_KEY_BYTES + 1)] {
        assert_eq!(all.owner(refused).await, None, "{refused:?}");
    }

    // A new key works at once, also beside guesses.
    all.add(own, "second", "1 day").await;
    assert_eq!(all.owner("second").await, Some((own, true)));

    // Removed, expired, without the feature: each ends as soon as the row is looked at again.
    sqlx::query("DELETE FROM public.api_key WHERE id = $1").bind(first).execute(all.world.pool()).await.unwrap();
    sqlx::query("DELETE FROM public.feature_flag").execute(all.world.pool()).await.unwrap();
    all.age();
    assert_eq!(all.owner("first").await, None);
    assert_eq!(all.owner("second").await, Some((own, false)));
    sqlx::query("UPDATE public.api_key SET expiration_date = (now() AT TIME ZONE 'UTC') - interval '1 second'")
        .execute(all.world.pool())
        .await
        .unwrap();
    all.age();
    assert_eq!(all.owner("second").await, None);
}

#[tokio::test]
async fn rows_are_decrypted_once_and_those_of_another_key_are_refused() {
    let all = Keys::new().await;
    let id = all.add(all.world.organization_id, "good", "1 day").await;
    sqlx::query(
        "INSERT INTO public.api_key (id, created_at, modified_at, organization_id, encrypted_key, expiration_date)
         VALUES ($1, now(), now(), $2, 'no token at all', now() + interval '2 days')",
    )
    .bind(Uuid::new_v4())
    .bind(all.world.organization_id)
    .execute(all.world.pool())
    .await
    .unwrap();
    assert!(all.owner("good").await.is_some());
    let known: Vec<Uuid> = all.keys.known().rows.iter().copied().collect();
    assert_eq!(known.len(), 2);
    assert!(api_keys::unseen(all.world.database(), &known).await.unwrap().is_empty(), "nothing is read again");

    // The row keeps its id and holds another key now: the old one is none any more, the new one is found.
    let token = all.writer.encrypt(&json!({"key": "better"})).unwrap();
    sqlx::query("UPDATE public.api_key SET encrypted_key = $1 WHERE id = $2")
        .bind(token)
        .bind(id)
        .execute(all.world.pool())
        .await
        .unwrap();
    all.age();
    assert_eq!(all.owner("good").await, None);
    assert!(all.owner("better").await.is_some());
}
