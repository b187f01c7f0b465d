//! Running a command in a tool root: namespaces, no network, read-only root
