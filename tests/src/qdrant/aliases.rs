//! Aliases: other names of collections, re-pointed in one step.
//!
//! Actions of one request run under one lock and in order, but what was done stays when a later one fails.

use ::qdrant_client::qdrant::alias_operations::Action;
use ::qdrant_client::qdrant::{
    AliasDescription, ChangeAliases, CollectionOperationResponse, CreateAlias, DeleteAlias, ListAliasesRequest,
    ListAliasesResponse, ListCollectionAliasesRequest, RenameAlias,
};
use tonic::Status;

use super::Answer;
use super::config::check_name;
use super::journal::{Call, Method};
use super::store::{Shared, Store, no_such_collection};

impl Store {
    fn change_alias(&mut self, action: Action) -> Result<(), Status> {
        match action {
            Action::CreateAlias(CreateAlias { collection_name, alias_name }) => {
                check_name(&alias_name)?;
                if !self.collections.contains_key(&collection_name) {
                    return Err(no_such_collection(&collection_name));
                }
                self.check_no_collection(&alias_name)?;
                self.aliases.insert(alias_name, collection_name);
            }
            Action::RenameAlias(RenameAlias { old_alias_name, new_alias_name }) => {
                check_name(&new_alias_name)?;
                self.check_no_collection(&new_alias_name)?;
                let target = self.aliases.remove(&old_alias_name).ok_or_else(|| no_such_alias(&old_alias_name))?;
                self.aliases.insert(new_alias_name, target);
            }
            Action::DeleteAlias(DeleteAlias { alias_name }) => {
                // Also fine when it is not there.
                self.aliases.remove(&alias_name);
            }
        }
        Ok(())
    }

    fn check_no_collection(&self, alias: &str) -> Result<(), Status> {
        if self.collections.contains_key(alias) {
            return Err(Status::already_exists(format!("Wrong input: Collection `{alias}` already exists!")));
        }
        Ok(())
    }

    fn aliases_of(&self, collection: Option<&str>) -> ListAliasesResponse {
        let aliases = self.aliases.iter().filter(|(_, target)| collection.is_none_or(|it| it == target.as_str()));
        let aliases = aliases.map(|(alias_name, collection_name)| AliasDescription {
            alias_name: alias_name.clone(),
            collection_name: collection_name.clone(),
        });
        ListAliasesResponse { aliases: aliases.collect(), time: 0.0 }
    }
}

fn no_such_alias(name: &str) -> Status {
    Status::not_found(format!("Not found: Alias {name} does not exists!"))
}

impl Shared {
    pub(super) async fn update_aliases(&self, request: ChangeAliases) -> Answer<CollectionOperationResponse> {
        let actions: Option<Vec<Action>> = request.actions.into_iter().map(|operation| operation.action).collect();
        let actions = actions.ok_or_else(|| Status::invalid_argument("Malformed AliasOperation type"))?;
        let call = Call { alias_actions: actions.clone(), ..Call::new(Method::UpdateAliases, "") };
        self.answer(call, |store, _| {
            actions.into_iter().try_for_each(|action| store.change_alias(action))?;
            Ok(CollectionOperationResponse { result: true, time: 0.0 })
        })
        .await
    }

    pub(super) async fn list_aliases(&self, _: ListAliasesRequest) -> Answer<ListAliasesResponse> {
        self.answer(Call::new(Method::ListAliases, ""), |store, _| Ok(store.aliases_of(None))).await
    }

    pub(super) async fn list_collection_aliases(
        &self,
        request: ListCollectionAliasesRequest,
    ) -> Answer<ListAliasesResponse> {
        let name = request.collection_name;
        let call = Call::new(Method::ListCollectionAliases, &name);
        self.answer(call, |store, _| {
            let name = store.resolve(&name)?;
            Ok(store.aliases_of(Some(&name)))
        })
        .await
    }
}
