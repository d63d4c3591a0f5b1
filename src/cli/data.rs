//! The data directory, in the hands of a command while no server runs.

use std::path::PathBuf;

use clap::ValueHint;
use tokio_util::task::TaskTracker;

use crate::claude;
use crate::config::Environment;
use crate::config::Flags;
use crate::config::Settings;
use crate::store::Store;

use super::Advice;

/// Which data directory is meant.
#[derive(Debug, clap::Args)]
pub(super) struct DataArguments {
    /// A configuration file in TOML, as the server has it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The data directory of the server [default: ~/.local/share/claude-switchboard].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
}

impl DataArguments {
    /// Does `work` on the records of the data directory. No server can start meanwhile.
    ///
    /// # Errors
    /// `work`'s own; or when a server runs, or there are no records and the command `makes` none.
    pub(super) fn with_store<T>(
        &self,
        environment: &Environment,
        makes: bool,
        work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let data_dir = Settings::load(self.config.as_deref(), environment, &flags)?.server.data_dir;
        let folder = data_dir.join("store");
        if !makes && !folder.exists() {
            let hint = "--data-dir or --config says which data directory is meant, and `claude-switchboard \
                        check-config` which one it is without them";
            return Err(Advice::new(format!("there are no records in {}", data_dir.display()), hint).into());
        }
        let _taken = claude::take_data_dir(&data_dir).map_err(|error| {
            let hint = "stop the server that uses it and try again; a server finishes what runs first";
            Advice::new(error.to_string(), hint)
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let tracker = TaskTracker::new();
            let store = Store::open(&folder, tracker.clone()).map_err(|error| {
                let why = anyhow::Error::from(error);
                let message = format!("the records in {} cannot be used: {why:#}", folder.display());
                let hint = "if they are damaged, move the folder out of the way and run `claude-switchboard ledger \
                            restore FILE` with a file that `ledger backup` has made";
                Advice::new(message, hint)
            })?;
            let result = work(&store).await;
            drop(store);
            tracker.close();
            tracker.wait().await;
            result
        })
    }
}
