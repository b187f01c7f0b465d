//! OpenPGP keys that sign packages and metadata (RFC 9580), on the `pgp` crate.
//!
//! Ed25519 in its version 4 form: RPM 4.18 to 6.x verify it, signatures are short and deterministic. The
//! time in a signature is never before the key's creation, because RPM 6 takes such a signature for
//! bad.

mod candidate;

use candidate::candidates;
use pgp::composed::{
    ArmorOptions, Deserializable as _, DetachedSignature, EncryptionCaps, KeyType, SecretKeyParamsBuilder,
    SignedPublicKey, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails as _, Password, Tag, Timestamp};

/// What is wrong with a key or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Text that is not a key.
    #[error("not an OpenPGP key: {0}")]
    Key(String),
    /// Bytes that are not a signature.
    #[error("not an OpenPGP signature: {0}")]
    Format(String),
    /// A signature by somebody else.
    #[error("signed by {signer}, which is not among the trusted keys ({trusted})")]
    Unknown {
        /// Who signed.
        signer: String,
        /// Fingerprints that would do.
        trusted: String,
    },
    /// A signature that does not match.
    #[error("the signature by {signer} does not match: the content was changed after it was signed")]
    Bad {
        /// Who is said to have signed.
        signer: String,
    },
    /// A signature at a time at which the key was not valid.
    #[error("signed by {signer} at a time ({time} s since 1970) at which that key {why}")]
    Time {
        /// Who signed.
        signer: String,
        /// When, in seconds since 1970.
        time: i64,
        /// What was the matter with the key.
        why: &'static str,
    },
    /// A signature by a key that is for something else.
    #[error("signed by {signer} with a key that is not for signing")]
    NotForSigning {
        /// Who signed.
        signer: String,
    },
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Sign(String),
}

/// A key pair that was just made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The secret half, armored.
    pub secret: String,
    /// The public half, armored.
    pub public: String,
}

/// Signs packages and metadata.
#[derive(Clone)]
pub struct Signer {
    key: SignedSecretKey,
}

impl std::fmt::Debug for Signer {
    // The secret must not get into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.fingerprint())
    }
}

impl Signer {
    /// Makes a key pair. `created` is in seconds since 1970.
    pub fn generate(user_id: &str, created: i64) -> Result<NewKey, Error> {
        Self::generate_expiring(user_id, created, None)
    }

    /// The same for a key that is valid for `lifetime` seconds.
    pub fn generate_expiring(user_id: &str, created: i64, lifetime: Option<u32>) -> Result<NewKey, Error> {
        let fail = |e: String| Error::Sign(e);
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .can_encrypt(EncryptionCaps::None)
            .created_at(timestamp(created))
            .primary_user_id(user_id.into());
        let params = params.build().map_err(|e| fail(e.to_string()))?;
        let mut secret = params.generate(rand::thread_rng()).map_err(|e| fail(e.to_string()))?;
        date_self_signatures(&mut secret, timestamp(created), lifetime).map_err(|e| fail(e.to_string()))?;
        let public = SignedPublicKey::from(secret.clone());
        Ok(NewKey {
            secret: secret.to_armored_string(ArmorOptions::default()).map_err(|e| fail(e.to_string()))?,
            public: public.to_armored_string(ArmorOptions::default()).map_err(|e| fail(e.to_string()))?,
        })
    }

    /// From an armored secret key without a password.
    pub fn from_armored(text: &str) -> Result<Self, Error> {
        let (key, _) = SignedSecretKey::from_string(text).map_err(|e| Error::Key(e.to_string()))?;
        key.verify_bindings().map_err(|e| Error::Key(e.to_string()))?;
        Ok(Self { key })
    }

    /// The fingerprint of the key in hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint().to_string()
    }

    /// When the key was made, in seconds since 1970.
    pub fn created(&self) -> i64 {
        i64::from(self.key.created_at().as_secs())
    }

    /// The public half, armored.
    pub fn public_armored(&self) -> Result<String, Error> {
        SignedPublicKey::from(self.key.clone())
            .to_armored_string(ArmorOptions::default())
            .map_err(|e| Error::Sign(e.to_string()))
    }

    /// A binary signature packet over `data`, dated `time` or the key's creation, whichever is later.
    pub fn sign(&self, data: &[u8], time: i64) -> Result<Vec<u8>, Error> {
        DetachedSignature::new(self.signature(data, time)?).to_bytes().map_err(|e| Error::Sign(e.to_string()))
    }

    /// An armored detached signature over `data`, dated like [`Signer::sign`].
    pub fn sign_detached(&self, data: &[u8], time: i64) -> Result<String, Error> {
        DetachedSignature::new(self.signature(data, time)?)
            .to_armored_string(ArmorOptions::default())
            .map_err(|e| Error::Sign(e.to_string()))
    }

    fn signature(&self, data: &[u8], time: i64) -> Result<pgp::packet::Signature, Error> {
        let fail = |e: pgp::errors::Error| Error::Sign(e.to_string());
        let key = &self.key.primary_key;
        let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), HashAlgorithm::Sha256);
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).map_err(fail)?,
            Subpacket::critical(SubpacketData::SignatureCreationTime(timestamp(time.max(self.created()))))
                .map_err(fail)?,
        ];
        config.unhashed_subpackets =
            vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id())).map_err(fail)?];
        config.sign(key, &Password::empty(), data).map_err(fail)
    }
}

