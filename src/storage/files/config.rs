//! Settings of client files.

use std::path::PathBuf;

use serde::Deserialize;

use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;

/// Place and size limits of client files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Maximum size of a file, in bytes.
    #[serde(rename = "max_file_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<1, { u32::MAX as u64 }, _, _>")]
    pub max_file_bytes: u64,
    /// Maximum total size of a project's files, in bytes.
    #[serde(rename = "max_project_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<1, { u32::MAX as u64 }, _, _>")]
    pub max_project_bytes: u64,
    /// Free space to leave on the disk, in bytes. Uploads that would leave less are rejected.
    #[serde(rename = "min_free_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<0, { u32::MAX as u64 }, _, _>")]
    pub min_free_bytes: u64,
    /// Free space to leave on the disk when the server itself writes a file, in bytes. Leaves room
    /// for the store's own writes. No setting: twice what the store leaves.
    #[serde(skip)]
    pub min_free_bytes_for_server: u64,
    /// Place of the contents.
    pub location: ContentLocation,
    /// Folder of the contents, for [`ContentLocation::Folder`]; empty for the other places.
    pub folder: PathBuf,
    /// Maximum total size of the contents in the store, in bytes.
    #[serde(rename = "max_store_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<1, { u32::MAX as u64 }, _, _>")]
    pub max_store_bytes: u64,
}

/// Place of the contents of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentLocation {
    /// Data directory of the server that took the upload.
    #[default]
    DataDir,
    /// Folder that all servers mount.
    Folder,
    /// Records of the store, which all servers share.
    Store,
}

impl Config {
    /// Checks that the folder fits the place. `is_shared` is true if the records are shared by
    /// several servers.
    ///
    /// # Errors
    /// Fails if the folder is missing or has no effect, or there is nobody to share it with.
    pub fn check(&self, is_shared: bool) -> Result<(), SettingRefusal> {
        let refuse = |key, message: &str, hint: &str| {
            Err(SettingRefusal {
                key,
                message: message.to_owned(),
                hint: hint.to_owned(),
            })
        };
        match (self.location, self.folder.as_os_str().is_empty()) {
            (ContentLocation::Folder, true) => refuse(
                "folder",
                "contents of files are to be in a folder, and none is named",
                "name one that all servers mount at the same path",
            ),
            (ContentLocation::Folder, false) if !is_shared => refuse(
                "location",
                "a folder is for servers that share their records, and this one has its own, whose backups leave the folder out",
                "set it to \"data_dir\", or store.backend to \"redis\"",
            ),
            (ContentLocation::DataDir | ContentLocation::Store, false) => refuse(
                "folder",
                "the folder has no effect, because the contents of files are elsewhere",
                "set files.location to \"folder\", or leave the folder empty",
            ),
            _ => Ok(()),
        }
    }

    /// Returns true if each server that shares the records reaches the contents.
    pub fn is_reached_by_all(&self) -> bool {
        self.location != ContentLocation::DataDir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_its_location_or_without_other_servers_is_refused() {
        let config = |location, folder: &str| Config {
            location,
            folder: PathBuf::from(folder),
            ..Config::default()
        };
        for (location, folder, is_shared, refused) in [
            (ContentLocation::DataDir, "", false, None),
            (ContentLocation::DataDir, "/mnt", true, Some("folder")),
            (ContentLocation::Folder, "/mnt", true, None),
            (ContentLocation::Folder, "/mnt", false, Some("location")),
            (ContentLocation::Folder, "", true, Some("folder")),
            (ContentLocation::Store, "", false, None),
            (ContentLocation::Store, "", true, None),
            (ContentLocation::Store, "/mnt", true, Some("folder")),
        ] {
            let checked = config(location, folder).check(is_shared);
            let key = checked.err().map(|refusal| refusal.key);
            assert_eq!(key, refused, "{location:?} {folder} {is_shared}");
        }
    }
}
