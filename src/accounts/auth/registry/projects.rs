//! Operations on projects.

use std::sync::Arc;

use super::Registry;
use crate::accounts::auth::Error;
use crate::accounts::auth::change::FieldChange;
use crate::accounts::auth::change::ProjectChange;
use crate::accounts::auth::generation::ChangedItem;
use crate::accounts::auth::generation::note_change;
use crate::accounts::auth::key_index::KeyIndex;
use crate::accounts::auth::project::Project;
use crate::accounts::auth::tables;
use crate::accounts::auth::tables::RegistryPage;
use crate::accounts::auth::text::KeyPrefix;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::domain::Budget;
use crate::domain::DEFAULT_PROJECT;
use crate::storage::store::Transaction;
use crate::storage::store::encode_record;

impl Registry {
    /// Creates a project with the fields of `change`, and the id `chosen` or else a generated one.
    ///
    /// # Errors
    /// Fails when another project has or had the chosen id, or the store fails.
    pub async fn create_project(
        &self,
        chosen: Option<String>,
        change: ProjectChange,
    ) -> Result<Project, Error> {
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            let id = free_id(transaction, chosen.as_deref())?;
            let mut project = Project::named(id, "");
            change.clone().apply(&mut project)?;
            save_project(transaction, &index, &project)?;
            Ok::<_, Error>(project)
        };
        let project = self.store.transaction(work).await?;
        tracing::info!(project.id = project.id, "project created");
        Ok(project)
    }

    /// Returns the project with this id.
    ///
    /// # Errors
    /// Fails when no project has this id, or the store fails.
    pub async fn project(&self, id: &str) -> Result<Project, Error> {
        let id = id.to_owned();
        self.store
            .transaction(move |transaction| tables::get_project(transaction, &id))
            .await
    }

    /// Returns the ids and budgets of the first projects by id whose dollars are capped, at most `max`.
    /// Read from memory.
    pub fn capped_projects(&self, max: usize) -> Vec<(String, Budget)> {
        self.index.capped_projects(max)
    }

    /// Lists projects in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn projects(&self, page: RegistryPage) -> Result<(Vec<Project>, bool), Error> {
        let work = move |transaction: &mut Transaction<'_>| {
            tables::read_page(
                transaction,
                tables::PROJECTS,
                page.after.as_deref(),
                page.limit,
            )
        };
        self.store.transaction(work).await
    }

    /// Webhook of a project, from memory.
    pub fn webhook(&self, project: &str) -> Option<WebhookEndpoint> {
        self.index.webhook(project)
    }

    /// Changes the fields of a project.
    ///
    /// # Errors
    /// Fails when no project has this id, or the store fails.
    pub async fn change_project(&self, id: &str, change: ProjectChange) -> Result<Project, Error> {
        let id = id.to_owned();
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            let mut project = tables::get_project(transaction, &id)?;
            change.clone().apply(&mut project)?;
            save_project(transaction, &index, &project)?;
            Ok::<_, Error>(project)
        };
        let project = self.store.transaction(work).await?;
        tracing::info!(project.id = project.id, "project changed");
        Ok(project)
    }

    /// Replaces the budget of a project.
    ///
    /// # Errors
    /// Fails when no project has this id, or the store fails.
    pub async fn set_budget(&self, id: &str, budget: Budget) -> Result<Project, Error> {
        self.change_project(
            id,
            ProjectChange {
                budget: FieldChange::Set(budget),
                ..ProjectChange::default()
            },
        )
        .await
    }

    /// Deletes a project whose keys are all revoked.
    ///
    /// # Errors
    /// Fails when no project has this id, it is the default one, or it has keys that are not
    /// revoked.
    pub async fn delete_project(&self, id: &str) -> Result<(), Error> {
        if id == DEFAULT_PROJECT {
            return Err(Error::DefaultProject);
        }
        let named = id.to_owned();
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            let project = tables::get_project(transaction, &named)?.id;
            if let Some(key) = tables::find_active_key(transaction, &project)? {
                return Err(Error::InUse { project, key });
            }
            transaction.remove(tables::project(&project));
            transaction.put(tables::deleted_project(&project), Vec::new());
            note_change(transaction, &ChangedItem::Project(project.clone()))?;
            let index = Arc::clone(&index);
            transaction.after_write(move |is_made| {
                if is_made {
                    index.remove_project(&project);
                }
            });
            Ok(())
        };
        self.store.transaction(work).await?;
        tracing::info!(project.id = id, "project deleted");
        Ok(())
    }
}

/// Returns the id `chosen`, or a generated one. Ids of deleted projects are not reused: files and
/// usage are still stored under them.
fn free_id(transaction: &Transaction<'_>, chosen: Option<&str>) -> Result<String, Error> {
    let is_known = |id: &str| {
        let known = transaction.get(&tables::project(id))?;
        Ok::<_, Error>(
            known
                .or(transaction.get(&tables::deleted_project(id))?)
                .is_some(),
        )
    };
    if let Some(id) = chosen {
        return if is_known(id)? {
            Err(Error::ProjectExists(id.to_owned()))
        } else {
            Ok(id.to_owned())
        };
    }
    let mut id = format!("proj_{}", KeyPrefix::new()?);
    while is_known(&id)? {
        id = format!("proj_{}", KeyPrefix::new()?);
    }
    Ok(id)
}

/// Writes a project, and updates the index once it is on disk.
///
/// # Errors
/// Fails when the record cannot be encoded, or the store cannot be read.
pub(super) fn save_project(
    transaction: &mut Transaction<'_>,
    index: &Arc<KeyIndex>,
    project: &Project,
) -> Result<(), Error> {
    transaction.put(tables::project(&project.id), encode_record(project)?);
    note_change(transaction, &ChangedItem::Project(project.id.clone()))?;
    let index = Arc::clone(index);
    let project = project.clone();
    transaction.after_write(move |is_made| {
        if is_made {
            index.put_project(&project);
        }
    });
    Ok(())
}
