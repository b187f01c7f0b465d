//! What is recognised, and above all what is not.

use super::*;
use crate::schema::ScriptAcknowledgement;
use lazuli_store::Digest;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn unrecognised(name: &str, body: &str) -> Vec<String> {
    let script = format!("#!/bin/sh\nset -e\n{body}\nexit 0\n");
    recognise(name, script.as_bytes(), false).unrecognised.into_iter().map(|l| l.text).collect()
}

fn effects(name: &str, body: &str) -> Vec<String> {
    let script = format!("#!/bin/sh\nset -e\n{body}\n");
    let found = recognise(name, script.as_bytes(), false);
    assert_eq!(found.unrecognised, [], "{body}");
    found.effects.iter().map(ToString::to_string).collect()
}

fn block(tool: &str, body: &str) -> String {
    format!("# Automatically added by {tool}/13.24.2\n{body}\n# End automatically added section\n")
}

#[test]
fn an_inert_skeleton_needs_nobody() {
    let skeleton = r#"
case "$1" in
    configure)
        # nothing
        ;;
    abort-upgrade|abort-remove|abort-deconfigure) rm -rf /var/lib/x ;;
    *)
        echo "postinst called with unknown argument \`$1'" >&2
        exit 1
        ;;
esac
"#;
    // `exit 1` could still be reached, with `triggered`, which the package has no interest in.
    assert!(unrecognised("postinst", skeleton).is_empty());
    assert!(
        unrecognised("postinst", "if [ -x /usr/bin/x ]; then echo \"$(uname -m)\" >/dev/null; fi").is_empty()
    );
}

#[test]
fn what_rpm_never_calls_does_not_matter() {
    for body in [
        "if [ \"$1\" = purge ]; then rm -rf /var/lib/x; fi",
        "if test purge = $1; then rm -rf /var/lib/x; fi",
        "[ \"$1\" = purge ] && rm -rf /var/lib/x || true",
        "if [ \"$1\" != \"purge\" ]; then exit 0; else rm -rf /x; fi",
        "if [ \"$1\" = purge -a -d /var/lib/x ]; then rm -rf /x; fi",
        "action=$1\ncase $action in purge|disappear) rm -rf /x ;; esac",
        "clean() { rm -rf /x; }\ncase \"$1\" in purge) clean ;; esac",
    ] {
        assert!(unrecognised("postrm", body).is_empty(), "{body}");
    }
}

#[test]
fn whatever_may_run_and_do_something_is_seen() {
    for (name, body) in [
        ("postrm", "rm -rf /var/lib/x"),
        ("postrm", "if [ \"$1\" = remove ]; then rm -rf /var/lib/x; fi"),
        ("postrm", "if [ \"$1\" = purge ] || [ -d /x ]; then rm -rf /var/lib/x; fi"),
        ("postrm", "if [ \"$1\" = purge -o -d /x ]; then rm -rf /var/lib/x; fi"),
        ("postrm", "if ! [ \"$1\" = purge ]; then rm -rf /var/lib/x; fi"),
        ("postrm", "case \"$1\" in pur*) : ;; rem*) rm -rf /var/lib/x ;; esac"),
        ("postrm", "case \"$2\" in purge) rm -rf /var/lib/x ;; esac"),
        ("postrm", "f() { [ \"$1\" = purge ] && rm -rf /var/lib/x; }\nf purge"),
        ("postrm", "set -- purge\n[ \"$1\" = purge ] && rm -rf /var/lib/x"),
        ("postinst", "x=$(rm -rf /var/lib/x)"),
        ("postinst", "echo \"`rm -rf /var/lib/x`\""),
        ("postinst", "echo x > /etc/x"),
        ("postinst", "cat <<EOF >> /etc/x\n$(id)\nEOF"),
        ("postinst", "cat <<EOF\n$(rm -rf /var/lib/x)\nEOF"),
        ("postinst", "eval \"$2\""),
        ("postinst", "$X"),
        ("postinst", "for f in a b; do rm $f; done"),
        ("postinst", "echo a | tee /etc/x"),
        ("postinst", "while read x; do rm $x; done < /etc/x"),
        ("postinst", "( rm /x )"),
        ("postinst", "if rm /x; then :; fi"),
        ("postinst", "true || rm /x; rm /y"),
        ("postinst", "echo() { rm /x; }\necho"),
        ("postinst", "true() { rm /x; }\ntrue"),
        ("postinst", "echo() { rm /x; }\necho() { :; }\necho"),
        ("postinst", "update() { local action=$1; [ $action = triggered ] && rm /x; }\nupdate triggered"),
        ("postinst", "T=/a\nT=/b\nupdate-alternatives --install /usr/bin/t t $T 1"),
        ("postinst", "dpkg-divert --rename --add /usr/bin/x"),
        ("postinst", "exit 1"),
        ("postinst", ". /usr/share/x/functions"),
        ("postinst", "systemctl enable x.service"),
        ("preinst", "case \"$1\" in install) adduser --system x ;; esac"),
    ] {
        assert!(!unrecognised(name, body).is_empty(), "{body}");
    }
}

