//! OpenPGP (RFC 9580): keys that we trust, and text signed in the cleartext signature framework.
//!
//! The packets and the mathematics are the `pgp` crate's. Here is the policy:
//!
//! - a signature counts only if it is by a key of the keyring or by one of its signing subkeys, bound to
//!   it by a valid self-signature and back-signature;
//! - keys must be neither revoked nor expired, signatures neither expired nor from the future, and hashes
//!   at least as strong as SHA-256;
//! - one good signature is enough, as archives sign with an old and a new key side by side;
//! - the text that is given out is exactly the text that was hashed; a file with anything before, after
//!   or between text and signatures is refused.

use crate::release::Error;
use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, PublicKey, Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, VerifyingKey};
use std::io::BufReader;

/// How far a clock may be behind the signer's, in seconds.
pub(crate) const CLOCK_SKEW: i64 = 600;
/// The most signatures on one text.
const MAX_SIGNATURES: usize = 32;
const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// The keys that may sign.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<Trusted>,
}

/// A key of the keyring with what its self-signatures say.
#[derive(Debug, Clone)]
struct Trusted {
    key: SignedPublicKey,
    user: String,
    /// When it expires, in seconds since 1970.
    expires: Option<i64>,
    revoked: bool,
    /// Whether the primary key itself may sign.
    signs: bool,
    subkeys: Vec<Subkey>,
}

/// A signing subkey.
#[derive(Debug, Clone)]
struct Subkey {
    /// Its place among the key's subkeys.
    index: usize,
    expires: Option<i64>,
    revoked: bool,
}

/// Text with a signature that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The text, lines ended by `\n`.
    pub(crate) text: String,
    /// Fingerprint of the primary key whose signature was good.
    pub(crate) signer: String,
}

impl Keyring {
    /// A keyring of these public keys, armored or binary, one or more in each.
    pub fn from_keys<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Result<Self, Error> {
        let mut all = Vec::new();
        for (number, bytes) in keys.into_iter().enumerate() {
            let fail = |reason: String| Error::Key { number: number + 1, reason };
            let (parsed, _) =
                SignedPublicKey::from_reader_many_buf(bytes.as_ref()).map_err(|e| fail(e.to_string()))?;
            let before = all.len();
            for key in parsed {
                all.push(evaluate(key.map_err(|e| fail(e.to_string()))?).map_err(fail)?);
            }
            if all.len() == before {
                return Err(fail("there is no public key in it".into()));
            }
        }
        if all.is_empty() { Err(Error::NoKeys) } else { Ok(Self { keys: all }) }
    }

    /// The fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|k| fingerprint(&k.key)).collect()
    }

    /// Reads signed text and checks its signatures; `now` is in seconds since 1970.
    pub(crate) fn verify_cleartext(&self, bytes: &[u8], now: i64) -> Result<Verified, Error> {
        // 1. Take text and signatures apart, with nothing left over.
        let (text, armor) = split(bytes)?;
        let signatures = read_signatures(armor)?;
        // 2. The signature is over lines joined by CR LF, whatever the file has.
        let hashed = text.replace('\n', "\r\n");
        // 3. Look for one good signature by a trusted key, remembering the worst that was seen.
        let mut worst: Option<Error> = None;
        let mut signers = Vec::new();
        for signature in &signatures {
            signers.push(issuer(signature));
            for trusted in &self.keys {
                match trusted.check(signature, hashed.as_bytes(), now) {
                    Some(Ok(())) => {
                        let mut text = text;
                        text.push('\n');
                        return Ok(Verified { text, signer: fingerprint(&trusted.key) });
                    }
                    Some(Err(error)) if worst.is_none() || matches!(error, Error::BadSignature { .. }) => {
                        worst = Some(error);
                    }
                    Some(Err(_)) | None => {}
                }
            }
        }
        Err(worst.unwrap_or_else(|| Error::UnknownSigner { signers, trusted: self.key_ids() }))
    }

    fn key_ids(&self) -> Vec<String> {
        self.keys.iter().map(|k| format!("{} ({})", key_id(&k.key), k.user)).collect()
    }
}

impl Trusted {
    /// `None` if the signature is not by this key.
    fn check(&self, signature: &Signature, hashed: &[u8], now: i64) -> Option<Result<(), Error>> {
        let primary = &self.key.primary_key;
        if names(signature, primary) {
            let usable = if self.signs { Ok(()) } else { Err(Error::NotForSigning { key: key_id(primary) }) };
            return Some(usable.and_then(|()| self.judge(signature, primary, hashed, None, now)));
        }
        self.subkeys.iter().find_map(|subkey| {
            let key = &self.key.public_subkeys[subkey.index].key;
            names(signature, key).then(|| self.judge(signature, key, hashed, Some(subkey), now))
        })
    }

