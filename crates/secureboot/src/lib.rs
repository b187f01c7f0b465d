//! UEFI Secure Boot without foreign tools: keys and certificates, signature lists, authenticated variables,
//! signatures of PE images (Authenticode) and the signatures that the kernel checks (PKCS#7).
//!
//! | module | format | specification |
//! |---|---|---|
//! | [`key`] | RSA-2048 key and self-signed X.509 certificate | RFC 8017, RFC 5280 |
//! | [`keyset`] | PK, KEK and db of one owner, in a directory | UEFI 2.10, 32.3 |
//! | [`pkcs7`] | signedData, attached and detached | RFC 5652, RFC 2315 |
//! | [`pe`], [`authenticode`] | digest and signature of a PE image | PE/COFF, Microsoft's Authenticode note of 2008 |
//! | [`esl`], [`variable`] | EFI_SIGNATURE_LIST, EFI_VARIABLE_AUTHENTICATION_2 | UEFI 2.10, 32.4.1 and 8.2.2 |
//! | [`varstore`] | the variable store of edk2's firmware for virtual machines | edk2, MdeModulePkg |
//!
//! # One signature, the same bytes each time
//!
//! RSA with PKCS#1 v1.5 padding is a function of key and content. The one thing that makes signatures of
//! other signers differ is the attribute `signingTime`, which is optional and left out here. So a signed file
//! is as reproducible as an unsigned one, given the key.
//!
//! # What is trusted
//!
//! A verifier is given the certificates that it trusts, and the signer must be one of them: no chains, no
//! dates (firmware and kernel look at neither), SHA-256 only. What a signature brings along is never trusted.
//!
//! Parsers take bytes, and everything but [`keyset`] knows nothing of files. This crate must not know what
//! an image or a machine is.

pub mod authenticode;
mod error;
pub mod esl;
pub mod key;
pub mod keyset;
pub mod pe;
pub mod pkcs7;
pub mod variable;
pub mod varstore;

pub use error::{Error, Result};
pub use key::{Certificate, Key};
pub use keyset::{KeySet, Role};

use sha2::{Digest as _, Sha256};

/// SHA-256.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
