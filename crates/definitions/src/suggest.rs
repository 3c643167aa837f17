//! "Did you mean": the nearest of the names that would have been right.

/// The candidate nearest to `given`, if it is near enough to be a slip of the hand.
pub(crate) fn nearest<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = match given.chars().count() {
        0..=2 => 1,
        3..=6 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(&given.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, or else which names there are (if they are few).
pub fn help<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(nearest) = nearest(given, candidates.iter().copied()) {
        return Some(format!("did you mean `{nearest}`?"));
    }
    (1..=12).contains(&candidates.len()).then(|| format!("known here: {}", candidates.join(", ")))
}

/// Edits (insert, delete, replace, swap neighbours) between two texts: optimal string alignment.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(80).collect();
    let right: Vec<char> = right.chars().take(80).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let replace = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_does_not() {
        assert_eq!(nearest("tempate", ["template", "channel"]), Some("template"));
        assert_eq!(nearest("wiat", ["when", "wait"]), Some("wait"));
        assert_eq!(nearest("Template", ["template"]), Some("template"));
        assert_eq!(nearest("colour", ["template", "channel"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }

    #[test]
    fn help_lists_the_names_if_none_is_near() {
        assert_eq!(help("zzz", ["es", "en"]).as_deref(), Some("known here: es, en"));
        assert_eq!(help("zzz", []), None);
    }
}
