use super::*;
use crate::release::Keyring;
use pgp::composed::{ArmorOptions, KeyType, SecretKeyParamsBuilder, SignedSecretKey, SubkeyParamsBuilder};
use pgp::packet::{SignatureConfig, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Password, SigningKey, Timestamp};

/// A key made for a test, and the time that it was made at.
pub(crate) struct TestKey {
    key: SignedSecretKey,
    pub(crate) made: i64,
}

impl TestKey {
    /// A new key, with a signing subkey or not.
    pub(crate) fn new(subkey: bool) -> Self {
        Self::of_type(KeyType::Ed25519Legacy, subkey)
    }

    fn of_type(key_type: KeyType, subkey: bool) -> Self {
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(key_type)
            .can_certify(true)
            .can_sign(!subkey)
            .primary_user_id("Test <test@example.org>".into());
        if subkey {
            let sub = SubkeyParamsBuilder::default()
                .key_type(KeyType::Ed25519Legacy)
                .can_sign(true)
                .build()
                .unwrap();
            params.subkeys(vec![sub]);
        }
        let key = params.build().unwrap().generate(rand::thread_rng()).unwrap();
        let made = i64::from(key.primary_key.created_at().as_secs());
        Self { key, made }
    }

    pub(crate) fn public(&self) -> SignedPublicKey {
        SignedPublicKey::from(self.key.clone())
    }

    pub(crate) fn armored(&self) -> Vec<u8> {
        self.public().to_armored_bytes(ArmorOptions::default()).unwrap()
    }

    /// The public key with other self-signatures: an expiry (seconds after it was made) or a revocation.
    fn public_with(&self, expires: Option<u32>, revoked: bool) -> Vec<u8> {
        let mut public = self.public();
        let config = |typ, extra: Option<SubpacketData>| {
            let mut config =
                SignatureConfig::from_key(rand::thread_rng(), &self.key.primary_key, typ).unwrap();
            let made = Timestamp::from_secs(u32::try_from(self.made + 1).unwrap());
            config.hashed_subpackets = vec![
                Subpacket::regular(SubpacketData::SignatureCreationTime(made)).unwrap(),
                Subpacket::regular(SubpacketData::IssuerFingerprint(self.key.primary_key.fingerprint()))
                    .unwrap(),
            ];
            config.hashed_subpackets.extend(extra.map(|data| Subpacket::regular(data).unwrap()));
            config
        };
        let sign = |config: SignatureConfig| {
            config.sign_key(&self.key.primary_key, &Password::empty(), &public.primary_key).unwrap()
        };
        if let Some(seconds) = expires {
            let expiry = SubpacketData::KeyExpirationTime(pgp::types::Duration::from_secs(seconds));
            let signature = sign(config(SignatureType::Key, Some(expiry)));
            public.details.direct_signatures.push(signature);
        }
        if revoked {
            let signature = sign(config(SignatureType::KeyRevocation, None));
            public.details.revocation_signatures.push(signature);
        }
        public.to_bytes().unwrap()
    }

    /// Signs `text` at `time`, as the cleartext signature framework hashes it.
    pub(crate) fn sign(&self, text: &str, time: i64) -> Signature {
        self.sign_with(text, time, HashAlgorithm::Sha256, None)
    }

    fn sign_with(&self, text: &str, time: i64, hash: HashAlgorithm, lifetime: Option<u32>) -> Signature {
        match self.key.secret_subkeys.first() {
            Some(subkey) => sign(&subkey.key, text, time, hash, lifetime),
            None => sign(&self.key.primary_key, text, time, hash, lifetime),
        }
    }
}

fn sign(
    key: &impl SigningKey,
    text: &str,
    time: i64,
    hash: HashAlgorithm,
    lifetime: Option<u32>,
) -> Signature {
    let mut config = SignatureConfig::v4(SignatureType::Text, key.algorithm(), hash);
    let time = Timestamp::from_secs(u32::try_from(time).unwrap());
    let mut data =
        vec![SubpacketData::SignatureCreationTime(time), SubpacketData::IssuerFingerprint(key.fingerprint())];
    data.extend(lifetime.map(|s| SubpacketData::SignatureExpirationTime(pgp::types::Duration::from_secs(s))));
    config.hashed_subpackets = data.into_iter().map(|d| Subpacket::regular(d).unwrap()).collect();
    config.sign(key, &Password::empty(), text.trim_end_matches('\n').as_bytes()).unwrap()
}

/// A signed file of `text` and signatures.
pub(crate) fn signed(text: &str, signatures: &[Signature]) -> Vec<u8> {
    let escaped: String = text
        .lines()
        .map(|line| if line.starts_with('-') { format!("- {line}\n") } else { format!("{line}\n") })
        .collect();
    let mut packets = Vec::new();
    for signature in signatures {
        use pgp::packet::PacketTrait as _;
        signature.to_writer_with_header(&mut packets).unwrap();
    }
    let mut armor = Vec::new();
    pgp::armor::write(&Raw(packets), BlockType::Signature, &mut armor, None, true).unwrap();
    let mut file = format!("{BEGIN_MESSAGE}\nHash: SHA256\n\n{escaped}").into_bytes();
    file.extend_from_slice(&armor);
    file
}

