use super::*;
use crate::script::{Flags, Kind};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

#[test]
fn helper() {
    crate::helper::run_in_test();
}

fn script(interpreter: &str, body: &str) -> Script {
    Script {
        kind: Kind::Post,
        package: "sample-1-1.noarch".into(),
        element: Some(0),
        interpreter: interpreter.split(' ').map(str::to_owned).collect(),
        body: Some(body.into()),
        args: vec![2, 1],
        paths: Vec::new(),
        flags: Flags::default(),
        prefixes: Vec::new(),
    }
}

fn lua(body: &str) -> Script {
    script("<lua>", body)
}

fn runner(root: impl AsRef<Path>) -> Runner {
    Runner::new(root).unwrap().with_helper(Helper::test("run::tests::helper"))
}

/// How it ended, and its lines, those of standard error after a `!`.
fn run(runner: &Runner, script: &Script) -> (Ending, Vec<String>) {
    let mut lines = Vec::new();
    let outcome = runner.run(script, &mut |stream, line| {
        lines.push(if stream == Stream::Err { format!("!{line}") } else { line.to_owned() });
    });
    (outcome.unwrap().ending, lines)
}

fn limited(runner: Runner, change: impl FnOnce(&mut Options)) -> Runner {
    let mut options = Options::default();
    change(&mut options);
    runner.with_options(options)
}

