//! A pull reader for the XML that repositories use, and a structured writer for it.
//!
//! The reader walks the children of one element at a time, knows where it is (line and byte offset, for
//! errors), and accepts no document type, so that no entity can be declared. Prefixes are ignored:
//! `rpm:license` is `license`, whatever name a generator gave to the namespace.

use crate::error::{Error, Result};
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer, XmlVersion};
use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::str::FromStr;

/// The longest text of one element in bytes (a description, a changelog entry).
const MAX_TEXT: usize = 4 << 20;
/// How deep elements may be nested.
const MAX_DEPTH: usize = 32;

/// A position in a metadata file.
pub(crate) struct Cursor<'a> {
    file: &'static str,
    bytes: &'a [u8],
    reader: Reader<&'a [u8]>,
    named_type: bool,
}

/// The start of an element.
pub(crate) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// The name without its prefix.
    pub(crate) fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }
}

impl<'a> Cursor<'a> {
    /// Starts reading; returns the root element, which must be called `root`.
    pub(crate) fn open(file: &'static str, bytes: &'a [u8], root: &str) -> Result<(Self, Element<'a>)> {
        Self::start(file, bytes, root, false)
    }

    /// The same for a kind of file that customarily names its document type. A type that is named declares
    /// nothing; one with declarations of its own is not accepted here either, and nothing is fetched.
    pub(crate) fn open_typed(file: &'static str, bytes: &'a [u8], root: &str) -> Result<(Self, Element<'a>)> {
        Self::start(file, bytes, root, true)
    }

    fn start(
        file: &'static str,
        bytes: &'a [u8],
        root: &str,
        named_type: bool,
    ) -> Result<(Self, Element<'a>)> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let reason = "is not UTF-8 text".to_owned();
                return Err(content_error(file, bytes, error.valid_up_to(), reason));
            }
        };
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut cursor = Self { file, bytes, reader, named_type };
        match cursor.child()? {
            Some(element) if element.name() == root => Ok((cursor, element)),
            Some(element) => {
                let reason = format!("the root element is `{}`, expected `{root}`", element.name());
                Err(cursor.error(reason))
            }
            None => Err(cursor.error(format!("there is no `{root}` element"))),
        }
    }

    /// An error at the current position.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        let offset = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        content_error(self.file, self.bytes, offset, reason.into())
    }

    fn event(&mut self) -> Result<Event<'a>> {
        match self.reader.read_event() {
            Ok(Event::DocType(text)) if self.named_type && !text.xml10_content().contains('[') => {
                // Only once, and only in front of everything: a second one is an error.
                self.named_type = false;
                self.event()
            }
            Ok(Event::DocType(_)) => Err(self.error("a document type is not accepted in metadata")),
            Ok(event) => Ok(event),
            Err(error) => {
                let offset = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
                Err(content_error(self.file, self.bytes, offset, error.to_string()))
            }
        }
    }

    /// The next child of the element that was entered last, or `None` at its end. The child must be
    /// consumed by [`Cursor::text`], [`Cursor::skip`] or by walking its children before the next call.
    pub(crate) fn child(&mut self) -> Result<Option<Element<'a>>> {
        loop {
            match self.event()? {
                Event::Start(start) => return Ok(Some(Element(start))),
                Event::End(_) => return Ok(None),
                Event::Eof => return Err(self.error("the file ends in the middle")),
                Event::Text(text) if text.xml10_content().trim().is_empty() => {}
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    return Err(self.error("text where only elements belong"));
                }
                _ => {}
            }
        }
    }

    /// The text of a leaf element, and its end.
    pub(crate) fn text(&mut self, element: &Element<'a>) -> Result<String> {
        let mut out = String::new();
        loop {
            match self.event()? {
                Event::Text(text) => out.push_str(&text.xml10_content()),
                Event::CData(text) => out.push_str(&text.xml10_content()),
                Event::GeneralRef(entity) => match entity.resolve_char_ref() {
                    Ok(Some(c)) => out.push(c),
                    Ok(None) => match quick_xml::escape::resolve_predefined_entity(&entity.xml10_content()) {
                        Some(text) => out.push_str(text),
                        None => return Err(self.error("an entity that XML does not define")),
                    },
                    Err(error) => return Err(self.error(error.to_string())),
                },
                Event::End(_) => return Ok(out),
                Event::Eof => return Err(self.error("the file ends in the middle")),
                Event::Start(inner) => {
                    let inner = inner.local_name().into_inner().to_owned();
                    return Err(
                        self.error(format!("`{inner}` inside `{}`, which holds text", element.name()))
                    );
                }
                _ => {}
            }
            if out.len() > MAX_TEXT {
                return Err(self.error(format!("the text of `{}` exceeds {MAX_TEXT} bytes", element.name())));
            }
        }
    }

    /// The text of a leaf element, parsed.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&mut self, element: &Element<'a>) -> Result<T> {
        let text = self.text(element)?;
        self.parsed(element.name(), &text)
    }

    fn parsed<T: FromStr<Err: Display>>(&self, what: &str, text: &str) -> Result<T> {
        text.trim().parse().map_err(|e| self.error(format!("`{what}` is `{}`: {e}", shorten(text))))
    }

    /// Skips everything up to the end of the element that was entered last.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.event()? {
                Event::Start(_) if depth == MAX_DEPTH => {
                    return Err(self.error("elements are nested too deep"));
                }
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(self.error("the file ends in the middle")),
                _ => {}
            }
        }
        Ok(())
    }

    /// After the root element has ended: nothing else may follow.
    pub(crate) fn finish(mut self) -> Result<()> {
        loop {
            match self.event()? {
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if text.xml10_content().trim().is_empty() => {}
                _ => return Err(self.error("something follows the root element")),
            }
        }
    }

    /// An attribute's value, if the element has it.
    pub(crate) fn attr<'e>(&self, element: &'e Element<'a>, name: &str) -> Result<Option<Cow<'e, str>>> {
        match element.0.try_get_attribute(name) {
            Ok(None) => Ok(None),
            Ok(Some(attr)) => match attr.normalized_value(XmlVersion::Explicit1_0) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(self.error(format!("attribute `{name}`: {error}"))),
            },
            Err(error) => Err(self.error(format!("the attributes of `{}`: {error}", element.name()))),
        }
    }

    /// An attribute that must be there.
    pub(crate) fn need<'e>(&self, element: &'e Element<'a>, name: &str) -> Result<Cow<'e, str>> {
        self.attr(element, name)?
            .ok_or_else(|| self.error(format!("`{}` has no attribute `{name}`", element.name())))
    }

    /// An attribute that must be there, parsed.
    pub(crate) fn need_parsed<T: FromStr<Err: Display>>(
        &self,
        element: &Element<'a>,
        name: &str,
    ) -> Result<T> {
        let text = self.need(element, name)?;
        self.parsed(name, &text)
    }
}

