//! The detached signature of `repomd.xml`: armored OpenPGP, as repository clients expect it.

use crate::error::{Error, Result};
use lazuli_rpm::{KeyRing, Signer};

/// Signs the bytes of `repomd.xml`. `time` (seconds since the epoch) is the date of the signature.
pub(crate) fn sign(content: &[u8], signer: &Signer, time: i64) -> Result<Vec<u8>> {
    let signature = signer.sign_detached(content, time);
    signature.map(String::into_bytes).map_err(|e| Error::Signing { reason: e.to_string() })
}

/// The armored public key that verifies what the signer signs.
pub(crate) fn public_key(signer: &Signer) -> Result<Vec<u8>> {
    signer.public_armored().map(String::into_bytes).map_err(|e| Error::Signing { reason: e.to_string() })
}

/// Checks a signature.
pub(crate) fn verify(content: &[u8], signature: &[u8], keys: &KeyRing) -> Result<()> {
    let failed = |reason: String| Error::Signature { reason };
    let armored = std::str::from_utf8(signature).map_err(|_| failed("it is not armored text".to_owned()))?;
    keys.verify_detached(content, armored).map(|_| ()).map_err(|e| failed(e.to_string()))
}
