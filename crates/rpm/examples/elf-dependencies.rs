//! What ELF files provide and require, in RPM's form: `elf-dependencies FILE...`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in std::env::args().skip(1) {
        let Some(found) = lazuli_rpm::elf::dependencies(&lazuli_fs::read(&file)?) else { continue };
        found.provides.iter().for_each(|d| println!("{file} provides {d}"));
        found.requires.iter().for_each(|d| println!("{file} requires {d}"));
    }
    Ok(())
}
