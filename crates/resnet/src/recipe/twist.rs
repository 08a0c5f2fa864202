//! Refuses configurations of networks that differ from ours in what no tensor shows: activations, strides, blurs, poolings.
//! Ignored, they would give the features of another network without a word.

use serde_json::{Map, Value};

use super::recipe_error;
use crate::error::Error;

/// Arguments of timm's networks that tensors show, or that do nothing when a trained network is run.
const HARMLESS_ARGS: [&str; 18] = [
    "avg_down",
    "base_width",
    "block",
    "block_reduce_first",
    "cardinality",
    "channels",
    "drop_block_rate",
    "drop_path_rate",
    "drop_rate",
    "img_size",
    "in_chans",
    "layers",
    "num_classes",
    "pretrained",
    "stem_type",
    "stem_width",
    "strict_img_size",
    "zero_init_last",
];

/// Refuses a network's configuration, timm's or transformers' `config.json`, by the first field that asks for what isn't run here.
pub(super) fn check(config: &Map<String, Value>) -> Result<(), Error> {
    let inner = config.get("pretrained_cfg").and_then(Value::as_object);
    for config in [Some(config), inner].into_iter().flatten() {
        if let Some(name) = config.get("architecture").and_then(Value::as_str) {
            architecture(name)?;
        }
        if let Some(pool) = config.get("global_pool") {
            global_pool("global_pool", pool)?;
        }
        match config.get("model_args") {
            None | Some(Value::Null) => {}
            Some(Value::Object(args)) => {
                args.iter().try_for_each(|(name, value)| argument(&format!("model_args.{name}"), name, value))?;
            }
            Some(other) => return Err(recipe_error("model_args", format!("{other} isn't an object"))),
        }
    }
    transformers(config)
}

/// Refuses antialiased networks: they have the tensors of plain ones, so that only the name tells them apart.
fn architecture(name: &str) -> Result<(), Error> {
    if ["resnetaa", "resnextaa", "resnetblur", "resnextblur"].iter().any(|kind| name.contains(kind)) {
        return Err(recipe_error("architecture", format!("{name} blurs where it strides, which isn't supported")));
    }
    Ok(())
}

fn global_pool(field: &str, value: &Value) -> Result<(), Error> {
    expect(field, value, &["avg", "fast", "fastavg", ""].map(Value::from))
}

/// Checks one of the arguments that timm builds a network with.
fn argument(field: &str, name: &str, value: &Value) -> Result<(), Error> {
    match name {
        "act_layer" => expect(field, value, &["relu"].map(Value::from)),
        "norm_layer" => expect(field, value, &["batchnorm", "batchnorm2d"].map(Value::from)),
        "aa_layer" => expect(field, value, &["".into()]),
        "attn_layer" => expect(field, value, &["se", "eca"].map(Value::from)),
        "global_pool" => global_pool(field, value),
        "output_stride" => expect(field, value, &[32.into()]),
        "down_kernel_size" => expect(field, value, &[1.into()]),
        "replace_stem_pool" => expect(field, value, &[false.into()]),
        "block_args" => match value {
            Value::Null => Ok(()),
            Value::Object(args) => {
                args.iter().try_for_each(|(name, value)| argument(&format!("{field}.{name}"), name, value))
            }
            other => Err(recipe_error(field, format!("{other} isn't an object"))),
        },
        _ if HARMLESS_ARGS.contains(&name) || value.is_null() => Ok(()),
        _ => Err(recipe_error(field, format!("{value} isn't known, and may change the network"))),
    }
}

