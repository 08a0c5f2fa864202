//! Assigns activations to few buffers, each reused as soon as nothing reads its content any more, so that a network fits a small device.

/// An activation of a whole batch, `[images, height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Pixels of all images.
    pub pixels: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    /// Whether it is f32 however activations are stored: the photos, gates, features and logits.
    pub full: bool,
    /// Whether it keeps a buffer of its own: the photos, and what is tapped.
    pub kept: bool,
    /// The tensor that it is a part of, and the pixel at which it begins there.
    pub part_of: Option<(usize, usize)>,
}

/// The plan of an arena.
#[derive(Debug, PartialEq, Eq)]
pub struct Arena {
    /// Length of each buffer, in 32-bit words.
    pub buffers: Vec<u64>,
    /// The buffer of each tensor.
    pub places: Vec<usize>,
}

impl Arena {
    /// Plans for `layers` in order, each given as the tensors it reads and the one it writes, of which each takes so many `words` of
    /// 32 bits. Tensors that are kept have a buffer to themselves, parts lie in that of their whole.
    ///
    /// A tensor takes the smallest free buffer that holds it, else the largest free one, grown, else a new one. That is
    /// greedy, not optimal: for a chain with shortcuts it needs no more than the widest block's operands.
    pub fn plan(tensors: &[Tensor], layers: &[(Vec<usize>, usize)], words: impl Fn(&Tensor) -> u64) -> Self {
        let whole = |tensor: usize| tensors[tensor].part_of.map_or(tensor, |(whole, _)| whole);
        let layers: Vec<(Vec<usize>, usize)> = layers
            .iter()
            .map(|(inputs, output)| (inputs.iter().map(|&tensor| whole(tensor)).collect(), whole(*output)))
            .collect();
        let last_read = |tensor: usize| layers.iter().rposition(|(inputs, _)| inputs.contains(&tensor));
        let mut buffers: Vec<u64> = Vec::new();
        let mut places = vec![0; tensors.len()];
        let mut written = vec![false; tensors.len()];
        let mut free: Vec<usize> = Vec::new();
        let outputs = std::iter::once((None, 0)).chain(layers.iter().enumerate().map(|(i, layer)| (Some(i), layer.1)));
        for (layer, output) in outputs {
            // Of a tensor in parts the first to be written takes the buffer.
            if !std::mem::replace(&mut written[output], true) {
                let (len, kept) = (words(&tensors[output]), tensors[output].kept);
                let fitting =
                    free.iter().copied().filter(|&buffer| buffers[buffer] >= len).min_by_key(|&buffer| buffers[buffer]);
                let chosen =
                    fitting.or_else(|| free.iter().copied().max_by_key(|&buffer| buffers[buffer])).filter(|_| !kept);
                places[output] = match chosen {
                    Some(buffer) => {
                        free.retain(|&other| other != buffer);
                        buffers[buffer] = buffers[buffer].max(len);
                        buffer
                    }
                    None => {
                        buffers.push(len);
                        buffers.len() - 1
                    }
                };
            }
            let Some(layer) = layer else { continue };
            for &input in &layers[layer].0 {
                if last_read(input) == Some(layer) && !tensors[input].kept && !free.contains(&places[input]) {
                    free.push(places[input]);
                }
            }
        }
        Arena { buffers, places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(lens: &[usize]) -> Vec<Tensor> {
        let tensor = |(i, &pixels)| Tensor { pixels, channels: 1, full: true, kept: i == 0, part_of: None };
        lens.iter().enumerate().map(tensor).collect()
    }

    fn plan(tensors: &[Tensor], layers: &[(Vec<usize>, usize)]) -> Arena {
        Arena::plan(tensors, layers, |tensor| tensor.pixels as u64)
    }

    #[test]
    fn a_chain_alternates_between_two_buffers() {
        let layers: Vec<_> = (0..6).map(|i| (vec![i], i + 1)).collect();
        let arena = plan(&tensors(&[5, 10, 10, 10, 10, 10, 10]), &layers);
        assert_eq!(arena.buffers, [5, 10, 10]);
        assert_eq!(arena.places, [0, 1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn no_layer_writes_over_what_is_still_read() {
        // Three blocks of two layers, each with the identity as shortcut.
        let mut layers = vec![(vec![0], 1)];
        for block in 0..3 {
            let x = 1 + 2 * block;
            layers.push((vec![x], x + 1));
            layers.push((vec![x + 1, x], x + 2));
        }
        let tensors = tensors(&[3, 8, 8, 8, 4, 4, 4, 4]);
        let arena = plan(&tensors, &layers);
        for (i, (inputs, output)) in layers.iter().enumerate() {
            let live = (0..tensors.len()).filter(|tensor| {
                let written = layers.iter().position(|layer| layer.1 == *tensor).is_none_or(|at| at < i);
                let read = layers.iter().rposition(|layer| layer.0.contains(tensor)).is_some_and(|at| at >= i);
                written && read
            });
            for tensor in live {
                assert_ne!(arena.places[tensor], arena.places[*output], "layer {i} {inputs:?}");
            }
        }
        assert_eq!(arena.buffers.len(), 4);
    }

    #[test]
    fn parts_lie_in_their_whole() {
        // Tensor 5 in two parts, 3 and 4, each by way of a tensor of its own.
        let mut tensors = tensors(&[8, 6, 6, 2, 2, 4, 4]);
        (tensors[3].part_of, tensors[4].part_of) = (Some((5, 0)), Some((5, 2)));
        let arena = plan(&tensors, &[(vec![0], 1), (vec![1], 3), (vec![0], 2), (vec![2], 4), (vec![5], 6)]);
        assert_eq!(arena.buffers, [8, 6, 4]);
        assert_eq!([1, 2, 5, 6].map(|tensor| arena.places[tensor]), [1, 1, 2, 1]);
    }

    #[test]
    fn what_is_kept_is_not_reused() {
        let mut tensors = tensors(&[4, 4, 4, 4]);
        tensors[1].kept = true;
        let arena = plan(&tensors, &[(vec![0], 1), (vec![1], 2), (vec![2], 3)]);
        assert_eq!(arena.places, [0, 1, 2, 3]);
    }
}
