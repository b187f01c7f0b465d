//! Public keys as `rpm` keeps them in its database: pseudo-packages with the name `gpg-pubkey`.
//!
//! The version is the last eight digits of the key's ID, the release its creation time, both in
//! hexadecimal. The key itself is in the tag PUBKEYS, binary and in base64.

use crate::{Error, InstalledPackage};
use lazuli_rpm::header::{HeaderBuilder, Value};
use lazuli_rpm::keys::PublicKey;
use lazuli_rpm::{DependencyFlags as Flags, Header, tag};

/// The version of RPM whose form of these packages this is.
const RPM_VERSION: &str = "4.20.1";

pub(crate) fn packages(armored: &str) -> Result<Vec<InstalledPackage>, Error> {
    lazuli_rpm::keys::public_keys(armored)?.iter().map(package).collect()
}

fn package(key: &PublicKey) -> Result<InstalledPackage, Error> {
    let short = key.id.get(8..).unwrap_or(&key.id);
    let release = format!("{:08x}", key.created);
    let fail = |reason: String| Error::Package { package: format!("gpg-pubkey-{short}-{release}"), reason };
    let provides = vec![format!("gpg({})", key.user_id), format!("gpg({short})"), format!("gpg({})", key.id)];
    let flags = Flags::KEYRING.0 | Flags::EQUAL.0;
    let evr = format!("4:{}-{release}", key.id);
    let mut h = HeaderBuilder::new();
    h.set(tag::PUBKEYS, Value::StringArray(vec![key.base64.clone()]));
    h.string(tag::NAME, "gpg-pubkey").string(tag::VERSION, short).string(tag::RELEASE, &release);
    h.set(tag::SUMMARY, Value::I18n(vec![format!("{} public key", key.user_id)]));
    h.set(tag::DESCRIPTION, Value::I18n(vec![key.armored.clone()]));
    h.set(tag::GROUP, Value::I18n(vec!["Public Keys".into()]));
    h.string(tag::LICENSE, "pubkey").string(tag::PACKAGER, &key.user_id);
    h.string(tag::BUILDHOST, "localhost").number(tag::BUILDTIME, key.created).number(tag::SIZE, 0);
    // Without it the package would count as one of sources.
    h.string(tag::SOURCERPM, "(none)").string(tag::RPMVERSION, RPM_VERSION);
    h.set(tag::PROVIDEFLAGS, Value::Int32(vec![flags; provides.len()]));
    h.set(tag::PROVIDEVERSION, Value::StringArray(vec![evr; provides.len()]));
    h.set(tag::PROVIDENAME, Value::StringArray(provides));
    let bytes = h.finish(tag::HEADERIMMUTABLE);
    let digests = lazuli_rpm::sign::digests(&bytes);
    let parse = |bytes: &[u8]| Header::parse(bytes).map_err(|e| fail(e.to_string()));
    Ok(InstalledPackage { header: parse(&bytes)?, signature: parse(&digests)?, states: Vec::new() })
}
