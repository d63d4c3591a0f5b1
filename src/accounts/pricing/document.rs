//! Size of documents, mainly PDF.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::bufread::ZlibDecoder;
use memchr::memmem::Finder;
use serde::Deserialize;

use super::text;

/// Text tokens of a page: the upper end of the 1,500 to 3,000 that Anthropic documents. Each page
/// is also counted as an image.
const TOKENS_PER_PAGE: u64 = 3000;

/// Tokens of a document that is fetched upstream: the context size of most models.
const TOKENS_REMOTE: u64 = 200_000;

/// Maximum number of bytes unpacked from the documents of one turn. A page takes some hundred of
/// them.
const MAX_UNPACKED_BYTES: u64 = 8 << 20;
/// Bytes charged against that maximum for each stream, besides its content, which bounds the number
/// of streams. Real streams hold some hundred objects, so a document of 8,000 streams has more
/// pages than a request may have.
const STREAM_OVERHEAD_BYTES: u64 = 1024;

/// Longest form of `/Type`, with all letters escaped.
const MAX_ESCAPED_TYPE: usize = 13;

/// Type of an object stream, which can contain pages.
const PACKED: &[u8] = b"ObjStm";
static STREAM: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("stream"));

/// Size of a document, as far as it can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentSize {
    /// The content is elsewhere: a URL or an upload.
    Remote,
    /// The content is part of the request.
    Inline {
        bytes: u64,
        /// Number of pages found.
        pages: u64,
        /// Set if the whole document could be read, so that no page is missed.
        is_whole: bool,
    },
}

#[derive(Deserialize)]
struct DocumentBlock<'a> {
    #[serde(borrow)]
    source: DocumentBlockSource<'a>,
}

#[derive(Deserialize)]
struct DocumentBlockSource<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl DocumentSize {
    /// Measures a document in base64; unpacks at most `room` bytes.
    pub(super) fn of_data(data: &str, room: &mut UnpackQuota) -> Self {
        let (pages, is_whole) = count_pages(data, room);
        Self::Inline {
            bytes: data.len() as u64 / 4 * 3,
            pages,
            is_whole,
        }
    }

    /// Measures a document block of the Anthropic API.
    pub(super) fn of_block(json: &str, room: &mut UnpackQuota) -> Self {
        serde_json::from_str::<DocumentBlock<'_>>(json).map_or(Self::Remote, |block| {
            Self::of_data(&block.source.data, room)
        })
    }

    /// Estimated upper bound of the tokens: by pages, each a text and an image, and never less than
    /// by bytes. `packed_tokens` is the minimum for a document whose pages cannot be counted.
    pub(super) fn tokens(self, image_tokens: u64, packed_tokens: u64) -> u64 {
        match self {
            Self::Remote => TOKENS_REMOTE.max(packed_tokens),
            Self::Inline {
                bytes,
                pages,
                is_whole,
            } => {
                let by_pages = pages.saturating_mul(TOKENS_PER_PAGE + image_tokens);
                let at_least = if is_whole && pages > 0 {
                    0
                } else {
                    packed_tokens
                };
                by_pages.max(at_least).max(text::tokens_of_bytes(bytes))
            }
        }
    }
}

/// Iterator over the object streams of a PDF. Linear: each byte is examined once, however many
/// markers there are.
struct PackedStreams<'a> {
    rest: &'a [u8],
    room: &'a mut UnpackQuota,
}

/// Number of bytes that may still be unpacked from the documents of a turn; each stream takes
/// [`STREAM_OVERHEAD_BYTES`] besides its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnpackQuota(u64);

impl Default for UnpackQuota {
    fn default() -> Self {
        Self(MAX_UNPACKED_BYTES)
    }
}

/// Counts the pages of a PDF in base64, and returns whether the whole document could be read.
fn count_pages(data: &str, room: &mut UnpackQuota) -> (u64, bool) {
    let Ok(pdf) = BASE64.decode(data) else {
        return (0, false);
    };
    let mut pages = count_page_markers(&pdf);
    let mut streams = PackedStreams { rest: &pdf, room };
    while streams.has_next() {
        let Some(objects) = streams.unpack() else {
            return (pages, false);
        };
        pages += count_page_markers(&objects);
    }
    (pages, true)
}

