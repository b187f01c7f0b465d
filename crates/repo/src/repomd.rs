//! `repomd.xml`: the signed list of a repository's metadata files.
//!
//! It carries, for each part, size and SHA-256 of the file and of its decompressed content. The signature
//! over these few hundred bytes therefore covers everything: parts through their digests, packages
//! through the digests in `primary`. Unknown elements and parts are kept out of the way, not refused:
//! other tools add their own.
//!
//! # Against replay and freeze
//!
//! What is signed must also be recent. `revision`, which every reader knows, is a decimal number that grows
//! with each publication: [`Repomd::version`]. Two attributes of our own namespace on the root element have the
//! rest. Readers of repodata look for elements they know; an element of ours would make createrepo_c warn, an
//! attribute disturbs nobody:
//!
//! ```xml
//! <repomd xmlns:lazuli="urn:lazuli:repomd:1" lazuli:expires="1797800000" lazuli:snapshot="1795300000" ...>
//! ```
//!
//! `expires` is the second since the epoch from which on the metadata must not be believed any more;
//! `snapshot` the id of the immutable copy that [`crate::publish`] describes.

use crate::error::{Error, Result};
use crate::href::Href;
use crate::snapshot::SnapshotId;
use crate::xml::{Cursor, Element, Xml};
use lazuli_store::Digest;
use std::collections::BTreeMap;
use std::io;

/// The file's name below a repository.
pub const PATH: &str = "repodata/repomd.xml";
/// The detached, armored signature's name.
pub const SIGNATURE_PATH: &str = "repodata/repomd.xml.asc";
/// The armored public key's name; for people and tools that import it, never trusted by itself.
pub const KEY_PATH: &str = "repodata/repomd.xml.key";

/// The largest `repomd.xml` that is read, in bytes.
pub const MAX_REPOMD: u64 = 1 << 20;
/// The largest signature that is read, in bytes.
pub const MAX_SIGNATURE: u64 = 64 << 10;
/// The largest part as stored, in bytes.
pub const MAX_PART: u64 = 512 << 20;
/// The largest part when decompressed, in bytes.
pub const MAX_OPEN: u64 = 4 << 30;
/// The most parts that are listed.
const MAX_PARTS: usize = 256;

const FILE: &str = "repomd.xml";
/// Of our own attributes. As everywhere in repodata, the prefix is what is looked for.
const NAMESPACE: &str = "urn:lazuli:repomd:1";
const EXPIRES: &str = "lazuli:expires";
const SNAPSHOT: &str = "lazuli:snapshot";

/// One metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of the file as stored.
    pub checksum: Digest,
    /// SHA-256 of the decompressed content.
    pub open_checksum: Option<Digest>,
    /// Where it lies.
    pub location: Href,
    /// Seconds since the epoch.
    pub timestamp: i64,
    /// Bytes as stored.
    pub size: u64,
    /// Bytes when decompressed.
    pub open_size: Option<u64>,
}

/// The content of `repomd.xml`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repomd {
    /// Free text; ours is a decimal number that grows.
    pub revision: String,
    /// From this second since the epoch on the metadata must not be believed any more.
    pub expires: Option<i64>,
    /// The id of the immutable copy of this metadata; see [`crate::publish`].
    pub snapshot: Option<SnapshotId>,
    /// What the repository holds (`binary-x86_64`, ...).
    pub content_tags: Vec<String>,
    /// The distributions it is for: CPE identifier, if any, and name.
    pub distro_tags: Vec<(Option<String>, String)>,
    /// The metadata files by type (`primary`, `filelists`, ...). A type whose checksum is not SHA-256 is
    /// not listed here but in [`Repomd::unusable`].
    pub parts: BTreeMap<String, Part>,
    /// Types that are listed without a usable checksum, and why.
    pub unusable: BTreeMap<String, String>,
}

