//! Checks of the hooks of the configuration, and the expression of a filter.

use hyper::Uri;
use regex::Regex;
use regex::RegexBuilder;

use super::config::Config;
use super::config::FilterThen;
use super::config::HookAccess;
use super::config::HookConfig;
use super::config::HookKind;
use super::config::StreamMode;
use super::wire::HookPoint;
use crate::domain::Surface;
use crate::runtime::setting::SettingRefusal;

/// Prefix of a URL that names a Unix socket.
pub(super) const UNIX_PREFIX: &str = "unix:";
/// Longest match that a stream is held back for, in bytes.
const MAX_WINDOW_BYTES: usize = 16 * 1024;
/// Memory of the compiled patterns of a filter, in bytes.
const MAX_REGEX_BYTES: usize = 10 << 20;
/// Maximum length of a hook's name.
const MAX_NAME_LENGTH: usize = 64;
const MAX_TIMEOUT_MS: u64 = 600_000;
const MAX_CALLS_IN_FLIGHT: usize = 10_000;

impl Config {
    /// Checks the hooks of the list. The folder of programs is read at the start.
    ///
    /// # Errors
    /// Fails when a hook cannot work as it is written.
    pub fn check(&self) -> Result<(), SettingRefusal> {
        for (index, hook) in self.list.iter().enumerate() {
            let mut earlier = self.list[..index].iter();
            if earlier.any(|other| other.name == hook.name) {
                let advice = "give each hook a name of its own";
                return Err(hook.refused("the name is there twice", advice));
            }
            hook.check(!self.programs.is_empty())?;
        }
        Ok(())
    }
}

impl HookConfig {
    /// Checks the name, the points and the bounds of calls.
    pub(super) fn check_bounds(&self) -> Result<(), SettingRefusal> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_name = (1..=MAX_NAME_LENGTH).contains(&self.name.len());
        if !is_name || !self.name.bytes().all(is_plain) {
            let advice = "use 1 to 64 letters, digits, `_` and `-`";
            return Err(self.refused("the name is not allowed", advice));
        }
        if self.points.is_empty() {
            let advice = "set points = [\"before\"], or others of before, after, error and event";
            return Err(self.refused("it has no points, so it is never called", advice));
        }
        if !(1..=MAX_TIMEOUT_MS).contains(&self.timeout_ms) {
            let advice = "set timeout_ms to 1 to 600000";
            return Err(self.refused("the timeout is not allowed", advice));
        }
        if !(1..=MAX_CALLS_IN_FLIGHT).contains(&self.max_in_flight) {
            let advice = "set max_in_flight to 1 to 10000";
            return Err(self.refused("max_in_flight is not allowed", advice));
        }
        if self.user == HookAccess::Write {
            let advice = "set user = \"read\" or \"none\"";
            return Err(self.refused("no hook may change the user", advice));
        }
        self.check_surfaces()
    }

    /// Checks the hook as a whole. A program needs no command if its file may be in the folder.
    fn check(&self, has_folder: bool) -> Result<(), SettingRefusal> {
        self.check_bounds()?;
        match self.kind {
            HookKind::Filter => self.check_filter(),
            HookKind::Http => self.check_url().and_then(|()| self.check_called()),
            HookKind::Program if self.command.is_empty() && !has_folder => {
                let advice = "set command = [\"python3\", \"hook.py\"], or hooks.programs and a file of this name in it";
                Err(self.refused("it has no command", advice))
            }
            HookKind::Program => self.check_called(),
        }
    }

    fn check_surfaces(&self) -> Result<(), SettingRefusal> {
        let unknown = |name: &&String| Surface::from_name(name).is_none();
        let Some(name) = self.surfaces.iter().find(unknown) else {
            return Ok(());
        };
        let known = Surface::ALL.map(Surface::name).join(", ");
        let advice = format!("the surfaces are {known}");
        Err(self.refused(&format!("there is no surface `{name}`"), &advice))
    }

    fn check_filter(&self) -> Result<(), SettingRefusal> {
        if !self.url.is_empty() || !self.command.is_empty() {
            let advice = "remove them, or set another kind";
            return Err(self.refused("a filter has no url and no command", advice));
        }
        if self.is_at(HookPoint::Error) || self.is_at(HookPoint::Event) {
            let advice = "set points to \"before\", \"after\" or both";
            return Err(self.refused("a filter looks at requests and answers only", advice));
        }
        let compiled = compile_patterns(&self.words, &self.patterns);
        let (regex, longest) = compiled.map_err(|reason| {
            let advice = "write a regular expression in the syntax of the Rust crate regex";
            self.refused(&reason, advice)
        })?;
        self.check_replacement()?;
        if regex.is_none() && self.max_characters == 0 {
            let advice = "set words, patterns or max_characters";
            return Err(self.refused("the filter looks for nothing", advice));
        }
        if !self.is_at(HookPoint::After) {
            return Ok(());
        }
        if regex.is_none() {
            let advice = "set words or patterns, or points = [\"before\"]";
            return Err(self.refused("the filter looks for nothing in answers", advice));
        }
        match self.stream_mode() {
            StreamMode::Tap => {
                let advice = "set stream = \"window\" or \"whole\"";
                Err(self.refused("a filter changes answers, which a tap cannot", advice))
            }
            StreamMode::Window if longest.is_none_or(|bytes| bytes > MAX_WINDOW_BYTES) => {
                let advice =
                    "bound what repeats, such as `\\d{1,20}` for `\\d+`, or set stream = \"whole\"";
                let reason = "a match of its patterns may be longer than a stream can be held back";
                Err(self.refused(reason, advice))
            }
            StreamMode::Window | StreamMode::Whole => Ok(()),
        }
    }

    /// Checks that a filter puts nothing in the place of its matches that it would look for.
    fn check_replacement(&self) -> Result<(), SettingRefusal> {
        if self.then == FilterThen::Refuse {
            return Ok(());
        }
        let advice = "set replacement to a mark such as \"***\"";
        // Without a mark, what is left on both sides of a match could form another one.
        if self.replacement.trim().is_empty() {
            return Err(self.refused("the replacement is blank", advice));
        }
        let words = compile_patterns(&self.words, &[]).ok();
        let words = words.and_then(|(regex, _)| regex);
        if words.is_some_and(|words| words.is_match(&self.replacement)) {
            return Err(self.refused("the replacement contains one of the words", advice));
        }
        Ok(())
    }

    fn check_url(&self) -> Result<(), SettingRefusal> {
        let is_socket = self
            .url
            .strip_prefix(UNIX_PREFIX)
            .is_some_and(|path| path.starts_with('/'));
        let is_web = self.url.parse::<Uri>().is_ok_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
        });
        if is_socket || is_web {
            return Ok(());
        }
        let advice = "write it as http://127.0.0.1:9000/hook or unix:/run/hook.sock is written";
        Err(self.refused("the url is not one of http, https or a Unix socket", advice))
    }

    /// Checks the stream mode of a hook that is called.
    fn check_called(&self) -> Result<(), SettingRefusal> {
        if !self.words.is_empty() || !self.patterns.is_empty() || self.max_characters > 0 {
            let advice = "remove words, patterns and max_characters, or set kind = \"filter\"";
            return Err(self.refused("only a filter looks for words", advice));
        }
        if !self.is_at(HookPoint::After) {
            return Ok(());
        }
        let mode = self.stream_mode();
        if mode == StreamMode::Window {
            let advice = "set stream = \"whole\", or \"tap\" for a hook that only listens";
            return Err(self.refused("only a filter can hold a window of a stream back", advice));
        }
        if self.answer == HookAccess::Write && mode != StreamMode::Whole {
            let advice = "set stream = \"whole\", or answer = \"read\"";
            let reason = "it may replace answers, for which it has to see each of them as a whole";
            return Err(self.refused(reason, advice));
        }
        Ok(())
    }

    fn refused(&self, reason: &str, advice: &str) -> SettingRefusal {
        SettingRefusal {
            key: "list",
            message: format!("the hook `{}`: {reason}", self.name),
            hint: advice.to_owned(),
        }
    }
}

