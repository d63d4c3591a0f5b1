//! Files of the pages that this server shows: compiled in, with a validator and a policy for the
//! browser.

use std::io;
use std::io::Write as _;

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::entity_tag::entity_tag;
use super::entity_tag::is_known;

/// Policy by which a browser loads files of this server alone and sends nothing elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Encoding that every browser takes.
const GZIP: &str = "gzip";

/// File of a page, plain and compressed.
#[derive(Debug)]
pub(super) struct PageFile {
    media_type: &'static str,
    plain: FileVariant,
    /// Compressed content; `None` if it could not be made.
    compressed: Option<FileVariant>,
}

/// Bytes of a file as they are sent, with their strong entity tag.
#[derive(Debug)]
struct FileVariant {
    bytes: Bytes,
    tag: HeaderValue,
}

impl PageFile {
    /// Creates the file with this content, and compresses it.
    pub(super) fn new(media_type: &'static str, content: &'static str) -> Self {
        Self {
            media_type,
            plain: FileVariant::new(Bytes::from_static(content.as_bytes())),
            compressed: compress(content).ok().map(FileVariant::new),
        }
    }

    /// Answers a request with `headers`: compressed if the client takes that, and without the content
    /// if the client has it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let compressed = self.compressed.as_ref().filter(|_| takes_gzip(headers));
        let variant = compressed.unwrap_or(&self.plain);
        let mut response = if is_known(headers, &variant.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let media_type = [(header::CONTENT_TYPE, self.media_type)];
            (media_type, variant.bytes.clone()).into_response()
        };
        let is_sent = response.status() == StatusCode::OK;
        let answers = response.headers_mut();
        answers.insert(header::ETAG, variant.tag.clone());
        if compressed.is_some() && is_sent {
            answers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(GZIP));
        }
        let fixed: [(HeaderName, &'static str); 2] = [
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept-encoding"),
        ];
        answers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
        set_page_policy(answers);
        response
    }

    /// Returns the number of bytes that a browser loads.
    #[cfg(test)]
    pub(super) fn loaded_bytes(&self) -> usize {
        let variant = self.compressed.as_ref().unwrap_or(&self.plain);
        variant.bytes.len()
    }
}

impl FileVariant {
    fn new(bytes: Bytes) -> Self {
        let tag = entity_tag(&bytes);
        Self { bytes, tag }
    }
}

/// Sets the headers by which a browser trusts this server alone and tells nobody about it.
pub(super) fn set_page_policy(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn compress(content: &str) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content.as_bytes())?;
    Ok(encoder.finish()?.into())
}

/// True if the client takes bodies that are compressed by gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut codings = texts.flat_map(|text| text.split(','));
    codings.any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().strip_prefix("q=").unwrap_or("1");
        let quality = quality.trim().parse::<f64>();
        let is_refused = quality.is_ok_and(|quality| quality <= 0.0);
        name.trim().eq_ignore_ascii_case(GZIP) && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt as _;

    use super::*;

    fn asking(coding: &'static str) -> HeaderMap {
        let coding = HeaderValue::from_static(coding);
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, coding)])
    }

    #[test]
    fn gzip_is_taken_unless_its_quality_is_zero() {
        for taken in ["gzip", "br, GZIP;q=0.5", "gzip;q=1.0, br", "deflate,gzip"] {
            assert!(takes_gzip(&asking(taken)), "{taken}");
        }
        for refused in ["", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip", "identity"] {
            assert!(!takes_gzip(&asking(refused)), "{refused}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn compressed_file_has_a_tag_of_its_own() {
        let file = PageFile::new("text/css; charset=utf-8", "a { color: red }");
        let plain = file.answer(&HeaderMap::new());
        assert!(!plain.headers().contains_key("content-encoding"));
        let asked = asking("gzip, br");
        let compressed = file.answer(&asked);
        let headers = compressed.headers().clone();
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(headers["content-type"], "text/css; charset=utf-8");
        assert_ne!(headers["etag"], plain.headers()["etag"]);
        let bytes = compressed.into_body().collect().await.unwrap().to_bytes();
        let mut text = String::new();
        GzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "a { color: red }");
        let mut again = asked.clone();
        again.insert(header::IF_NONE_MATCH, headers["etag"].clone());
        let known = file.answer(&again);
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert!(!known.headers().contains_key("content-encoding"));
    }
}