/// Whether this user may use the rest of a test, which needs a changed root.
fn confined() -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    match Runner::new(dir.path()) {
        Ok(_) => Some(dir),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

#[test]
fn a_shell_script_sees_what_rpm_gives_it() {
    let runner = runner("/");
    let body = "echo \"$0\" | grep -q 'rpm-tmp\\.' && echo file; echo $1 $2; umask; pwd; echo $PATH; \
                echo \"$RPM_INSTALL_PREFIX $RPM_INSTALL_PREFIX1\"; cat; ls -m /proc/$$/fd; \
                echo oops >&2; ulimit -H -n >/dev/null; trap - PIPE; kill -l 13";
    let mut script = script("/bin/sh", body);
    script.prefixes = vec!["/opt".into(), "/srv".into()];
    let (ending, lines) = run(&runner, &script);
    assert_eq!(ending, Ending::Success);
    // The shell itself has the script open as 10 or so. (In a pipeline it would have the pipe open, too, for a moment.)
    let (fds, mut rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(|l| l.starts_with("0, 1, "));
    rest.sort_by_key(|line| line.starts_with('!'));
    assert!(fds[0].split_whitespace().count() <= 4, "{fds:?}");
    assert_eq!(
        rest,
        [
            "file",
            "2 1",
            "0022",
            "/",
            "/sbin:/bin:/usr/sbin:/usr/bin:/usr/X11R6/bin",
            "/opt /srv",
            "PIPE",
            "!oops"
        ]
    );
    let (_, lines) = run(&runner, &super::tests::script("/bin/sh", "echo $0"));
    assert!(lazuli_fs::symlink_metadata(&lines[0]).unwrap_err().is_not_found());
}

#[test]
fn a_script_lies_where_the_caller_wants_it_while_it_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().to_str().unwrap().to_owned();
    let runner = limited(runner("/"), |options| options.scratch = Some(place.clone()));
    let (ending, lines) = run(&runner, &script("/bin/sh", "echo \"$0\"; test -f \"$0\""));
    assert_eq!(ending, Ending::Success);
    assert!(lines[0].starts_with(&format!("{place}/")), "{lines:?}");
    assert!(lazuli_fs::read_dir(scratch.path()).unwrap().is_empty());
}

#[test]
fn an_interpreter_without_a_script_gets_no_arguments() {
    let mut script = script("/bin/echo one two", "");
    script.body = None;
    assert_eq!(run(&runner("/"), &script), (Ending::Success, vec!["one two".into()]));
}

#[test]
fn endings_are_told_apart() {
    let runner = runner("/");
    let ending = |body| run(&runner, &script("/bin/sh", body)).0;
    assert_eq!(ending("exit 3"), Ending::Status(3));
    assert_eq!(ending("kill -9 $$"), Ending::Signal(9));
    assert!(matches!(run(&runner, &script("/no/such/shell", "")).0, Ending::NotStarted(_)));
    for (kind, flags, critical) in [
        (Kind::Post, Flags::default(), false),
        (Kind::Post, Flags::CRITICAL, true),
        (Kind::Pre, Flags::default(), true),
        (Kind::PreUn, Flags::default(), true),
        (Kind::PreTrans, Flags::default(), true),
        (Kind::Trigger(crate::When::PreIn), Flags::default(), true),
        (Kind::Trigger(crate::When::Un), Flags::default(), false),
    ] {
        let script = Script { kind, flags, ..script("/bin/sh", "exit 1") };
        assert_eq!(runner.run(&script, &mut |_, _| ()).unwrap().critical, critical, "{kind}");
    }
}

#[test]
fn a_script_that_takes_too_long_is_killed_with_what_it_started() {
    let runner = limited(runner("/"), |o| o.timeout = Some(Duration::from_millis(200)));
    let started = Instant::now();
    let (ending, lines) = run(&runner, &script("/bin/sh", "sleep 100 & echo $!; wait"));
    assert_eq!(ending, Ending::TimedOut(Duration::from_millis(200)));
    assert!(started.elapsed() < Duration::from_secs(10));
    // It takes a moment to die, and is a zombie for another one where nobody collects orphans.
    let status = || lazuli_fs::read_to_string(format!("/proc/{}/stat", lines[0])).unwrap_or_default();
    let dead = |status: &str| status.is_empty() || status.contains(") Z ");
    for _ in 0..100 {
        if dead(&status()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(dead(&status()), "{}", status());
}

#[test]
fn what_goes_on_in_the_background_is_not_waited_for() {
    let started = Instant::now();
    let (ending, lines) = run(&runner("/"), &script("/bin/sh", "sleep 30 & echo $!"));
    assert_eq!(ending, Ending::Success);
    assert!(started.elapsed() < Duration::from_secs(10));
    let pid = rustix::process::Pid::from_raw(lines[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn many_paths_and_much_output_need_little_memory_and_no_order() {
    let mut script = script("/bin/sh", "cat; head -c 300000 /dev/zero | tr '\\0' x");
    script.paths = (0..20_000).map(|i| format!("/usr/share/{i}")).collect();
    let (ending, lines) = run(&runner("/"), &script);
    assert_eq!(ending, Ending::Success);
    assert_eq!(lines[..20_000], script.paths);
    assert!(lines[20_000..].iter().all(|line| line.len() <= 8 << 10));
    // Who does not read its paths is not in the way.
    script.body = Some("echo done".into());
    assert_eq!(run(&runner("/"), &script), (Ending::Success, vec!["done".into()]));
}

#[test]
fn lua_needs_nothing_in_the_root() {
    let Some(dir) = confined() else { return };
    let body = r#"
        assert(arg[1] == "<lua>" and arg[2] == 2 and arg[3] == 1)
        print(posix.getcwd(), #posix.dir("/"), posix.umask())
        assert(posix.mkdir("/etc") == 0)
        local nothing, text, number = posix.mkdir("/etc")
        print(nothing, text, number)
        local file = assert(io.open("/etc/made", "w"))
        file:write("by lua\n")
        file:close()
        posix.symlink("made", "/etc/link")
        posix.chmod("/etc/made", "u=rw,go=")
        print(posix.stat("/etc/link", "type"), posix.readlink("/etc/link"), posix.stat("/etc/made").mode)
    "#;
    let (ending, lines) = run(&runner(dir.path()), &lua(body));
    assert_eq!(lines, ["/\t2\trwxr-xr-x", "nil\t/etc: File exists\t17", "link\tmade\trw-------"]);
    assert_eq!(ending, Ending::Success);
    let made = dir.path().join("etc/made");
    assert_eq!(lazuli_fs::read_to_string(&made).unwrap(), "by lua\n");
    assert_eq!(lazuli_fs::metadata(&made).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn lua_cannot_leave_the_root() {
    let Some(dir) = confined() else { return };
    let outside = tempfile::NamedTempFile::new().unwrap();
    let path = outside.path().display();
    let body =
        format!("print(posix.stat('/../..{path}')); posix.chdir('..'); print(posix.stat('../..{path}'))");
    let (_, lines) = run(&runner(dir.path()), &lua(&body));
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("nil")), "{lines:?}");
}

#[test]
fn lua_failures_are_told() {
    let runner = limited(runner("/"), |o| {
        o.lua_instructions = 50_000_000;
        o.lua_memory = 16 << 20;
        o.timeout = Some(Duration::from_secs(2));
    });
    for (body, reason) in [
        ("error('on purpose')", "on purpose"),
        ("if", "near"),
        ("while true do end", "instructions"),
        ("local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1000) .. i end", "memory"),
        ("os.exit(0)", "not permitted"),
        ("load(string.dump(function() end))() rpm.spawn({})", "not supplied"),
        ("posix.exec('/bin/true')", "not permitted"),
    ] {
        let (ending, lines) = run(&runner, &lua(body));
        assert_eq!(ending, Ending::Status(1), "{body}: {lines:?}");
        assert!(lines.iter().any(|line| line.starts_with('!') && line.contains(reason)), "{body}: {lines:?}");
    }
    let (ending, _) = run(&runner, &lua("posix.sleep(100)"));
    assert_eq!(ending, Ending::TimedOut(Duration::from_secs(2)));
}

#[test]
fn lua_runs_programs() {
    let body = r#"
        print(rpm.execute("true"))
        print(rpm.spawn({"sh", "-c", "exit 3"}))
        print(rpm.spawn({"sh", "-c", "kill -9 $$"}))
        print((rpm.spawn({"/no/such/program"})))
        posix.setenv("SAMPLE", "seen")
        rpm.execute("sh", "-c", "echo $SAMPLE")
        print(os.getenv("SAMPLE"), os.execute("exit 4"))
        local pid = posix.fork()
        if pid == 0 then
            rpm.redirect2null(2)
            posix.exec("sh", "-c", "echo from the child; echo lost >&2")
        end
        print(posix.wait(pid) == pid)
    "#;
    let (ending, lines) = run(&runner("/"), &lua(body));
    assert_eq!(
        lines,
        [
            "0",
            "nil\texit code: 3\t3",
            "nil\texit signal: 9\t9",
            "nil",
            "seen",
            "seen\tnil\texit\t4",
            "from the child",
            "true"
        ]
    );
    assert_eq!(ending, Ending::Success);
}

#[test]
fn lua_has_the_functions_of_rpm() {
    let dir = tempfile::tempdir().unwrap();
    let body = r#"
        local f = rpm.next_file()
        while f do print(f) f = rpm.next_file() end
        print(rpm.vercmp("1.0-1", "1.0~rc1-1"), rpm.ver("1.2-3") < rpm.ver("2"), tostring(rpm.ver("1", "2", "3")))
        print(rpm.b64decode(rpm.b64encode("x y")), rpm.expand("%{_bindir} %%"), macros._sysconfdir)
        rpm.define("sample  %{_bindir}/x")
        print(rpm.expand("%sample"), (rpm.isdefined("sample")), macros.none)
        print(#rpm.splitargs("a 'b c' d"), rpm.unsplitargs({"a", "b c"}))
        local file = rpm.open("DIR/f", "w")
        file:write("text")
        file:close()
        print(rpm.open("DIR/f"):read(), rpm.glob("DIR/*")[1] == "DIR/f")
        print(posix.getpasswd("root", "uid"), posix.getgroup(0).name, posix.getpasswd("nobody here"))
        print(posix.access("/etc/passwd", "r"), posix.uname("%s"), posix.getprocessid("euid"))
    "#
    .replace("DIR", &dir.path().display().to_string());
    let mut script = lua(&body);
    script.paths = vec!["/usr/lib/a".into(), "/usr/lib/b c".into()];
    let (ending, lines) = run(&runner("/"), &script);
    let euid = rustix::process::geteuid().as_raw();
    assert_eq!(
        lines,
        [
            "/usr/lib/a",
            "/usr/lib/b c",
            "1\ttrue\t1:2-3",
            "x y\t/usr/bin %\t/etc",
            "/usr/bin/x\ttrue\tnil",
            "3\ta \"b c\"",
            "text\ttrue",
            "0\troot\tnil",
            &format!("0\tLinux\t{euid}"),
        ]
    );
    assert_eq!(ending, Ending::Success);
}

#[test]
fn a_program_that_is_no_helper_is_found_out() {
    let runner = runner("/").with_helper(Helper::program("/bin/true"));
    let error = runner.run(&lua("print(1)"), &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("run_if_asked"), "{error}");
}

/// A root with a shell, made of this machine's.
fn with_shell(root: &Path) -> bool {
    let copy = |file: &str| {
        let to = root.join(file.trim_start_matches('/'));
        lazuli_fs::create_dir_all(to.parent().unwrap()).unwrap();
        lazuli_fs::copy(file, &to).is_ok()
    };
    let Ok(listed) = std::process::Command::new("ldd").arg("/bin/sh").output() else { return false };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    copy("/bin/sh") && libraries.all(copy)
}

#[test]
fn a_shell_script_runs_inside_its_root() {
    let Some(dir) = confined() else { return };
    if !with_shell(dir.path()) {
        println!("skipped: no shell that can be copied");
        return;
    }
    // A link that leads out of the root must not lead the script's file there.
    lazuli_fs::create_dir_all(dir.path().join("var")).unwrap();
    lazuli_fs::symlink("/../../../../../tmp/../elsewhere", dir.path().join("var/tmp")).unwrap();
    let runner = runner(dir.path());
    let body = "echo here > /made; echo $0; test -e /proc/self || echo alone";
    let (ending, lines) = run(&runner, &script("/bin/sh", body));
    assert_eq!(ending, Ending::Success, "{lines:?}");
    assert!(lines[0].starts_with("/rpm-tmp.") && lines[1] == "alone", "{lines:?}");
    assert_eq!(lazuli_fs::read_to_string(dir.path().join("made")).unwrap(), "here\n");
    let left: Vec<_> = lazuli_fs::read_dir(dir.path()).unwrap();
    assert!(!left.iter().any(|path| path.to_string_lossy().contains("rpm-tmp")), "{left:?}");
    // As an ordinary user would, in a namespace.
    let mut other = super::tests::runner(dir.path());
    other.confinement = Confinement::UserNamespace;
    let mut said = Vec::new();
    match other.run(&script("/bin/sh", "echo in > /namespace"), &mut |_, line| said.push(line.to_owned())) {
        Ok(outcome) => assert!(outcome.success(), "{said:?}"),
        Err(error) => println!("skipped: {error}"),
    }
    match other.run(&lua("print(posix.getprocessid('uid'), posix.stat('/made', 'uid'))"), &mut |_, line| {
        said.push(line.to_owned());
    }) {
        Ok(outcome) => {
            assert!(outcome.success(), "{said:?}");
            assert_eq!(said, ["0\t0"]);
        }
        Err(error) => println!("skipped: {error}"),
    }
}