impl Repomd {
    /// Parses `repomd.xml`. The caller has checked its signature: see [`crate::Verified`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut cursor, root) = Cursor::open(FILE, bytes, "repomd")?;
        let mut repomd = Self::default();
        if cursor.attr(&root, EXPIRES)?.is_some() {
            repomd.expires = Some(cursor.need_parsed(&root, EXPIRES)?);
        }
        if cursor.attr(&root, SNAPSHOT)?.is_some() {
            repomd.snapshot = Some(cursor.need_parsed(&root, SNAPSHOT)?);
        }
        while let Some(element) = cursor.child()? {
            match element.name() {
                "revision" => repomd.revision = cursor.text(&element)?,
                "tags" => repomd.parse_tags(&mut cursor)?,
                "data" => repomd.parse_data(&mut cursor, &element)?,
                _ => cursor.skip()?,
            }
        }
        cursor.finish()?;
        Ok(repomd)
    }

    fn parse_tags(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        while let Some(element) = cursor.child()? {
            match element.name() {
                "content" => self.content_tags.push(cursor.text(&element)?),
                "distro" => {
                    let cpe = cursor.attr(&element, "cpeid")?.map(std::borrow::Cow::into_owned);
                    self.distro_tags.push((cpe, cursor.text(&element)?));
                }
                _ => cursor.skip()?,
            }
        }
        Ok(())
    }

    fn parse_data<'a>(&mut self, cursor: &mut Cursor<'a>, data: &Element<'a>) -> Result<()> {
        let kind = cursor.need(data, "type")?.into_owned();
        let mut unusable = None;
        let (mut checksum, mut open_checksum, mut location) = (None, None, None);
        let (mut timestamp, mut size, mut open_size) = (0, None, None);
        while let Some(element) = cursor.child()? {
            match element.name() {
                name @ ("checksum" | "open-checksum") => {
                    let algorithm = cursor.need(&element, "type")?.into_owned();
                    if algorithm == "sha256" {
                        let digest = Some(cursor.parse(&element)?);
                        if name == "checksum" {
                            checksum = digest;
                        } else {
                            open_checksum = digest;
                        }
                    } else {
                        unusable = Some(format!("its checksum is {algorithm}, only sha256 is accepted"));
                        cursor.skip()?;
                    }
                }
                "location" => {
                    if cursor.attr(&element, "xml:base")?.is_some() {
                        return Err(cursor.error("a part with a base URL of its own is not accepted"));
                    }
                    let href = cursor.need(&element, "href")?;
                    location = Some(Href::new(&href).map_err(|e| cursor.error(e.to_string()))?);
                    cursor.skip()?;
                }
                "timestamp" => {
                    // Some generators write fractions of a second.
                    let text = cursor.text(&element)?;
                    let whole = text.trim().split('.').next().unwrap_or_default();
                    timestamp = whole.parse().map_err(|_| cursor.error("`timestamp` is not a number"))?;
                }
                "size" => size = Some(cursor.parse(&element)?),
                "open-size" => open_size = Some(cursor.parse(&element)?),
                _ => cursor.skip()?,
            }
        }
        if let Some(reason) = unusable {
            self.unusable.insert(kind, reason);
            return Ok(());
        }
        let missing =
            |cursor: &Cursor<'_>, what| cursor.error(format!("`data type=\"{kind}\"` has no `{what}`"));
        let part = Part {
            checksum: checksum.ok_or_else(|| missing(cursor, "checksum"))?,
            open_checksum,
            location: location.ok_or_else(|| missing(cursor, "location"))?,
            timestamp,
            size: size.ok_or_else(|| missing(cursor, "size"))?,
            open_size,
        };
        if self.parts.len() == MAX_PARTS {
            return Err(cursor.error(format!("more than {MAX_PARTS} parts")));
        }
        if self.parts.contains_key(&kind) {
            return Err(cursor.error(format!("`{kind}` is listed twice")));
        }
        self.parts.insert(kind, part);
        Ok(())
    }

    /// The revision as a number that grows from one publication to the next, if it is one. Other generators
    /// write seconds since the epoch, which serves as well, or free text, which does not.
    pub fn version(&self) -> Option<u64> {
        // A longer number would be a date of a distant age: nothing could ever follow it.
        let text = self.revision.trim();
        let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
        if plain { text.parse().ok() } else { None }
    }

    /// Whether it is past its expiry date at `now` (seconds since the epoch). Without such a date it never is.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// The part of type `kind`, which must be listed.
    pub fn part(&self, kind: &'static str) -> Result<&Part> {
        if let Some(reason) = self.unusable.get(kind) {
            return Err(Error::Mismatch {
                file: FILE,
                reason: format!("`{kind}` cannot be checked: {reason}"),
            });
        }
        self.parts.get(kind).ok_or(Error::MissingPart { part: kind })
    }

    /// The file's bytes. Parts come in the order in which readers want them.
    pub(crate) fn to_xml(&self) -> io::Result<Vec<u8>> {
        let mut xml = Xml::document()?;
        let expires = self.expires.map(|expires| expires.to_string());
        let snapshot = self.snapshot.map(|snapshot| snapshot.to_string());
        let mut attrs = vec![
            ("xmlns", "http://linux.duke.edu/metadata/repo"),
            ("xmlns:rpm", "http://linux.duke.edu/metadata/rpm"),
        ];
        if expires.is_some() || snapshot.is_some() {
            attrs.push(("xmlns:lazuli", NAMESPACE));
            attrs.extend(expires.as_deref().map(|expires| (EXPIRES, expires)));
            attrs.extend(snapshot.as_deref().map(|snapshot| (SNAPSHOT, snapshot)));
        }
        xml.open("repomd", &attrs)?;
        xml.leaf("revision", &[], &self.revision)?;
        if !self.content_tags.is_empty() || !self.distro_tags.is_empty() {
            xml.open("tags", &[])?;
            for tag in &self.content_tags {
                xml.leaf("content", &[], tag)?;
            }
            for (cpe, name) in &self.distro_tags {
                let cpe: Vec<_> = cpe.iter().map(|cpe| ("cpeid", cpe.as_str())).collect();
                xml.leaf("distro", &cpe, name)?;
            }
            xml.close("tags")?;
        }
        let rank =
            |kind: &str| ["primary", "filelists", "other"].iter().position(|k| *k == kind).unwrap_or(3);
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(kind, _)| (rank(kind), *kind));
        for (kind, part) in parts {
            xml.open("data", &[("type", kind)])?;
            let sha256 = [("type", "sha256")];
            xml.leaf("checksum", &sha256, &part.checksum.to_string())?;
            if let Some(open) = &part.open_checksum {
                xml.leaf("open-checksum", &sha256, &open.to_string())?;
            }
            xml.empty("location", &[("href", part.location.as_str())])?;
            xml.leaf("timestamp", &[], &part.timestamp.to_string())?;
            xml.leaf("size", &[], &part.size.to_string())?;
            if let Some(open) = part.open_size {
                xml.leaf("open-size", &[], &open.to_string())?;
            }
            xml.close("data")?;
        }
        xml.close("repomd")?;
        let mut bytes = xml.into_bytes();
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str) -> Part {
        Part {
            checksum: Digest::of(name),
            open_checksum: Some(Digest::of("open")),
            location: Href::new(&format!("repodata/{name}.xml.zst")).expect("href"),
            timestamp: 5,
            size: 10,
            open_size: Some(20),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let repomd = Repomd {
            revision: "7".to_owned(),
            expires: Some(1_800_000_000),
            snapshot: Some(SnapshotId::new(7)),
            content_tags: vec!["binary-x86_64".to_owned()],
            distro_tags: vec![(Some("cpe:/o:x:y:1".to_owned()), "X & Y".to_owned()), (None, "Z".to_owned())],
            parts: ["primary", "other", "filelists", "appstream"].map(|k| (k.to_owned(), part(k))).into(),
            unusable: BTreeMap::new(),
        };
        let xml = repomd.to_xml().expect("writes");
        assert_eq!(Repomd::parse(&xml).expect("reads"), repomd);
        let text = String::from_utf8(xml).expect("UTF-8");
        let order: Vec<_> = text.lines().filter(|l| l.contains("<data")).map(str::trim).collect();
        assert_eq!(
            order,
            ["primary", "filelists", "other", "appstream"].map(|k| format!("<data type=\"{k}\">"))
        );
    }

    #[test]
    fn only_a_plain_number_is_a_version_and_expiry_is_a_moment() {
        let revision = |text: &str| Repomd { revision: text.to_owned(), ..Repomd::default() };
        assert_eq!(revision("1795300000").version(), Some(1_795_300_000));
        for text in ["", "-1", "1.5", "+7", "today", "9999999999999999999999"] {
            assert_eq!(revision(text).version(), None, "{text}");
        }
        let dated = Repomd { expires: Some(100), ..Repomd::default() };
        assert_eq!([99, 100, 101].map(|now| dated.is_expired(now)), [false, true, true]);
        assert!(!Repomd::default().is_expired(i64::MAX));
    }

    #[test]
    fn a_broken_expiry_or_snapshot_is_refused() {
        for (attr, why) in [
            ("expires=\"soon\"", "expires"),
            ("snapshot=\"../x\"", "snapshot"),
            ("snapshot=\"\"", "snapshot"),
        ] {
            let xml = format!("<repomd lazuli:{attr}></repomd>");
            let error = Repomd::parse(xml.as_bytes()).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    fn parse_part(inner: &str) -> Result<Repomd> {
        Repomd::parse(format!("<repomd>\n<data type=\"primary\">\n{inner}</data></repomd>").as_bytes())
    }

    #[test]
    fn hostile_and_broken_parts() {
        let sum = format!("<checksum type=\"sha256\">{}</checksum>", Digest::of(""));
        for (inner, why) in [
            (format!("{sum}<location href=\"../../etc/shadow\"/><size>1</size>"), "leaves its directory"),
            (format!("{sum}<location xml:base=\"http://x/\" href=\"a\"/><size>1</size>"), "base URL"),
            (format!("{sum}<size>1</size>"), "no `location`"),
            (format!("{sum}<location href=\"a\"/>"), "no `size`"),
            (format!("{sum}<location href=\"a\"/><size>-1</size>"), "`size` is `-1`"),
            ("<location href=\"a\"/><size>1</size>".to_owned(), "no `checksum`"),
        ] {
            let error = parse_part(&inner).expect_err(why).to_string();
            assert!(error.contains(why) && error.contains("line 3"), "{error}");
        }
    }

    #[test]
    fn a_weak_checksum_makes_the_part_unusable() {
        let repomd = parse_part("<checksum type=\"sha\">00</checksum><location href=\"a\"/><size>1</size>")
            .expect("reads");
        let error = repomd.part("primary").expect_err("unusable").to_string();
        assert!(error.contains("only sha256"), "{error}");
    }
}
