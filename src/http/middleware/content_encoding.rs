//! Decompression of request bodies while they are read.

use std::error::Error;
use std::io;
use std::pin::Pin;

use async_compression::codecs::zstd::params::DParameter;
use async_compression::tokio::bufread::BrotliDecoder;
use async_compression::tokio::bufread::GzipDecoder;
use async_compression::tokio::bufread::ZlibDecoder;
use async_compression::tokio::bufread::ZstdDecoder;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header;
use futures::TryStreamExt as _;
use http_body::Body as _;
use http_body_util::Limited;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;
use tokio_util::io::StreamReader;

use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::error::SUPPORTED_ENCODINGS;

/// Maximum number of encodings of one body.
const MAX_ENCODINGS: usize = 3;
/// Maximum zstd window as a power of two: 8 MiB, the limit of RFC 9659 for HTTP.
const ZSTD_WINDOW: u32 = 23;
/// Chunk size of unpacked data, in bytes.
const CHUNK_BYTES: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentEncoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Error: the body is not valid in the encoding of its `Content-Encoding`.
#[derive(Debug, thiserror::Error)]
#[error("the body is no valid {encoding}")]
pub(in crate::http) struct BrokenEncoding {
    /// Name of the encoding in the header.
    pub(in crate::http) encoding: &'static str,
    source: io::Error,
}

/// Error: the compressed body did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("the compressed body did not come")]
struct MissingBody(#[source] axum::Error);

/// Unpacks the body of the request if it has an encoding. Reading it fails if any stage yields more
/// than `limit` bytes (decompression bombs), or with [`BrokenEncoding`].
///
/// # Errors
/// 415 for an unknown encoding or too many encodings.
pub(super) fn unpack(request: Request, limit: usize) -> Result<Request, ApiError> {
    let encodings = encodings(request.headers())?;
    if encodings.is_empty() || request.body().is_end_stream() {
        return Ok(request);
    }
    let (mut parts, mut body) = request.into_parts();
    // Both headers describe the body as sent.
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    // Encodings are undone in reverse order.
    for encoding in encodings.into_iter().rev() {
        body = Body::new(Limited::new(encoding.decode(body), limit));
    }
    Ok(Request::from_parts(parts, body))
}

/// Returns the encodings of a body in the order in which they were applied.
fn encodings(headers: &HeaderMap) -> Result<Vec<ContentEncoding>, ApiError> {
    let mut encodings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let names = value
            .to_str()
            .map_err(|_| unsupported("an encoding with a name like this"))?;
        for name in names.split(',').map(str::trim) {
            encodings.extend(ContentEncoding::of(name)?);
        }
    }
    if encodings.len() > MAX_ENCODINGS {
        return Err(unsupported(&format!(
            "{} encodings of one body",
            encodings.len()
        )));
    }
    Ok(encodings)
}

fn unsupported(what: &str) -> ApiError {
    let message = format!(
        "`Content-Encoding`: this server does not read {what}. Send the body in one of {SUPPORTED_ENCODINGS}, or plain without the header."
    );
    ApiError::new(ErrorKind::UnsupportedEncoding, message)
}

impl ContentEncoding {
    /// Returns the encoding of this name; `None` for those without effect.
    fn of(name: &str) -> Result<Option<Self>, ApiError> {
        Ok(Some(match name.to_ascii_lowercase().as_str() {
            "" | "identity" => return Ok(None),
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => {
                return Err(unsupported(&format!(
                    "the encoding `{}`",
                    crate::api::request_schema::printable(name)
                )));
            }
        }))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the unpacked `body`, which is decompressed lazily.
    fn decode(self, body: Body) -> Body {
        let packed = body
            .into_data_stream()
            .map_err(|error| io::Error::other(MissingBody(error)));
        let plain = ReaderStream::with_capacity(self.reader(packed), CHUNK_BYTES);
        Body::from_stream(plain.map_err(move |error| self.fault(error)))
    }

    fn reader<S>(self, packed: S) -> Pin<Box<dyn AsyncRead + Send>>
    where
        S: futures::Stream<Item = io::Result<bytes::Bytes>> + Send + 'static,
    {
        let packed = Box::pin(StreamReader::new(packed));
        match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(packed);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            // RFC 9110: `deflate` is the zlib format.
            Self::Deflate => Box::pin(ZlibDecoder::new(packed)),
            Self::Brotli => Box::pin(BrotliDecoder::new(packed)),
            Self::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW);
                let mut decoder = ZstdDecoder::with_params(packed, &[window]);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        }
    }

    /// Separates failures of the connection from invalid data.
    fn fault(self, error: io::Error) -> Box<dyn Error + Send + Sync> {
        match error.downcast::<MissingBody>() {
            Ok(MissingBody(error)) => error.into_inner(),
            Err(source) => Box::new(BrokenEncoding {
                encoding: self.name(),
                source,
            }),
        }
    }
}
