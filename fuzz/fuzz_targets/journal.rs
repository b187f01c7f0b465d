//! The journal of a transaction and its plan, as recovery finds them: what is understood can be written,
//! and is the same then.
#![no_main]

use lazuli_transaction::fuzzing;
use libfuzzer_sys::fuzz_target;

fn journal(bytes: &[u8]) {
    if let Some((read, written)) = fuzzing::journal(bytes) {
        assert!(bytes.starts_with(&read));
        let again = fuzzing::journal(&written).expect("what was written can be read");
        assert_eq!(again, (written.clone(), written));
    }
}

fuzz_target!(|bytes: &[u8]| {
    journal(bytes);
    // A digest cannot be guessed, so the records get theirs here.
    journal(&bytes.split(|byte| *byte == b'\n').map(fuzzing::framed).collect::<Vec<_>>().concat());
    if let Some(written) = fuzzing::plan(bytes) {
        let again = fuzzing::plan(&written).expect("what was written can be read");
        // Numbers with a fraction, which no plan has, may change in their last digit.
        let fraction = |pair: &[u8]| pair[0].is_ascii_digit() && matches!(pair[1], b'.' | b'e' | b'E');
        assert!(written == again || written.windows(2).any(fraction));
    }
});