    fn judge<K: VerifyingKey>(
        &self,
        signature: &Signature,
        key: &K,
        hashed: &[u8],
        subkey: Option<&Subkey>,
        now: i64,
    ) -> Result<(), Error> {
        let id = || format!("{} ({})", key_id(key), self.user);
        // The mathematics first: whatever else is wrong, tampering is the worst of it.
        let typed = matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary));
        if !typed || signature.verify(key, hashed).is_err() {
            return Err(Error::BadSignature { key: id() });
        }
        let hash = signature.hash_alg();
        let strong = matches!(
            hash,
            Some(
                HashAlgorithm::Sha256
                    | HashAlgorithm::Sha384
                    | HashAlgorithm::Sha512
                    | HashAlgorithm::Sha3_256
                    | HashAlgorithm::Sha3_512
            )
        );
        if !strong {
            let hash = hash.map_or_else(|| "an unknown hash".into(), |h| h.to_string());
            return Err(Error::WeakHash { key: id(), hash });
        }
        if self.revoked || subkey.is_some_and(|s| s.revoked) {
            return Err(Error::RevokedKey { key: id() });
        }
        for expires in [self.expires, subkey.and_then(|s| s.expires)].into_iter().flatten() {
            if expires <= now {
                return Err(Error::ExpiredKey { key: id(), expired: expires });
            }
        }
        let Some(created) = signature.created().map(|t| i64::from(t.as_secs())) else {
            return Err(Error::BadSignature { key: id() });
        };
        if created > now + CLOCK_SKEW {
            return Err(Error::Future { what: "signature", date: created, now });
        }
        let lifetime = signature.signature_expiration_time().map_or(0, |d| i64::from(d.as_secs()));
        if lifetime > 0 && created + lifetime <= now {
            return Err(Error::ExpiredSignature { key: id(), expired: created + lifetime });
        }
        Ok(())
    }
}

/// Evaluates the self-signatures of a key. Signatures by others say nothing to us and are ignored.
fn evaluate(key: SignedPublicKey) -> Result<Trusted, String> {
    let primary = &key.primary_key;
    let created = i64::from(primary.created_at().as_secs());
    // The newest valid self-signature rules.
    let direct = key.details.direct_signatures.iter().filter(|s| s.verify_key(primary).is_ok());
    let users = key.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|s| {
            s.typ() != Some(SignatureType::CertRevocation)
                && names(s, primary)
                && s.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let own = direct
        .chain(users)
        .max_by_key(|s| s.created().map(pgp::types::Timestamp::as_secs))
        .ok_or_else(|| format!("key {} has no valid self-signature", key_id(primary)))?;
    let expires = expiry(created, own);
    let flags = own.key_flags();
    let signs = flags.sign() || flags == pgp::packet::KeyFlags::default();
    let revoked = key.details.revocation_signatures.iter().any(|s| s.verify_key(primary).is_ok());
    let user = key.details.users.first().map_or_else(String::new, |u| u.id.as_str().unwrap_or("").to_owned());
    let mut subkeys = Vec::new();
    for (index, subkey) in key.public_subkeys.iter().enumerate() {
        let valid = |s: &&Signature| s.verify_subkey_binding(primary, &subkey.key).is_ok();
        let revoked =
            subkey.signatures.iter().filter(valid).any(|s| s.typ() == Some(SignatureType::SubkeyRevocation));
        let binding = subkey
            .signatures
            .iter()
            .filter(valid)
            .filter(|s| s.typ() == Some(SignatureType::SubkeyBinding) && s.key_flags().sign())
            .filter(|s| back_signed(s, &subkey.key, primary))
            .max_by_key(|s| s.created().map(pgp::types::Timestamp::as_secs));
        if let Some(binding) = binding {
            let created = i64::from(subkey.key.created_at().as_secs());
            subkeys.push(Subkey { index, expires: expiry(created, binding), revoked });
        }
    }
    Ok(Trusted { key, user, expires, revoked, signs, subkeys })
}

/// Whether the subkey, too, says that it belongs to the primary key: otherwise anybody could claim
/// another's signatures.
fn back_signed(binding: &Signature, subkey: &pgp::packet::PublicSubkey, primary: &PublicKey) -> bool {
    binding.embedded_signature().is_some_and(|s| s.verify_primary_key_binding(subkey, primary).is_ok())
}

fn expiry(created: i64, signature: &Signature) -> Option<i64> {
    signature.key_expiration_time().map(|d| i64::from(d.as_secs())).filter(|d| *d > 0).map(|d| created + d)
}

/// Whether the signature names this key as its issuer.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        signature.issuer_key_id().iter().any(|id| **id == key.legacy_key_id())
    } else {
        fingerprints.iter().any(|f| **f == key.fingerprint())
    }
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|f| format!("{f:X}"));
    fingerprint
        .or_else(|| signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase()))
        .unwrap_or_else(|| "an unnamed key".into())
}

