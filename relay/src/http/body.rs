//! An answer, compressed at most once in each way.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Shorter bodies are sent as they are.
const SHORT: usize = 1 << 10;

/// Brotli's effort, of 11. More costs several times as much for a few per cent.
const EFFORT: u32 = 4;

/// An answer, and the state that it shows.
#[derive(Debug)]
pub struct Answer {
    pub body: Bytes,
    /// Names the state, where it is known.
    pub etag: Option<String>,
    brotli: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    Brotli,
    Gzip,
}

impl Answer {
    #[must_use]
    pub fn new(body: impl Into<Bytes>, etag: Option<String>) -> Self {
        Self { body: body.into(), etag, brotli: OnceCell::new(), gzip: OnceCell::new() }
    }

    /// How much memory it takes at the most, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.body.len() + self.body.len() / 2 + 300
    }

    /// The best encoding that the client takes. None: the body goes as it is.
    #[must_use]
    pub fn encoding(&self, headers: &HeaderMap) -> Option<Encoding> {
        let says = |name: &str| {
            let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
            lists.flat_map(|list| list.split(',')).find_map(|item| {
                let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
                let is_refused = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()) == Some(0.0);
                coding.trim().eq_ignore_ascii_case(name).then_some(!is_refused)
            })
        };
        // `*` stands for what is not named (RFC 9110, section 12.5.3).
        let takes = |name| says(name).or_else(|| says("*")).unwrap_or(false);
        match self.body.len() {
            ..SHORT => None,
            _ if takes("br") => Some(Encoding::Brotli),
            _ if takes("gzip") => Some(Encoding::Gzip),
            _ => None,
        }
    }

    /// Whether it is there in that encoding.
    #[must_use]
    pub fn has(&self, encoding: Encoding) -> bool {
        self.of(encoding).initialized()
    }

    /// The body in that encoding, kept from then on. Compressed beside the threads that serve.
    pub async fn encoded(self: &Arc<Self>, encoding: Encoding) -> Option<Bytes> {
        let body = self.body.clone();
        let compress =
            || async move { tokio::task::spawn_blocking(move || encoding.compress(&body)).await.ok().flatten().ok_or(()) };
        self.of(encoding).get_or_try_init(compress).await.ok().cloned()
    }

    const fn of(&self, encoding: Encoding) -> &OnceCell<Bytes> {
        match encoding {
            Encoding::Brotli => &self.brotli,
            Encoding::Gzip => &self.gzip,
        }
    }
}

impl Encoding {
    /// As HTTP names it.
    #[must_use]
    pub const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        })
    }

    fn compress(self, body: &[u8]) -> Option<Bytes> {
        let out = Vec::with_capacity(body.len() / 4);
        Some(match self {
            Self::Brotli => {
                let mut writer = brotli::CompressorWriter::new(out, 32 << 10, EFFORT, 20);
                writer.write_all(body).ok()?;
                writer.into_inner().into()
            }
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                writer.write_all(body).ok()?;
                writer.finish().ok()?.into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn takes(answer: &Answer, accepted: &str) -> Option<Encoding> {
        let value = HeaderValue::from_str(accepted).expect("value");
        answer.encoding(&[(header::ACCEPT_ENCODING, value)].into_iter().collect())
    }

    #[test]
    fn the_client_chooses() {
        let long = Answer::new(vec![b'x'; SHORT], None);
        assert_eq!(takes(&long, "gzip, deflate, br;q=0.9"), Some(Encoding::Brotli));
        assert_eq!(takes(&long, "br;q=0, GZIP"), Some(Encoding::Gzip));
        assert_eq!((takes(&long, "identity"), takes(&long, "brr")), (None, None));
        assert_eq!((takes(&long, "*"), takes(&long, "*;q=0")), (Some(Encoding::Brotli), None));
        assert_eq!((takes(&long, "br;q=0, *"), takes(&long, "gzip, *;q=0")), (Some(Encoding::Gzip), Some(Encoding::Gzip)));
        assert_eq!(takes(&Answer::new(vec![b'x'; SHORT - 1], None), "br"), None);
    }

    #[tokio::test]
    async fn each_encoding_is_made_once_and_says_the_same() {
        let body: Vec<u8> = (0..50_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let answer = Arc::new(Answer::new(body.clone(), None));
        let (mut br, mut gzip) = (Vec::new(), Vec::new());
        let (first, second) = (answer.encoded(Encoding::Brotli).await, answer.encoded(Encoding::Brotli).await);
        assert_eq!(first.as_ref().map(|b| b.as_ptr()), second.as_ref().map(|b| b.as_ptr()));
        brotli::Decompressor::new(&*first.expect("br"), 4096).read_to_end(&mut br).expect("sound");
        flate2::read::GzDecoder::new(&*answer.encoded(Encoding::Gzip).await.expect("gzip"))
            .read_to_end(&mut gzip)
            .expect("sound");
        assert!(br == body && gzip == body && answer.has(Encoding::Brotli));
    }
}
