//! Suggests the name that was probably meant.

/// Longest name that is compared, in characters. No known name is longer, and a hostile file cannot cost much time.
const LONGEST: usize = 80;

/// The candidate that was probably meant by `name`. Case, `-` and `_` do not count; two swapped letters are one mistake.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(|c| !matches!(c, '-' | '_'));
        letters.flat_map(char::to_lowercase).take(LONGEST).collect()
    };
    let wanted = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["params", "pagination", "max_page_bytes"];
        assert_eq!(nearest("pagniation", known), Some("pagination"));
        assert_eq!(nearest("maxPageBytes", known), Some("max_page_bytes"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest(&"a".repeat(1_000_000), known), None);
    }
}