/// At most 80 characters of outside text, for an error message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().count() > 80 {
        short.push_str("...");
    }
    short
}

fn content_error(file: &'static str, bytes: &[u8], offset: usize, reason: String) -> Error {
    let offset = offset.min(bytes.len());
    let line = bytes[..offset].split(|&b| b == b'\n').count();
    Error::Content { file, line, offset, reason }
}

/// Writes metadata elements, indented by two spaces as generators of repodata do.
pub(crate) struct Xml(Writer<Vec<u8>>);

impl Xml {
    /// A writer that starts at nesting level 0 without a declaration.
    pub(crate) fn fragment() -> Self {
        Self(Writer::new_with_indent(Vec::new(), b' ', 2))
    }

    /// A writer that has written the XML declaration.
    pub(crate) fn document() -> io::Result<Self> {
        let mut xml = Self::fragment();
        xml.0.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        Ok(xml)
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, name: &str, attrs: &[(&str, &str)]) -> io::Result<()> {
        self.0.write_event(Event::Start(start(name, attrs)))
    }

    /// Closes an element.
    pub(crate) fn close(&mut self, name: &str) -> io::Result<()> {
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }

    /// Writes `<name attrs>text</name>`.
    pub(crate) fn leaf(&mut self, name: &str, attrs: &[(&str, &str)], text: &str) -> io::Result<()> {
        let text = representable(text);
        self.0.write_event(Event::Start(start(name, attrs)))?;
        // Quotation marks mean nothing in text and are left alone there.
        self.0.write_event(Event::Text(BytesText::from_escaped(partial_escape(text.as_ref()))))?;
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }

