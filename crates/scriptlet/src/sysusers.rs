//! Users and groups that a package brings, made before its `%pre`.
//!
//! RPM 4.19 turns the lines of a package's `sysusers.d` files into provides `user(NAME) = BASE64` and
//! `group(NAME) = BASE64`, whose version is the line itself, so that the installer knows the users before
//! the files are there.
