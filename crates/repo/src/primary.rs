//! `primary.xml`: one record a package with everything that resolving dependencies needs.

use crate::entry;
use crate::error::Result;
use crate::href::Href;
use crate::package::{File, FileKind, Package};
use crate::xml::{Cursor, Element, Xml};
use lazuli_rpm::{Evr, Nevra};
use lazuli_store::Digest;
use std::io;

const FILE: &str = "primary.xml";
/// The most packages in one repository.
pub(crate) const MAX_PACKAGES: usize = 1_000_000;
/// The most files of one package.
pub(crate) const MAX_FILES: usize = 2_000_000;

/// What opens and closes the document around `count` packages.
pub(crate) fn document(packages: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut xml = Xml::document()?;
    let count = packages.len().to_string();
    xml.open(
        "metadata",
        &[
            ("xmlns", "http://linux.duke.edu/metadata/common"),
            ("xmlns:rpm", "http://linux.duke.edu/metadata/rpm"),
            ("packages", &count),
        ],
    )?;
    for package in packages {
        xml.raw(b"\n");
        xml.raw(package);
    }
    xml.close("metadata")?;
    Ok(xml.into_bytes())
}

/// One package's record.
pub(crate) fn write(package: &Package) -> io::Result<Vec<u8>> {
    let mut xml = Xml::fragment();
    xml.open("package", &[("type", "rpm")])?;
    xml.leaf("name", &[], &package.nevra.name)?;
    xml.leaf("arch", &[], &package.nevra.arch)?;
    write_version(&mut xml, &package.nevra.evr)?;
    xml.leaf("checksum", &[("type", "sha256"), ("pkgid", "YES")], &package.checksum.to_string())?;
    xml.leaf("summary", &[], &package.summary)?;
    xml.leaf("description", &[], &package.description)?;
    xml.leaf("packager", &[], &package.packager)?;
    xml.leaf("url", &[], &package.url)?;
    let (file_time, build_time) = (package.file_time.to_string(), package.build_time.to_string());
    xml.empty("time", &[("file", &file_time), ("build", &build_time)])?;
    let sizes = [package.package_size, package.installed_size, package.archive_size].map(|n| n.to_string());
    xml.empty("size", &[("package", &sizes[0]), ("installed", &sizes[1]), ("archive", &sizes[2])])?;
    xml.empty("location", &[("href", package.location.as_str())])?;
    xml.open("format", &[])?;
    xml.leaf("rpm:license", &[], &package.license)?;
    xml.leaf("rpm:vendor", &[], &package.vendor)?;
    xml.leaf("rpm:group", &[], &package.group)?;
    xml.leaf("rpm:buildhost", &[], &package.build_host)?;
    xml.leaf("rpm:sourcerpm", &[], &package.source_rpm)?;
    let range = [package.header_range.start, package.header_range.end].map(|n| n.to_string());
    xml.empty("rpm:header-range", &[("start", &range[0]), ("end", &range[1])])?;
    for (element, list) in [
        ("rpm:provides", &package.provides),
        ("rpm:requires", &package.requires),
        ("rpm:conflicts", &package.conflicts),
        ("rpm:obsoletes", &package.obsoletes),
        ("rpm:suggests", &package.suggests),
        ("rpm:enhances", &package.enhances),
        ("rpm:recommends", &package.recommends),
        ("rpm:supplements", &package.supplements),
    ] {
        entry::write(&mut xml, element, list)?;
    }
    for file in package.files.iter().filter(|file| file.is_primary()) {
        write_file(&mut xml, file)?;
    }
    xml.close("format")?;
    xml.close("package")?;
    Ok(xml.into_bytes())
}

pub(crate) fn write_version(xml: &mut Xml, evr: &Evr) -> io::Result<()> {
    let epoch = evr.epoch.unwrap_or(0).to_string();
    xml.empty("version", &[("epoch", &epoch), ("ver", &evr.version), ("rel", &evr.release)])
}

pub(crate) fn write_file(xml: &mut Xml, file: &File) -> io::Result<()> {
    let kind: &[(&str, &str)] = match file.kind {
        FileKind::Directory => &[("type", "dir")],
        FileKind::Ghost => &[("type", "ghost")],
        FileKind::File => &[],
    };
    xml.leaf("file", kind, &file.path)
}

/// Reads all packages.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Package>> {
    let (mut cursor, root) = Cursor::open(FILE, bytes, "metadata")?;
    let count: usize = cursor.need_parsed(&root, "packages")?;
    let mut packages = Vec::with_capacity(count.min(100_000));
    while let Some(element) = cursor.child()? {
        if element.name() != "package" {
            cursor.skip()?;
            continue;
        }
        if packages.len() == MAX_PACKAGES {
            return Err(cursor.error(format!("more than {MAX_PACKAGES} packages")));
        }
        packages.push(read_package(&mut cursor)?);
    }
    if packages.len() != count {
        return Err(cursor.error(format!("{count} packages are announced, but {} are there", packages.len())));
    }
    cursor.finish()?;
    Ok(packages)
}

