//! Compression of metadata files, with a cap on what comes out.

use crate::error::{Error, Result};
use std::io::Read;

/// The suffix of a file's name, without the dot.
pub(crate) fn suffix(href: &str) -> &str {
    href.rsplit(['.', '/']).next().unwrap_or_default()
}

/// zstd level for written metadata: slow enough to be small, fast enough for a large repository.
pub(crate) const LEVEL: i32 = 9;

/// Compresses a metadata file into one frame. zstd cuts the content into jobs by its size alone and lets as
/// many threads as there are work on them: the bytes do not depend on how many that is.
pub(crate) fn compress(content: &[u8]) -> std::io::Result<Vec<u8>> {
    compress_with(content, std::thread::available_parallelism().map_or(1, usize::from))
}

fn compress_with(content: &[u8], threads: usize) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    // One worker and no worker are different algorithms, so there is always one.
    encoder.multithread(threads.clamp(1, 16) as u32)?;
    encoder.set_pledged_src_size(Some(content.len() as u64))?;
    std::io::Write::write_all(&mut encoder, content)?;
    encoder.finish()
}

/// How much is handed out at once.
const PIECE: usize = 1 << 18;

/// Decompresses `content` by the suffix of `href` and hands it out in pieces. `limit` is the size that the
/// signed metadata promises: as soon as one byte more comes out the data is refused.
pub(crate) fn decompress(
    href: &str,
    content: &[u8],
    limit: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let (format, stream): (&'static str, Box<dyn Read + '_>) =
        match suffix(href) {
            "zst" => {
                let mut decoder = zstd::Decoder::with_buffer(content)
                    .map_err(|source| Error::Decompress { href: href.to_owned(), format: "zstd", source })?;
                // 128 MiB: what `zstd -d` accepts without being asked for more.
                decoder.window_log_max(27).map_err(|source| Error::Decompress {
                    href: href.to_owned(),
                    format: "zstd",
                    source,
                })?;
                ("zstd", Box::new(decoder))
            }
            "gz" => ("gzip", Box::new(flate2::bufread::MultiGzDecoder::new(content))),
            "xz" => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                        .map_err(|e| Error::Decompress {
                            href: href.to_owned(),
                            format: "xz",
                            source: e.into(),
                        })?;
                ("xz", Box::new(liblzma::bufread::XzDecoder::new_stream(content, stream)))
            }
            "xml" => ("plain", Box::new(content)),
            other => return Err(Error::Compression { href: href.to_owned(), name: other.to_owned() }),
        };
    let mut stream = stream.take(limit.saturating_add(1));
    let (mut piece, mut total) = (vec![0; PIECE], 0_u64);
    loop {
        let length = match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Decompress { href: href.to_owned(), format, source }),
        };
        total += length as u64;
        if total > limit {
            return Err(Error::TooLarge { href: href.to_owned(), limit });
        }
        take(&piece[..length])?;
    }
}

/// Memory an xz stream may ask for, in bytes: enough for `xz -9` (a 64 MiB dictionary).
const XZ_MEMORY: u64 = 96 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn decompress(href: &str, content: &[u8], limit: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        super::decompress(href, content, limit, &mut |piece| {
            out.extend(piece);
            Ok(())
        })?;
        Ok(out)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).expect("write");
        encoder.finish().expect("finish")
    }

    fn xz(content: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(content).expect("write");
        encoder.finish().expect("finish")
    }

    #[test]
    fn each_format_comes_back() {
        let content = b"<metadata/>".repeat(1000);
        let limit = content.len() as u64;
        for (name, packed) in [
            ("a.xml.zst", compress(&content).expect("zstd")),
            ("a.xml.gz", gzip(&content)),
            ("a.xml.xz", xz(&content)),
            ("a.xml", content.clone()),
        ] {
            assert_eq!(decompress(name, &packed, limit).expect(name), content);
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let content: Vec<u8> =
            (0..3_000_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 18).to_le_bytes()).collect();
        let wanted = compress_with(&content, 1).expect("zstd");
        for threads in [2, 3, 8] {
            assert!(compress_with(&content, threads).expect("zstd") == wanted, "{threads} threads");
        }
    }

    #[test]
    fn one_byte_more_than_promised_is_refused() {
        let zeros = vec![0; 10 << 20];
        let bombs = [
            ("b.xml.zst", compress(&zeros).expect("zstd")),
            ("b.xml.gz", gzip(&zeros)),
            ("b.xml.xz", xz(&zeros)),
        ];
        for (name, bomb) in bombs {
            assert!(bomb.len() < 20_000);
            let error = decompress(name, &bomb, (10 << 20) - 1).expect_err(name);
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn an_unknown_compression_is_named() {
        let error = decompress("repodata/p.xml.bz2", b"", 10).expect_err("refused").to_string();
        assert!(error.contains("`bz2`") && error.contains("zstd"), "{error}");
    }

    #[test]
    fn damage_names_the_file_and_format() {
        let mut packed = compress(&b"hello".repeat(100)).expect("zstd");
        let middle = packed.len() / 2;
        packed[middle] ^= 0xff;
        let error = decompress("repodata/p.xml.zst", &packed, 500).expect_err("refused").to_string();
        assert!(error.contains("repodata/p.xml.zst") && error.contains("zstd"), "{error}");
        let cut = &gzip(b"hello")[..10];
        assert!(decompress("p.gz", cut, 500).is_err(), "a cut stream");
    }
}
