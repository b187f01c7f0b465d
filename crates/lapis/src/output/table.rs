//! Columns.

/// Where a cell's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right: numbers.
    Right,
}

/// How much of a last column of text is worth more than a first column without breaks.
const SHORTEST_END: usize = 24;

/// Rows of cells under each other. The last column is never padded.
#[derive(Debug, Clone)]
pub struct Table {
    align: Vec<Align>,
    indent: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
enum Row {
    Cells(Vec<String>),
    /// A line across, such as a heading within the table.
    Line(String),
}

impl Table {
    /// A table with a column for each alignment.
    pub fn new(align: &[Align]) -> Self {
        Self { align: align.to_vec(), indent: 0, rows: Vec::new() }
    }

    /// With spaces before each row of cells.
    #[must_use]
    pub fn indented(mut self, by: usize) -> Self {
        self.indent = by;
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(Row::Cells(cells.into()));
    }

    /// Adds a line that stands across all columns.
    pub fn across(&mut self, line: impl Into<String>) {
        self.rows.push(Row::Line(line.into()));
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text. On a terminal of `width` columns a first cell that leaves no room for the others gets a
    /// line of its own, and what still does not fit is cut; without a width nothing is broken or cut.
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.align.len();
        let mut widths = vec![0_usize; columns];
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (at, cell) in cells.iter().enumerate() {
                    widths[at] = widths[at].max(length(cell));
                }
            }
        }
        // The last column takes what is left, if it is text.
        let last = columns.saturating_sub(1);
        if let Some(width) = width {
            // Text at the end may be cut; before that the first column is narrowed.
            let mut needed = widths.clone();
            if self.align.last() == Some(&Align::Left) {
                needed[last] = needed[last].min(SHORTEST_END);
            }
            let fixed: usize = needed.iter().skip(1).map(|w| w + 1).sum::<usize>() + self.indent;
            let first = width.saturating_sub(fixed);
            if columns > 1 && widths[0] > first {
                widths[0] = first.max(12).min(widths[0]);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            match row {
                Row::Line(line) => text.push_str(line),
                Row::Cells(cells) => {
                    let line = self.cells(cells, &widths, last, width.is_some());
                    text.push_str(&width.map_or(line.clone(), |w| cut(&line, w)));
                }
            }
            text.push('\n');
        }
        text
    }

    fn cells(&self, cells: &[String], widths: &[usize], last: usize, terminal: bool) -> String {
        let mut line = " ".repeat(self.indent);
        for (at, cell) in cells.iter().enumerate() {
            let padding = " ".repeat(widths[at].saturating_sub(length(cell)));
            match self.align[at] {
                Align::Right => line.push_str(&format!("{padding}{cell}")),
                Align::Left if at == last => line.push_str(cell),
                Align::Left => line.push_str(&format!("{cell}{padding}")),
            }
            if at == 0 && terminal && length(cell) > widths[0] && at != last {
                line.push('\n');
                line.push_str(&" ".repeat(self.indent + widths[0]));
            }
            if at != last {
                line.push(' ');
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Columns that a text takes, not counting what sets its style.
fn length(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Cuts each line of a text to a width.
fn cut(text: &str, width: usize) -> String {
    let lines: Vec<_> = text.lines().map(|line| console::truncate_str(line, width, "..")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[Align::Left, Align::Left, Align::Right]);
        table.row(["a.noarch", "1-1", "5 k"].map(str::to_owned));
        table.row(["a-very-long-name-of-a-package.noarch", "1:2.3-4", "12 M"].map(str::to_owned));
        table
    }

    #[test]
    fn columns_are_aligned() {
        insta::assert_snapshot!(table().render(None), @r"
        a.noarch                             1-1      5 k
        a-very-long-name-of-a-package.noarch 1:2.3-4 12 M
        ");
    }

    #[test]
    fn a_narrow_terminal_breaks_after_the_name() {
        let text = table().render(Some(40));
        assert!(text.lines().all(|line| line.len() <= 40), "{text}");
        insta::assert_snapshot!(text, @r"
        a.noarch                    1-1      5 k
        a-very-long-name-of-a-package.noarch
                                    1:2.3-4 12 M
        ");
    }

    #[test]
    fn text_at_the_end_is_cut_before_names_are_broken() {
        let mut table = Table::new(&[Align::Left, Align::Right, Align::Left]);
        let why = "required by another-package (libsomething.so.6(GLIBC_2.34))";
        table.row(["a-name-of-a-package", "12 M", why].map(str::to_owned));
        insta::assert_snapshot!(table.render(Some(56)), @"a-name-of-a-package 12 M required by another-package (..");
    }

    #[test]
    fn style_takes_no_room() {
        let mut table = Table::new(&[Align::Left, Align::Left]);
        table.row(["\u{1b}[1mab\u{1b}[0m".to_owned(), "x".to_owned()]);
        table.row(["abc".to_owned(), "y".to_owned()]);
        let text = table.render(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("ab\u{1b}[0m  x") && lines[1] == "abc y", "{text:?}");
    }
}