/// Dates the key's certification of its own user ID. The generator takes the clock's time, and a
/// strict verifier (RPM 6) then refuses signatures between the key's creation and that moment. It is also
/// the place for the key's lifetime in seconds.
fn date_self_signatures(
    key: &mut SignedSecretKey,
    created: Timestamp,
    lifetime: Option<u32>,
) -> pgp::errors::Result<()> {
    for user in &mut key.details.users {
        for signature in &mut user.signatures {
            let Some(config) = signature.config() else { continue };
            let mut config = config.clone();
            for subpacket in &mut config.hashed_subpackets {
                if matches!(subpacket.data, SubpacketData::SignatureCreationTime(_)) {
                    *subpacket = Subpacket::regular(SubpacketData::SignatureCreationTime(created))?;
                }
            }
            if let Some(lifetime) = lifetime {
                let lifetime = SubpacketData::KeyExpirationTime(Duration::from_secs(lifetime));
                config.hashed_subpackets.push(Subpacket::regular(lifetime)?);
            }
            let public = key.primary_key.public_key();
            *signature = config.sign_certification(
                &key.primary_key,
                public,
                &Password::empty(),
                Tag::UserId,
                &user.id,
            )?;
        }
    }
    Ok(())
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_secs(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
}

/// A public key, taken apart for the package database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's ID, 16 hexadecimal digits.
    pub id: String,
    /// Its first user ID.
    pub user_id: String,
    /// When it was made, in seconds since 1970.
    pub created: u32,
    /// The key's packets in base64.
    pub base64: String,
    /// The key, armored.
    pub armored: String,
}

/// The keys in armored text, one or several.
pub fn public_keys(armored: &str) -> Result<Vec<PublicKey>, Error> {
    let fail = |e: pgp::errors::Error| Error::Key(e.to_string());
    let ring = KeyRing::from_armored(armored)?;
    let one = |key: &SignedPublicKey| {
        Ok(PublicKey {
            id: key.legacy_key_id().to_string(),
            user_id: key.details.users.first().map_or("none".into(), |u| text_of(u.id.id())),
            created: key.created_at().as_secs(),
            base64: crate::base64::encode(&key.to_bytes().map_err(fail)?),
            armored: key.to_armored_string(ArmorOptions::default()).map_err(fail)?,
        })
    };
    ring.keys.iter().map(one).collect()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Public keys that are trusted.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<SignedPublicKey>,
}

impl KeyRing {
    /// From armored public keys, one or several. Keys whose own signatures do not hold, or that are
    /// revoked, are refused.
    pub fn from_armored(text: &str) -> Result<Self, Error> {
        let mut keys = Vec::new();
        let (parsed, _) = SignedPublicKey::from_string_many(text).map_err(|e| Error::Key(e.to_string()))?;
        for key in parsed {
            let key = key.map_err(|e| Error::Key(e.to_string()))?;
            key.verify_bindings().map_err(|e| Error::Key(e.to_string()))?;
            if !key.details.revocation_signatures.is_empty() {
                return Err(Error::Key(format!("{} is revoked", key.fingerprint())));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(Error::Key("there is no public key in it".into()));
        }
        Ok(Self { keys })
    }

    /// Adds the keys of another ring.
    pub fn join(&mut self, other: &Self) {
        self.keys.extend(other.keys.iter().cloned());
    }

    /// The fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|k| k.fingerprint().to_string()).collect()
    }

    /// Verifies a binary signature packet and returns the fingerprint of the key that made it.
    pub fn verify(&self, data: &[u8], signature: &[u8]) -> Result<String, Error> {
        let signature = DetachedSignature::from_bytes(signature).map_err(|e| Error::Format(e.to_string()))?;
        self.check(data, &signature.signature)
    }

