//! Lines of sysusers.d and account files: what a line says can be written, and accounts stay one a line.
#![no_main]

use lazuli_scriptlet::sysusers::{Accounts, Line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (lines, files) = text.split_once("\n\n").unwrap_or((text, ""));
    let (passwd, group) = files.split_once("\n\n").unwrap_or((files, ""));
    let _ = lazuli_tree::Accounts::from_passwd_group(passwd, group);
    let mut accounts = Accounts::from_texts(passwd, group, 20_000);
    let before = accounts.lines("passwd").len() + accounts.lines("group").len();
    let mut made = 0;
    for line in lines.lines() {
        let Ok(line) = line.parse::<Line>() else { continue };
        let written = line.to_string();
        // A home or a shell with blanks is written without quotes.
        if let Ok(again) = written.parse::<Line>() {
            assert_eq!(again.to_string(), written);
        }
        if accounts.apply(&line).is_ok() {
            made += 2;
        }
    }
    let after = accounts.lines("passwd").len() + accounts.lines("group").len();
    assert!(after <= before + made * 2);
    for line in accounts.lines("passwd").iter().chain(accounts.lines("group")).chain(accounts.lines("shadow"))
    {
        assert!(!line.contains('\n'));
    }
});
