use super::*;
use crate::spec::Recovery;

fn image(disk: &str) -> Image {
    let text = format!(
        "packages = [\"bash\"]\nkernel-command-line = [\"quiet\"]\n[disk]\nesp = \"1GiB\"\n\
         root = {{ filesystem = \"erofs\" {disk} }}\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let store = lazuli_store::Store::open(dir.path().join("store")).unwrap();
    let file = dir.path().join("host.toml");
    lazuli_fs::write(&file, text).unwrap();
    Image::read(&file, &store).unwrap()
}

fn root(blocks: u64) -> VerityRoot {
    VerityRoot {
        file: "root.erofs".into(),
        size: blocks * BLOCK as u64,
        salt: Salt::of_product("host"),
        hash: lazuli_verity::Digest::from_bytes([0xab; 32]),
        tree: Digest::of(b""),
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn a_slot_has_room_for_twice_the_root_and_for_its_tree() {
    let sizes = Sizes::of(&image(""), 10 * MIB + 4096).unwrap();
    assert_eq!(sizes.root, 21 * MIB);
    assert!(sizes.verity >= (1 + tree_blocks(sizes.root / 4096)) * 4096);
    for size in [sizes.root, sizes.verity, sizes.state, sizes.disk()] {
        assert!(size.is_multiple_of(ALIGNMENT), "{size}");
    }
    // Every partition lies behind the one before, and the last one ends in front of the backup table.
    assert_eq!(sizes.disk() - 2 * MIB, sizes.esp + 2 * (sizes.root + sizes.verity) + sizes.state);
}

#[test]
fn a_slot_that_is_too_small_is_refused() {
    let small = image(", size = \"8MiB\"");
    assert!(Sizes::of(&small, 8 * MIB).is_ok());
    assert!(Sizes::of(&small, 8 * MIB + 4096).unwrap_err().to_string().contains("disk.root.size"));
}

#[test]
fn the_command_line_waits_for_nothing_and_takes_no_root_without_a_signature() {
    let lines = command_lines(&image(""), &root(1 << 24), &[7; 384]).unwrap();
    let line = lines.main;
    assert_eq!(lines.recovery, None);
    assert!(line.starts_with("dm-mod.create=\"root,,0,ro,0 134217728 verity 1 PARTUUID=abababab-"), "{line}");
    assert!(line.contains(" 3 panic_on_corruption root_hash_sig_base64 BwcH"), "{line}");
    assert!(
        line.contains(" dm_verity.require_signatures=1 root=/dev/dm-0 rootfstype=erofs ro gpt quiet"),
        "{line}"
    );
    assert!(!line.contains("waitfor") && !line.contains("rootwait"), "{line}");
}

#[test]
fn what_the_kernel_would_cut_off_is_refused() {
    let long = command_lines(&image(""), &root(1 << 24), &[7; 600]).unwrap_err().to_string();
    assert!(long.contains("fewer than 1024"), "{long}");
    let mut wordy = image("");
    wordy.spec.kernel_command_line = vec!["x".repeat(1200)];
    let long = command_lines(&wordy, &root(1 << 24), &[7; 384]).unwrap_err().to_string();
    assert!(long.contains("fewer than 2048"), "{long}");
    let mut wordy = image("");
    wordy.spec.recovery = Some(Recovery { kernel_command_line: vec!["x".repeat(1200)] });
    let long = command_lines(&wordy, &root(1 << 24), &[7; 384]).unwrap_err().to_string();
    assert!(long.contains("that of `[recovery]`"), "{long}");
}

#[test]
fn the_initrd_gets_the_table_that_the_kernel_gets_and_the_default_profile_nothing_of_recovery() {
    let mut image = image("");
    image.spec.recovery = Some(Recovery { kernel_command_line: vec!["lazuli.wait=9".into()] });
    let lines = command_lines(&image, &root(1 << 24), &[7; 384]).unwrap();
    let recovery = lines.recovery.unwrap();
    assert!(!lines.main.contains("lazuli."), "{}", lines.main);
    assert!(!recovery.contains("dm-mod.create"), "{recovery}");
    assert!(recovery.ends_with(" dm_verity.require_signatures=1 root=/dev/dm-0 rootfstype=erofs ro gpt lazuli.recovery=1 quiet lazuli.wait=9"), "{recovery}");
    let order = lazuli_initrd::command_line::Order::parse(&recovery).unwrap();
    assert_eq!((order.wait.as_secs(), order.complaint), (9, None));
    assert_eq!((order.mapping.sectors, order.mapping.minor), (1 << 27, Some(0)));
    assert_eq!(order.mapping.data.to_string(), "abababab-abab-abab-abab-abababababab");
    // Apart from who is told, the text is one.
    let table = |line: &str| line.split('"').nth(1).map(str::to_owned);
    assert_eq!(table(&lines.main), table(&recovery));
}

#[test]
fn numbers_labels_and_guids_are_those_that_updates_expect() {
    let image = image("");
    let root = root(2560);
    let release = Release {
        product: "host".into(),
        version: "2026.11.26".into(),
        uki_name: UkiName { id: "lazuli".into(), version: "2026.11.26".into(), counter: None },
        uki: "uki".into(),
        systemd_boot: "boot".into(),
        command_line: String::new(),
        sizes: Sizes::of(&image, root.size).unwrap(),
        key: Digest::of(b""),
        root,
    };
    let partitions = partitions(&release, &Identifiers::of(&Digest::of(b"tree"), "host"));
    let labels: Vec<&str> = partitions.iter().map(|p| p.label.as_str()).collect();
    assert_eq!(labels, ["esp", "os_2026.11.26", "os_2026.11.26", "_empty", "_empty", "state"]);
    assert_eq!(partitions[1].guid.to_string(), "abababab-abab-abab-abab-abababababab");
    let mut next = ALIGNMENT;
    for partition in &partitions {
        assert_eq!(partition.start, next);
        next += partition.len;
    }
    assert_eq!(next + ALIGNMENT, release.sizes.disk());
}
