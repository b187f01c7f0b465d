//! `lapis`, `tdnf` and `dnf`: one binary, see the library.

fn main() -> std::process::ExitCode {
    // Lua scriptlets run in a copy of this process of their own.
    lazuli_scriptlet::helper::run_if_asked();
    lazuli_lapis::run(std::env::args_os())
}