fn fingerprint(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn key_id(key: &impl KeyDetails) -> String {
    key.legacy_key_id().to_string().to_uppercase()
}

/// Takes apart text and armored signatures (RFC 9580 section 7). Lines come back without dash escapes and
/// without blanks at their ends, joined by `\n`, with none at the end.
fn split(bytes: &[u8]) -> Result<(String, &str), Error> {
    let malformed = |reason: &str| Error::Malformed(reason.to_owned());
    if !bytes.starts_with(BEGIN_MESSAGE.as_bytes()) {
        return Err(Error::NotSigned);
    }
    let all = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
    if all.bytes().any(|b| b == 0) {
        return Err(malformed("a NUL byte"));
    }
    let mut rest = all;
    let mut next_line = || {
        let (line, after) = rest.split_once('\n')?;
        let at = all.len() - rest.len();
        rest = after;
        Some((line.strip_suffix('\r').unwrap_or(line), at))
    };
    if next_line().is_none_or(|(line, _)| line.trim_end() != BEGIN_MESSAGE) {
        return Err(Error::NotSigned);
    }
    // Armor headers: only `Hash:`, which says nothing that the signatures do not say themselves.
    loop {
        match next_line() {
            Some((line, _)) if line.trim().is_empty() => break,
            Some((line, _)) if line.starts_with("Hash:") => {}
            Some(_) => return Err(malformed("an unexpected line before the text")),
            None => return Err(malformed("it ends before the text")),
        }
    }
    let mut text = String::with_capacity(all.len());
    let signature = loop {
        let Some((line, at)) = next_line() else {
            return Err(malformed("it ends before the signature"));
        };
        let line = line.trim_end_matches([' ', '\t']);
        if line == BEGIN_SIGNATURE {
            break at;
        }
        let line = match line.strip_prefix('-') {
            None => line,
            Some(escaped) => match escaped.strip_prefix(' ') {
                Some(inner) => inner,
                // Trailing blanks are gone, so an escaped empty line has become a lone dash.
                None if escaped.is_empty() => "",
                None => return Err(malformed("a line of the text begins with an unescaped dash")),
            },
        };
        if line.contains('\r') {
            return Err(malformed("a carriage return inside a line"));
        }
        text.push_str(line);
        text.push('\n');
    };
    text.pop();
    let armor = &all[signature..];
    match armor.find(END_SIGNATURE) {
        Some(end) if armor[end + END_SIGNATURE.len()..].trim().is_empty() => Ok((text, armor)),
        Some(_) => Err(malformed("something follows the signature")),
        None => Err(malformed("the signature has no end")),
    }
}

fn read_signatures(armor: &str) -> Result<Vec<Signature>, Error> {
    let malformed = |e: pgp::errors::Error| Error::Malformed(format!("the signature cannot be read: {e}"));
    let mut dearmor = Dearmor::new(armor.as_bytes());
    dearmor.read_header().map_err(malformed)?;
    if dearmor.typ != Some(BlockType::Signature) {
        return Err(Error::Malformed("the armor holds no signature".into()));
    }
    let mut signatures = Vec::new();
    for packet in PacketParser::new(BufReader::new(&mut dearmor)) {
        match packet.map_err(malformed)? {
            Packet::Signature(signature) => signatures.push(signature),
            other => {
                return Err(Error::Malformed(format!(
                    "an OpenPGP packet that is no signature: {:?}",
                    tag(&other)
                )));
            }
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(Error::Malformed(format!("more than {MAX_SIGNATURES} signatures")));
        }
    }
    if signatures.is_empty() { Err(Error::NotSigned) } else { Ok(signatures) }
}

fn tag(packet: &Packet) -> Tag {
    use pgp::packet::PacketTrait as _;
    packet.tag()
}

#[cfg(test)]
#[path = "openpgp_tests.rs"]
pub(crate) mod tests;
