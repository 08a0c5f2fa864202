//! What the binary does where files are none, or where the machine gives no more.
#![cfg(unix)]

mod world;

use std::os::unix::fs::FileTypeExt as _;
use std::process::Command;

use world::World;

/// Makes a pipe. Opened, it would be waited for without end.
fn pipe(world: &World, name: &str) {
    assert!(Command::new("mkfifo").arg(world.path(name)).status().unwrap().success());
}

#[test]
fn pipes_are_neither_waited_for_nor_replaced() {
    let world = World::new();
    for name in ["pipe", "pipe.png", "photos/red/pipe.png", "photos/pipe", "pipe.safetensors", "pipe.json"] {
        pipe(&world, name);
    }
    let refused = |code: i32, line: &str| {
        let (_, err) = world.expect(code, line);
        assert!(err.contains("regular file") || err.contains("is a file"), "`{line}`: {err}");
    };
    refused(5, "train photos --backbone pipe.safetensors --recipe recipe.json --out run");
    refused(5, "train photos --backbone weights.safetensors --recipe pipe.json --out run");
    refused(2, "train photos --backbone weights.safetensors --recipe recipe.json --out pipe");
    refused(2, "embed photos --backbone weights.safetensors --recipe recipe.json --out pipe.safetensors --force");
    let (out, err) = world.train("");
    assert!(out.contains("2 rejected"), "{out}");
    for name in ["red/pipe.png", "pipe"] {
        assert!(err.contains(&format!("{name}: it is no regular file but a pipe or a device")), "{err}");
    }
    refused(3, "predict run pipe.png");
    refused(5, "predict pipe photos/red/00.png");
    for name in ["pipe", "pipe.png", "photos/red/pipe.png", "photos/pipe", "pipe.safetensors", "pipe.json"] {
        assert!(std::fs::metadata(world.path(name)).unwrap().file_type().is_fifo(), "{name}");
    }
}

#[test]
fn an_input_that_the_machine_has_no_memory_for_is_refused_by_name() {
    let world = World::new();
    let recipe = world.read("recipe.json");
    for side in [4096, 16_384] {
        let large = recipe.replace("[32, 32]", &format!("[{side}, {side}]"));
        std::fs::write(world.path("large.json"), large).unwrap();
        let (_, err) = world.expect(3, "train photos --backbone weights.safetensors --recipe large.json --out run");
        assert!(err.contains("large.json") && err.contains("input_size"), "{err}");
    }
}
