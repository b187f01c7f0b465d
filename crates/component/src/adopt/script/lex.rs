//! Words and operators of POSIX shell: tokens, quotes, here-documents.

use super::shell::SyntaxError;

/// Scripts longer than this are not looked at (bytes).
const MAX_SCRIPT: usize = 1 << 20;
/// Deepest nesting of quotes and substitutions.
const MAX_DEPTH: usize = 64;

/// A token of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as written, quotes included.
    Word(String),
    /// An operator.
    Op(&'static str),
    /// The end of a line.
    Newline,
}

/// Longest operators first.
const OPERATORS: [&str; 18] =
    ["<<-", "&&", "||", ";;", "<<", ">>", "<&", ">&", "<>", ">|", "&>", "|", "&", ";", "<", ">", "(", ")"];
pub(super) const REDIRECTIONS: [&str; 10] = ["<<-", "<<", ">>", "<&", ">&", "<>", ">|", "&>", "<", ">"];

/// The tokens of a script, each with its line.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, SyntaxError> {
    if text.len() > MAX_SCRIPT {
        return Err(SyntaxError { line: 1, reason: "the script is longer than 1 MiB" });
    }
    Lexer { text, at: 0, line: 1, tokens: Vec::new(), pending: Vec::new() }.run()
}

/// The text that a word stands for, if the shell would leave it as it is: quotes are taken off; `None`
/// if it has an expansion, a substitution or a pattern outside quotes.
pub fn literal(word: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = word.chars();
    let mut double = false;
    while let Some(c) = chars.next() {
        match c {
            '\'' if !double => loop {
                match chars.next()? {
                    '\'' => break,
                    inner => out.push(inner),
                }
            },
            '"' => double = !double,
            '\\' if double => match chars.next()? {
                '\n' => {}
                escaped @ ('$' | '`' | '"' | '\\') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            '\\' => match chars.next()? {
                '\n' => {}
                escaped => out.push(escaped),
            },
            '$' | '`' => return None,
            '*' | '?' | '[' if !double && word.len() > 1 => return None,
            _ => out.push(c),
        }
    }
    Some(out)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<(Token, usize)>,
    /// Here-documents whose bodies start after the next newline: token index, delimiter, as quoted, tabs.
    pending: Vec<(usize, String, bool, bool)>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, reason: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { line: self.line, reason })
    }

    fn run(mut self) -> Result<Vec<(Token, usize)>, SyntaxError> {
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\n' => {
                    self.tokens.push((Token::Newline, self.line));
                    self.at += 1;
                    self.line += 1;
                    self.heredocs()?;
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.rest().starts_with("\\\n") => {
                    self.at += 2;
                    self.line += 1;
                }
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => match OPERATORS.iter().find(|o| self.rest().starts_with(**o)) {
                    Some(operator) => {
                        self.tokens.push((Token::Op(operator), self.line));
                        self.at += operator.len();
                    }
                    None => self.word()?,
                },
            }
        }
        if !self.pending.is_empty() {
            return self.fail("a here-document without end");
        }
        Ok(self.tokens)
    }

    fn word(&mut self) -> Result<(), SyntaxError> {
        let (start, line) = (self.at, self.line);
        while let Some(c) = self.rest().chars().next() {
            match c {
                ' ' | '\t' | '\n' | '\r' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                _ => self.unit(0)?,
            }
        }
        let word = &self.text[start..self.at];
        // A descriptor number before a redirection is part of the operator and says nothing to us.
        if word.bytes().all(|b| b.is_ascii_digit()) && self.rest().starts_with(['<', '>']) {
            return Ok(());
        }
        if let Some((Token::Op(operator @ ("<<" | "<<-")), _)) = self.tokens.last() {
            let quoted = word.contains(['\'', '"', '\\']);
            let delimiter: String = word.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
            self.pending.push((self.tokens.len(), delimiter, quoted, *operator == "<<-"));
        }
        self.tokens.push((Token::Word(word.to_owned()), line));
        Ok(())
    }

    /// Steps over one character of a word, or over one quoted or substituted part.
    fn unit(&mut self, depth: usize) -> Result<(), SyntaxError> {
        if depth > MAX_DEPTH {
            return self.fail("quotes and substitutions nested too deeply");
        }
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return self.fail("an unfinished quote") };
        match c {
            '\\' => {
                self.step();
                if !self.rest().is_empty() {
                    self.step();
                }
            }
            '\'' => {
                let Some(end) = rest[1..].find('\'') else { return self.fail("an unfinished quote") };
                self.skip(end + 2);
            }
            '"' => self.until('"', depth)?,
            '`' => {
                self.step();
                loop {
                    match self.rest().chars().next() {
                        None => return self.fail("an unfinished command substitution"),
                        Some('`') => break,
                        Some('\\') => {
                            self.step();
                            if !self.rest().is_empty() {
                                self.step();
                            }
                        }
                        Some(_) => self.step(),
                    }
                }
                self.step();
            }
            '$' if rest.starts_with("$(") => {
                self.step();
                self.until(')', depth)?;
            }
            '$' if rest.starts_with("${") => {
                self.step();
                self.until('}', depth)?;
            }
            _ => self.step(),
        }
        Ok(())
    }

    /// Steps over an opening character and everything up to `close`.
    fn until(&mut self, close: char, depth: usize) -> Result<(), SyntaxError> {
        self.step();
        loop {
            match self.rest().chars().next() {
                None => return self.fail("an unfinished quote or substitution"),
                Some(c) if c == close => break,
                // Between double quotes a single quote stands for itself.
                Some('\'') if close == '"' || close == '}' => self.step(),
                Some('(') if close == ')' => self.until(')', depth + 1)?,
                Some(_) => self.unit(depth + 1)?,
            }
        }
        self.step();
        Ok(())
    }

    fn step(&mut self) {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        self.skip(length);
    }

    fn skip(&mut self, bytes: usize) {
        self.line += self.text[self.at..self.at + bytes].matches('\n').count();
        self.at += bytes;
    }

    fn heredocs(&mut self) -> Result<(), SyntaxError> {
        for (token, delimiter, quoted, tabs) in std::mem::take(&mut self.pending) {
            let mut substitutes = false;
            loop {
                if self.rest().is_empty() {
                    return self.fail("a here-document without end");
                }
                let length = self.rest().find('\n').unwrap_or(self.rest().len());
                let mut line = &self.rest()[..length];
                if tabs {
                    line = line.trim_start_matches('\t');
                }
                let last = line == delimiter;
                substitutes |= !last && !quoted && (line.contains("$(") || line.contains('`'));
                self.at += length;
                if self.rest().starts_with('\n') {
                    self.skip(1);
                }
                if last {
                    break;
                }
            }
            if let Some((Token::Word(word), _)) = self.tokens.get_mut(token) {
                *word = if substitutes { "$(heredoc)" } else { "heredoc" }.into();
            }
        }
        Ok(())
    }
}
