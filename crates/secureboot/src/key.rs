//! RSA-2048 keys with a self-signed certificate.
//!
//! RSA-2048 with SHA-256 is what every firmware with Secure Boot has to support (UEFI 2.10, 32.4.1). The
//! certificate's dates are fixed: firmware and kernel do not look at them, and a clock that is wrong on the
//! day on which a key is made must not matter.

use crate::{Error, Result, sha256};
use der::asn1::{BitString, ObjectIdentifier, OctetString, UtcTime};
use der::{Any, DateTime, Decode as _, DecodePem as _, Encode as _, EncodePem as _};
use rsa::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use std::str::FromStr as _;
use x509_cert::TbsCertificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::ext::{AsExtension, Extension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// sha256WithRSAEncryption (RFC 8017, appendix A.2.4).
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// rsaEncryption (RFC 8017, appendix A.1).
pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-sha256 (RFC 5754).
pub(crate) const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Bits of a modulus.
const BITS: usize = 2048;
/// Bytes of a serial number; the first bit is cleared, so that the number is positive.
const SERIAL: usize = 16;
/// Bytes of a key identifier.
const KEY_ID: usize = 20;

/// DER of `DigestInfo { sha256, NULL, 32 bytes }` up to the digest (RFC 8017, 9.2 note 1).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

fn scheme() -> Pkcs1v15Sign {
    Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() }
}

/// An algorithm with the parameters NULL, as PKCS#1 wants it.
pub(crate) fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Any::null()) }
}

/// A certificate with an RSA key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    key: RsaPublicKey,
}

impl Certificate {
    /// From its DER encoding.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let fail = |e: String| Error::Key(e);
        let parsed =
            x509_cert::Certificate::from_der(der).map_err(|e| fail(format!("no X.509 certificate ({e})")))?;
        let info = parsed.tbs_certificate.subject_public_key_info.to_der()?;
        let key = RsaPublicKey::from_public_key_der(&info)
            .map_err(|e| fail(format!("its key is not RSA ({e})")))?;
        if key.size() * 8 < BITS {
            return Err(fail(format!("an RSA key of {} bits; {BITS} is the least", key.size() * 8)));
        }
        // Re-encoding would hide what a lenient parser let through.
        Ok(Self { der: der.to_vec(), parsed, key })
    }

    /// From PEM or DER, the first certificate of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        match std::str::from_utf8(bytes).ok().and_then(|text| pem_block(text, "CERTIFICATE")) {
            Some(block) => {
                let certificate = x509_cert::Certificate::from_pem(block)
                    .map_err(|e| Error::Key(format!("no X.509 certificate ({e})")))?;
                Self::from_der(&certificate.to_der()?)
            }
            None => Self::from_der(bytes),
        }
    }

    /// Its DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its PEM encoding.
    pub fn pem(&self) -> Result<String> {
        Ok(self.parsed.to_pem(LineEnding::LF)?)
    }

    /// Whom it is for, as RFC 4514 writes it.
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    /// Its subject key identifier, if it has one.
    pub fn key_id(&self) -> Option<Vec<u8>> {
        let (_, id) = self.parsed.tbs_certificate.get::<SubjectKeyIdentifier>().ok()??;
        Some(id.0.as_bytes().to_vec())
    }

    pub(crate) fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    /// Whether the owner of this certificate signed these bytes (RSASSA-PKCS1-v1_5 with SHA-256).
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.key.verify(scheme(), &sha256(&[signed]), signature).is_ok()
    }
}

/// A private key and its certificate.
#[derive(Clone)]
pub struct Key {
    private: RsaPrivateKey,
    certificate: Certificate,
}

impl std::fmt::Debug for Key {
    // The secret must not get into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("certificate", &self.certificate.subject()).finish_non_exhaustive()
    }
}

impl Key {
    /// Makes a key for `common_name`, with random numbers of the operating system.
    pub fn generate(common_name: &str) -> Result<Self> {
        use rand::RngCore as _;
        let mut random = rand::rngs::OsRng;
        let private = RsaPrivateKey::new(&mut random, BITS).map_err(|e| Error::Key(e.to_string()))?;
        let mut serial = [0; SERIAL];
        random.fill_bytes(&mut serial);
        serial[0] = serial[0] & 0x7f | 0x40;
        let certificate = self_signed(&private, common_name, &serial)?;
        Ok(Self { private, certificate })
    }

    /// From a PEM file with a private key (PKCS#8) and a certificate.
    pub fn from_pem(text: &str) -> Result<Self> {
        let block = pem_block(text, "PRIVATE KEY").ok_or_else(|| {
            Error::Key("it has no block `PRIVATE KEY` (PKCS#8, without a passphrase)".into())
        })?;
        let private = RsaPrivateKey::from_pkcs8_pem(block).map_err(|e| Error::Key(e.to_string()))?;
        let certificate = Certificate::from_bytes(text.as_bytes())?;
        if private.to_public_key() != certificate.key {
            return Err(Error::Key("the certificate belongs to another private key".into()));
        }
        Ok(Self { private, certificate })
    }

