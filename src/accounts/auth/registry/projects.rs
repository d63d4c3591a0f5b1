//! What can be done with projects.

use std::sync::Arc;

use super::Registry;
use crate::accounts::auth::Error;
use crate::accounts::auth::change::Change;
use crate::accounts::auth::change::ProjectChange;
use crate::accounts::auth::places;
use crate::accounts::auth::places::Page;
use crate::accounts::auth::project::Project;
use crate::accounts::auth::records;
use crate::accounts::auth::ring::Ring;
use crate::accounts::auth::text::Prefix;
use crate::accounts::webhooks::Endpoint;
use crate::domain::Budget;
use crate::domain::DEFAULT_PROJECT;
use crate::storage::store::Transaction;

impl Registry {
    /// Makes a project that is as `change` says, with the id `chosen` or else one of its own.
    ///
    /// # Errors
    /// When another project has the chosen id.
    pub async fn create_project(
        &self,
        chosen: Option<String>,
        change: ProjectChange,
    ) -> Result<Project, Error> {
        let ring = Arc::clone(&self.ring);
        let work = move |transaction: &mut Transaction<'_>| {
            let id = free_id(transaction, chosen)?;
            let mut project = Project::named(id, "");
            change.apply(&mut project)?;
            save(transaction, &ring, &project);
            Ok::<_, Error>(project)
        };
        let project = self.store.transaction(work).await?;
        tracing::info!(project = project.id, "a project was made");
        Ok(project)
    }

    /// A project.
    ///
    /// # Errors
    /// When there is none with this id.
    pub async fn project(&self, id: &str) -> Result<Project, Error> {
        let id = id.to_owned();
        self.store
            .transaction(move |transaction| places::get_project(transaction, &id))
            .await
    }

    /// Projects in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn projects(&self, page: Page) -> Result<(Vec<Project>, bool), Error> {
        let work = move |transaction: &mut Transaction<'_>| {
            places::page(
                transaction,
                places::PROJECTS,
                page.after.as_deref(),
                page.limit,
            )
        };
        self.store.transaction(work).await
    }

    /// Who hears of what happens in a project now; from memory.
    pub fn webhook(&self, project: &str) -> Option<Endpoint> {
        self.ring.webhook(project)
    }

    /// Changes a project.
    ///
    /// # Errors
    /// When there is none with this id.
    pub async fn change_project(&self, id: &str, change: ProjectChange) -> Result<Project, Error> {
        let (id, ring) = (id.to_owned(), Arc::clone(&self.ring));
        let work = move |transaction: &mut Transaction<'_>| {
            let mut project = places::get_project(transaction, &id)?;
            change.apply(&mut project)?;
            save(transaction, &ring, &project);
            Ok::<_, Error>(project)
        };
        let project = self.store.transaction(work).await?;
        tracing::info!(project = project.id, "a project was changed");
        Ok(project)
    }

    /// Puts `budget` in the place of a project's.
    ///
    /// # Errors
    /// When there is none with this id.
    pub async fn set_budget(&self, id: &str, budget: Budget) -> Result<Project, Error> {
        self.change_project(
            id,
            ProjectChange {
                budget: Change::Set(budget),
                ..ProjectChange::default()
            },
        )
        .await
    }

    /// Takes a project away whose keys are all revoked.
    ///
    /// # Errors
    /// When there is none with this id, it is the default one, or it has keys.
    pub async fn delete_project(&self, id: &str) -> Result<(), Error> {
        if id == DEFAULT_PROJECT {
            return Err(Error::DefaultProject);
        }
        let (id, ring) = (id.to_owned(), Arc::clone(&self.ring));
        let work = move |transaction: &mut Transaction<'_>| {
            let project = places::get_project(transaction, &id)?.id;
            if let Some(key) = places::member(transaction, &project)? {
                return Err(Error::InUse { project, key });
            }
            transaction.remove(places::project(&project));
            transaction.put(places::gone(&project), Vec::new());
            tracing::info!(project, "a project was taken away");
            transaction.afterwards(move |is_made| {
                if is_made {
                    ring.remove_project(&project);
                }
            });
            Ok(())
        };
        self.store.transaction(work).await
    }
}

/// The id `chosen`, or one that is made; no project has it or had it, whose files and usage are kept under it.
fn free_id(transaction: &Transaction<'_>, chosen: Option<String>) -> Result<String, Error> {
    let is_known = |id: &str| {
        let known = transaction.get(&places::project(id))?;
        Ok::<_, Error>(known.or(transaction.get(&places::gone(id))?).is_some())
    };
    if let Some(id) = chosen {
        return if is_known(&id)? {
            Err(Error::ProjectExists(id))
        } else {
            Ok(id)
        };
    }
    let mut id = format!("proj_{}", Prefix::new()?);
    while is_known(&id)? {
        id = format!("proj_{}", Prefix::new()?);
    }
    Ok(id)
}

/// Writes a project, and has memory follow when it is written.
pub(super) fn save(transaction: &mut Transaction<'_>, ring: &Arc<Ring>, project: &Project) {
    transaction.put(places::project(&project.id), records::encode(project));
    let (ring, project) = (Arc::clone(ring), project.clone());
    transaction.afterwards(move |is_made| {
        if is_made {
            ring.put_project(&project);
        }
    });
}
