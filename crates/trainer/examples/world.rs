//! Writes a small world to train in: drawn photos of three classes, a tiny network with random weights, its recipe.
//!
//! `cargo run -p trainer --example world -- FOLDER`, and then in FOLDER
//! `trainer train photos --backbone weights.safetensors --recipe recipe.json --out run`.

#[path = "../tests/world/drawn.rs"]
mod drawn;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("give a folder")?;
    std::fs::create_dir_all(&folder)?;
    drawn::world(folder.as_ref());
    Ok(())
}