    /// Private key and certificate as one PEM file.
    pub fn to_pem(&self) -> Result<String> {
        let private = self.private.to_pkcs8_pem(LineEnding::LF).map_err(|e| Error::Key(e.to_string()))?;
        Ok(format!("{}{}", *private, self.certificate.pem()?))
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        sign(&self.private, bytes)
    }
}

fn sign(private: &RsaPrivateKey, bytes: &[u8]) -> Result<Vec<u8>> {
    // Blinded: how long it takes must say nothing about the key. The result is the same.
    private
        .sign_with_rng(&mut rand::rngs::OsRng, scheme(), &sha256(&[bytes]))
        .map_err(|e| Error::Key(e.to_string()))
}

fn self_signed(private: &RsaPrivateKey, common_name: &str, serial: &[u8]) -> Result<Certificate> {
    let bad_name = |e: der::Error| Error::Key(format!("`{common_name}` cannot be a name: {e}"));
    let name = Name::from_str(&format!("CN={common_name}")).map_err(bad_name)?;
    let public = private.to_public_key().to_public_key_der().map_err(|e| Error::Key(e.to_string()))?;
    let spki = SubjectPublicKeyInfoOwned::from_der(public.as_bytes())?;
    // RFC 7093, section 2, method 1: the first 160 bits of SHA-256 over the bits of the key.
    let id = sha256(&[spki.subject_public_key.raw_bytes()])[..KEY_ID].to_vec();
    let time = |year, month, day, h, m, s| -> Result<Time> {
        Ok(Time::UtcTime(UtcTime::from_date_time(DateTime::new(year, month, day, h, m, s)?)?))
    };
    let mut tbs = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(serial)?,
        signature: algorithm(SHA256_WITH_RSA),
        issuer: name.clone(),
        validity: Validity {
            not_before: time(2025, 1, 1, 0, 0, 0)?,
            not_after: time(2049, 12, 31, 23, 59, 59)?,
        },
        subject: name.clone(),
        subject_public_key_info: spki,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    };
    let extensions = vec![
        extension(&BasicConstraints { ca: false, path_len_constraint: None }, &name)?,
        extension(&KeyUsage(KeyUsages::DigitalSignature.into()), &name)?,
        extension(&SubjectKeyIdentifier(OctetString::new(id)?), &name)?,
    ];
    tbs.extensions = Some(extensions);
    let signature = sign(private, &tbs.to_der()?)?;
    let certificate = x509_cert::Certificate {
        tbs_certificate: tbs,
        signature_algorithm: algorithm(SHA256_WITH_RSA),
        signature: BitString::from_bytes(&signature)?,
    };
    Certificate::from_der(&certificate.to_der()?)
}

fn extension(value: &impl AsExtension, subject: &Name) -> Result<Extension> {
    Ok(value.to_extension(subject, &[])?)
}

/// The first block of a PEM file with this label, from `-----BEGIN` to the end of its last line.
fn pem_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let start = text.find(&begin)?;
    let len = text[start..].find(&end)? + end.len();
    Some(&text[start..start + len])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::LazyLock;

    /// Keys take a moment to make; all tests share these two.
    pub static KEYS: LazyLock<[Key; 2]> =
        LazyLock::new(|| ["one", "two"].map(|name| Key::generate(name).unwrap()));

    #[test]
    fn a_key_survives_its_file_and_another_keys_certificate_does_not_pass_for_its_own() {
        let [one, two] = &*KEYS;
        let text = one.to_pem().unwrap();
        let read = Key::from_pem(&text).unwrap();
        assert_eq!(read.certificate(), one.certificate());
        assert_eq!(read.sign(b"x").unwrap(), one.sign(b"x").unwrap());
        let mixed =
            format!("{}{}", &text[..text.find("-----BEGIN CERT").unwrap()], two.certificate().pem().unwrap());
        assert!(Key::from_pem(&mixed).unwrap_err().to_string().contains("another private key"));
        assert!(Key::from_pem("").is_err());
    }

    #[test]
    fn only_the_owner_of_a_certificate_can_sign_for_it() {
        let [one, two] = &*KEYS;
        let signature = one.sign(b"content").unwrap();
        assert!(one.certificate().verifies(b"content", &signature));
        assert!(!one.certificate().verifies(b"Content", &signature));
        assert!(!two.certificate().verifies(b"content", &signature));
        assert!(!one.certificate().verifies(b"content", &signature[1..]));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(Certificate::from_bytes(b"").is_err());
        assert!(
            Certificate::from_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                .is_err()
        );
        let der = KEYS[0].certificate().der();
        assert!(Certificate::from_der(&der[..der.len() - 1]).is_err());
    }
}
