//! A reader of POSIX shell that is just good enough for maintainer scripts.
//!
//! It yields the structure of a script (lists, pipelines, `if`, `case`, loops, functions) with every
//! word as it was written; nothing is expanded and nothing is ever run. What it does not understand is
//! an error, and the caller then treats the whole script as not recognised.
//!
//! The grammar is the one of POSIX.1-2024, volume Shell & Utilities, 2.10, without `select`, arithmetic
//! commands and other extensions.

use super::lex::{REDIRECTIONS, Token, tokens};

/// Deepest nesting of compound commands.
const MAX_DEPTH: usize = 64;

/// A script that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is not understood there.
    pub reason: &'static str,
}

/// How a pipeline follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The first of its list.
    First,
    /// After `&&`.
    And,
    /// After `||`.
    Or,
}

/// Pipelines joined by `&&` and `||`.
pub type AndOr = Vec<(Join, Pipeline)>;

/// Commands joined by `|`, perhaps with `!` before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Whether `!` stands before it.
    pub negated: bool,
    /// The commands.
    pub commands: Vec<Command>,
}

/// One command with the lines that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What it is.
    pub kind: Kind,
    /// Redirections.
    pub redirects: Vec<Redirect>,
    /// First line, from 1.
    pub line: usize,
    /// Last line.
    pub end: usize,
}

/// A redirection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The operator without the descriptor: `>`, `>>`, `>&`, `<`, `<<` ...
    pub operator: &'static str,
    /// The word after it; for a here-document `heredoc`, or `$(heredoc)` when it has substitutions.
    pub target: String,
}

/// The kinds of command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Assignments and words, as written.
    Simple {
        /// `NAME=VALUE` before the command word.
        assignments: Vec<(String, String)>,
        /// Command and arguments.
        words: Vec<String>,
    },
    /// `if`, with conditions and bodies, and the `else` part.
    If {
        /// `if` and `elif`: condition and body.
        branches: Vec<(Vec<AndOr>, Vec<AndOr>)>,
        /// `else`.
        otherwise: Vec<AndOr>,
    },
    /// `case WORD in PATTERNS) BODY ;; ... esac`.
    Case {
        /// The word.
        word: String,
        /// Patterns and bodies.
        arms: Vec<(Vec<String>, Vec<AndOr>)>,
    },
    /// `{ ...; }` or `( ... )`.
    Group(Vec<AndOr>),
    /// `for`, `while` or `until`: what is looped over or asked, and the body.
    Loop {
        /// The variable of `for`.
        variable: Option<String>,
        /// Words of `for`.
        words: Vec<String>,
        /// Condition of `while` and `until`.
        condition: Vec<AndOr>,
        /// Body.
        body: Vec<AndOr>,
    },
    /// `NAME() ...`.
    Function {
        /// Its name.
        name: String,
        /// Its body.
        body: Vec<AndOr>,
    },
}

