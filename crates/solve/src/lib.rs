//! Dependency resolution over repository metadata