#[test]
fn what_is_not_understood_is_not_recognised() {
    for script in [
        "#!/usr/bin/perl\nexit 0;\n",
        "#!/bin/sh -c true\n",
        "no shebang\n",
        "#!/bin/sh\nif true; then\n",
        "#!/bin/sh\ncase x in\n",
        "#!/bin/sh\necho 'open\n",
        "#!/bin/sh\ncat <<EOF\nno end\n",
        "#!/bin/bash\nif [[ $1 = purge ]]; then rm /x; fi\n",
        "#!/bin/bash\nf=(a b)\n",
        "",
    ] {
        assert!(!recognise("postinst", script.as_bytes(), false).unrecognised.is_empty(), "{script}");
    }
    assert!(!recognise("postinst", b"#!/bin/sh\n\xff\n", false).unrecognised.is_empty());
}

#[test]
fn blocks_become_what_replaces_them() {
    let enable = block(
        "dh_installsystemd",
        "if [ \"$1\" = \"configure\" ] || [ \"$1\" = \"abort-upgrade\" ] ; then\n\
         \tdeb-systemd-helper unmask 'x.service' >/dev/null || true\n\
         \tif deb-systemd-helper --quiet was-enabled 'x.service'; then\n\
         \t\tdeb-systemd-helper enable 'x.service' >/dev/null || true\n\
         \telse\n\t\tdeb-systemd-helper update-state 'x.service' >/dev/null || true\n\tfi\nfi",
    );
    assert_eq!(effects("postinst", &enable), ["x.service: enabled if a preset says so"]);
    let not_enabled = block(
        "dh_installsystemd",
        "if deb-systemd-helper debian-installed 'x.socket'; then\n\
         \tif deb-systemd-helper --quiet was-enabled 'x.socket'; then\n\
         \t\tdeb-systemd-helper enable 'x.socket' >/dev/null || true\n\tfi\nfi",
    );
    assert!(effects("postinst", &not_enabled).is_empty());
    let users = block("dh_installsysusers", "   systemd-sysusers ${DPKG_ROOT:+--root=\"$DPKG_ROOT\"} x.conf");
    assert_eq!(effects("postinst", &users), ["accounts from sysusers.d: x.conf"]);
    let old = block("dh_installdeb", "dpkg-maintscript-helper rm_conffile /etc/x 1.0\\~ -- \"$@\"");
    assert_eq!(effects("preinst", &old), ["dh_installdeb: nothing, it moves files of older Debian releases"]);
}