/// Compiles the words and patterns of a filter to one expression, if there are any. Returns with it
/// the length of its longest match in bytes, if that has a limit.
///
/// # Errors
/// Fails when a word is blank, or a pattern is invalid or matches the empty text; returns the reason.
pub(super) fn compile_patterns(
    words: &[String],
    patterns: &[String],
) -> Result<(Option<Regex>, Option<usize>), String> {
    let mut alternatives = Vec::new();
    for word in words {
        alternatives.push(word_pattern(word).ok_or("one of the words is blank")?);
    }
    alternatives.extend(patterns.iter().map(|pattern| format!("(?:{pattern})")));
    if alternatives.is_empty() {
        return Ok((None, None));
    }
    for pattern in patterns {
        let parsed = regex_syntax::parse(pattern);
        let parsed = parsed.map_err(|_| format!("`{pattern}` is no regular expression"))?;
        if parsed.properties().minimum_len().unwrap_or(0) == 0 {
            return Err(format!("`{pattern}` matches the empty text"));
        }
    }
    let expression = alternatives.join("|");
    let regex = RegexBuilder::new(&expression)
        .size_limit(MAX_REGEX_BYTES)
        .build();
    let regex = regex
        .map_err(|_| "the patterns cannot be compiled together, or are too large".to_owned())?;
    let parsed = regex_syntax::parse(&expression).map_err(|error| error.to_string())?;
    Ok((Some(regex), parsed.properties().maximum_len()))
}

/// Returns the pattern of a word or phrase: in upper or lower case, as a whole word, and with up to
/// four blanks of any kind where it has blanks.
fn word_pattern(word: &str) -> Option<String> {
    let parts: Vec<String> = word.split_whitespace().map(regex::escape).collect();
    let is_word = |character: Option<char>| {
        character.is_some_and(|character| character.is_ascii_alphanumeric() || character == '_')
    };
    let trimmed = word.trim();
    let start = if is_word(trimmed.chars().next()) {
        r"\b"
    } else {
        ""
    };
    let end = if is_word(trimmed.chars().next_back()) {
        r"\b"
    } else {
        ""
    };
    let body = parts.join(r"\s{1,4}");
    (!parts.is_empty()).then(|| format!("{start}(?i:{body}){end}"))
}

#[cfg(test)]
#[path = "config_check_tests.rs"]
mod tests;
