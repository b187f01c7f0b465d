//! `/init` of the initrd. See the library.

use std::ffi::OsString;
use std::io::Write as _;

fn main() {
    if !rustix::process::getpid().is_init() {
        // It would mount and restart where it has no business to.
        let text = concat!(
            env!("CARGO_PKG_NAME"),
            " ",
            env!("CARGO_PKG_VERSION"),
            ", the first process of an initrd\n"
        );
        let _closed = std::io::stdout().write_all(text.as_bytes());
        let asked = std::env::args_os().nth(1).is_some_and(|word| word == "--version");
        std::process::exit(if asked { 0 } else { 2 });
    }
    std::panic::set_hook(Box::new(|panic| lazuli_initrd::boot::restart(&panic.to_string())));
    // What the kernel has for init goes on to the root's.
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Err(error) = lazuli_initrd::boot::start(&arguments);
    lazuli_initrd::boot::restart(&error.to_string())
}