struct Raw(Vec<u8>);

impl pgp::ser::Serialize for Raw {
    fn to_writer<W: std::io::Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
        writer.write_all(&self.0)?;
        Ok(())
    }

    fn write_len(&self) -> usize {
        self.0.len()
    }
}

const TEXT: &str = "Line: one\n-dash\n\nmore: \"text\"\n";

fn check(file: &[u8], keys: &[Vec<u8>], now: i64) -> Result<Verified, Error> {
    Keyring::from_keys(keys).unwrap().verify_cleartext(file, now)
}

#[test]
fn a_good_signature_gives_the_signed_text_and_the_signer() {
    for subkey in [false, true] {
        let key = TestKey::new(subkey);
        let file = signed(TEXT, &[key.sign(TEXT, key.made)]);
        let verified = check(&file, &[key.armored()], key.made).unwrap();
        assert_eq!(verified.text, TEXT);
        assert_eq!(verified.signer, fingerprint(&key.public()));
        // Blanks at line ends and the kind of line ends are not signed, and do not come out either.
        let text = String::from_utf8(file).unwrap();
        let other = text.replace("more: \"text\"\n", "more: \"text\" \t\n").replace('\n', "\r\n");
        assert_eq!(check(other.as_bytes(), &[key.armored()], key.made).unwrap().text, TEXT);
    }
}

#[test]
fn another_reader_of_signed_text_agrees() {
    // The dash escape, the missing last line end and the CR LF are easy to get wrong on both sides at once.
    let key = TestKey::new(false);
    let message = String::from_utf8(signed(TEXT, &[key.sign(TEXT, key.made)])).unwrap();
    let (message, _) = pgp::composed::CleartextSignedMessage::from_string(&message).unwrap();
    message.verify(&key.public()).unwrap();
}

#[test]
fn one_good_signature_of_several_is_enough() {
    let (old, new, other) = (TestKey::new(false), TestKey::new(true), TestKey::new(false));
    let file =
        signed(TEXT, &[other.sign(TEXT, other.made), old.sign(TEXT, old.made), new.sign(TEXT, new.made)]);
    for trusted in [&old, &new] {
        let now = old.made.max(new.made);
        assert_eq!(check(&file, &[trusted.armored()], now).unwrap().signer, fingerprint(&trusted.public()));
    }
    // A good one makes up for a bad one, in any order.
    let file = signed(TEXT, &[old.sign("else", old.made), new.sign(TEXT, new.made)]);
    check(&file, &[old.armored(), new.armored()], new.made).unwrap();
}

#[test]
fn other_keys_are_named_with_those_that_would_do() {
    let (trusted, other) = (TestKey::new(false), TestKey::new(true));
    let file = signed(TEXT, &[other.sign(TEXT, other.made)]);
    let error = check(&file, &[trusted.armored()], other.made).unwrap_err();
    let Error::UnknownSigner { signers, trusted: names } = &error else { panic!("{error}") };
    let subkey = &other.public().public_subkeys[0].key;
    assert_eq!(signers, &[fingerprint(subkey)]);
    assert_eq!(names, &[format!("{} (Test <test@example.org>)", key_id(&trusted.public()))]);
    assert!(error.to_string().contains("distro/keys/README.md"));
}

#[test]
fn a_changed_text_or_a_signature_over_another_is_bad() {
    let key = TestKey::new(true);
    let file = String::from_utf8(signed(TEXT, &[key.sign(TEXT, key.made)])).unwrap();
    for (from, to) in [
        ("one", "two"),
        ("- -dash", "- -bash"),
        ("Line: one\n", "Line: one\nLine: two\n"),
        ("\n\nmore", "\nmore"),
    ] {
        let error = check(file.replace(from, to).as_bytes(), &[key.armored()], key.made).unwrap_err();
        assert!(matches!(error, Error::BadSignature { .. }), "{from}: {error}");
    }
}

#[test]
fn times_of_keys_and_signatures_are_judged() {
    let key = TestKey::new(false);
    let file = signed(TEXT, &[key.sign(TEXT, key.made)]);
    let expiring = key.public_with(Some(1000), false);
    check(&file, std::slice::from_ref(&expiring), key.made + 999).unwrap();
    let error = check(&file, &[expiring], key.made + 1000).unwrap_err();
    assert!(matches!(error, Error::ExpiredKey { expired, .. } if expired == key.made + 1000), "{error}");
    let error = check(&file, &[key.armored()], key.made - CLOCK_SKEW - 1).unwrap_err();
    assert!(matches!(error, Error::Future { what: "signature", .. }), "{error}");
    check(&file, &[key.armored()], key.made - CLOCK_SKEW).unwrap();
    let short = signed(TEXT, &[key.sign_with(TEXT, key.made, HashAlgorithm::Sha512, Some(60))]);
    check(&short, &[key.armored()], key.made + 59).unwrap();
    let error = check(&short, &[key.armored()], key.made + 60).unwrap_err();
    assert!(matches!(error, Error::ExpiredSignature { .. }), "{error}");
}

