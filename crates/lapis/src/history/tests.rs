use super::*;

fn n(text: &str) -> Nevra {
    let (rest, arch) = text.rsplit_once('.').unwrap();
    let mut parts = rest.rsplitn(3, '-');
    let (release, version, name) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    Nevra { name: name.into(), evr: format!("{version}-{release}").parse().unwrap(), arch: arch.into() }
}

fn element(action: Action, nevra: &str, reason: Reason) -> Element {
    Element { action, nevra: n(nevra), repository: "base".into(), reason, why: "asked for".into() }
}

fn update() -> Transaction {
    Transaction {
        started: 100,
        uid: 1000,
        user: "ada".into(),
        command: "upgrade".into(),
        cookie_before: "a".into(),
        elements: vec![
            element(Action::Upgrade, "x-2-1.noarch", Reason::Dependency),
            element(Action::Replaced, "x-1-1.noarch", Reason::Dependency),
            element(Action::Install, "y-1-1.noarch", Reason::User),
        ],
        ..Transaction::default()
    }
}

#[test]
fn what_is_recorded_is_read_again() {
    let root = tempfile::tempdir().unwrap();
    let mut history = History::open(root.path()).unwrap();
    let id = history.begin(&update()).unwrap();
    assert_eq!(history.running().unwrap(), [id]);
    let installed = [n("x-2-1.noarch"), n("y-1-1.noarch")];
    history.finish(id, State::Done, 105, "b", "", &installed).unwrap();
    drop(history);
    let history = History::read(root.path()).unwrap();
    assert!(history.running().unwrap().is_empty());
    let found = history.transaction(id).unwrap();
    assert_eq!((found.state, found.ended, found.user.as_str()), (State::Done, Some(105), "ada"));
    assert_eq!(found.elements, update().elements);
    let reasons = history.reasons().unwrap();
    assert_eq!(reasons[&("x".into(), "noarch".into())], Reason::Dependency, "an update keeps the reason");
    assert_eq!(reasons[&("y".into(), "noarch".into())], Reason::User);
}

#[test]
fn a_failed_transaction_changes_no_reason() {
    let root = tempfile::tempdir().unwrap();
    let mut history = History::open(root.path()).unwrap();
    let id = history.begin(&update()).unwrap();
    history.finish(id, State::Failed, 105, "a", "", &[]).unwrap();
    assert!(history.reasons().unwrap().is_empty());
}

#[test]
fn what_rpm_did_is_noticed_once() {
    let root = tempfile::tempdir().unwrap();
    let mut history = History::open(root.path()).unwrap();
    let first = [n("a-1-1.noarch"), n("b-1-1.noarch")];
    assert_eq!(history.notice("1", &first, 10).unwrap(), None, "a first look is no change");
    let second = [n("a-2-1.noarch"), n("c-1-1.noarch")];
    let id = history.notice("2", &second, 20).unwrap().expect("a change");
    assert_eq!(history.notice("2", &second, 30).unwrap(), None);
    let found = history.transaction(id).unwrap();
    assert_eq!(found.kind, Kind::Foreign);
    let told: Vec<String> =
        found.elements.iter().map(|e| format!("{} {}", e.action.as_str(), e.nevra)).collect();
    assert_eq!(
        told,
        ["upgrade a-2-1.noarch", "install c-1-1.noarch", "replaced a-1-1.noarch", "remove b-1-1.noarch"]
    );
}

#[test]
fn undoing_several_leaves_out_what_cancels() {
    let second = Transaction {
        elements: vec![
            element(Action::Upgrade, "x-3-1.noarch", Reason::Dependency),
            element(Action::Replaced, "x-2-1.noarch", Reason::Dependency),
            element(Action::Remove, "y-1-1.noarch", Reason::User),
        ],
        ..Transaction::default()
    };
    assert_eq!(
        inverse(&[second, update()]),
        [Wish::Absent(n("x-3-1.noarch")), Wish::Present(n("x-1-1.noarch"), Reason::Dependency)]
    );
}

#[test]
fn undoing_a_reinstallation_is_nothing() {
    let again = Transaction {
        elements: vec![
            element(Action::Reinstall, "x-1-1.noarch", Reason::User),
            element(Action::Replaced, "x-1-1.noarch", Reason::User),
        ],
        ..Transaction::default()
    };
    assert_eq!(inverse(&[again]), []);
}

#[test]
fn ranges() {
    let parse = |text| Range::parse(text, 9).map(|r| (r.first, r.last));
    assert_eq!(parse("3"), Ok((3, 3)));
    assert_eq!(parse("last-2"), Ok((7, 7)));
    assert_eq!(parse("3..last"), Ok((3, 9)));
    assert_eq!(parse("7-3"), Ok((3, 7)));
    assert!(parse("x").is_err() && parse("last-").is_err() && parse("-1").is_err());
}

#[test]
fn a_later_version_is_not_touched() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path()).unwrap();
    history.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(history);
    assert!(History::open(root.path()).unwrap_err().to_string().contains("version 99"));
}

#[test]
fn a_history_that_was_never_finished_is_an_empty_one() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(PATH);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "").unwrap();
    assert!(History::read(root.path()).unwrap().transactions().unwrap().is_empty());
    assert_eq!(History::open(root.path()).unwrap().last().unwrap(), 0);
}
