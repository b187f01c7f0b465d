//! What people who write these files may rely on.
