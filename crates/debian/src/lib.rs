//! Debian archive indices, .deb and .dsc files: reading and verifying
