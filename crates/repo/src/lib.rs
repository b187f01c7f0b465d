//! RPM repository metadata: writing, signing, reading and verifying
