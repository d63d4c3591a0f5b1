//! Places of contents: folders, and records of the store.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::fs;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;

use super::Error;
use super::config::Config;
use super::config::ContentLocation;
use super::content_parts::ContentHeader;
use super::content_parts::PartReader;
use super::content_parts::PartWriter;
use super::draft::DraftContent;
use super::folder::ContentFolder;
use crate::storage::store::Store;

/// Age from which a content without a record is removed from a folder that other servers write, too.
const MIN_LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Places of the contents of all files. Those of another setting of the place are found, too.
#[derive(Debug, Clone)]
pub(super) struct ContentPlaces {
    store: Store,
    /// Folder of the data directory.
    own: ContentFolder,
    /// Folder that all servers mount, if there is one.
    common: Option<ContentFolder>,
    location: ContentLocation,
}

/// Content of a file, to be read once.
///
/// One from the store may fail at its end, if it is not what was written, and while it is read, if the
/// file is deleted.
pub struct FileContent(ContentSource);

enum ContentSource {
    File(fs::File),
    Store(PartReader),
}

impl ContentPlaces {
    /// Opens the places of `config`, with the folder of the data directory at `path`.
    pub(super) async fn open(store: Store, path: &Path, config: &Config) -> io::Result<Self> {
        let common = match config.location {
            ContentLocation::Folder => Some(ContentFolder::open(&config.folder).await?),
            ContentLocation::DataDir | ContentLocation::Store => None,
        };
        Ok(Self {
            store,
            own: ContentFolder::open(path).await?,
            common,
            location: config.location,
        })
    }

    /// Returns places without a folder.
    #[cfg(test)]
    pub(super) fn missing(store: Store) -> Self {
        Self {
            store,
            own: ContentFolder::missing(),
            common: None,
            location: ContentLocation::DataDir,
        }
    }

    /// Returns true if new contents come into the store.
    pub(super) fn is_store(&self) -> bool {
        self.location == ContentLocation::Store
    }

    /// Begins the content `id`.
    pub(super) async fn create(&self, id: &str) -> io::Result<DraftContent> {
        if self.is_store() {
            return Ok(DraftContent::Store(PartWriter::new(self.store.clone(), id)));
        }
        let folder = self.common.as_ref().unwrap_or(&self.own).clone();
        let (file, guard) = folder.create(id).await?;
        Ok(DraftContent::Folder {
            file,
            guard,
            folder,
        })
    }

    /// Opens the content `id`; `None` if there is none in reach.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub(super) async fn read(&self, id: &str) -> Result<Option<FileContent>, Error> {
        if self.is_store()
            && let Some(content) = self.read_stored(id).await?
        {
            return Ok(Some(content));
        }
        for folder in self.folders() {
            match folder.read(id).await {
                Ok(file) => return Ok(Some(FileContent(ContentSource::File(file)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.is_store() {
            return Ok(None);
        }
        self.read_stored(id).await
    }

    async fn read_stored(&self, id: &str) -> Result<Option<FileContent>, Error> {
        let header = ContentHeader::load(&self.store, id).await?;
        let reader = header.map(|header| header.read(self.store.clone(), id));
        Ok(reader.map(|reader| FileContent(ContentSource::Store(reader))))
    }

    /// Deletes the content `id` from the folders. That in the store goes with its record.
    pub(super) async fn remove_from_folders(&self, id: &str) -> io::Result<()> {
        for folder in self.folders() {
            folder.remove(id).await?;
        }
        Ok(())
    }

    /// Deletes each content in a folder that is not in `ids`, and returns their number. In a folder that
    /// other servers write, only those that none of them can be about to record.
    pub(super) async fn remove_unknown(&self, ids: &HashSet<String>) -> io::Result<usize> {
        let mut removed = self.own.remove_unknown(ids, Duration::ZERO).await?;
        if let Some(common) = &self.common {
            removed += common.remove_unknown(ids, MIN_LEFTOVER_AGE).await?;
        }
        Ok(removed)
    }

    fn folders(&self) -> impl Iterator<Item = &ContentFolder> {
        self.common.iter().chain([&self.own])
    }
}

impl fmt::Debug for FileContent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileContent")
            .finish_non_exhaustive()
    }
}

impl AsyncRead for FileContent {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            ContentSource::File(file) => Pin::new(file).poll_read(context, buffer),
            ContentSource::Store(reader) => Pin::new(reader).poll_read(context, buffer),
        }
    }
}
