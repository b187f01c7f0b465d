use super::*;
use crate::openpgp::tests::{TestKey, signed};

const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
const DAY: i64 = 86_400;

/// The words of a date.
fn written(seconds: i64) -> String {
    let shown = date::show(seconds);
    let (day, clock) = shown.split_once(' ').unwrap();
    let parts: Vec<&str> = day.split('-').collect();
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        [parts[1].parse::<usize>().unwrap() - 1];
    format!("Xxx, {} {month} {} {clock}", parts[2], parts[0])
}

fn text(date: i64) -> String {
    format!(
        "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: trixie\nDate: {}\nValid-Until: {}\n\
         Acquire-By-Hash: yes\nArchitectures: all amd64\nComponents: main contrib\nMD5Sum:\n 0 5 main/x\n\
         SHA256:\n {DIGEST} 5 main/binary-amd64/Packages.xz\n {DIGEST}        7 main/source/Sources.xz\n",
        written(date),
        written(date + 7 * DAY)
    )
}

/// Verifies what `change` makes of a Release file of a day after the key was made.
fn verify(change: impl Fn(String) -> String, after: i64) -> Result<Release, Error> {
    let key = TestKey::new(false);
    let date = key.made + DAY;
    let text = change(text(date));
    let file = signed(&text, &[key.sign(&text, date)]);
    verify_inrelease(&file, &Keyring::from_keys([key.armored()]).unwrap(), date + after, Expiry::Refused)
}

#[test]
fn a_release_is_read() {
    let release = verify(|t| t, 60).unwrap();
    assert_eq!((release.origin.as_str(), release.codename.as_str()), ("Debian", "trixie"));
    assert_eq!(release.valid_until, Some(release.date + 7 * DAY));
    assert_eq!(
        (release.components.join(" "), release.architectures.join(" ")),
        ("main contrib".into(), "all amd64".into())
    );
    assert!(release.by_hash);
    assert_eq!(release.files.len(), 2);
    let file = release.files["main/source/Sources.xz"];
    assert_eq!((file.size, file.sha256.to_string().as_str()), (7, DIGEST));
    assert_eq!(
        Release::by_hash_path("main/source/Sources.xz", &file),
        format!("main/source/by-hash/SHA256/{DIGEST}")
    );
}

#[test]
fn old_and_future_releases_are_refused_with_their_dates() {
    verify(|t| t, 7 * DAY - 1).unwrap();
    let error = verify(|t| t, 7 * DAY).unwrap_err();
    assert!(matches!(&error, Error::Expired { suite, .. } if suite == "trixie"), "{error}");
    assert!(error.to_string().contains("LAZULI_MIRROR"));
    let endless = |t: String| {
        let kept: Vec<&str> = t.lines().filter(|l| !l.starts_with("Valid-Until")).collect();
        kept.join("\n") + "\n"
    };
    verify(endless, 1000 * DAY).unwrap();
    // The signature is as old as the key; only the text is from the future.
    let key = TestKey::new(false);
    let text = text(key.made + CLOCK_SKEW + 1);
    let file = signed(&text, &[key.sign(&text, key.made)]);
    let error =
        verify_inrelease(&file, &Keyring::from_keys([key.armored()]).unwrap(), key.made, Expiry::Refused)
            .unwrap_err();
    assert!(matches!(error, Error::Future { what: "InRelease", .. }), "{error}");
}

#[test]
fn an_expired_release_is_taken_only_where_that_is_asked_for_and_never_unsigned() {
    let key = TestKey::new(false);
    let text = text(key.made);
    let file = signed(&text, &[key.sign(&text, key.made)]);
    let ring = Keyring::from_keys([key.armored()]).unwrap();
    let late = key.made + 30 * DAY;
    assert!(matches!(verify_inrelease(&file, &ring, late, Expiry::Refused), Err(Error::Expired { .. })));
    assert!(verify_inrelease(&file, &ring, late, Expiry::Accepted).unwrap().valid_until.unwrap() < late);
    let other = Keyring::from_keys([TestKey::new(false).armored()]).unwrap();
    assert!(verify_inrelease(&file, &other, late, Expiry::Accepted).is_err());
}

#[test]
fn another_suite_of_the_same_archive_is_refused() {
    let release = verify(|t| t, 0).unwrap();
    release.expect_suite("trixie").unwrap();
    release.expect_suite("stable").unwrap();
    let error = release.expect_suite("trixie-security").unwrap_err().to_string();
    assert!(error.contains("`trixie`") && error.contains("not of `trixie-security`"), "{error}");
}

#[test]
fn damage_under_a_good_signature_is_named() {
    let message =
        |from: &str, to: &str| verify(|t| t.replacen(from, to, 1), 0).expect_err("must fail").to_string();
    assert!(message("\nDate: ", "\nDay: ").contains("`Date` is missing"));
    assert!(message("Valid-Until: Xxx", "Valid-Until: Xxx,").contains("`Valid-Until`"));
    assert!(message(" UTC\n", " CET\n").contains("is not a date in UTC"));
    assert!(message("SHA256:", "SHA512:").contains("`SHA256` is missing"));
    assert!(message("main/binary-amd64", "../binary-amd64").contains("leads elsewhere"));
    assert!(message(" 5 main/binary", " -5 main/binary").contains("no size"));
    assert!(message("aa 5", "a 5").contains("no SHA-256 digest"));
    assert!(message("Packages.xz", "Packages xz").contains("expected digest, size and path"));
    assert!(message("MD5Sum:", "\nMD5Sum:").contains("expected 1 paragraph"));
}

#[test]
fn a_flipped_byte_anywhere_is_noticed() {
    let key = TestKey::new(false);
    let text = text(key.made);
    let file = signed(&text, &[key.sign(&text, key.made)]);
    let ring = Keyring::from_keys([key.armored()]).unwrap();
    let start = file.windows(2).position(|w| w == b"\n\n").unwrap() + 2;
    for at in (start..start + text.len() - 1).step_by(11) {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(verify_inrelease(&damaged, &ring, key.made, Expiry::Refused).is_err(), "byte {at}");
    }
}
