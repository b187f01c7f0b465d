//! The keys of a certificate that may have made a signature, and what it says about them itself.
//!
//! All of a certificate's own signatures were verified when it was read. The newest one of a kind rules.

use super::Error;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{KeyFlags, Signature, SignatureType};
use pgp::types::{KeyDetails, Timestamp, VerifyingKey};

/// A primary key or a subkey.
pub(super) struct Candidate<'a> {
    key: &'a dyn SignsAs,
    /// When it was made, in seconds since 1970.
    created: i64,
    /// When it ceases to be valid, if it ever does.
    expires: Option<i64>,
    /// Whether it is for signing.
    signs: bool,
}

/// The primary key, and the subkeys that are for signing and were not revoked.
pub(super) fn candidates(key: &SignedPublicKey) -> Vec<Candidate<'_>> {
    let primary = primary(key);
    let subkeys = key.public_subkeys.iter().filter_map(|sub| subkey(sub, primary.expires));
    let mut all: Vec<_> = subkeys.collect();
    all.insert(0, primary);
    all
}

impl Candidate<'_> {
    pub(super) fn is_issuer(&self, signature: &Signature) -> bool {
        self.key.is_issuer(signature)
    }

    pub(super) fn accepts(&self, signature: &Signature, data: &[u8]) -> bool {
        self.key.accepts(signature, data)
    }

    /// Whether the key was one to sign with when it signed. The clock of the machine plays no part in it:
    /// packages outlive the keys that signed them.
    pub(super) fn check_use(&self, signer: &str, signature: &Signature) -> Result<(), Error> {
        if !self.signs {
            return Err(Error::NotForSigning { signer: signer.to_owned() });
        }
        let time = signature.created().map_or(0, seconds);
        let fail = |why| Err(Error::Time { signer: signer.to_owned(), time, why });
        if time < self.created {
            return fail("did not exist yet");
        }
        if self.expires.is_some_and(|expires| time > expires) {
            return fail("had expired");
        }
        Ok(())
    }
}

fn primary(key: &SignedPublicKey) -> Candidate<'_> {
    use SignatureType::{CertCasual, CertGeneric, CertPersona, CertPositive};
    // A revocation of a user ID is among its signatures too, and says nothing about the key.
    let certifications = key.details.users.iter().flat_map(|user| &user.signatures);
    let certifications = certifications
        .filter(|s| matches!(s.typ(), Some(CertGeneric | CertPersona | CertCasual | CertPositive)));
    let direct = key.details.direct_signatures.iter().filter(|s| s.typ() == Some(SignatureType::Key));
    // What no user ID says the direct signature may say.
    let own: Vec<&Signature> = [newest(certifications), newest(direct)].into_iter().flatten().collect();
    let flags = own.iter().map(|s| s.key_flags()).find(|flags| *flags != KeyFlags::default());
    let created = seconds(key.primary_key.created_at());
    Candidate {
        key: &key.primary_key,
        created,
        expires: own.iter().find_map(|s| expiry(created, s)),
        // Old keys say nothing about their use.
        signs: flags.is_none_or(|flags| flags.sign()),
    }
}

fn subkey(subkey: &SignedPublicSubKey, primary_expires: Option<i64>) -> Option<Candidate<'_>> {
    if subkey.signatures.iter().any(|s| s.typ() == Some(SignatureType::SubkeyRevocation)) {
        return None;
    }
    let bindings = subkey.signatures.iter().filter(|s| s.typ() == Some(SignatureType::SubkeyBinding));
    let binding = newest(bindings).filter(|binding| binding.key_flags().sign())?;
    let created = seconds(subkey.key.created_at());
    let expires = [expiry(created, binding), primary_expires].into_iter().flatten().min();
    Some(Candidate { key: &subkey.key, created, expires, signs: true })
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|s| s.created().map(Timestamp::as_secs))
}

fn expiry(created: i64, signature: &Signature) -> Option<i64> {
    let lifetime = signature.key_expiration_time().map_or(0, |d| i64::from(d.as_secs()));
    (lifetime > 0).then_some(created + lifetime)
}

fn seconds(time: Timestamp) -> i64 {
    i64::from(time.as_secs())
}

/// A primary key or a subkey as the maker of a signature.
trait SignsAs {
    fn is_issuer(&self, signature: &Signature) -> bool;
    fn accepts(&self, signature: &Signature, data: &[u8]) -> bool;
}

impl<K: VerifyingKey> SignsAs for K {
    fn is_issuer(&self, signature: &Signature) -> bool {
        let fingerprints = signature.issuer_fingerprint();
        if fingerprints.is_empty() {
            signature.issuer_key_id().iter().any(|id| **id == self.legacy_key_id())
        } else {
            fingerprints.iter().any(|f| **f == self.fingerprint())
        }
    }

    fn accepts(&self, signature: &Signature, data: &[u8]) -> bool {
        signature.verify(self, data).is_ok()
    }
}
