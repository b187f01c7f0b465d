//! PKCS#7 signedData (RFC 5652; RFC 2315 for what Authenticode kept of it): SHA-256, RSA, one signer.
//!
//! Three forms are written:
//!
//! | form | content | signer is named by | certificate | attributes | who reads it |
//! |---|---|---|---|---|---|
//! | [`sign_detached`] | not in it | key identifier | no | no | kernel: verity root hash |
//! | [`sign_attached`] | in it | key identifier | no | no | kernel: IPE policy |
//! | [`sign_detached_with_certificate`] | not in it | issuer and serial number | yes | no | firmware: variables |
//!
//! Authenticode's own form is in [`crate::authenticode`].
//!
//! # What the kernel accepts
//!
//! (crypto/asymmetric_keys/pkcs7_parser.c and pkcs7_trust.c of Linux 6.12.) The content type must be `data`. A
//! signer that is named by its key identifier needs version 3 of both structures. Without certificates in the
//! message the signer is looked up in the key ring itself, by that identifier, so leaving the certificate
//! out costs nothing and saves some 800 bytes: a signature then has about 380, few enough for a kernel
//! command line.

use crate::key::{RSA, SHA256, algorithm};
use crate::{Certificate, Error, Key, Result, sha256};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo,
    SignerInfos,
};
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

/// id-data (RFC 5652, section 4).
pub(crate) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// id-signedData (RFC 5652, section 5.1).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-contentType (RFC 5652, section 11.1).
pub(crate) const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652, section 11.2).
pub(crate) const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// A signature that is read has at most this many bytes; ours have 400 to 1,500.
pub const MAX_LEN: usize = 1 << 16;

/// How a message names its signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By the key identifier of its certificate, which is not in the message.
    KeyId,
    /// By issuer and serial number; the certificate is in the message.
    Certificate,
}

/// A signature over `content` that does not contain it, for the kernel. Of a verity root hash the kernel
/// wants the lower-case hexadecimal text signed, without a line feed.
pub fn sign_detached(key: &Key, content: &[u8]) -> Result<Vec<u8>> {
    wrap(&build(key, DATA, None, content, None, Naming::KeyId)?)
}

/// A signed message that contains `content`, for the kernel.
pub fn sign_attached(key: &Key, content: &[u8]) -> Result<Vec<u8>> {
    let inside = Any::encode_from(&OctetString::new(content)?)?;
    wrap(&build(key, DATA, Some(inside), content, None, Naming::KeyId)?)
}

/// A signature over `content` that brings the signer's certificate, as bare signedData without the
/// ContentInfo around it: what UEFI 2.10, 8.2.2 wants in an authenticated variable.
pub fn sign_detached_with_certificate(key: &Key, content: &[u8]) -> Result<Vec<u8>> {
    Ok(build(key, DATA, None, content, None, Naming::Certificate)?.to_der()?)
}

/// Puts signedData into a ContentInfo.
pub(crate) fn wrap(data: &SignedData) -> Result<Vec<u8>> {
    Ok(ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(data)? }.to_der()?)
}