impl PackedStreams<'_> {
    /// Moves behind the next marker; returns false if there is none.
    fn has_next(&mut self) -> bool {
        let marked = memchr::memchr_iter(b'/', self.rest)
            .find_map(|at| strip_name(&self.rest[at..], PACKED));
        self.rest = marked.unwrap_or_default();
        marked.is_some()
    }

    /// Unpacks the stream that follows, and moves behind it. `None` if it is unreadable or exceeds
    /// the remaining bytes.
    fn unpack(&mut self) -> Option<Vec<u8>> {
        // Denial of service: empty streams use up the allowance as well.
        self.room.0 = self.room.0.checked_sub(STREAM_OVERHEAD_BYTES)?;
        let packed = self
            .rest
            .get(STREAM.find(self.rest)? + STREAM.needle().len()..)?;
        let packed = packed.strip_prefix(b"\r").unwrap_or(packed);
        let packed = packed.strip_prefix(b"\n").unwrap_or(packed);
        let mut decoder = ZlibDecoder::new(packed);
        let mut objects = Vec::new();
        let read = decoder.by_ref().take(self.room.0).read_to_end(&mut objects);
        // Bytes unpacked before an error count too.
        self.room.0 = self.room.0.saturating_sub(objects.len() as u64);
        if read.is_err() || self.room.0 == 0 {
            return None;
        }
        self.rest = decoder.into_inner();
        Some(objects)
    }
}

fn count_page_markers(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'/', bytes)
        .filter(|at| is_page(bytes, *at))
        .count() as u64
}

/// True if the slash at `at` begins the name `Page`, as the value of a `/Type`.
fn is_page(bytes: &[u8], at: usize) -> bool {
    let is_whole = |rest: &[u8]| {
        rest.first()
            .is_none_or(|next| !next.is_ascii_alphanumeric() && *next != b'#')
    };
    if !strip_name(&bytes[at..], b"Page").is_some_and(is_whole) {
        return false;
    }
    let before = bytes[..at].trim_ascii_end();
    let tail = &before[before.len().saturating_sub(MAX_ESCAPED_TYPE)..];
    memchr::memrchr(b'/', tail)
        .and_then(|start| strip_name(&tail[start..], b"Type"))
        .is_some_and(<[u8]>::is_empty)
}