#[test]
fn a_revoked_key_and_a_weak_hash_do_not_count() {
    let key = TestKey::new(false);
    let file = signed(TEXT, &[key.sign(TEXT, key.made)]);
    let error = check(&file, &[key.public_with(None, true)], key.made).unwrap_err();
    assert!(matches!(error, Error::RevokedKey { .. }), "{error}");
    // Ed25519 has no weak hashes; the archive's keys are RSA.
    let key = TestKey::of_type(KeyType::Rsa(2048), false);
    let weak = signed(TEXT, &[key.sign_with(TEXT, key.made, HashAlgorithm::Sha1, None)]);
    let error = check(&weak, &[key.armored()], key.made).unwrap_err();
    assert!(matches!(error, Error::WeakHash { .. }), "{error}");
}

#[test]
fn a_subkey_counts_only_if_both_keys_say_that_it_belongs() {
    let (trusted, other) = (TestKey::new(true), TestKey::new(true));
    let file = signed(TEXT, &[other.sign(TEXT, other.made)]);
    let refused = |signatures: Vec<Signature>| {
        let mut public = trusted.public();
        let mut stolen = other.public().public_subkeys.remove(0);
        stolen.signatures = signatures;
        public.public_subkeys.push(stolen);
        let error = check(&file, &[public.to_bytes().unwrap()], other.made).unwrap_err();
        assert!(matches!(error, Error::UnknownSigner { .. }), "{error}");
    };
    // The subkey agrees to another primary key than the one that it is put under.
    refused(other.public().public_subkeys[0].signatures.clone());
    // The primary key claims it, with or without somebody else's back-signature.
    let back = other.public().public_subkeys[0].signatures[0].embedded_signature().unwrap().clone();
    for embedded in [None, Some(back)] {
        let (primary, public) = (&trusted.key.primary_key, trusted.public().primary_key);
        let typ = SignatureType::SubkeyBinding;
        let mut config = SignatureConfig::from_key(rand::thread_rng(), primary, typ).unwrap();
        let mut flags = pgp::packet::KeyFlags::default();
        flags.set_sign(true);
        let made = Timestamp::from_secs(u32::try_from(trusted.made).unwrap());
        let mut data = vec![SubpacketData::SignatureCreationTime(made), SubpacketData::KeyFlags(flags)];
        data.extend(embedded.map(|s| SubpacketData::EmbeddedSignature(Box::new(s))));
        config.hashed_subpackets = data.into_iter().map(|d| Subpacket::regular(d).unwrap()).collect();
        let subkey = &other.public().public_subkeys[0].key;
        let claim = config.sign_subkey_binding(primary, &public, &Password::empty(), subkey).unwrap();
        claim.verify_subkey_binding(&public, subkey).unwrap();
        refused(vec![claim]);
    }
}

#[test]
fn nothing_may_stand_around_the_signed_text() {
    let key = TestKey::new(false);
    let file = String::from_utf8(signed(TEXT, &[key.sign(TEXT, key.made)])).unwrap();
    let refuse = |file: &str| check(file.as_bytes(), &[key.armored()], key.made).unwrap_err();
    assert_eq!(refuse(""), Error::NotSigned);
    assert_eq!(refuse("<html>log in</html>"), Error::NotSigned);
    assert_eq!(refuse(TEXT), Error::NotSigned);
    assert_eq!(refuse(&format!("Line: zero\n{file}")), Error::NotSigned);
    for bad in [
        format!("{file}Line: after\n"),
        file.replace("Hash: SHA256\n", "Hash: SHA256\nLine: zero\n"),
        file.replace("- -dash", "-dash"),
        file.replace("one", "o\rne"),
        file.replace("one", "o\0ne"),
        file[..file.len() - 10].to_owned(),
        file[..40].to_owned(),
        file.split(BEGIN_SIGNATURE).next().unwrap().to_owned(),
        file.replace(BEGIN_SIGNATURE, "-----BEGIN PGP PUBLIC KEY BLOCK-----"),
    ] {
        assert!(matches!(refuse(&bad), Error::Malformed(_)), "{bad}");
    }
}

#[test]
fn what_is_no_key_is_refused_by_its_number() {
    let key = TestKey::new(false);
    let from = |keys: &[Vec<u8>]| Keyring::from_keys(keys).unwrap_err().to_string();
    assert!(from(&[key.armored(), b"nonsense".to_vec()]).starts_with("key 2: "));
    assert!(from(&[Vec::new()]).starts_with("key 1: "));
    assert!(from(&[]).contains("no keys"));
    let mut public = key.public();
    public.details.users.clear();
    assert!(from(&[public.to_bytes().unwrap()]).contains("no valid self-signature"));
}
