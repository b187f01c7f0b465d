//! Texts of packages that have a grammar: dependencies, rich ones, versions, capabilities, base64.
#![no_main]

use lazuli_rpm::{Dependency, Evr, base64, caps, rich::Rich};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(plain) = std::str::from_utf8(bytes).ok().and_then(base64::decode) {
        assert_eq!(base64::decode(&base64::encode(&plain)).as_ref(), Some(&plain));
    }
    assert_eq!(base64::decode(&base64::encode(bytes)).as_deref(), Some(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(rich) = Rich::parse(text) {
        let _ = rich.simple();
        let written = match &rich {
            Rich::Simple(simple) => format!("({simple})"),
            other => other.to_string(),
        };
        assert_eq!(Rich::parse(&written).as_ref(), Ok(&rich), "{written}");
    }
    if let Ok(dependency) = Dependency::parse(text) {
        let written = dependency.to_string();
        assert_eq!(Dependency::parse(&written).as_ref(), Ok(&dependency), "{written}");
        let _ = lazuli_solve::mentioned_names(&dependency);
    }
    if let Ok(evr) = text.parse::<Evr>() {
        assert_eq!(evr.to_string().parse::<Evr>().map(|evr| evr.to_string()), Ok(evr.to_string()));
    }
    let _ = caps::parse(text);
});
