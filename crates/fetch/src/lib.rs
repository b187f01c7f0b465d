//! Verified, resumable, parallel HTTP downloads into the store
