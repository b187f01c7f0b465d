//! Lists the packages and keys of a root's database, and what is wrong with it: `rpmdb-list ROOT`.

use lazuli_rpmdb::{Access, Database};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).ok_or("usage: rpmdb-list ROOT")?;
    let db = Database::open(root.as_ref(), Access::Read)?;
    for package in db.list()? {
        println!("{:6} {:10} {}", package.hnum, package.install_time, package.nevra);
    }
    for key in db.keys()? {
        println!("{:6} {:10} {} {}", key.hnum, key.imported, key.fingerprint, key.user_id);
    }
    for damage in db.check()? {
        eprintln!("{damage}");
    }
    Ok(())
}
