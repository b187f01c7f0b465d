//! The Lua interpreter of scripts, in the helper.

/// Reads the job and runs it; the exit status.
pub(crate) fn serve(_job: &str) -> i32 {
    1
}
