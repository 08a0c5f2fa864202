//! Photos whose features are known: what a head learns from them and says of each. What train, evaluate and predict share.

use crate::data::{Part, Photo, Rejected, Source, Target};
use crate::digest::Digest;
use crate::error::Result;
use crate::features::{FeatureFile, Features, Rows};
use crate::head::{Head, Samples};
use crate::report::Prediction;
use crate::session::{Pretrained, Session};

/// Rows whose logits are computed at a time, so that not all of them stand in memory twice.
const ROWS: usize = 1024;

/// Photos whose features are known, in their order, and those that can't be used.
pub(crate) struct Known<'a> {
    photos: &'a [Photo],
    pub(crate) features: Features,
    /// Places among the photos, with their contents.
    pub(crate) kept: Vec<(usize, Digest)>,
    pub(crate) rejected: Vec<Rejected>,
    /// How many went through the network now.
    pub(crate) computed: usize,
}

/// Rows and targets of some photos, to learn from or to validate by.
pub(crate) struct Selected<'a> {
    rows: Rows<'a>,
    pub(crate) targets: Vec<Target>,
    weights: Vec<f64>,
    /// Their places among those known.
    pub(crate) places: Vec<usize>,
}

impl Selected<'_> {
    /// Views them as a problem takes them.
    pub(crate) fn samples(&self) -> Samples<'_> {
        Samples { rows: &self.rows, targets: &self.targets, weights: Some(&self.weights) }
    }
}

impl<'a> Known<'a> {
    /// Passes photos through a backbone, but for those whose features are kept, and finds which can't be used: those `unlisted`,
    /// and those that can't be read.
    pub(crate) fn new(
        session: &Session<'_>,
        backbone: &Pretrained<'_>,
        photos: &'a [Photo],
        unlisted: &[Rejected],
    ) -> Result<Self> {
        let (features, extraction) = session.features(backbone, photos)?;
        let rejected = [unlisted, &extraction.rejected].concat();
        Ok(Self { photos, features, kept: extraction.kept, rejected, computed: extraction.computed })
    }

    /// Takes rows of a file for the features of photos; others than such are none of them.
    pub(crate) fn of_rows(photos: &'a [Photo], file: FeatureFile) -> Self {
        let FeatureFile { digests, features, .. } = file;
        let digest = |(place, photo): (usize, &Photo)| match photo.source {
            Source::Features(row) => digests.get(row).map(|digest| (place, *digest)),
            _ => None,
        };
        let kept = photos.iter().enumerate().filter_map(digest).collect();
        Self { photos, features, kept, rejected: Vec::new(), computed: 0 }
    }

    /// Lists the photos, in their order.
    pub(crate) fn photos(&self) -> impl ExactSizeIterator<Item = &'a Photo> {
        self.kept.iter().map(|&(place, _)| &self.photos[place])
    }

    /// Views the features of all, in their order.
    pub(crate) fn rows(&self) -> Result<Rows<'_>> {
        self.features.rows(self.kept.iter().map(|(_, digest)| digest))
    }

    /// Selects those that play `part`, given the part of each, in the order of their contents.
    pub(crate) fn select(&self, parts: &[Part], part: Part) -> Result<Selected<'_>> {
        let of_part = self.photos().zip(&self.kept).zip(parts).enumerate().filter(|(_, (_, other))| **other == part);
        let mut members: Vec<(&Digest, &Photo, usize)> =
            of_part.map(|(place, ((photo, (_, digest)), _))| (digest, photo, place)).collect();
        // A head learns the same from the same photos, whatever they are called and wherever they lie.
        members.sort_by(|(a, one, _), (b, other, _)| a.cmp(b).then_with(|| one.target.cmp(&other.target)));
        let rows = self.features.rows(members.iter().map(|(digest, ..)| *digest))?;
        let targets = members.iter().map(|(_, photo, _)| photo.target.clone()).collect();
        let weights = members.iter().map(|(_, photo, _)| photo.weight).collect();
        Ok(Selected { rows, targets, weights, places: members.iter().map(|(.., place)| *place).collect() })
    }

    /// Computes a head's logits for those at some places among the known, row by row.
    pub(crate) fn logits(&self, head: &Head, places: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(places.len());
        for some in places.chunks(ROWS) {
            let rows = self.features.rows(some.iter().map(|&place| &self.kept[place].1))?;
            all.extend(head.logits(&rows)?.chunks_exact(head.classes.len()).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    /// Predicts for each, in their order. `part` gives the part that a photo plays, by its place among those known.
    pub(crate) fn predictions(
        &self,
        head: &Head,
        part: impl Fn(usize, &Photo) -> Option<Part>,
    ) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::with_capacity(self.kept.len());
        for some in self.kept.chunks(ROWS) {
            let logits = head.logits(&self.features.rows(some.iter().map(|(_, digest)| digest))?)?;
            for (&(place, digest), logits) in some.iter().zip(logits.chunks_exact(head.classes.len())) {
                let photo = &self.photos[place];
                let part = part(predictions.len(), photo);
                predictions.push(Prediction { part, ..Prediction::of(photo, digest, logits.to_vec()) });
            }
        }
        Ok(predictions)
    }
}
