//! Writes the valid inputs of every target to `fuzz/corpus/<target>/`.

use cp_fuzz::TARGETS;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in TARGETS {
        let folder = Path::new("fuzz/corpus").join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (n, input) in (target.corpus)().iter().enumerate() {
            std::fs::write(folder.join(format!("valid-{n}")), input)?;
        }
    }
    Ok(())
}
