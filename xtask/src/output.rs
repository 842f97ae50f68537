//! Lines for the reader. Not `println!`: that panics when the reader (`| head`) has gone.

use std::io::Write;

/// Writes one line to standard output; a closed pipe is not an error of ours.
///
/// Silent in unit tests: they look at values, and this bypasses what captures their output.
pub(crate) fn line(text: &str) {
    if cfg!(test) {
        return;
    }
    // Nobody is left to tell when this fails.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Lays out rows in columns, the first row as heading, and writes them.
pub(crate) fn table(rows: &[Vec<String>]) {
    let widths = column_widths(rows);
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        line(cells.join("  ").trim_end());
    }
}

/// The width of each column in characters: that of its widest cell.
fn column_widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    (0..columns)
        .map(|column| width_of(column).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::column_widths;

    /// A column is as wide as its widest cell, also where rows have different lengths.
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "four".to_owned()],
            vec!["abc".to_owned()],
        ];
        assert_eq!(column_widths(&rows), [3, 4]);
    }
}