/// Reads a whole script.
pub fn parse(text: &str) -> Result<Vec<AndOr>, SyntaxError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let list = parser.list(&[])?;
    if parser.at < parser.tokens.len() {
        return parser.fail("a word or operator that does not belong here");
    }
    Ok(list)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    fn fail<T>(&self, reason: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { line: self.line(), reason })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(o)) if *o == operator)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(w)) if w == word)
    }

    fn take_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    fn newlines(&mut self) {
        while self.peek() == Some(&Token::Newline) {
            self.at += 1;
        }
    }

    fn reserved(&mut self, word: &str) -> Result<(), SyntaxError> {
        if !self.is_word(word) {
            return self.fail("a compound command without its end");
        }
        self.at += 1;
        Ok(())
    }

    fn take_word(&mut self) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => self.fail("a word is missing"),
        }
    }

    /// Commands up to one of the words in `ends`, `)`, `;;` or the end.
    fn list(&mut self, ends: &[&str]) -> Result<Vec<AndOr>, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("compound commands nested too deeply");
        }
        let mut list = Vec::new();
        loop {
            while self.peek() == Some(&Token::Newline) || self.is_op(";") {
                self.at += 1;
            }
            let done = match self.peek() {
                None | Some(Token::Op(")" | ";;")) => true,
                Some(Token::Word(word)) => ends.contains(&word.as_str()),
                _ => false,
            };
            if done {
                break;
            }
            list.push(self.and_or()?);
            // `&` runs it in the background; it is looked at all the same.
            self.take_op("&");
        }
        self.depth -= 1;
        Ok(list)
    }

    fn and_or(&mut self) -> Result<AndOr, SyntaxError> {
        let mut chain = vec![(Join::First, self.pipeline()?)];
        loop {
            let join = if self.take_op("&&") {
                Join::And
            } else if self.take_op("||") {
                Join::Or
            } else {
                return Ok(chain);
            };
            self.newlines();
            chain.push((join, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        let mut negated = false;
        while self.is_word("!") {
            self.at += 1;
            negated = !negated;
        }
        let mut commands = vec![self.command()?];
        while self.take_op("|") {
            self.newlines();
            commands.push(self.command()?);
        }
        Ok(Pipeline { negated, commands })
    }

    fn command(&mut self) -> Result<Command, SyntaxError> {
        let line = self.line();
        let mut redirects = Vec::new();
        let kind = match self.peek() {
            Some(Token::Op("(")) => {
                self.at += 1;
                let body = self.list(&[])?;
                if !self.take_op(")") {
                    return self.fail("a `(` without `)`");
                }
                Kind::Group(body)
            }
            Some(Token::Word(word)) => match word.as_str() {
                "if" => self.if_command()?,
                "case" => self.case_command()?,
                "for" | "while" | "until" => self.loop_command()?,
                "{" => self.brace_group()?,
                "then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}" | "in" | "[[" | "select"
                | "function" => return self.fail("a reserved word that is not understood here"),
                _ => self.simple(&mut redirects)?,
            },
            Some(Token::Op(operator)) if REDIRECTIONS.contains(operator) => self.simple(&mut redirects)?,
            _ => return self.fail("a command is missing"),
        };
        if !matches!(kind, Kind::Function { .. }) {
            while let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            }
        }
        let end = self.tokens.get(self.at.saturating_sub(1)).map_or(line, |(_, line)| *line);
        Ok(Command { kind, redirects, line, end })
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, SyntaxError> {
        match self.peek() {
            Some(&Token::Op(operator)) if REDIRECTIONS.contains(&operator) => {
                self.at += 1;
                Ok(Some(Redirect { operator, target: self.take_word()? }))
            }
            _ => Ok(None),
        }
    }

    fn simple(&mut self, redirects: &mut Vec<Redirect>) -> Result<Kind, SyntaxError> {
        let mut assignments = Vec::new();
        let mut words: Vec<String> = Vec::new();
        loop {
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            } else if let Some(Token::Word(word)) = self.peek() {
                let word = word.clone();
                self.at += 1;
                match word.split_once('=') {
                    Some((name, value)) if words.is_empty() && is_name(name) => {
                        assignments.push((name.to_owned(), value.to_owned()));
                    }
                    _ => words.push(word),
                }
            } else if self.is_op("(") && words.len() == 1 && assignments.is_empty() && redirects.is_empty() {
                self.at += 1;
                if !self.take_op(")") {
                    return self.fail("a `(` that is not understood");
                }
                self.newlines();
                let body = self.command()?;
                let name = words.remove(0);
                let body = vec![vec![(Join::First, Pipeline { negated: false, commands: vec![body] })]];
                return Ok(Kind::Function { name, body });
            } else {
                return Ok(Kind::Simple { assignments, words });
            }
        }
    }

    fn if_command(&mut self) -> Result<Kind, SyntaxError> {
        let mut branches = Vec::new();
        self.at += 1;
        loop {
            let condition = self.list(&["then"])?;
            self.reserved("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            if !self.is_word("elif") {
                break;
            }
            self.at += 1;
        }
        let otherwise = if self.is_word("else") {
            self.at += 1;
            self.list(&["fi"])?
        } else {
            Vec::new()
        };
        self.reserved("fi")?;
        Ok(Kind::If { branches, otherwise })
    }

    fn case_command(&mut self) -> Result<Kind, SyntaxError> {
        self.at += 1;
        let word = self.take_word()?;
        self.newlines();
        self.reserved("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines();
            if self.is_word("esac") {
                break;
            }
            self.take_op("(");
            let mut patterns = vec![self.take_word()?];
            while self.take_op("|") {
                patterns.push(self.take_word()?);
            }
            if !self.take_op(")") {
                return self.fail("a pattern of `case` without `)`");
            }
            arms.push((patterns, self.list(&["esac"])?));
            if !self.take_op(";;") {
                break;
            }
        }
        self.newlines();
        self.reserved("esac")?;
        Ok(Kind::Case { word, arms })
    }

    fn loop_command(&mut self) -> Result<Kind, SyntaxError> {
        let mut variable = None;
        let mut words = Vec::new();
        let mut condition = Vec::new();
        if self.is_word("for") {
            self.at += 1;
            variable = Some(self.take_word()?);
            self.newlines();
            if self.is_word("in") {
                self.at += 1;
                while let Some(Token::Word(word)) = self.peek() {
                    words.push(word.clone());
                    self.at += 1;
                }
            }
            self.take_op(";");
            self.newlines();
        } else {
            self.at += 1;
            condition = self.list(&["do"])?;
        }
        self.reserved("do")?;
        let body = self.list(&["done"])?;
        self.reserved("done")?;
        Ok(Kind::Loop { variable, words, condition, body })
    }

    fn brace_group(&mut self) -> Result<Kind, SyntaxError> {
        self.at += 1;
        let body = self.list(&["}"])?;
        self.reserved("}")?;
        Ok(Kind::Group(body))
    }
}

/// Whether `text` can be the name of a variable.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
