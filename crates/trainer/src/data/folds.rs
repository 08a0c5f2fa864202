//! Folds: photos dealt for cross-validation, each class evenly, and all photos of a group to one fold.

use crate::data::groups::{Entry, Groups};
use crate::data::part::Part;
use crate::data::split::hands;
use crate::data::target::Target;

/// Deals the photos to train on into `count` folds: gives the fold of each photo, in the order of `entries`; of others it says 0.
///
/// Class by class, the smallest first, each group goes to the fold that has the fewest photos of its class, then the fewest of all; groups are ranked by their
/// content or name and the number of the deal, as parts are by a seed. Fewer folds come out where there are fewer groups. A photo of several classes is dealt with the smallest of them, and counts for
/// each from then on.
///
/// # Reference
/// Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", 2011, section 4: here the order of the classes is that of their sizes at the beginning.
pub(crate) fn folds(entries: &[Entry], groups: &Groups, parts: &[Part], (count, deal): (usize, u64)) -> Vec<usize> {
    let (hands, sizes) = hands(entries, groups, deal);
    let mut of_class = vec![vec![0usize; count]; sizes.len()];
    let mut all = vec![0usize; count];
    let mut folds = vec![0; entries.len()];
    for hand in &hands {
        let members: Vec<usize> = hand.photos.iter().copied().filter(|&photo| parts[photo] == Part::Train).collect();
        if members.is_empty() {
            continue;
        }
        let class = &of_class[hand.home()];
        let fold = (0..count).min_by_key(|&fold| (class[fold], all[fold])).unwrap_or_default();
        match entries[members[0]].target {
            Target::Set(_) => hand.contents.iter().for_each(|(class, count)| of_class[*class][fold] += count),
            _ => of_class[hand.home()][fold] += members.len(),
        }
        all[fold] += members.len();
        members.into_iter().for_each(|photo| folds[photo] = fold);
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::target::Class;

    fn deal(labels: &[usize], group: impl Fn(usize) -> Option<&'static str>, seed: u64) -> Vec<usize> {
        deal_targets(labels.iter().map(|&label| Class::new(label).into()).collect(), group, seed)
    }

    fn deal_targets(targets: Vec<Target>, group: impl Fn(usize) -> Option<&'static str>, seed: u64) -> Vec<usize> {
        let entries: Vec<Entry> = (targets.iter().enumerate())
            .map(|(i, target)| {
                let digest = std::array::from_fn(|byte| (i * 31 + byte) as u8);
                Entry { target, digest, part: None, group: group(i), kept: None }
            })
            .collect();
        let groups = Groups::new(&entries);
        folds(&entries, &groups, &vec![Part::Train; entries.len()], (5, seed))
    }

    #[test]
    fn each_class_is_dealt_evenly_and_another_deal_is_another() {
        let labels: Vec<usize> = (0..103).map(|i| usize::from(i % 4 == 0)).collect();
        let folds = deal(&labels, |_| None, 0);
        for label in [0, 1] {
            let mut counts = [0; 5];
            labels.iter().zip(&folds).filter(|(of, _)| **of == label).for_each(|(_, &fold)| counts[fold] += 1);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
        assert_eq!(folds, deal(&labels, |_| None, 0));
        assert_ne!(folds, deal(&labels, |_| None, 1));
    }

    #[test]
    fn each_of_several_classes_is_dealt_nearly_evenly() {
        // Of 1 in 2, 3, 7 and 29 photos, on their own and together; some have none.
        let of = [2, 3, 7, 29];
        for seed in 0..5 {
            let sets: Vec<Vec<Class>> = (1..400)
                .map(|i: usize| (0..4).filter(|&class| i.is_multiple_of(of[class])).map(Class::new).collect())
                .collect();
            let folds = deal_targets(sets.iter().cloned().map(Target::Set).collect(), |_| None, seed);
            for class in (0..4).map(Class::new) {
                let mut counts = [0; 5];
                sets.iter()
                    .zip(&folds)
                    .filter(|(set, _)| set.contains(&class))
                    .for_each(|(_, &fold)| counts[fold] += 1);
                // The rarest to the photo; what comes later only as the earlier ones allow.
                let off = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                assert!(off <= 1 + 2 * (3 - class.index()), "{class:?} {counts:?}");
            }
            let none = sets.iter().zip(&folds).filter(|(set, _)| set.is_empty());
            assert_eq!(none.map(|(_, fold)| fold).collect::<std::collections::BTreeSet<_>>().len(), 5);
        }
    }

    #[test]
    fn a_group_is_of_one_fold() {
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let folds = deal(&labels, |i| Some(names[i / 5]), 3);
        assert!((0..8).all(|group| folds[group * 5..][..5].iter().all(|fold| *fold == folds[group * 5])), "{folds:?}");
        assert_eq!(folds.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    }
}
