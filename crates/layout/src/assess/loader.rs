//! Updating systemd-boot itself.
//!
//! It is there twice: under its own name, which a boot entry of the firmware names, and under the fallback name that
//! firmware starts when no entry works. Firmware that finds the first one missing, damaged or badly signed goes on
//! to the second. So the first is replaced first, and the second only by a system that was started by the new first
//! one. A loader is replaced while the running image is blessed: a trial changes one thing at a time.

use serde::{Deserialize, Serialize};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// `EFI/systemd/systemd-bootx64.efi`.
    Main,
    /// `EFI/BOOT/BOOTX64.EFI`.
    Fallback,
}

/// What is known of the loaders. Digests are SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderState {
    /// Digest of the one under its own name, if it is there.
    pub main: Option<[u8; 32]>,
    /// Digest of the fallback.
    pub fallback: Option<[u8; 32]>,
    /// Which one started the running system, if the firmware said so (the variable `LoaderImageIdentifier`).
    pub started: Option<Loader>,
    /// Digest of the one that the running image brings.
    pub wanted: [u8; 32],
    /// Whether the running image is blessed.
    pub blessed: bool,
}

/// Which copy is to be replaced now by the wanted one; one at a time, and a boot in between.
pub fn plan_loader(state: &LoaderState) -> Option<Loader> {
    let wanted = Some(state.wanted);
    if !state.blessed {
        return None;
    }
    if state.fallback.is_none() {
        // Nothing to fall back to is worse than an untried one.
        return Some(Loader::Fallback);
    }
    if state.main != wanted {
        // Never both at once: what started this system stays in one of them.
        return Some(Loader::Main);
    }
    (state.fallback != wanted && state.started == Some(Loader::Main)).then_some(Loader::Fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Option<[u8; 32]> = Some([1; 32]);
    const NEW: Option<[u8; 32]> = Some([2; 32]);

    fn state(main: Option<[u8; 32]>, fallback: Option<[u8; 32]>, started: Option<Loader>) -> LoaderState {
        LoaderState { main, fallback, started, wanted: [2; 32], blessed: true }
    }

    #[test]
    fn the_fallback_is_replaced_by_a_system_that_the_new_one_started() {
        let main = Some(Loader::Main);
        assert_eq!(plan_loader(&state(OLD, OLD, main)), Some(Loader::Main));
        assert_eq!(plan_loader(&state(NEW, OLD, main)), Some(Loader::Fallback));
        assert_eq!(plan_loader(&state(NEW, NEW, main)), None);
        // The firmware fell back: the new one does not start here.
        assert_eq!(plan_loader(&state(NEW, OLD, Some(Loader::Fallback))), None);
        assert_eq!(plan_loader(&state(NEW, OLD, None)), None);
        assert_eq!(plan_loader(&state(NEW, None, main)), Some(Loader::Fallback));
    }

    #[test]
    fn a_trial_changes_nothing() {
        assert_eq!(plan_loader(&LoaderState { blessed: false, ..state(OLD, OLD, None) }), None);
    }
}
