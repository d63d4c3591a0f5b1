//! Sources of an answer, in the form of `OpenAI`.

use serde::Deserialize;
use serde::Serialize;

use crate::domain::Citation;
use crate::domain::TurnEvent;

/// A source of a part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlCitation {
    /// Where the part begins, in characters of the answer.
    pub start_index: usize,
    /// Where it ends.
    pub end_index: usize,
    /// What the source is called.
    pub title: String,
    /// The URL of the source.
    pub url: String,
}

/// Follows an answer, to tell which part of it a source is of: the text that came last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::api::openai) struct CitedText {
    begin: usize,
    end: usize,
}

impl CitedText {
    /// Takes note of a step of the answer.
    pub(in crate::api::openai) fn note(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Text(piece) => self.end += piece.chars().count(),
            TurnEvent::NextText | TurnEvent::ServerBlock(_) => self.begin = self.end,
            _ => {}
        }
    }

    /// The source `citation`, if it is on the web: `OpenAI` has no form for others.
    pub(in crate::api::openai) fn cite(&self, citation: &Citation) -> Option<UrlCitation> {
        let url = citation.url.clone()?;
        let title = citation.title.clone().unwrap_or_else(|| url.clone());
        Some(UrlCitation {
            start_index: self.begin,
            end_index: self.end,
            title,
            url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_of_the_text_before_it() {
        let mut text = CitedText::default();
        let citation = |url: Option<&str>| Citation {
            json: String::new(),
            url: url.map(str::to_owned),
            title: None,
        };
        text.note(&TurnEvent::Text("Ünï ".to_owned()));
        text.note(&TurnEvent::NextText);
        text.note(&TurnEvent::Text("code".to_owned()));
        let cited = text.cite(&citation(Some("https://a.example"))).unwrap();
        assert_eq!((cited.start_index, cited.end_index), (4, 8));
        assert_eq!(cited.title, "https://a.example");
        assert_eq!(text.cite(&citation(None)), None);
    }
}
