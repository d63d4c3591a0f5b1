//! Paths in settings, made absolute before they are read.

use std::path::{Path, PathBuf};

use toml::Value;

use super::environment::Environment;
use super::error::Error;
use super::layers::SettingLayers;

const BINARY: &str = "claude.binary";
const DATA_DIR: &str = "server.data_dir";
const FILES_FOLDER: &str = "files.folder";
const PROGRAMS: &str = "hooks.programs";

/// Makes the paths in `layers` absolute, and fills in the default data directory.
///
/// # Errors
/// Fails when the data directory has no home directory to lie in.
pub(super) fn resolve(layers: &mut SettingLayers, environment: &Environment) -> Result<(), Error> {
    // Workers run in a directory of their own, where a relative path would resolve differently.
    let binary = PathBuf::from(layers.text(BINARY));
    let is_bare_name = binary.parent() == Some(Path::new("")) && !binary.starts_with("~");
    if !is_bare_name && let Some(path) = environment.absolute(&binary) {
        layers.replace(BINARY, path_value(&path)?);
    }
    for key in [PROGRAMS, FILES_FOLDER] {
        let named = layers.text(key);
        if !named.is_empty()
            && let Some(path) = environment.absolute(Path::new(named))
        {
            layers.replace(key, path_value(&path)?);
        }
    }
    let data_dir = match layers.text(DATA_DIR) {
        "" => default_data_dir(environment),
        chosen => environment.absolute(Path::new(chosen)),
    };
    let data_dir = data_dir.ok_or_else(|| Error::Refused {
        name: layers.name_of(DATA_DIR),
        message: "there is no home directory to lay the data under (HOME is not set)".to_owned(),
        hint: "name a directory: --data-dir DIR, or SWITCHBOARD_SERVER__DATA_DIR".to_owned(),
    })?;
    layers.replace(DATA_DIR, path_value(&data_dir)?);
    Ok(())
}

fn default_data_dir(environment: &Environment) -> Option<PathBuf> {
    let absolute = |name| environment.path(name).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    base.map(|base| base.join("claude-switchboard"))
}

/// Returns `path` as a value of the configuration, which is UTF-8. The working directory, in which
/// a relative path starts, may be none.
fn path_value(path: &Path) -> Result<Value, Error> {
    let text = path.to_str().ok_or_else(|| Error::Refused {
        name: path.display().to_string(),
        message: "the path is no UTF-8".to_owned(),
        hint: "name it by an absolute path, or start in another directory".to_owned(),
    })?;
    Ok(Value::String(text.to_owned()))
}
