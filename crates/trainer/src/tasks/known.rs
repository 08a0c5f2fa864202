//! Photos whose features are known: what a head learns from them and says of each. What train, evaluate and predict share.

use crate::data::{Class, Part, Photo, Rejected, Source, Target};
use crate::digest::Digest;
use crate::error::Result;
use crate::features::{FeatureFile, Features, Rows};
use crate::head::metrics::{Classified, nearest_neighbour};
use crate::head::{Head, Samples};
use crate::photos::Views;
use crate::report::Prediction;
use crate::session::{Pretrained, Session, Viewed};

/// Rows whose logits are computed at a time, so that not all of them stand in memory twice.
const ROWS: usize = 1024;

/// Photos whose features are known, in their order, and those that can't be used.
pub(crate) struct Known<'a> {
    photos: &'a [Photo],
    /// What each view of them says, the plain one first.
    pub(crate) views: Vec<Features>,
    /// The mean of these, where there are several: what photos are judged by.
    mean: Option<Features>,
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

    /// Computes the share of these that have the class of the most similar of `others` which isn't hidden from them, by numbers; none where each isn't of one class, or where
    /// that would take long.
    pub(crate) fn nearest(
        &self,
        others: &Self,
        is_hidden: impl Fn(usize, usize) -> bool + Sync,
    ) -> Result<Option<f64>> {
        let classes = |of: &Self| of.targets.iter().map(Target::class).collect::<Option<Vec<Class>>>();
        let (Some(own), Some(known)) = (classes(self), classes(others)) else { return Ok(None) };
        let photos = Classified { rows: &self.rows, classes: &own };
        nearest_neighbour(&photos, &Classified { rows: &others.rows, classes: &known }, is_hidden)
    }
}

/// Takes the mean of views, where there are several.
fn mean(views: &[Features]) -> Option<Features> {
    (views.len() > 1).then(|| Features::mean(views))
}

impl<'a> Known<'a> {
    /// Passes photos through a backbone, but for those whose features are kept, and finds which can't be used: those `unlisted`,
    /// and those that can't be read.
    pub(crate) fn new(
        session: &Session<'_>,
        (backbone, views): (&Pretrained<'_>, Views),
        photos: &'a [Photo],
        unlisted: &[Rejected],
    ) -> Result<Self> {
        let Viewed { features, outcomes, computed } = session.views(backbone, &views.all(), photos)?;
        let (mut kept, mut rejected) = (Vec::new(), unlisted.to_vec());
        for (place, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(digest) => kept.push((place, digest)),
                Err(reason) => rejected.push(reason),
            }
        }
        Ok(Self { photos, mean: mean(&features), views: features, kept, rejected, computed })
    }

    /// Passes photos that are known in the plain view through the backbone in others. Tells whether all could be shown so; else nothing changes.
    pub(crate) fn view(&mut self, session: &Session<'_>, backbone: &Pretrained<'_>, views: Views) -> Result<bool> {
        let Viewed { features, outcomes, computed } = session.views(backbone, &views.all()[1..], self.photos)?;
        if self.kept.iter().any(|(place, digest)| outcomes.get(*place) != Some(&Ok(*digest))) {
            return Ok(false);
        }
        self.computed = self.computed.max(computed);
        self.views.truncate(1);
        self.views.extend(features);
        self.mean = mean(&self.views);
        Ok(true)
    }

    /// Leaves the plain view.
    pub(crate) fn unview(&mut self) {
        self.views.truncate(1);
        self.mean = None;
    }

    /// Gives what photos are judged by.
    fn judged(&self) -> &Features {
        self.mean.as_ref().unwrap_or(&self.views[0])
    }

    /// Takes rows of a file for the features of photos; others than such are none of them. Those `unlisted` couldn't be read.
    pub(crate) fn of_rows(photos: &'a [Photo], file: FeatureFile, unlisted: &[Rejected]) -> Self {
        let FeatureFile { digests, features, .. } = file;
        let digest = |(place, photo): (usize, &Photo)| match photo.source {
            Source::Features(row) => digests.get(row).map(|digest| (place, *digest)),
            _ => None,
        };
        let kept = photos.iter().enumerate().filter_map(digest).collect();
        Self { photos, views: vec![features], mean: None, kept, rejected: unlisted.to_vec(), computed: 0 }
    }

    /// Lists the photos, in their order.
    pub(crate) fn photos(&self) -> impl ExactSizeIterator<Item = &'a Photo> {
        self.kept.iter().map(|&(place, _)| &self.photos[place])
    }

    /// Views the features of all, in their order.
    pub(crate) fn rows(&self) -> Result<Rows<'_>> {
        self.judged().rows(self.kept.iter().map(|(_, digest)| digest))
    }

    /// Selects those that play `part`, given the part of each, in the order of their contents: a row each, that they are judged by.
    pub(crate) fn select(&self, parts: &[Part], part: Part) -> Result<Selected<'_>> {
        self.select_from(std::slice::from_ref(self.judged()), parts, part)
    }

    /// Selects as [`select`](Self::select) does, for a head to learn from: all views of each, which count together what the photo counts.
    pub(crate) fn select_views(&self, parts: &[Part], part: Part) -> Result<Selected<'_>> {
        self.select_from(&self.views, parts, part)
    }

    fn select_from<'s>(&'s self, views: &'s [Features], parts: &[Part], part: Part) -> Result<Selected<'s>> {
        let of_part = self.photos().zip(&self.kept).zip(parts).enumerate().filter(|(_, (_, other))| **other == part);
        let mut members: Vec<(&Digest, &Photo, usize)> =
            of_part.map(|(place, ((photo, (_, digest)), _))| (digest, photo, place)).collect();
        // A head learns the same from the same photos, whatever they are called and wherever they lie.
        members.sort_by(|(a, one, _), (b, other, _)| a.cmp(b).then_with(|| one.target.cmp(&other.target)));
        let digests: Vec<&Digest> = members.iter().map(|(digest, ..)| *digest).collect();
        let rows = Features::side_by_side(views, &digests)?;
        let members = || members.iter().flat_map(|member| std::iter::repeat_n(member, views.len()));
        let targets = members().map(|(_, photo, _)| photo.target.clone()).collect();
        let weights = members().map(|(_, photo, _)| photo.weight / views.len() as f64).collect();
        Ok(Selected { rows, targets, weights, places: members().map(|(.., place)| *place).collect() })
    }

    /// Computes a head's logits for those at some places among the known, row by row.
    pub(crate) fn logits(&self, head: &Head, places: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(places.len());
        for some in places.chunks(ROWS) {
            let rows = self.judged().rows(some.iter().map(|&place| &self.kept[place].1))?;
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
            let logits = head.logits(&self.judged().rows(some.iter().map(|(_, digest)| digest))?)?;
            for (&(place, digest), logits) in some.iter().zip(logits.chunks_exact(head.classes.len())) {
                let photo = &self.photos[place];
                let part = part(predictions.len(), photo);
                predictions.push(Prediction { part, ..Prediction::of(photo, digest, logits.to_vec()) });
            }
        }
        Ok(predictions)
    }
}