    /// Verifies an armored detached signature and returns the fingerprint of the key that made it.
    pub fn verify_detached(&self, data: &[u8], armored: &str) -> Result<String, Error> {
        let (signature, _) =
            DetachedSignature::from_string(armored).map_err(|e| Error::Format(e.to_string()))?;
        self.check(data, &signature.signature)
    }

    fn check(&self, data: &[u8], signature: &Signature) -> Result<String, Error> {
        if signature.typ() != Some(SignatureType::Binary) {
            return Err(Error::Format("it is not over binary data".into()));
        }
        let strong = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];
        if !signature.hash_alg().is_some_and(|h| strong.contains(&h)) {
            return Err(Error::Format("its hash is weaker than SHA-256".into()));
        }
        let mut matching = None;
        for key in &self.keys {
            let signer = key.fingerprint().to_string();
            for candidate in candidates(key).iter().filter(|candidate| candidate.is_issuer(signature)) {
                if candidate.accepts(signature, data) {
                    candidate.check_use(&signer, signature)?;
                    return Ok(signer);
                }
                matching = Some(signer.clone());
            }
        }
        match matching {
            Some(signer) => Err(Error::Bad { signer }),
            None => {
                Err(Error::Unknown { signer: issuers(signature), trusted: self.fingerprints().join(", ") })
            }
        }
    }
}

fn issuers(signature: &Signature) -> String {
    let mut names: Vec<String> = signature.issuer_fingerprint().iter().map(ToString::to_string).collect();
    if names.is_empty() {
        names = signature.issuer_key_id().iter().map(ToString::to_string).collect();
    }
    if names.is_empty() { "nobody who says so".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Signer, KeyRing) {
        let new = Signer::generate("test", 1_700_000_000).unwrap();
        (Signer::from_armored(&new.secret).unwrap(), KeyRing::from_armored(&new.public).unwrap())
    }

    #[test]
    fn a_signature_holds_for_its_data_and_key_only_and_is_reproducible() {
        let (signer, ring) = pair();
        let signature = signer.sign(b"data", 1_800_000_000).unwrap();
        assert_eq!(signature, signer.sign(b"data", 1_800_000_000).unwrap());
        assert_eq!(ring.verify(b"data", &signature).unwrap(), signer.fingerprint());
        assert!(matches!(ring.verify(b"dat4", &signature), Err(Error::Bad { .. })));
        let (_, other) = pair();
        assert!(matches!(other.verify(b"data", &signature), Err(Error::Unknown { .. })));
        let armored = signer.sign_detached(b"data", 0).unwrap();
        assert!(armored.starts_with("-----BEGIN PGP SIGNATURE-----"));
        ring.verify_detached(b"data", &armored).unwrap();
    }

    #[test]
    fn a_signature_from_before_its_key_is_refused() {
        let (signer, ring) = pair();
        let key = &signer.key.primary_key;
        let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), HashAlgorithm::Sha256);
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).unwrap(),
            Subpacket::regular(SubpacketData::SignatureCreationTime(timestamp(1_600_000_000))).unwrap(),
        ];
        let signature = config.sign(key, &Password::empty(), &b"data"[..]).unwrap();
        let error = ring.verify(b"data", &DetachedSignature::new(signature).to_bytes().unwrap()).unwrap_err();
        assert!(matches!(error, Error::Time { time: 1_600_000_000, .. }), "{error}");
    }

    #[test]
    fn a_signature_over_a_weak_hash_is_refused() {
        let (signer, ring) = pair();
        let key = &signer.key.primary_key;
        for hash in [HashAlgorithm::Sha1, HashAlgorithm::Md5, HashAlgorithm::Ripemd160] {
            let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), hash);
            config.hashed_subpackets = vec![
                Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).unwrap(),
                Subpacket::regular(SubpacketData::SignatureCreationTime(timestamp(1_800_000_000))).unwrap(),
            ];
            // The library may not even make one.
            let Ok(signature) = config.sign(key, &Password::empty(), &b"data"[..]) else { continue };
            let error =
                ring.verify(b"data", &DetachedSignature::new(signature).to_bytes().unwrap()).unwrap_err();
            assert!(error.to_string().contains("weaker than SHA-256"), "{error}");
        }
    }

    #[test]
    fn a_key_certifies_itself_at_its_creation() {
        let (signer, _) = pair();
        let own = &signer.key.details.users[0].signatures[0];
        assert_eq!(i64::from(own.created().unwrap().as_secs()), signer.created());
    }

    #[test]
    fn a_signature_is_never_older_than_its_key() {
        let (signer, _) = pair();
        assert_eq!(signer.sign(b"x", 5).unwrap(), signer.sign(b"x", signer.created()).unwrap());
    }
}