/// Signs `signed`, or the attributes if there are any, in which the digest of the content then has to be.
pub(crate) fn build(
    key: &Key,
    content_type: ObjectIdentifier,
    content: Option<Any>,
    signed: &[u8],
    attributes: Option<SignedAttributes>,
    naming: Naming,
) -> Result<SignedData> {
    let certificate = key.certificate();
    let (version, sid) = match naming {
        Naming::KeyId => {
            let id = certificate
                .key_id()
                .ok_or_else(|| Error::Key("the certificate has no subject key identifier".into()))?;
            (
                CmsVersion::V3,
                SignerIdentifier::SubjectKeyIdentifier(SubjectKeyIdentifier(OctetString::new(id)?)),
            )
        }
        Naming::Certificate => {
            let tbs = &certificate.parsed().tbs_certificate;
            let id = IssuerAndSerialNumber {
                issuer: tbs.issuer.clone(),
                serial_number: tbs.serial_number.clone(),
            };
            (CmsVersion::V1, SignerIdentifier::IssuerAndSerialNumber(id))
        }
    };
    let signature = match &attributes {
        // RFC 5652, section 5.4: signed is the encoding as a SET, not as the field that is in the message.
        Some(attributes) => key.sign(&attributes.to_der()?)?,
        None => key.sign(signed)?,
    };
    let signer = SignerInfo {
        version,
        sid,
        digest_alg: algorithm(SHA256),
        signed_attrs: attributes,
        signature_algorithm: algorithm(RSA),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let certificates = match naming {
        Naming::KeyId => None,
        Naming::Certificate => {
            let choice = CertificateChoices::Certificate(certificate.parsed().clone());
            Some(CertificateSet(SetOfVec::try_from(vec![choice])?))
        }
    };
    Ok(SignedData {
        version,
        digest_algorithms: SetOfVec::try_from(vec![algorithm(SHA256)])?,
        encap_content_info: EncapsulatedContentInfo { econtent_type: content_type, econtent: content },
        certificates,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
    })
}

/// Reads a message: signedData, in a ContentInfo or bare.
pub(crate) fn parse(bytes: &[u8]) -> Result<SignedData> {
    if bytes.len() > MAX_LEN {
        return Err(Error::Format(format!("{} bytes; {MAX_LEN} is the most", bytes.len())));
    }
    let Ok(info) = ContentInfo::from_der(bytes) else {
        return Ok(SignedData::from_der(bytes)?);
    };
    if info.content_type != SIGNED_DATA {
        return Err(Error::Format("the message is not signedData".into()));
    }
    Ok(info.content.decode_as::<SignedData>()?)
}

/// Checks a detached signature over `content` by the owner of one of `trusted`.
pub fn verify_detached(signature: &[u8], content: &[u8], trusted: &[Certificate]) -> Result<()> {
    let data = parse(signature)?;
    if data.encap_content_info.econtent_type != DATA || data.encap_content_info.econtent.is_some() {
        return Err(Error::Format("the message is not a detached signature of data".into()));
    }
    check_signer(&data, DATA, content, trusted)
}

/// Checks a message with its content inside, and returns the content.
pub fn verify_attached(message: &[u8], trusted: &[Certificate]) -> Result<Vec<u8>> {
    let data = parse(message)?;
    let content = match &data.encap_content_info {
        EncapsulatedContentInfo { econtent_type, econtent: Some(content) } if *econtent_type == DATA => {
            content.decode_as::<OctetString>()?.into_bytes()
        }
        _ => return Err(Error::Format("the message has no content".into())),
    };
    check_signer(&data, DATA, &content, trusted)?;
    Ok(content)
}

/// Whether the message's one signer is the owner of a trusted certificate and signed `content`.
pub(crate) fn check_signer(
    data: &SignedData,
    content_type: ObjectIdentifier,
    content: &[u8],
    trusted: &[Certificate],
) -> Result<()> {
    let [signer] = data.signer_infos.0.as_slice() else {
        return Err(Error::Format(format!("{} signers; exactly one is wanted", data.signer_infos.0.len())));
    };
    if signer.digest_alg.oid != SHA256 {
        return Err(Error::Format(format!("the digest is {}; SHA-256 is wanted", signer.digest_alg.oid)));
    }
    let certificate = trusted.iter().find(|c| names(&signer.sid, c)).ok_or_else(|| Error::Untrusted {
        signer: shown(&signer.sid),
        trusted: trusted.iter().map(Certificate::subject).collect::<Vec<_>>().join(", "),
    })?;
    let signed = match &signer.signed_attrs {
        None => content.to_vec(),
        Some(attributes) => {
            // RFC 5652, section 5.3: both attributes must be there, with one value each.
            let kind = attribute(attributes, CONTENT_TYPE)?.decode_as::<ObjectIdentifier>()?;
            let digest = attribute(attributes, MESSAGE_DIGEST)?.decode_as::<OctetString>()?;
            if kind != content_type {
                return Err(Error::Format("the attribute contentType names another type".into()));
            }
            if digest.as_bytes() != sha256(&[content]) {
                return Err(Error::Content);
            }
            attributes.to_der()?
        }
    };
    if certificate.verifies(&signed, signer.signature.as_bytes()) {
        return Ok(());
    }
    // Without attributes a wrong key and a changed content look alike; the message names the key.
    Err(if signer.signed_attrs.is_none() {
        Error::Content
    } else {
        Error::Bad { signer: certificate.subject() }
    })
}

/// The one value of an attribute that is there once.
fn attribute(attributes: &SignedAttributes, oid: ObjectIdentifier) -> Result<&Any> {
    let mut found = attributes.iter().filter(|a| a.oid == oid);
    match (found.next().map(|a| a.values.as_slice()), found.next()) {
        (Some([value]), None) => Ok(value),
        _ => Err(Error::Format(format!("the attribute {oid} is not there exactly once"))),
    }
}

fn names(sid: &SignerIdentifier, certificate: &Certificate) -> bool {
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            let tbs = &certificate.parsed().tbs_certificate;
            id.issuer == tbs.issuer && id.serial_number == tbs.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            certificate.key_id().is_some_and(|own| own == id.0.as_bytes())
        }
    }
}

