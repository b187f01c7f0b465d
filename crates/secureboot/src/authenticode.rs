//! Signatures of PE images as firmware with Secure Boot checks them (UEFI 2.10, 32.5.1).
//!
//! A signature is a PKCS#7 message whose content is SpcIndirectDataContent (the image's digest), with the
//! attributes contentType and messageDigest. The attribute signingTime, which other signers add, is
//! optional and left out: with it no two signatures of the same file are alike.

use crate::key::{SHA256, algorithm};
use crate::pe::Image;
use crate::pkcs7::{self, CONTENT_TYPE, MESSAGE_DIGEST, Naming};
use crate::{Certificate, Error, Key, Result, sha256};
use der::asn1::{BitString, ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Decode as _, Encode as _, Sequence, Tag};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// SPC_INDIRECT_DATA_OBJID.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// SPC_PE_IMAGE_DATAOBJ.
const PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");

/// SpcIndirectDataContent.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct IndirectData {
    data: TypedData,
    digest: DigestInfo,
}

/// SpcAttributeTypeAndOptionalValue.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct TypedData {
    kind: ObjectIdentifier,
    #[asn1(optional = "true")]
    value: Option<Any>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// The DER encoding of the content: which digest the image has.
fn indirect_data(digest: &[u8; 32]) -> Result<Vec<u8>> {
    // SpcPeImageData: no flags, and a file name that the note fixes: [0] { [2] { [0] BMPString "<<<Obsolete>>>" } }.
    let name: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut link = BitString::from_bytes(&[])?.to_der()?;
    let nested = [0xa0, name.len() as u8 + 4, 0xa2, name.len() as u8 + 2, 0x80, name.len() as u8];
    link.extend_from_slice(&nested);
    link.extend_from_slice(&name);
    let content = IndirectData {
        data: TypedData { kind: PE_IMAGE_DATA, value: Some(Any::new(Tag::Sequence, link)?) },
        digest: DigestInfo { algorithm: algorithm(SHA256), digest: OctetString::new(digest.as_slice())? },
    };
    Ok(content.to_der()?)
}

/// The image, signed: the same bytes each time. A signature that it had is replaced.
pub fn sign(key: &Key, image: &[u8]) -> Result<Vec<u8>> {
    let image = Image::parse(image)?;
    image.with_signature(&sign_digest(key, &image.digest())?)
}

/// The PKCS#7 message that belongs into the certificate table of an image with this digest.
fn sign_digest(key: &Key, digest: &[u8; 32]) -> Result<Vec<u8>> {
    let content = Any::from_der(&indirect_data(digest)?)?;
    // Signed is the content without its tag and length (PKCS#7 1.5, which Authenticode kept).
    let message_digest = OctetString::new(sha256(&[content.value()]).as_slice())?;
    let attribute =
        |oid, value| -> Result<Attribute> { Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? }) };
    let attributes: Attributes = SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, Any::encode_from(&INDIRECT_DATA)?)?,
        attribute(MESSAGE_DIGEST, Any::encode_from(&message_digest)?)?,
    ])?;
    let data = pkcs7::build(key, INDIRECT_DATA, Some(content), &[], Some(attributes), Naming::Certificate)?;
    pkcs7::wrap(&data)
}

/// Checks that the image is signed by the owner of one of `trusted`. One good signature of several is enough, as
/// for firmware; if none is good the reason of the last one is returned.
pub fn verify(image: &[u8], trusted: &[Certificate]) -> Result<()> {
    let image = Image::parse(image)?;
    let digest = image.digest();
    let mut result = Err(Error::Unsigned);
    for message in image.signatures()? {
        result = verify_message(message, &digest, trusted);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Checks one message of the certificate table against the digest of the image.
fn verify_message(message: &[u8], digest: &[u8; 32], trusted: &[Certificate]) -> Result<()> {
    let data = pkcs7::parse(message)?;
    let info = &data.encap_content_info;
    let content = match &info.econtent {
        Some(content) if info.econtent_type == INDIRECT_DATA => content,
        _ => return Err(Error::Format("the message is not a signature of a PE image".into())),
    };
    let indirect = content.decode_as::<IndirectData>()?;
    if indirect.digest.algorithm.oid != SHA256 {
        return Err(Error::Format("the digest of the image is not SHA-256".into()));
    }
    if indirect.digest.digest.as_bytes() != digest {
        return Err(Error::Content);
    }
    pkcs7::check_signer(&data, INDIRECT_DATA, content.value(), trusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::KEYS;
    use crate::pe::tests::sample;

    #[test]
    fn a_signed_image_is_the_same_each_time_and_verifies() {
        let signed = sign(&KEYS[0], &sample(3)).unwrap();
        assert_eq!(signed, sign(&KEYS[0], &sample(3)).unwrap());
        assert_eq!(signed, sign(&KEYS[0], &signed).unwrap());
        verify(&signed, &[KEYS[0].certificate().clone()]).unwrap();
    }

    #[test]
    fn another_key_a_changed_image_and_a_moved_signature_are_refused() {
        let [one, two] = KEYS.each_ref().map(|k| k.certificate().clone());
        let signed = sign(&KEYS[0], &sample(0)).unwrap();
        assert!(matches!(verify(&signed, &[two]), Err(Error::Untrusted { .. })));
        assert!(matches!(verify(&sample(0), std::slice::from_ref(&one)), Err(Error::Unsigned)));
        for at in [600, 1100, 2047] {
            let mut changed = signed.clone();
            changed[at] ^= 0x80;
            assert!(matches!(verify(&changed, std::slice::from_ref(&one)), Err(Error::Content)), "{at}");
        }
        // The signature of one image on another.
        let other = sample(40);
        let moved = Image::parse(&other)
            .unwrap()
            .with_signature(Image::parse(&signed).unwrap().signatures().unwrap()[0])
            .unwrap();
        assert!(matches!(verify(&moved, &[one]), Err(Error::Content)));
    }
}