fn read_package(cursor: &mut Cursor<'_>) -> Result<Package> {
    let (mut name, mut arch, mut evr, mut checksum, mut location) = (None, None, None, None, None);
    let nowhere = Href::new("unknown").map_err(|e| cursor.error(e.to_string()))?;
    // The identity is filled in below; every path that leaves it unset is an error.
    let blank = Nevra { name: String::new(), evr: Evr::default(), arch: String::new() };
    let mut package = Package::new(blank, Digest::from_bytes([0; 32]), nowhere);
    while let Some(element) = cursor.child()? {
        match element.name() {
            "name" => name = Some(cursor.text(&element)?),
            "arch" => arch = Some(cursor.text(&element)?),
            "version" => {
                evr = Some(read_version(cursor, &element)?);
                cursor.skip()?;
            }
            "checksum" => {
                let algorithm = cursor.need(&element, "type")?.into_owned();
                if algorithm != "sha256" {
                    return Err(cursor.error(format!(
                        "the package's checksum is {}, only sha256 is accepted",
                        algorithm.escape_debug()
                    )));
                }
                checksum = Some(cursor.parse(&element)?);
            }
            "summary" => package.summary = cursor.text(&element)?,
            "description" => package.description = cursor.text(&element)?,
            "packager" => package.packager = cursor.text(&element)?,
            "url" => package.url = cursor.text(&element)?,
            "time" => {
                package.file_time = cursor.need_parsed(&element, "file")?;
                package.build_time = cursor.need_parsed(&element, "build")?;
                cursor.skip()?;
            }
            "size" => {
                package.package_size = cursor.need_parsed(&element, "package")?;
                package.installed_size = cursor.need_parsed(&element, "installed")?;
                package.archive_size = cursor.need_parsed(&element, "archive")?;
                cursor.skip()?;
            }
            "location" => {
                if cursor.attr(&element, "xml:base")?.is_some() {
                    return Err(cursor.error("a package with a base URL of its own is not accepted"));
                }
                let href = cursor.need(&element, "href")?;
                location = Some(Href::new(&href).map_err(|e| cursor.error(e.to_string()))?);
                cursor.skip()?;
            }
            "format" => read_format(cursor, &mut package)?,
            _ => cursor.skip()?,
        }
    }
    let name: String = name.ok_or_else(|| cursor.error("a package without `name`"))?;
    let missing = |what| cursor.error(format!("the package `{}` has no `{what}`", name.escape_debug()));
    let arch = arch.ok_or_else(|| missing("arch"))?;
    let evr = evr.ok_or_else(|| missing("version"))?;
    let checksum = checksum.ok_or_else(|| missing("checksum"))?;
    let location = location.ok_or_else(|| missing("location"))?;
    if name.is_empty() || arch.is_empty() || evr.version.is_empty() {
        return Err(cursor.error("a package with an empty name, version or architecture"));
    }
    Ok(Package { nevra: Nevra { name, evr, arch }, checksum, location, ..package })
}

pub(crate) fn read_version<'a>(cursor: &Cursor<'a>, element: &Element<'a>) -> Result<Evr> {
    let epoch = match cursor.attr(element, "epoch")? {
        Some(_) => cursor.need_parsed::<u32>(element, "epoch")?,
        None => 0,
    };
    Ok(Evr {
        epoch: (epoch != 0).then_some(epoch),
        version: cursor.need(element, "ver")?.into_owned(),
        release: cursor.need(element, "rel")?.into_owned(),
    })
}

pub(crate) fn read_file<'a>(cursor: &mut Cursor<'a>, element: &Element<'a>) -> Result<File> {
    let kind = match cursor.attr(element, "type")?.as_deref() {
        None => FileKind::File,
        Some("dir") => FileKind::Directory,
        Some("ghost") => FileKind::Ghost,
        Some(other) => return Err(cursor.error(format!("`{}` is not a kind of file", other.escape_debug()))),
    };
    let path = cursor.text(element)?;
    if !path.starts_with('/') {
        return Err(cursor.error(format!("the path `{}` is not absolute", path.escape_debug())));
    }
    Ok(File { path, kind })
}

fn read_format(cursor: &mut Cursor<'_>, package: &mut Package) -> Result<()> {
    while let Some(element) = cursor.child()? {
        match element.name() {
            "license" => package.license = cursor.text(&element)?,
            "vendor" => package.vendor = cursor.text(&element)?,
            "group" => package.group = cursor.text(&element)?,
            "buildhost" => package.build_host = cursor.text(&element)?,
            "sourcerpm" => package.source_rpm = cursor.text(&element)?,
            "header-range" => {
                package.header_range =
                    cursor.need_parsed(&element, "start")?..cursor.need_parsed(&element, "end")?;
                cursor.skip()?;
            }
            "provides" => entry::read(cursor, &mut package.provides)?,
            "requires" => entry::read(cursor, &mut package.requires)?,
            "conflicts" => entry::read(cursor, &mut package.conflicts)?,
            "obsoletes" => entry::read(cursor, &mut package.obsoletes)?,
            "suggests" => entry::read(cursor, &mut package.suggests)?,
            "enhances" => entry::read(cursor, &mut package.enhances)?,
            "recommends" => entry::read(cursor, &mut package.recommends)?,
            "supplements" => entry::read(cursor, &mut package.supplements)?,
            "file" => {
                if package.files.len() == MAX_FILES {
                    return Err(cursor.error(format!("a package with more than {MAX_FILES} files")));
                }
                let file = read_file(cursor, &element)?;
                package.files.push(file);
            }
            _ => cursor.skip()?,
        }
    }
    Ok(())
}