#[test]
fn a_block_may_have_only_its_own_commands() {
    let foreign = block("dh_installsystemd", "if [ \"$1\" = configure ]; then\n\tcp /usr/share/x /etc/x\nfi");
    assert_eq!(unrecognised("postinst", &foreign), ["cp /usr/share/x /etc/x"]);
    let unknown = block("dh_mystery", "mystery --install");
    assert_eq!(unrecognised("postinst", &unknown), ["mystery --install"]);
    // dh_installnss edits nsswitch.conf.
    let nss = block("dh_installnss", "sed -i 's/x/y/' /etc/nsswitch.conf");
    assert_eq!(unrecognised("postinst", &nss).len(), 1);
    // A marker without its end opens nothing.
    assert!(!unrecognised("postinst", "# Automatically added by dh_usrlocal\nmkdir /x").is_empty());
}

#[test]
fn alternatives_are_kept_unless_something_unknown_decides() {
    let install = "update-alternatives --install /usr/bin/mt mt /bin/mt-gnu 10 --slave /usr/m/a a /usr/m/b";
    let expected = Effect::Alternative(Alternative {
        name: "mt".into(),
        priority: 10,
        links: vec![("/usr/bin/mt".into(), "/bin/mt-gnu".into()), ("/usr/m/a".into(), "/usr/m/b".into())],
    });
    let script =
        format!("#!/bin/sh\nif [ \"$1\" = configure ] || [ \"$1\" = abort-upgrade ]; then\n{install}\nfi\n");
    let found = recognise("postinst", script.as_bytes(), false);
    assert_eq!((found.effects, found.unrecognised), (vec![expected], vec![]));
    assert!(!unrecognised("postinst", &format!("if [ -e /etc/x ]; then {install}; fi")).is_empty());
    assert!(!unrecognised("postinst", &format!("[ -e /etc/x ] && {install}")).is_empty());
    assert!(!unrecognised("postinst", &format!("for x in a b; do {install}; done")).is_empty());
    assert!(!unrecognised("postinst", "update-alternatives --install /usr/bin/a a $T 1").is_empty());
    assert!(!unrecognised("postinst", "update-alternatives --set a /usr/bin/b").is_empty());
}

#[test]
fn setcap_with_its_fallback_is_a_capability() {
    let script = "PROGRAM=/usr/bin/ping\nif command -v setcap > /dev/null; then\n\
                  if setcap cap_net_raw+ep $PROGRAM; then\nchmod u-s $PROGRAM\nelse\n\
                  echo failed >&2\nchmod u+s $PROGRAM\nfi\nfi";
    assert_eq!(effects("postinst", script), ["file capability cap_net_raw+ep on /usr/bin/ping"]);
}

#[test]
fn triggered_counts_only_for_unknown_interests() {
    let script = BTreeMap::from([(
        "postinst".to_owned(),
        b"#!/bin/sh\nif [ \"$1\" = triggered ]; then update-things; fi\n".to_vec(),
    )]);
    let state = |file: &str| {
        survey(&script, Some(file.as_bytes()), &[])
            .into_iter()
            .map(|f| (f.name, f.unrecognised.len()))
            .collect::<Vec<_>>()
    };
    let (postinst, triggers) = ("postinst".to_owned(), "triggers".to_owned());
    assert_eq!(state("interest-noawait ldconfig\n"), [(postinst.clone(), 0), (triggers.clone(), 0)]);
    assert_eq!(state("# x\ninterest /usr/share/things\n"), [(postinst.clone(), 1), (triggers.clone(), 1)]);
    assert_eq!(state("activate-noawait things\n"), [(postinst, 0), (triggers, 1)]);
}

fn acknowledgement(name: &str, script: &str) -> ScriptAcknowledgement {
    ScriptAcknowledgement { name: name.into(), sha256: Digest::of(script), reason: "read it".into() }
}