/// Checks what transformers' ResNets may be built with. Other kinds of network are told by their tensors.
fn transformers(config: &Map<String, Value>) -> Result<(), Error> {
    if config.get("model_type").is_some_and(|kind| kind != "resnet") {
        return Ok(());
    }
    for (field, value) in config {
        match field.as_str() {
            "hidden_act" => expect(field, value, &["relu".into()])?,
            "downsample_in_first_stage" => expect(field, value, &[false.into()])?,
            // It concerns bottlenecks alone.
            "downsample_in_bottleneck" if config.get("layer_type").is_none_or(|kind| kind != "basic") => {
                expect(field, value, &[false.into()])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes null, which asks for the default, and the values that are `run`; refuses others.
fn expect(field: &str, value: &Value, run: &[Value]) -> Result<(), Error> {
    if value.is_null() || run.contains(value) {
        return Ok(());
    }
    let run: Vec<String> = run.iter().map(Value::to_string).collect();
    Err(recipe_error(field, format!("{value} makes another network, which isn't supported, only {}", run.join(" or "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::object;

    #[test]
    fn what_changes_the_network_unseen_is_refused_by_field_and_value() {
        for (json, field, value) in [
            (r#"{"architecture": "resnetaa50d"}"#, "architecture", "resnetaa50d"),
            (r#"{"architecture": "seresnetaa50d.a1_in1k"}"#, "architecture", "seresnetaa50d"),
            (r#"{"architecture": "seresnextaa101d_32x8d"}"#, "architecture", "seresnextaa101d_32x8d"),
            (r#"{"pretrained_cfg": {"architecture": "resnetblur50"}}"#, "architecture", "resnetblur50"),
            (r#"{"model_args": {"act_layer": "silu"}}"#, "model_args.act_layer", "silu"),
            (r#"{"model_args": {"block_args": {"act_layer": "silu"}}}"#, "model_args.block_args.act_layer", "silu"),
            (r#"{"model_args": {"output_stride": 16}}"#, "model_args.output_stride", "16"),
            (r#"{"model_args": {"aa_layer": "blurpool"}}"#, "model_args.aa_layer", "blurpool"),
            (r#"{"model_args": {"norm_layer": "groupnorm"}}"#, "model_args.norm_layer", "groupnorm"),
            (r#"{"model_args": {"global_pool": "catavgmax"}}"#, "model_args.global_pool", "catavgmax"),
            (r#"{"model_args": {"newest": 1}}"#, "model_args.newest", "1"),
            (r#"{"model_args": 3}"#, "model_args", "3"),
            (r#"{"pretrained_cfg": {"model_args": {"act_layer": "gelu"}}}"#, "model_args.act_layer", "gelu"),
            (r#"{"global_pool": "max"}"#, "global_pool", "max"),
            (r#"{"pretrained_cfg": {"global_pool": "avgmax"}}"#, "global_pool", "avgmax"),
            (r#"{"model_type": "resnet", "hidden_act": "gelu"}"#, "hidden_act", "gelu"),
            (r#"{"hidden_act": "silu"}"#, "hidden_act", "silu"),
            (r#"{"model_type": "resnet", "downsample_in_first_stage": true}"#, "downsample_in_first_stage", "true"),
            (r#"{"model_type": "resnet", "downsample_in_bottleneck": true}"#, "downsample_in_bottleneck", "true"),
        ] {
            let error = check(&object(json).unwrap()).expect_err(json).to_string();
            assert!(error.starts_with(&format!("recipe: {field}: ")) && error.contains(value), "{json}: {error}");
        }
    }

    #[test]
    fn what_is_run_as_it_is_stated_is_taken() {
        for json in [
            r#"{"architecture": "seresnext50_32x4d", "global_pool": "avg", "model_args": null}"#,
            r#"{"architecture": "resnet50d", "model_args": {"act_layer": "relu", "output_stride": 32, "num_classes": 3,
                "avg_down": true, "stem_type": "deep", "block_args": {"attn_layer": "se"}, "aa_layer": null}}"#,
            r#"{"model_type": "resnet", "hidden_act": "relu", "downsample_in_first_stage": false,
                "downsample_in_bottleneck": false, "layer_type": "bottleneck"}"#,
            r#"{"model_type": "resnet", "downsample_in_bottleneck": true, "layer_type": "basic"}"#,
            r#"{"model_type": "bert", "hidden_act": "gelu"}"#,
        ] {
            check(&object(json).unwrap()).expect(json);
        }
    }
}
