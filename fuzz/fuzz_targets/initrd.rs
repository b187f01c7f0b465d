//! What the first process of an initrd reads: the kernel's command line with the table in it, partition tables, the module
//! index and what devices say of themselves.
#![no_main]

use lazuli_initrd::command_line::{Order, words};
use lazuli_initrd::gpt::{Geometry, partitions};
use lazuli_initrd::modules::Index;
use lazuli_initrd::table::{DeviceNumber, Mapping};
use libfuzzer_sys::fuzz_target;

fn mapping(mapping: &Mapping) {
    let device = DeviceNumber { major: 254, minor: 1 };
    let parameters = mapping.parameters(device, device);
    // What would end a target, a device or the text for the kernel is in none of it.
    assert!(!parameters.contains([',', ';', '\0']));
    assert!(mapping.sectors > 0 && mapping.name.len() < 128 && mapping.uuid.len() < 129);
}

fuzz_target!(|bytes: &[u8]| {
    let disk = Geometry { size: bytes.len() as u64, block: 512 };
    let _ = partitions(disk, |offset, buffer| {
        let from =
            usize::try_from(offset).ok().and_then(|from| bytes.get(from..from.checked_add(buffer.len())?));
        buffer.copy_from_slice(from.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    });
    let text = String::from_utf8_lossy(bytes);
    for word in words(&text) {
        assert!(text.contains(word.name) && word.value.is_none_or(|value| text.contains(value)));
    }
    if let Ok(order) = Order::parse(&text) {
        mapping(&order.mapping);
    }
    if let Ok(read) = Mapping::parse(&text) {
        mapping(&read);
    }
    let (dep, alias) = text.split_once("\n\n").unwrap_or((&text, &text));
    let index = Index::parse(dep, alias);
    let chosen = index.select(|_| true);
    for modalias in text.lines().take(4) {
        for module in index.matching(modalias) {
            let _ = chosen.load_order(module).count();
        }
    }
    let (dep, alias) = chosen.to_files();
    assert_eq!(Index::parse(&dep, &alias).len(), chosen.len());
});
