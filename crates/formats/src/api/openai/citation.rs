//! Citations of web sources in `OpenAI`'s form.

use serde::Serialize;

use crate::domain::Citation;
use crate::domain::TurnEvent;

/// Citation of a web page for a range of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlCitation {
    /// Start of the cited range, in characters of the answer.
    pub start_index: usize,
    /// End of the cited range, exclusive.
    pub end_index: usize,
    /// Title of the source, or its URL if it has none.
    pub title: String,
    /// URL of the source.
    pub url: String,
}

/// Range of the answer to which a citation applies: the text block that came last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::api::openai) struct CitedText {
    begin: usize,
    end: usize,
}

impl CitedText {
    /// Moves the range according to the next event of the answer.
    pub(in crate::api::openai) fn track_event(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Text(piece) => self.end += piece.chars().count(),
            TurnEvent::NextText | TurnEvent::ServerBlock(_) => self.begin = self.end,
            _ => {}
        }
    }

    /// Returns `citation` for the current range; none unless its source is on the web, since
    /// `OpenAI` has no form for others.
    pub(in crate::api::openai) fn url_citation(&self, citation: &Citation) -> Option<UrlCitation> {
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
    fn citation_covers_last_text_block() {
        let mut text = CitedText::default();
        let citation = |url: Option<&str>| Citation {
            json: String::new(),
            url: url.map(str::to_owned),
            title: None,
        };
        text.track_event(&TurnEvent::Text("Ünï ".to_owned()));
        text.track_event(&TurnEvent::NextText);
        text.track_event(&TurnEvent::Text("code".to_owned()));
        let cited = text
            .url_citation(&citation(Some("https://a.example")))
            .unwrap();
        assert_eq!((cited.start_index, cited.end_index), (4, 8));
        assert_eq!(cited.title, "https://a.example");
        assert_eq!(text.url_citation(&citation(None)), None);
    }
}
