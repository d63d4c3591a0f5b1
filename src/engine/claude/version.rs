//! Versions of the CLI. [`start_check`](super::start_check) decides whether one can be used.

use std::fmt;

/// Version that all tests run against.
pub const TESTED: Version = Version {
    major: 2,
    minor: 1,
    patch: 329,
};

/// Version of the CLI, from `claude --version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number of the version.
    pub major: u32,
    /// Second number of the version.
    pub minor: u32,
    /// Third number of the version.
    pub patch: u32,
}

impl Version {
    /// Parses the output of `claude --version`, such as `2.1.329 (Claude Code)`.
    pub fn parse(output: &str) -> Option<Self> {
        let mut numbers = output
            .split_whitespace()
            .next()?
            .splitn(3, '.')
            .map(|number| {
                let digits = number
                    .split(|character: char| !character.is_ascii_digit())
                    .next()
                    .unwrap_or_default();
                digits.parse().ok()
            });
        Some(Self {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next()??,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_parsed_and_ordered() {
        let version = |text| Version::parse(text);
        assert_eq!(
            version("2.1.329 (Claude Code)\n").unwrap().to_string(),
            "2.1.329"
        );
        assert_eq!(version("2.2.0-beta.1").unwrap().to_string(), "2.2.0");
        assert!(version("2.1.99").unwrap() < version("2.1.329").unwrap());
        assert_eq!(version("command not found"), None);
    }
}
