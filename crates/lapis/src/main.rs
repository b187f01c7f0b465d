//! `lapis`, `tdnf` and `dnf`: one binary, see the library.

fn main() -> std::process::ExitCode {
    lazuli_lapis::run(std::env::args_os())
}