    /// Writes `<name attrs/>`.
    pub(crate) fn empty(&mut self, name: &str, attrs: &[(&str, &str)]) -> io::Result<()> {
        self.0.write_event(Event::Empty(start(name, attrs)))
    }

    /// Appends serialised elements.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().extend_from_slice(bytes);
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner()
    }
}

fn start<'a>(name: &'a str, attrs: &[(&str, &str)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (key, value) in attrs {
        start.push_attribute((*key, representable(value).as_ref()));
    }
    start
}

/// Text without what XML 1.0 cannot carry: carriage returns are dropped (a reader would turn them into
/// line feeds) and other control characters and non-characters become U+FFFD.
fn representable(text: &str) -> Cow<'_, str> {
    let bad = |c: char| (c < ' ' && c != '\n' && c != '\t') || matches!(c, '\u{fffe}' | '\u{ffff}');
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|&c| c != '\r').map(|c| if bad(c) { '\u{fffd}' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn walk(bytes: &[u8]) -> Result<Vec<String>> {
        let (mut cursor, _) = Cursor::open("test.xml", bytes, "r")?;
        let mut texts = Vec::new();
        while let Some(child) = cursor.child()? {
            texts.push(cursor.text(&child)?);
        }
        cursor.finish()?;
        Ok(texts)
    }

    #[test]
    fn text_entities_and_prefixes() {
        let xml = b"<?xml version='1.0'?>\n<x:r xmlns:x='u'>\n <a>1 &lt; &#50; &amp; <![CDATA[<3>]]></a><b/></x:r>\n";
        assert_eq!(walk(xml).expect("reads"), ["1 < 2 & <3>", ""]);
    }

    #[test]
    fn an_error_says_line_and_byte() {
        let error = walk(b"<r>\n<a>x</b></r>").expect_err("wrong end tag").to_string();
        assert!(error.starts_with("test.xml, line 2 (byte "), "{error}");
    }

    #[test]
    fn refused_documents() {
        for (xml, why) in [
            (&b"<!DOCTYPE r [<!ENTITY a 'b'>]><r><a>&a;</a></r>"[..], "document type"),
            (b"<r><a>&a;</a></r>", "entity"),
            (b"<r><a>", "ends in the middle"),
            (b"<s/>", "expected `r`"),
            (b"<r/><r/>", "follows the root"),
            (b"<r>text</r>", "text where"),
            (b"<r><a><b/></a></r>", "holds text"),
            (b"<r>\xff</r>", "UTF-8"),
            (b"", "ends in the middle"),
        ] {
            let error = walk(xml).expect_err(why).to_string();
            assert!(error.contains(why), "{error} does not say {why}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        let xml = ["<r>", &"<a>".repeat(100_000)].concat();
        let (mut cursor, _) = Cursor::open("test.xml", xml.as_bytes(), "r").expect("opens");
        cursor.child().expect("a child");
        assert!(cursor.skip().expect_err("too deep").to_string().contains("too deep"));
    }

    proptest! {
        #[test]
        fn written_text_and_attributes_come_back(text in "[^\\x00-\\x1f\u{fffe}\u{ffff}]*", attr in "[ -~äß€]*") {
            let mut xml = Xml::document().expect("starts");
            xml.open("r", &[]).expect("open");
            xml.leaf("a", &[("k", &attr)], &text).expect("leaf");
            xml.close("r").expect("close");
            let bytes = xml.into_bytes();
            let (mut cursor, _) = Cursor::open("test.xml", &bytes, "r").expect("opens");
            let element = cursor.child().expect("reads").expect("a child");
            prop_assert_eq!(cursor.attr(&element, "k").expect("attribute"), Some(Cow::from(attr.as_str())));
            prop_assert_eq!(cursor.text(&element).expect("text"), text);
        }

        #[test]
        fn any_text_can_be_written_and_read(text in any::<String>()) {
            let mut xml = Xml::document().expect("starts");
            xml.open("r", &[("k", &text)]).expect("open");
            xml.leaf("a", &[], &text).expect("leaf");
            xml.close("r").expect("close");
            prop_assert!(walk(&xml.into_bytes()).is_ok());
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = walk(&bytes);
        }
    }
}