fn shown(sid: &SignerIdentifier) -> String {
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            format!("{} (serial number {})", id.issuer, id.serial_number)
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            let hex: String = id.0.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
            format!("key {hex}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::KEYS;
    use proptest::prelude::*;

    #[test]
    fn a_signature_of_a_root_hash_is_short_and_the_same_each_time() {
        let hash = [b'a'; 64];
        let signature = sign_detached(&KEYS[0], &hash).unwrap();
        assert!(signature.len() <= 384, "{} bytes", signature.len());
        assert_eq!(signature, sign_detached(&KEYS[0], &hash).unwrap());
        verify_detached(&signature, &hash, &[KEYS[0].certificate().clone()]).unwrap();
    }

    #[test]
    fn each_form_is_refused_for_other_content_and_other_keys() {
        let [one, two] = KEYS.each_ref().map(|k| k.certificate().clone());
        let forms = [sign_detached, sign_detached_with_certificate].map(|f| f(&KEYS[0], b"content").unwrap());
        for signature in forms {
            verify_detached(&signature, b"content", &[two.clone(), one.clone()]).unwrap();
            assert!(matches!(
                verify_detached(&signature, b"content!", std::slice::from_ref(&one)),
                Err(Error::Content)
            ));
            assert!(matches!(
                verify_detached(&signature, b"content", std::slice::from_ref(&two)),
                Err(Error::Untrusted { .. })
            ));
            assert!(verify_detached(&signature, b"content", &[]).is_err());
            assert!(verify_attached(&signature, std::slice::from_ref(&one)).is_err());
        }
        let message = sign_attached(&KEYS[0], b"policy\n").unwrap();
        assert_eq!(verify_attached(&message, std::slice::from_ref(&one)).unwrap(), b"policy\n");
        assert!(verify_attached(&message, &[two]).is_err());
        assert!(verify_detached(&message, b"policy\n", &[one]).is_err());
    }

    proptest! {
        #[test]
        fn no_byte_of_a_signature_can_change(at in 0_usize..400, bit in 0_u8..8) {
            let mut signature = sign_detached(&KEYS[0], b"content").unwrap();
            let at = at % signature.len();
            signature[at] ^= 1 << bit;
            // Parameters of algorithms are NULL or absent, and both are fine; nothing else is.
            let trusted = [KEYS[0].certificate().clone()];
            if verify_detached(&signature, b"content", &trusted).is_ok() {
                let data = parse(&signature).unwrap();
                prop_assert_eq!(data.signer_infos.0.as_slice()[0].signature.as_bytes(), KEYS[0].sign(b"content").unwrap());
            }
        }

        #[test]
        fn anything_else_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(verify_detached(&bytes, b"", &[KEYS[0].certificate().clone()]).is_err());
        }
    }
}