#[test]
fn an_unacknowledged_script_is_an_error_with_the_block_to_paste() {
    let old = "#!/bin/sh\nadduser --system x\n";
    let new = "#!/bin/sh\nadduser --system --group x\n";
    let scripts = BTreeMap::from([("postinst".to_owned(), new.as_bytes().to_vec())]);

    let error = fates("hello", &scripts, None, &[]).unwrap_err().to_string();
    for part in [
        "hello: the maintainer script postinst is not acknowledged",
        &Digest::of(new).to_string(),
        "2: adduser --system --group x",
        "[[package.hello.script]]\nname = \"postinst\"",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let pasted = &error[error.find("[[").unwrap()..];
    let text = format!(
        "kind = \"adopted\"\npackages = [\"hello\"]\n{}",
        pasted.replace("reason = \"\"", "reason = \"x\"")
    );
    let file: crate::schema::ComponentFile = toml::from_str(&text).unwrap();
    assert_eq!(file.package["hello"].script[0].sha256, Digest::of(new));
    assert!(fates("hello", &scripts, None, &file.package["hello"].script).is_ok());

    let error = fates("hello", &scripts, None, &[acknowledgement("postinst", old)]).unwrap_err().to_string();
    for part in ["upstream changed", &Digest::of(old).to_string(), &Digest::of(new).to_string()] {
        assert!(error.contains(part), "{error}");
    }

    let gone = [acknowledgement("postinst", new), acknowledgement("prerm", old)];
    let error = fates("hello", &scripts, None, &gone).unwrap_err();
    assert_eq!(error.problems, [Problem::Gone { name: "prerm".into() }]);

    let twice = [acknowledgement("postinst", new), acknowledgement("postinst", old)];
    let error = fates("hello", &scripts, None, &twice).unwrap_err();
    assert_eq!(error.problems, [Problem::Twice { name: "postinst".into() }]);
}

#[test]
fn an_acknowledgement_that_is_not_needed_is_reported() {
    let script = "#!/bin/sh\nexit 0\n";
    let scripts = BTreeMap::from([("postinst".to_owned(), script.as_bytes().to_vec())]);
    let fates = fates("hello", &scripts, None, &[acknowledgement("postinst", script)]).unwrap();
    assert_eq!(fates[0].status, Status::Recognised { superfluous: Some("read it".into()) });
}

#[test]
fn words_stand_for_themselves_or_are_not_literal() {
    for (word, value) in [
        ("plain", Some("plain")),
        ("'a b'", Some("a b")),
        ("\"a'b\"", Some("a'b")),
        ("a\\ b", Some("a b")),
        ("1.0\\~", Some("1.0~")),
        ("$x", None),
        ("\"`x`\"", None),
        ("a*", None),
        ("'a*'", Some("a*")),
        ("[", Some("[")),
    ] {
        assert_eq!(literal(word).as_deref(), value, "{word}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_harm(text in "(#!/bin/sh\n)?([ \na-c$`'\"(){}|&;<>\\\\#=\\[\\]1*]|if |then |fi|case |in |esac|do |done|<<E\n|E\n){0,60}") {
        let found = recognise("postinst", text.as_bytes(), true);
        let lines = text.matches('\n').count() + 1;
        prop_assert!(found.unrecognised.iter().all(|l| (1..=lines).contains(&l.number)));
    }

    /// Wherever a command stands that changes something, somebody has to look.
    #[test]
    fn a_harmful_command_is_never_hidden(
        before in "(echo a|true|x=1|# c|:)",
        wrap in 0..6_usize,
        between in "(;|\n|&&|\n\n)",
    ) {
        let body = format!("{before}\nchown root /etc/x");
        let body = match wrap {
            0 => body,
            1 => format!("if [ -n \"$2\" ]; then\n{body}\nfi"),
            2 => format!("case \"$1\" in\nconfigure)\n{body}\n;;\nesac"),
            3 => format!("f() {{\n{body}\n}}\ntrue {between} f"),
            4 => format!("( {body} )"),
            _ => format!("if true; then :; fi\n[ \"$1\" = configure ] && {{\n{body}\n}}"),
        };
        prop_assert!(!unrecognised("postinst", &body).is_empty(), "{}", body);
    }
}
