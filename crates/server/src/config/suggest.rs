//! The key that was probably meant.

/// The name that is most like `word`, if any is like it: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_ascii_lowercase().replace('_', "-");
    let closest =
        names.min_by_key(|name| distance(&folded, &name.to_ascii_lowercase().replace('_', "-")))?;
    let far = distance(&folded, &closest.to_ascii_lowercase().replace('_', "-"));
    (far * 3 <= word.len().max(closest.len())).then_some(closest)
}

/// Letters to insert, delete or replace to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
