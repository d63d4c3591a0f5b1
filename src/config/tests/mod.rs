//! Settings as an operator writes them, and the messages for wrong ones.

mod document;

use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use super::{CommandLineFlags, DEFAULTS, Environment, Settings};
use crate::accounts::auth::SettingsKey;
use crate::api::request_schema::Policy;
use crate::engine::claude::SignInMethod;
use crate::telemetry::logs::LogLineFormat;
use crate::telemetry::metrics::OwnerLabel;

fn environment(variables: &[(&str, &str)]) -> Environment {
    [("HOME", "/home/me")]
        .iter()
        .chain(variables)
        .copied()
        .collect()
}

fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &CommandLineFlags,
) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("switchboard.toml");
    std::fs::write(&path, file).unwrap();
    Settings::load(Some(&path), &environment(variables), flags).map_err(|error| {
        let text = format!("{error}\n{}", error.hint());
        text.replace(&path.display().to_string(), "switchboard.toml")
    })
}

fn refusal(file: &str, variables: &[(&str, &str)]) -> String {
    load(file, variables, &CommandLineFlags::default()).unwrap_err()
}

#[test]
fn defaults_apply_without_configuration() {
    let settings = Settings::load(None, &environment(&[]), &CommandLineFlags::default()).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        settings.server.data_dir,
        Path::new("/home/me/.local/share/claude-switchboard")
    );
    assert_eq!(settings.claude.sign_in, SignInMethod::Auto);
    assert_eq!(settings.claude.binary, Path::new("claude"));
    assert_eq!(settings.pool.max_workers, 5);
    assert_eq!(settings.models.aliases["gpt-4o"], "sonnet");
    assert_eq!(settings.log.format, LogLineFormat::Text);
}

#[test]
fn key_and_address_of_a_client_are_no_settings_and_reach_no_worker() {
    let variables = environment(&[
        ("SWITCHBOARD_API_KEY", "hush"),
        ("SWITCHBOARD_BASE_URL", "http://127.0.0.1:8080"),
    ]);
    let settings = Settings::load(None, &variables, &CommandLineFlags::default()).unwrap();
    assert_eq!(settings.notices, Vec::<String>::new());
    assert!(!settings.printed.contains("hush"));
    let workers = variables.for_workers(SignInMethod::Auto);
    assert!(!workers.contains_key("SWITCHBOARD_API_KEY"));
    assert!(!workers.contains_key("SWITCHBOARD_BASE_URL"));
}

