//! The control file of a package, as far as adoption needs it.

use super::names;
use super::package::Error;
use lazuli_debian::deb::Deb;
use lazuli_debian::relation::{self, Relation};
use lazuli_debian::version::Version;
use lazuli_tree::TreePath;

/// The fields of the control file that are used, read.
pub(super) struct Control {
    pub(super) package: String,
    pub(super) version: Version,
    pub(super) architecture: String,
    pub(super) arch: &'static str,
    pub(super) source: String,
    pub(super) source_version: Version,
    pub(super) essential: bool,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) homepage: String,
    pub(super) depends: Vec<Relation>,
    pub(super) recommends: Vec<Relation>,
    pub(super) suggests: Vec<Relation>,
    pub(super) enhances: Vec<Relation>,
    pub(super) provides: Vec<Relation>,
    pub(super) conflicts: Vec<Relation>,
    pub(super) breaks: Vec<Relation>,
    pub(super) replaces: Vec<Relation>,
}

impl Control {
    /// Reads the fields.
    pub(super) fn read(deb: &Deb) -> Result<Self, Error> {
        let control = &deb.control;
        let package = control.get("Package").unwrap_or_default().to_owned();
        let fail = |field, reason: String| Error::Field { package: package.clone(), field, reason };
        let require = |field| control.get(field).ok_or_else(|| fail(field, "is missing".into()));
        // It becomes part of paths.
        require("Package")?;
        if package.contains('/') || TreePath::new(&package).is_err() || package.is_empty() {
            return Err(fail("Package", format!("`{package}` is not a package name")));
        }
        let version = |field, text: &str| text.parse::<Version>().map_err(|e| fail(field, e.to_string()));
        let relations = |field| {
            relation::parse(control.get(field).unwrap_or_default()).map_err(|e| fail(field, e.to_string()))
        };
        let own_version = version("Version", require("Version")?)?;
        let architecture = require("Architecture")?.to_owned();
        let arch = names::architecture(&architecture)
            .ok_or_else(|| fail("Architecture", format!("`{architecture}` is not amd64, arm64 or all")))?;
        let (source, source_version) = match control.get("Source") {
            None => (package.clone(), own_version.clone()),
            Some(text) => match text.split_once('(') {
                None => (text.trim().to_owned(), own_version.clone()),
                Some((name, rest)) => {
                    let text = rest.trim_end().trim_end_matches(')').trim();
                    (name.trim().to_owned(), version("Source", text)?)
                }
            },
        };
        let (summary, description) = control.description().unwrap_or_default();
        let mut depends = relations("Pre-Depends")?;
        depends.extend(relations("Depends")?);
        Ok(Self {
            version: own_version,
            arch,
            essential: control.get("Essential") == Some("yes"),
            description: if description.trim().is_empty() { summary.to_owned() } else { description },
            summary: summary.to_owned(),
            homepage: control.get("Homepage").unwrap_or_default().to_owned(),
            depends,
            recommends: relations("Recommends")?,
            suggests: relations("Suggests")?,
            enhances: relations("Enhances")?,
            provides: relations("Provides")?,
            conflicts: relations("Conflicts")?,
            breaks: relations("Breaks")?,
            replaces: relations("Replaces")?,
            architecture,
            source,
            source_version,
            package,
        })
    }

    /// File name of the source package as RPM would call it.
    pub(super) fn source_rpm(&self) -> String {
        let evr = names::evr(&self.source_version);
        format!("{}-{}.src.rpm", self.source, evr.version_release())
    }

    /// The architecture that restrictions in relations are about; packages for all are built for ours.
    pub(super) fn restriction(&self) -> &str {
        if self.architecture == "all" { "amd64" } else { &self.architecture }
    }
}
