//! Makes a key pair to sign packages with: `new-key USER-ID SECONDS DIRECTORY`.

use lazuli_rpm::Signer;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [user_id, created, dir] = &arguments[..] else {
        return Err("usage: new-key USER-ID SECONDS DIRECTORY".into());
    };
    let key = Signer::generate(user_id, created.parse()?)?;
    lazuli_fs::write_atomic(Path::new(dir).join("secret.asc"), key.secret, 0o600)?;
    lazuli_fs::write_atomic(Path::new(dir).join("public.asc"), key.public, 0o644)?;
    Ok(())
}
