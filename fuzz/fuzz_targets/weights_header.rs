//! Any bytes as a weight file: its header, its architecture, its tensors; an error is fine, a panic isn't.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet::WeightFile;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = WeightFile::from_bytes(data.to_vec()) {
        let convs = file.convs().filter(Result::is_ok).count();
        assert!(convs <= file.architecture().network().convs().count());
        let _ = file.head();
        let _ = trainer::run::reading_of(&file, "model.safetensors".as_ref());
        let _ = trainer::run::recipe_of(&file, "/nowhere/model.safetensors".as_ref());
    }
});