/// Returns what follows a slash and `name`, any byte of which may be written as `#` and two
/// hexadecimal digits; `None` for another name.
fn strip_name<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(b"/")?;
    for wanted in name {
        let (found, after) = match rest.strip_prefix(b"#") {
            Some(escaped) => {
                let (digits, after) = escaped.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, after)
            }
            None => rest.split_first().map(|(first, after)| (*first, after))?,
        };
        rest = (found == *wanted).then_some(after)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn size(pdf: &[u8]) -> DocumentSize {
        DocumentSize::of_data(&BASE64.encode(pdf), &mut UnpackQuota::default())
    }

    /// Builds a PDF with `content` bytes on each page.
    fn pdf(pages: usize, content: usize) -> Vec<u8> {
        let mut pdf =
            b"%PDF-1.4\n1 0 obj <</Type /Pages /Count 3>> endobj /PageMode /PageLabels\n".to_vec();
        for page in 0..pages {
            let mark = ["/Type/Page", "/Type /Page", "/Type\r\n/Page"][page % 3];
            pdf.extend_from_slice(
                format!("{page} 0 obj <<{mark}/Parent 1 0 R>> endobj\n").as_bytes(),
            );
            pdf.resize(pdf.len() + content, b'x');
        }
        pdf
    }

    /// Packs objects into an object stream.
    fn packed(objects: &[u8]) -> Vec<u8> {
        let mut stream = b"9 0 obj <</Type/ObjStm/Filter/FlateDecode>>\nstream\n".to_vec();
        let mut encoder = ZlibEncoder::new(&mut stream, Compression::default());
        encoder.write_all(objects).unwrap();
        encoder.finish().unwrap();
        stream.extend_from_slice(b"\nendstream endobj\n");
        stream
    }

    #[test]
    fn pages_are_counted_anywhere_in_the_document() {
        for (pages, content) in [(1, 0), (3, 100), (100, 5_000), (900, 113), (5000, 0)] {
            let pdf = pdf(pages, content);
            let expected = DocumentSize::Inline {
                bytes: BASE64.encode(&pdf).len() as u64 / 4 * 3,
                pages: pages as u64,
                is_whole: true,
            };
            assert_eq!(size(&pdf), expected, "{pages} {content}");
        }
    }

    #[test]
    fn pages_and_streams_with_escaped_names_are_counted() {
        let pages = b"<</Type/P#61ge>> <</T#79pe /Page>> <</#54#79#70#65\n/#50#61#67#65>>";
        let others = b"<</Type/P#61ges>> <</Type/Page#73>> <</Kind/P#61ge>> /P#6";
        let seen = size(&[pages.as_slice(), others].concat());
        assert!(
            matches!(
                seen,
                DocumentSize::Inline {
                    pages: 3,
                    is_whole: true,
                    ..
                }
            ),
            "{seen:?}"
        );
        let mut stream = packed(pages);
        let at = stream.iter().position(|byte| *byte == b'S').unwrap();
        stream.splice(at..=at, *b"#53");
        let seen = size(&stream);
        assert!(
            matches!(
                seen,
                DocumentSize::Inline {
                    pages: 3,
                    is_whole: true,
                    ..
                }
            ),
            "{seen:?}"
        );
    }

    /// Number of streams started, and number of bytes behind the last one.
    fn work(pdf: &[u8]) -> (usize, usize) {
        let mut room = UnpackQuota::default();
        let mut streams = PackedStreams {
            rest: pdf,
            room: &mut room,
        };
        let mut started_streams = 0;
        while streams.has_next() {
            started_streams += 1;
            if streams.unpack().is_none() {
                break;
            }
        }
        (started_streams, streams.rest.len())
    }

    #[test]
    fn markers_without_streams_take_linear_time() {
        let marks = b"/ObjStm".repeat(500_000);
        assert_eq!(work(&marks).0, 1, "no stream follows");
        let one = packed(b"/Type/Page");
        assert_eq!(work(&[marks, one.clone()].concat()), (1, 0));
        // Each stream is read once, and what follows it is still seen.
        assert_eq!(work(&one.repeat(5)), (5, 0));
    }

    #[test]
    fn empty_streams_use_up_the_unpack_limit() {
        let (started_streams, left) = work(&packed(b"").repeat(50_000));
        assert!(
            started_streams <= 8192 && left > 0,
            "{started_streams} {left}"
        );
        let data = BASE64.encode(packed(b"").repeat(50_000));
        assert_eq!(count_pages(&data, &mut UnpackQuota::default()), (0, false));
    }

    #[test]
    fn documents_of_a_turn_share_the_unpack_limit() {
        let large = BASE64.encode(packed(&vec![
            0;
            usize::try_from(MAX_UNPACKED_BYTES / 2)
                .unwrap()
        ]));
        let mut room = UnpackQuota::default();
        let whole = [(); 3].map(|()| count_pages(&large, &mut room).1);
        assert_eq!(whole, [true, false, false]);
        assert_eq!(room, UnpackQuota(0));
    }

    #[test]
    fn document_tokens_depend_on_pages_and_bytes() {
        let tokens = |size: DocumentSize| size.tokens(1600, 15_000);
        assert_eq!(tokens(size(&pdf(20, 0))), 20 * 4600);
        assert!(tokens(size(&pdf(2, 300_000))) >= 200_000, "by its bytes");
        assert_eq!(tokens(size(&packed(&pdf(100, 0)))), 100 * 4600);
        assert_eq!(
            tokens(size(
                &[pdf(2, 0), packed(&pdf(7, 9)), packed(&pdf(1, 0))].concat()
            )),
            10 * 4600
        );
        let broken = [pdf(100, 0), b"%/ObjStm".to_vec()].concat();
        assert_eq!(
            tokens(size(&broken)),
            100 * 4600,
            "the pages that can be seen count"
        );
        let mut encrypted = b"9 0 obj <</Type/ObjStm/N 100>> stream\r\n".to_vec();
        assert_eq!(tokens(size(&encrypted)), 15_000);
        encrypted.resize(300_000, b'x');
        assert_eq!(tokens(size(&encrypted)), 100_000);
        let bomb = packed(&vec![0; usize::try_from(MAX_UNPACKED_BYTES).unwrap()]);
        assert_eq!(tokens(size(&bomb)), 15_000);
        assert_eq!(tokens(size(b"no PDF")), 15_000);
        assert_eq!(
            tokens(DocumentSize::of_data(
                "no base64",
                &mut UnpackQuota::default()
            )),
            15_000
        );
        assert_eq!(tokens(DocumentSize::Remote), 200_000);
        let block = |source: &str| {
            let json = format!(r#"{{"type":"document","source":{source}}}"#);
            DocumentSize::of_block(&json, &mut UnpackQuota::default())
        };
        assert_eq!(
            block(r#"{"type":"url","url":"https://example.com/a.pdf"}"#),
            DocumentSize::Remote
        );
        let data = BASE64.encode(pdf(7, 0)).replace('/', "\\/");
        assert_eq!(
            tokens(block(&format!(r#"{{"type":"base64","data":"{data}"}}"#))),
            7 * 4600
        );
    }
}