#[test]
fn later_layers_override_earlier_ones() {
    let file = "[pool]\nmax_workers = 6\nprewarm = 2\nqueue_length = 7\n[models.aliases]\nmine = \"opus\"\n";
    let variables = [
        ("SWITCHBOARD_POOL__PREWARM", "3"),
        ("SWITCHBOARD_POOL__MAX_WORKERS", "8"),
        ("SWITCHBOARD_LOG__FORMAT", "json"),
        ("SWITCHBOARD_SERVER__STRICT", "true"),
        ("SWITCHBOARD_MODELS__ALIASES", r#"{ "gpt-4o" = "opus" }"#),
        ("SWITCHBOARD_AUTH__KEYS", "one,two"),
    ];
    let flags = CommandLineFlags {
        max_workers: Some(9),
        listen: Some("0.0.0.0:80".to_owned()),
        ..CommandLineFlags::default()
    };
    let settings = load(file, &variables, &flags).unwrap();
    assert_eq!(
        (
            settings.pool.queue_length,
            settings.pool.prewarm,
            settings.pool.max_workers
        ),
        (7, 3, 9)
    );
    assert_eq!(settings.log.format, LogLineFormat::Json);
    assert_eq!(settings.http.policy, Policy::Strict);
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:80");
    let keys: Vec<&str> = settings.auth.keys.iter().map(SettingsKey::reveal).collect();
    assert_eq!(keys, ["one", "two"]);
    let aliases = &settings.models.aliases;
    assert_eq!(
        (&*aliases["mine"], &*aliases["gpt-4o"], &*aliases["gpt-4"]),
        ("opus", "opus", "sonnet")
    );
}

#[test]
fn paths_are_made_absolute() {
    let directory = |variables: &[(&str, &str)], flag: Option<&str>| {
        let flags = CommandLineFlags {
            data_dir: flag.map(ToOwned::to_owned),
            ..CommandLineFlags::default()
        };
        load("", variables, &flags).unwrap().server.data_dir
    };
    assert_eq!(
        directory(&[("XDG_DATA_HOME", "/data")], None),
        Path::new("/data/claude-switchboard")
    );
    assert_eq!(
        directory(&[("XDG_DATA_HOME", "relative")], None),
        Path::new("/home/me/.local/share/claude-switchboard")
    );
    assert_eq!(directory(&[], Some("~/kept")), Path::new("/home/me/kept"));
    assert_eq!(
        directory(&[], Some("kept")),
        std::path::absolute("kept").unwrap()
    );
    let binary = |name: &str| {
        load(
            "",
            &[("SWITCHBOARD_CLAUDE__BINARY", name)],
            &CommandLineFlags::default(),
        )
        .unwrap()
        .claude
        .binary
    };
    assert_eq!(binary("claude-2"), PathBuf::from("claude-2"));
    assert_eq!(
        binary("bin/claude"),
        std::path::absolute("bin/claude").unwrap()
    );
    assert_snapshot!(
        Settings::load(None, &Environment::default(), &CommandLineFlags::default()).unwrap_err(),
        @"server.data_dir: there is no home directory to lay the data under (HOME is not set)"
    );
}

#[test]
fn unknown_key_error_suggests_the_nearest_key() {
    assert_snapshot!(refusal("[pool]\nmax_worker = 3", &[]), @r"
    switchboard.toml: pool.max_worker is not known
    did you mean pool.max_workers?
    ");
    assert_snapshot!(refusal("[workers]\nsize = 3", &[]), @r"
    switchboard.toml: workers is not known
    docs/CONFIGURATION.md and `claude-switchboard check-config` list what is known
    ");
    assert_snapshot!(refusal("", &[("SWITCHBOARD_POOL_MAX_WORKERS", "3")]), @r"
    SWITCHBOARD_POOL_MAX_WORKERS is not known
    did you mean SWITCHBOARD_POOL__MAX_WORKERS?
    ");
    assert_snapshot!(refusal("", &[("SWITCHBOARD_AUTH__KEY", "secret")]), @r"
    SWITCHBOARD_AUTH__KEY is not known
    did you mean SWITCHBOARD_AUTH__KEYS?
    ");
}

#[test]
fn wrong_type_error_names_the_expected_type_and_hides_the_value() {
    assert_snapshot!(refusal("", &[("SWITCHBOARD_POOL__MAX_WORKERS", "many")]), @r"
    SWITCHBOARD_POOL__MAX_WORKERS: expected a whole number, such as 5, found another text
    docs/CONFIGURATION.md shows each key with its default
    ");
    assert_snapshot!(refusal("[auth]\nkeys = \"secret\"", &[]), @r#"
    switchboard.toml: auth.keys: expected a list of texts, such as ["a", "b"], found a text
    docs/CONFIGURATION.md shows each key with its default
    "#);
    assert_snapshot!(refusal("pool = 3", &[]), @r"
    switchboard.toml: pool: expected a section, [pool], found a whole number
    docs/CONFIGURATION.md shows each key with its default
    ");
    assert_snapshot!(refusal("[pool]\nprewarm = -1", &[]), @r"
    switchboard.toml: pool.prewarm: expected a whole number, such as 1, found a negative number
    docs/CONFIGURATION.md shows each key with its default
    ");
    assert_snapshot!(refusal("[models.aliases]\nx = 3", &[]), @r#"
    switchboard.toml: models.aliases: expected a table of texts, such as { "gpt-4o" = "opus" }, found a table of something else
    docs/CONFIGURATION.md shows each key with its default
    "#);
    assert_snapshot!(refusal("[auth]\nkeys = [\"secret\"\n[log]\n", &[]), @r"
    switchboard.toml:3: missing comma between array elements, expected `,`
    the file is TOML: [section], then key = value with texts in quotes
    ");
}

#[test]
fn invalid_values_are_refused() {
    let one = |name: &str, value: &str| refusal("", &[(name, value)]);
    assert_snapshot!(one("SWITCHBOARD_POOL__MAX_WORKERS", "0"), @r"
    SWITCHBOARD_POOL__MAX_WORKERS: 0 is not between 1 and 1024
    docs/CONFIGURATION.md describes the key
    ");
    assert_snapshot!(one("SWITCHBOARD_POOL__PREWARM", "6"), @r"
    SWITCHBOARD_POOL__PREWARM: 6 is above pool.max_workers, which is 5
    lower pool.prewarm or raise pool.max_workers
    ");
    assert_snapshot!(one("SWITCHBOARD_POOL__MAX_TURNS", "99999999999"), @r"
    SWITCHBOARD_POOL__MAX_TURNS: expected a whole number, such as 200, found a number that is too large
    docs/CONFIGURATION.md shows each key with its default
    ");
    assert_snapshot!(one("SWITCHBOARD_SERVER__LISTEN", "localhost:8080"), @r"
    SWITCHBOARD_SERVER__LISTEN: `localhost:8080` is not ADDRESS:PORT with an IP address, such as 127.0.0.1:8080 or [::1]:8080
    docs/CONFIGURATION.md describes the key
    ");
    assert_snapshot!(one("SWITCHBOARD_SERVER__SEND_TIMEOUT_SECONDS", "0"), @r"
    SWITCHBOARD_SERVER__SEND_TIMEOUT_SECONDS: 0 is not between 1 and 31536000 seconds
    docs/CONFIGURATION.md describes the key
    ");
    for page in [
        "chat.example",
        "https://chat.example/",
        "https://*.example",
        "https://",
        "null",
        "**",
    ] {
        let refused = one(
            "SWITCHBOARD_SERVER__ALLOWED_ORIGINS",
            &format!("https://a.example, {page}"),
        );
        assert!(
            refused.contains(&format!("`{page}` is not the origin of a page")),
            "{refused}"
        );
    }
    assert!(
        load(
            "",
            &[(
                "SWITCHBOARD_SERVER__ALLOWED_ORIGINS",
                "*, app://x, http://a:1"
            )],
            &CommandLineFlags::default()
        )
        .is_ok()
    );
    assert_snapshot!(one("SWITCHBOARD_CLAUDE__SIGN_IN", "apikey"), @r"
    SWITCHBOARD_CLAUDE__SIGN_IN: unknown value `apikey`, expected one of `auto`, `api_key`, `oauth_token`, `stored`, `bedrock`, `vertex`
    docs/CONFIGURATION.md describes the key
    ");
    assert_snapshot!(one("SWITCHBOARD_CLAUDE__PASS_ENVIRONMENT", "*"), @r"
    SWITCHBOARD_CLAUDE__PASS_ENVIRONMENT: an entry is empty or would pass everything
    name the variables; nothing else of the server's environment may reach the workers
    ");
    assert_snapshot!(one("SWITCHBOARD_MODELS__ALIASES", r#"{ "gpt-4o" = "" }"#), @r#"
    SWITCHBOARD_MODELS__ALIASES: `gpt-4o` has no model
    write "alias" = "sonnet", or another name or id of the CLI's catalogue
    "#);
    assert_snapshot!(one("SWITCHBOARD_LOG__FORMAT", "xml"), @r"
    SWITCHBOARD_LOG__FORMAT: unknown value `xml`, expected `text` or `json`
    docs/CONFIGURATION.md describes the key
    ");
    assert_snapshot!(one("SWITCHBOARD_LOG__FILTER", "pool=loud"), @r#"
    SWITCHBOARD_LOG__FILTER: `pool=loud`: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
    write a level, such as "info", or "info,claude_switchboard::engine::pool=debug"
    "#);
    assert_snapshot!(one("SWITCHBOARD_AUTH__KEYS", "fine,not fine"), @r"
    SWITCHBOARD_AUTH__KEYS: key 2 holds a blank or another character that cannot stand in a header
    make a key with `openssl rand -hex 24`; take a key out of the list to revoke it
    ");
    assert_snapshot!(refusal("[auth]\nkeys = [\"same\", \"same\"]", &[]), @r"
    switchboard.toml: auth.keys: key 2 is there twice
    make a key with `openssl rand -hex 24`; take a key out of the list to revoke it
    ");
}

#[test]
fn body_budget_below_two_largest_bodies_is_refused() {
    let one = |name: &str, value: &str| refusal("", &[(name, value)]);
    assert_snapshot!(one("SWITCHBOARD_SERVER__BODY_BUDGET_MIB", "63"), @r"
    SWITCHBOARD_SERVER__BODY_BUDGET_MIB: 63 MiB is less than two of the largest bodies, which have 33554432 bytes (server.body_limit_bytes)
    set it to 64 or more, or lower server.body_limit_bytes
    ");
}

#[test]
fn invalid_prices_and_routing_rules_are_refused() {
    let one = |name: &str, value: &str| refusal("", &[(name, value)]);
    assert_snapshot!(one("SWITCHBOARD_PRICING__MODELS", r#"{ "haiku" = "input 1, output 5" }"#), @r"
    SWITCHBOARD_PRICING__MODELS: in `input 1, output 5` the price of `cache write` is missing
    docs/CONFIGURATION.md describes the key
    ");
    let nameless = r#"{ "" = "input 1, output 5, cache write 1, cache read 1" }"#;
    assert_snapshot!(one("SWITCHBOARD_PRICING__MODELS", nameless), @r#"
    SWITCHBOARD_PRICING__MODELS: a price has no model
    write "sonnet" = "input 2, output 10, cache write 2.5, cache read 0.1"
    "#);
    assert_snapshot!(one("SWITCHBOARD_ROUTING__USUAL_MODEL", "auto"), @r#"
    SWITCHBOARD_ROUTING__USUAL_MODEL: `auto` is what the rules choose for
    write a name or an id of the CLI's catalogue, such as "sonnet"
    "#);
    assert_snapshot!(one("SWITCHBOARD_ROUTING__HARD_WORDS", "de-bug"), @r#"
    SWITCHBOARD_ROUTING__HARD_WORDS: an entry is no beginning of a word
    write beginnings of words, letters and digits alone, such as "debug"
    "#);
}

#[test]
fn baseline_without_a_price_is_refused_with_the_nearest_model() {
    let one = |value: &str| refusal("", &[("SWITCHBOARD_ROUTING__BASELINE", value)]);
    assert_snapshot!(one("opsu"), @r"
    SWITCHBOARD_ROUTING__BASELINE: `opsu` is no model with a price
    did you mean opus?
    ");
    assert_snapshot!(one("haikus"), @r"
    SWITCHBOARD_ROUTING__BASELINE: `haikus` is no model with a price
    did you mean haiku?
    ");
    assert_snapshot!(one("gemini"), @r#"
    SWITCHBOARD_ROUTING__BASELINE: `gemini` is no model with a price
    write a name of [pricing.models], such as "opus", or an alias of one
    "#);
    assert_snapshot!(one("auto"), @r#"
    SWITCHBOARD_ROUTING__BASELINE: `auto` is what the rules choose for
    write a name or an id of the CLI's catalogue, such as "sonnet"
    "#);
}

#[test]
fn baseline_is_a_model_with_a_price_or_an_alias_of_one() {
    for (baseline, model) in [
        ("opus", "opus"),
        ("sonnet[1m]", "sonnet[1m]"),
        ("claude-opus-4-8", "claude-opus-4-8"),
        ("claude-opus-9", "claude-opus-9"),
        ("gpt-4o-mini", "haiku"),
        ("gpt-9-pro", "opus"),
    ] {
        let variables = [("SWITCHBOARD_ROUTING__BASELINE", baseline)];
        let settings = load("", &variables, &CommandLineFlags::default()).unwrap();
        assert_eq!(settings.baseline_model(), model, "{baseline}");
    }
}

#[test]
fn baseline_name_with_a_price_counts_where_its_alias_has_none() {
    let aliases = (
        "SWITCHBOARD_MODELS__ALIASES",
        r#"{ opus = "made-up", best = "made-up" }"#,
    );
    let settings = load("", &[aliases], &CommandLineFlags::default()).unwrap();
    assert_eq!(settings.baseline_model(), "opus");
    let unpriced = ("SWITCHBOARD_ROUTING__BASELINE", "best");
    assert_snapshot!(refusal("", &[aliases, unpriced]), @r#"
    SWITCHBOARD_ROUTING__BASELINE: `best` is no model with a price
    write a name of [pricing.models], such as "opus", or an alias of one
    "#);
}

#[test]
fn server_without_keys_may_only_listen_on_loopback() {
    let reach = |listen: &str, has_keys: bool| {
        let flags = CommandLineFlags {
            listen: Some(listen.to_owned()),
            ..CommandLineFlags::default()
        };
        load("", &[], &flags)
            .unwrap()
            .check_reach(has_keys)
            .map_err(|error| format!("{error}\n{}", error.hint()))
    };
    assert_snapshot!(reach("0.0.0.0:8080", false).unwrap_err(), @r"
    server.listen: 0.0.0.0:8080 can be reached from other machines, and without keys everybody who reaches the server would spend its Claude account
    make a key with `claude-switchboard keys create NAME`, set some (SWITCHBOARD_AUTH__KEYS=key,... or auth.keys in the file), or listen on loopback, such as 127.0.0.1:8080
    ");
    assert!(reach("[::]:8080", false).is_err());
    assert_eq!(reach("[::]:8080", true), Ok(()));
    assert_eq!(reach("[::1]:8080", false), Ok(()));
}

#[test]
fn metrics_token_and_listener_are_checked() {
    let file = "[metrics]\ntoken = \"0123456789abcdef\"\nlisten = \"0.0.0.0:9464\"\nlabels = [\"project\"]";
    let metrics_of = |file: &str, variables: &[(&str, &str)]| {
        let settings = load(file, variables, &CommandLineFlags::default());
        settings.unwrap().metrics
    };
    let metrics = metrics_of(file, &[]);
    assert_eq!(metrics.token(), Some("0123456789abcdef"));
    assert_eq!(
        (metrics.labels.as_slice(), metrics.max_owners),
        (&[OwnerLabel::Project][..], 200)
    );
    assert_eq!(metrics_of("", &[]).token(), None);
    let variables = [("SWITCHBOARD_METRICS__LABELS", "project,key")];
    let labels = metrics_of("", &variables).labels;
    assert_eq!(labels, [OwnerLabel::Project, OwnerLabel::Key]);
    for (file, reason) in [
        (
            "token = \"short\"",
            "it is no text of 16 or more visible ASCII characters",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "it is the address of server.listen",
        ),
        (
            "listen = \"0.0.0.0:9464\"",
            "can be reached from other machines, and asks for no token",
        ),
        ("labels = [\"user\"]", "metrics.labels"),
        ("max_owners = 0", "metrics.max_owners"),
    ] {
        let message = refusal(&format!("[metrics]\n{file}"), &[]);
        assert!(message.contains(reason), "{file}: {message}");
    }
    let one_key = [
        ("SWITCHBOARD_METRICS__TOKEN", "0123456789abcdef"),
        ("SWITCHBOARD_ADMIN_KEY", "0123456789abcdef"),
    ];
    let message = refusal("", &one_key);
    assert!(message.contains("it is admin.key"), "{message}");
}

#[test]
fn admin_key_has_an_alias_variable_and_must_differ_from_caller_keys() {
    let key = "0123456789abcdef";
    for name in ["SWITCHBOARD_ADMIN_KEY", "SWITCHBOARD_ADMIN__KEY"] {
        let settings = load("", &[(name, key)], &CommandLineFlags::default()).unwrap();
        assert_eq!(
            (settings.admin.key.reveal(), settings.admin.listen),
            (key, None)
        );
        assert!(
            settings
                .printed
                .contains("[admin]\nkey = \"***\"\nlisten = \"\"")
        );
    }
    let listen = load(
        "[admin]\nlisten = \"127.0.0.1:9\"",
        &[],
        &CommandLineFlags::default(),
    )
    .unwrap()
    .admin
    .listen;
    assert_eq!(listen.unwrap().to_string(), "127.0.0.1:9");
    assert_snapshot!(refusal("", &[("SWITCHBOARD_ADMIN_KEY", "short")]), @r"
    SWITCHBOARD_ADMIN_KEY: it is no text of 16 or more visible ASCII characters
    make a key with `openssl rand -hex 24`, or leave it out: then the server creates one
    ");
    assert_snapshot!(refusal("", &[("SWITCHBOARD_ADMIN_KEY", key), ("SWITCHBOARD_AUTH__KEYS", key)]), @r"
    SWITCHBOARD_ADMIN_KEY: it is one of auth.keys, so every caller would have it
    make a key with `openssl rand -hex 24`, or leave it out: then the server creates one
    ");
    assert_snapshot!(refusal("[admin]\nlisten = \"localhost\"", &[]), @r"
    switchboard.toml: admin.listen: `localhost` is not ADDRESS:PORT with an IP address, such as 127.0.0.1:8080 or [::1]:8080
    docs/CONFIGURATION.md describes the key
    ");
    assert_snapshot!(refusal("[admin]\nlisten = \"127.0.0.1:8080\"", &[]), @r"
    switchboard.toml: admin.listen: it is the address of server.listen
    name another port, or leave it out to have both on one
    ");
}

#[test]
fn secrets_are_never_printed() {
    let variables = [
        ("SWITCHBOARD_AUTH__KEYS", "hush-hush"),
        ("SWITCHBOARD_ADMIN_KEY", "hush-hush-hush-hush"),
        ("SWITCHBOARD_METRICS__TOKEN", "hush-hush-hush-scraper"),
        ("ANTHROPIC_API_KEY", "sk-hush-hush"),
    ];
    let settings = load("", &variables, &CommandLineFlags::default()).unwrap();
    let printed = format!(
        "{settings:?}{}{:?}",
        settings.printed,
        environment(&variables)
    );
    assert!(!printed.contains("hush"), "{printed}");
    assert!(settings.printed.contains("keys = [\"***\"]"));
}

#[test]
fn printed_settings_can_be_loaded_again() {
    let settings = Settings::load(None, &environment(&[]), &CommandLineFlags::default()).unwrap();
    let again = load(&settings.printed, &[], &CommandLineFlags::default()).unwrap();
    let without_file = Settings {
        file: None,
        ..again
    };
    assert_eq!(without_file, settings);
    assert!(load(DEFAULTS, &[], &CommandLineFlags::default()).is_ok());
}

#[test]
fn workers_do_not_get_switchboard_variables() {
    let environment = environment(&[
        ("SWITCHBOARD_AUTH__KEYS", "key"),
        ("PATH", "/bin"),
        ("EMPTY", ""),
    ]);
    assert_eq!(
        environment
            .for_workers(SignInMethod::Auto)
            .into_keys()
            .collect::<Vec<_>>(),
        ["EMPTY", "HOME", "PATH"]
    );
    assert_eq!(
        (environment.get("PATH"), environment.get("EMPTY")),
        (Some("/bin"), None)
    );
}

#[test]
fn hooks_are_tables_and_are_checked() {
    let file = "[hooks]\nprograms = \"hooks\"\n[[hooks.list]]\nname = \"mask\"\nkind = \"filter\"\n\
                points = [\"before\"]\nwords = [\"secret\"]\n";
    let hooks = |file: &str, variables: &[(&str, &str)]| {
        let settings = load(file, variables, &CommandLineFlags::default());
        settings.unwrap().hooks
    };
    let from_file = hooks(file, &[]);
    assert_eq!(from_file.list[0].name, "mask");
    let absolute = std::path::absolute("hooks").unwrap();
    assert_eq!(Path::new(&from_file.programs), absolute);
    let list = r#"[{name = "x", kind = "filter", points = ["before"], words = ["a"]}]"#;
    let from_variable = hooks(file, &[("SWITCHBOARD_HOOKS__LIST", list)]);
    assert_eq!(from_variable.list[0].name, "x");
    assert_eq!(from_variable.list.len(), 1);
    assert!(hooks("", &[]).list.is_empty());
    assert!(
        hooks("", &[("SWITCHBOARD_HOOKS__LIST", "")])
            .list
            .is_empty()
    );
    let unknown = refusal(&file.replace("words", "word"), &[]);
    assert_eq!(
        unknown,
        "switchboard.toml: hooks.list[0].word is not known\ndid you mean words?"
    );
    let kind = refusal(&file.replace("\"filter\"", "\"filters\""), &[]);
    assert!(
        kind.starts_with("switchboard.toml: hooks.list[0].kind: unknown value `filters`"),
        "{kind}"
    );
    let blind = refusal(&file.replace("\"secret\"", ""), &[]);
    assert!(
        blind.contains("the hook `mask`: the filter looks for nothing"),
        "{blind}"
    );
    let wrong = refusal("[hooks]\nlist = [\"mask\"]", &[]);
    assert!(
        wrong.contains("hooks.list: expected tables, [[hooks.list]]"),
        "{wrong}"
    );
    let wrong = refusal("", &[("SWITCHBOARD_HOOKS__LIST", "mask")]);
    assert!(
        wrong.starts_with("SWITCHBOARD_HOOKS__LIST: expected tables, [[hooks.list]]"),
        "{wrong}"
    );
}

#[test]
fn sign_ins_are_tables_and_are_checked() {
    let sign_in = "name = \"eu\"\nkind = \"api_key\"\nvariable = \"KEY_EU\"\n";
    let load = |file: &str| load(file, &[], &CommandLineFlags::default()).unwrap();
    assert!(load("").sign_ins.list.is_empty());
    let short = load(&format!("[[sign_ins]]\n{sign_in}")).sign_ins;
    assert_eq!(
        (short.header, short.list[0].variable.as_str()),
        (false, "KEY_EU")
    );
    let long = format!("[sign_ins]\nheader = true\n[[sign_ins.list]]\n{sign_in}");
    let long = load(&long).sign_ins;
    assert_eq!((long.header, &long.list), (true, &short.list));
    let twice = format!("[[sign_ins]]\n{sign_in}[[sign_ins]]\n{sign_in}");
    let twice = refusal(&twice, &[]);
    assert!(
        twice.starts_with("switchboard.toml: sign_ins.list: `eu`: the name is there twice"),
        "{twice}"
    );
    let unknown = refusal(&format!("[[sign_ins]]\n{sign_in}weights = 2\n"), &[]);
    assert_eq!(
        unknown,
        "switchboard.toml: sign_ins.list[0].weights is not known\ndid you mean weight?"
    );
}

#[test]
fn upstreams_are_tables_with_free_names() {
    let table = "base_url = \"http://127.0.0.1:1/v1\"\nendpoints = [\"embeddings\"]\nmodels = { \"e-1\" = \"free\" }\n";
    let file = format!("[upstreams.key]\n{table}");
    let inline = "{ other = { base_url = \"http://127.0.0.1:2\", endpoints = [\"audio\"], models = { \"w-1\" = \"minute 0.006\" } } }";
    let variable = [("SWITCHBOARD_UPSTREAMS", inline)];
    let settings = load(&file, &variable, &CommandLineFlags::default()).unwrap();
    let names: Vec<&String> = settings.upstreams.0.keys().collect();
    assert_eq!(names, ["key", "other"]);
    // A name that keys with secrets have elsewhere is printed as any other.
    assert!(settings.printed.contains("[upstreams.key]"));
    let printed = load(&settings.printed, &[], &CommandLineFlags::default()).unwrap();
    assert_eq!(printed.upstreams, settings.upstreams);
    let wrong = refusal("[upstreams]\nother = 7", &[]);
    assert!(
        wrong.starts_with("switchboard.toml: upstreams: expected tables, [upstreams.NAME]"),
        "{wrong}"
    );
    let wrong = refusal(&format!("{file}timeout = 1\n"), &[]);
    assert!(
        wrong.starts_with("switchboard.toml: upstreams.key.timeout is not known"),
        "{wrong}"
    );
    let wrong = refusal(&file.replace("http:", "ftp:"), &[]);
    assert!(
        wrong.starts_with("switchboard.toml: upstreams.key.base_url: it is no URL"),
        "{wrong}"
    );
    let twice = format!("{file}[upstreams.second]\n{table}");
    let wrong = refusal(&twice, &[]);
    assert!(
        wrong.starts_with(
            "switchboard.toml: upstreams.second: the model `e-1` is that of `key` too"
        ),
        "{wrong}"
    );
}
