//! distro/ and lazuli.lock: components, adopted or built, and everything they pin
