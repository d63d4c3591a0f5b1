//! Names of the keys of shared answers.

use super::AnswerName;

/// Version of the layout of keys and values. Servers of different layouts share nothing.
const LAYOUT: &str = "1";

/// Names of the keys of one cache. The prefix is in braces, so that a cluster has all keys in one slot,
/// and a script may use them together.
#[derive(Debug, Clone)]
pub(super) struct AnswerKeyNames {
    prefix: String,
}

impl AnswerKeyNames {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{{{prefix}}}:{LAYOUT}"),
        }
    }

    /// Mark of the last clearing.
    pub(super) fn clearing(&self) -> String {
        format!("{}:clearing", self.prefix)
    }

    /// Generation of all answers, or of those of `project`.
    pub(super) fn generation(&self, project: Option<&str>) -> String {
        match project {
            Some(project) => format!("{}:generation:{project}", self.prefix),
            None => format!("{}:generation", self.prefix),
        }
    }

    /// Stored answer.
    pub(super) fn answer(&self, name: &AnswerName) -> String {
        format!("{}:answer:{}", self.prefix, name.answer)
    }

    /// Claim of the server that makes the answer.
    pub(super) fn flight(&self, name: &AnswerName) -> String {
        format!("{}:flight:{}", self.prefix, name.flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_shared_answers_have_the_prefix_as_their_hash_tag() {
        let names = AnswerKeyNames::new("cache");
        let name = AnswerName {
            project: "p".to_owned(),
            answer: "a".to_owned(),
            flight: "f".to_owned(),
        };
        assert_eq!(names.clearing(), "{cache}:1:clearing");
        assert_eq!(names.generation(None), "{cache}:1:generation");
        assert_eq!(names.generation(Some("p")), "{cache}:1:generation:p");
        assert_eq!(names.answer(&name), "{cache}:1:answer:a");
        assert_eq!(names.flight(&name), "{cache}:1:flight:f");
    }
}
