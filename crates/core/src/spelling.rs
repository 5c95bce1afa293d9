//! Slips of the hand: which of the known words was meant.

/// The known word that is nearest to what was given, if it is near enough to be meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are no slip of the hand.
    const WORD_CHARS_MAX: usize = 32;
    if given.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let given = plain(given);
    let distance = |word: &str| strsim::damerau_levenshtein(&given, &plain(word));
    let near = |word: &&str| distance(word) <= (word.chars().count() / 3).max(1);
    known.into_iter().filter(near).min_by_key(|word| distance(word))
}

/// The same as the end of a sentence, empty if nothing is near.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_a_stranger_is_not() {
        let states = ["pending", "processing", "completed", "dead"];
        assert_eq!(nearest("pendng", states), Some("pending"));
        assert_eq!(nearest("complete", states), Some("completed"));
        assert_eq!(nearest("daed", states), Some("dead"));
        assert_eq!(nearest("Max_Retrys", ["max-retries", "backoff-max"]), Some("max-retries"));
        assert_eq!(nearest("banana", states), None);
        assert_eq!(nearest(&"x".repeat(100), states), None);
        assert_eq!(did_you_mean("pendin", states), " (did you mean `pending`?)");
        assert_eq!(did_you_mean("banana", states), "");
    }
}
