//! What fuzz targets need of the private parsers.

/// The addresses in a mirror list or a metalink.
pub fn mirrors(text: &str) -> Vec<String> {
    crate::mirrors::parse(text)
}
