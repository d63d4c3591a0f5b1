use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::runtime::checks::CheckStatus;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

#[test]
fn private_data_directory_passes_and_an_open_one_is_a_warning() {
    let (_guard, path) = folder();
    set_mode(&path, 0o700);
    let shown = path.display().to_string();
    assert_eq!(check_data_dir(&path, false), CheckFinding::pass(shown));
    set_mode(&path, 0o711);
    assert_eq!(check_data_dir(&path, true).status, CheckStatus::Pass);
    let open = check_data_dir(&path, false);
    assert_eq!(open.status, CheckStatus::Warn);
    assert!(open.hint.unwrap().starts_with("chmod 700 "));
    set_mode(&path, 0o755);
    let open = check_data_dir(&path, true);
    assert!(open.hint.unwrap().starts_with("chmod 711 "));
}

#[test]
fn data_directory_that_is_a_file_fails_and_a_missing_one_is_made() {
    let (_guard, path) = folder();
    let missing = check_data_dir(&path.join("a/b"), false);
    assert_eq!(missing.status, CheckStatus::Pass);
    assert!(missing.detail.ends_with("which the server will make"));
    let file = path.join("file");
    fs::write(&file, "").unwrap();
    for wrong in [file.clone(), file.join("below")] {
        let finding = check_data_dir(&wrong, false);
        assert_eq!(finding.status, CheckStatus::Fail, "{}", wrong.display());
        assert!(finding.hint.unwrap().contains("--data-dir"));
    }
}

#[test]
fn lock_of_a_silent_process_is_a_warning() {
    let owner = || Ok(LockOwner::Process(4711));
    assert_eq!(judge_lock(owner(), true).status, CheckStatus::Pass);
    let silent = judge_lock(owner(), false);
    assert_eq!(silent.status, CheckStatus::Warn);
    assert!(silent.detail.starts_with("process 4711 uses"));
    let free = judge_lock(Ok(LockOwner::Nobody), false);
    assert_eq!(free.status, CheckStatus::Pass);
    let denied = Err(io::ErrorKind::PermissionDenied.into());
    assert_eq!(judge_lock(denied, false).status, CheckStatus::Warn);
    assert_eq!(
        judge_lock(Ok(LockOwner::Unknown), false).status,
        CheckStatus::Warn
    );
}

#[test]
fn lock_is_found_in_a_data_directory() {
    let (_guard, path) = folder();
    let held = claude::lock_data_dir(&path).unwrap();
    assert_eq!(check_lock(&path, false).status, CheckStatus::Warn);
    drop(held);
    assert_eq!(check_lock(&path, false).status, CheckStatus::Pass);
}

#[test]
fn home_that_cannot_be_written_fails_only_where_it_is_needed() {
    let (_guard, path) = folder();
    assert_eq!(check_home(Some(&path), true).status, CheckStatus::Pass);
    let missing = path.join("missing");
    for home in [None, Some(missing.as_path())] {
        assert_eq!(check_home(home, true).status, CheckStatus::Fail);
        assert_eq!(check_home(home, false).status, CheckStatus::Pass);
    }
}

#[test]
fn records_with_a_file_that_cannot_be_read_fail() {
    let (_guard, path) = folder();
    let missing = check_store_files(&path.join("store"));
    assert_eq!(missing, CheckFinding::pass("no records yet"));
    fs::write(path.join("db"), "").unwrap();
    assert_eq!(check_store_files(&path).status, CheckStatus::Pass);
    symlink("/nowhere/at/all", path.join("conf")).unwrap();
    let finding = check_store_files(&path);
    assert_eq!(finding.status, CheckStatus::Fail);
    assert!(finding.detail.contains("conf cannot be used"));
}

#[test]
fn configuration_with_secrets_has_to_be_private() {
    let (_guard, path) = folder();
    let file = path.join("config.toml");
    fs::write(&file, "[auth]\nkeys = [\"hush\"]\n[admin]\nkey = \"\"\n").unwrap();
    set_mode(&file, 0o644);
    let open = check_config_file(Some(&file));
    assert_eq!(open.status, CheckStatus::Warn);
    assert!(open.detail.contains("(auth.keys)"), "{open:?}");
    assert!(!open.detail.contains("hush"));
    set_mode(&file, 0o600);
    assert_eq!(check_config_file(Some(&file)).status, CheckStatus::Pass);
    fs::write(&file, "[pool]\nmax_workers = 2\n").unwrap();
    set_mode(&file, 0o644);
    assert_eq!(check_config_file(Some(&file)).status, CheckStatus::Pass);
    assert_eq!(check_config_file(None).status, CheckStatus::Pass);
}
