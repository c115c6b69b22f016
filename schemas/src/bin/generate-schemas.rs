//! Writes the generated files beside the crate's sources: `cargo run -p hypermesh-schemas --bin generate-schemas`.

use hypermesh_schemas::{definitions, generated};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match write(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(count) => {
            println!("{count} files are up to date");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = error.source();
            while let Some(source) = cause {
                eprint!(": {source}");
                cause = source.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Writes every file, and removes those of kinds that are gone.
fn write(root: &Path) -> Result<usize, Box<dyn Error>> {
    let files = generated::files(&definitions())?;
    let wanted: BTreeSet<_> = files.iter().map(|file| root.join(&file.path)).collect();
    for folder in ["crds", "json"] {
        std::fs::create_dir_all(root.join(folder))?;
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if !wanted.contains(&path) {
                std::fs::remove_file(path)?;
            }
        }
    }
    for file in &files {
        std::fs::write(root.join(&file.path), &file.content)?;
    }
    Ok(files.len())
}
