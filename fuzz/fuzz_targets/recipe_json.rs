//! Any text as a recipe, timm's or ours; what is accepted survives being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet::Recipe;

fuzz_target!(|text: &str| {
    let ours = serde_json::from_str::<Recipe>(text).ok().filter(|recipe| recipe.check().is_ok());
    for recipe in [ours, Recipe::from_timm(text).ok()].into_iter().flatten() {
        recipe.check().expect("an accepted recipe can be followed");
        let json = serde_json::to_string(&recipe).expect("plain data");
        assert_eq!(serde_json::from_str::<Recipe>(&json).expect(&json), recipe);
    }
    let _ = Recipe::from_json(text);
});
