//! A file of settings before it is valid: a tree of TOML in which every key and value knows where it stands.
//!
//! The code that reads a key is the schema. A [`Section`] remembers which keys were asked for; what is left at the end
//! is either known but not supported yet, or unknown. All problems of a file are collected, so that a person corrects
//! them in one go.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Problem};

/// A value and where it stands.
pub(crate) type Value<'d> = &'d Spanned<DeValue<'d>>;

/// Why a value cannot be used. The texts complete "`key` …" and "…; …".
#[derive(Debug)]
pub(crate) struct Wrong {
    /// What the value is, such as `is a string`.
    pub is: String,
    /// What to write instead, as an instruction.
    pub advice: String,
    /// Where, if it is not the whole value.
    pub at: Option<Range<usize>>,
}

impl Wrong {
    pub fn new(is: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            is: is.into(),
            advice: advice.into(),
            at: None,
        }
    }
}

/// A file that is being read, and what was found wrong in it so far.
pub(crate) struct Source<'t> {
    file: &'t str,
    text: &'t str,
    problems: RefCell<Vec<(usize, Problem)>>,
    /// The keys that were asked for, for the test that compares them with the schema.
    #[cfg(test)]
    asked: RefCell<std::collections::BTreeSet<String>>,
}

impl<'t> Source<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            problems: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// The keys that were asked for, `table.key`.
    #[cfg(test)]
    pub fn asked(&self) -> std::collections::BTreeSet<String> {
        self.asked.take()
    }

    /// The tree, if the text is TOML.
    pub fn parse(&self) -> Result<Spanned<DeTable<'t>>, ConfigError> {
        let (tree, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.report(at, format!("this is not TOML: {}", error.message()), "correct it");
        }
        self.finish()?;
        Ok(tree)
    }

    pub fn report(&self, at: usize, what: impl Into<String>, advice: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let problem = Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what: what.into(),
            advice: advice.into(),
        };
        self.problems.borrow_mut().push((at, problem));
    }

    /// An error if anything was reported.
    pub fn finish(&self) -> Result<(), ConfigError> {
        let mut problems = self.problems.take();
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|(at, _)| *at);
        Err(ConfigError::Invalid(
            problems.into_iter().map(|(_, problem)| problem).collect(),
        ))
    }
}

/// One table of a file. Absent tables read as empty ones.
pub(crate) struct Section<'d> {
    source: &'d Source<'d>,
    path: String,
    at: usize,
    table: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub fn root(source: &'d Source<'d>, tree: &'d Spanned<DeTable<'d>>) -> Self {
        Self {
            source,
            path: String::new(),
            at: 0,
            table: Some(tree.get_ref()),
            asked: Vec::new(),
        }
    }

    /// The value of a key, read by `kind`. `None` if it is absent or wrong; the latter is reported.
    pub fn get<T>(&mut self, key: &'static str, kind: impl FnOnce(Value<'d>) -> Result<T, Wrong>) -> Option<T> {
        let value = self.find(key)?;
        self.judge(key, value, kind(value))
    }

    /// As [`Section::get`], but reports an absent key. `what` says what it is: "the URL of …".
    pub fn require<T>(
        &mut self,
        key: &'static str,
        what: &str,
        kind: impl FnOnce(Value<'d>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.find(key).is_none() {
            let what = format!("add it: {what}");
            self.source
                .report(self.at, format!("`{}` is missing", self.name(key)), what);
        }
        self.get(key, kind)
    }

    /// The pairs of a table whose keys are the user's own, in the order of the file.
    pub fn pairs<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&str, Value<'d>) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let section = self.section(key)?;
        let mut entries: Vec<_> = section.table?.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let pairs = entries
            .into_iter()
            .filter_map(|(name, value)| section.judge(name.get_ref(), value, kind(name.get_ref(), value)));
        Some(pairs.collect())
    }

    /// A table within this one; `None` if it is absent or no table; the latter is reported.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'d>> {
        let value = self.find(key)?;
        let table = match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => Err(Wrong::new(format!("is {}", kind_of(other)), "make it a table")),
        };
        let table = self.judge(key, value, table)?;
        Some(Section {
            source: self.source,
            path: self.name(key),
            at: value.span().start,
            table: Some(table),
            asked: Vec::new(),
        })
    }

    /// A table within this one, empty if it is absent.
    pub fn section_or_empty(&mut self, key: &'static str) -> Section<'d> {
        self.section(key).unwrap_or_else(|| Section {
            source: self.source,
            path: self.name(key),
            at: self.at,
            table: None,
            asked: Vec::new(),
        })
    }

    /// The tables of a list of tables, `[[key]]`, in the order of the file; what is none is reported.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'d>> {
        let Some(value) = self.find(key) else {
            return Vec::new();
        };
        let advice = || format!("write each as a table: [[{}]]", self.name(key));
        let list = match value.get_ref() {
            DeValue::Array(list) => Ok(list),
            other => Err(Wrong::new(format!("is {}", kind_of(other)), advice())),
        };
        let Some(list) = self.judge(key, value, list) else {
            return Vec::new();
        };
        let one = |(index, entry): (usize, &'d Spanned<DeValue<'d>>)| {
            let table = match entry.get_ref() {
                DeValue::Table(table) => Ok(table),
                other => Err(Wrong::new(format!("[{index}] is {}", kind_of(other)), advice())),
            };
            let table = self.judge(key, entry, table)?;
            Some(Section {
                source: self.source,
                path: self.name(key),
                at: entry.span().start,
                table: Some(table),
                asked: Vec::new(),
            })
        };
        list.iter().enumerate().filter_map(one).collect()
    }

    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Reports what is wrong with the table as a whole.
    pub fn report_whole(&self, is: &str, advice: &str) {
        self.source.report(self.at, format!("`{}` {is}", self.path), advice);
    }

    /// Reports what is wrong with a key after it was read, at its value.
    pub fn report(&self, key: &str, wrong: Wrong) {
        let at = self
            .table
            .and_then(|table| table.get(key))
            .map_or(self.at, |value| value.span().start);
        self.report_at(key, at, wrong);
    }

    /// Reports the keys that nobody asked for. `later` are those that are known but not supported yet.
    pub fn finish(self, later: &[&'static str]) {
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let shown = self.name(name);
            let at = key.span().start;
            if later.contains(&name) {
                self.source
                    .report(at, format!("`{shown}` is not supported yet"), "remove it");
            } else {
                let known = self.asked.iter().chain(later).copied();
                let advice = match nearest(name, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
                };
                self.source.report(at, format!("`{shown}` is not a known key"), advice);
            }
        }
    }

    fn find(&mut self, key: &'static str) -> Option<Value<'d>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            #[cfg(test)]
            self.source.asked.borrow_mut().insert(self.name(key));
        }
        self.table?.get(key)
    }

    fn judge<T>(&self, key: &str, value: Value<'_>, result: Result<T, Wrong>) -> Option<T> {
        result
            .map_err(|wrong| self.report_at(key, value.span().start, wrong))
            .ok()
    }

    fn report_at(&self, key: &str, at: usize, wrong: Wrong) {
        let at = wrong.at.map_or(at, |span| span.start);
        self.source
            .report(at, format!("`{}` {}", self.name(key), wrong.is), wrong.advice);
    }

    fn name(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// The known word nearest to a mistyped one, if any is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// What a person calls this kind of value.
pub(crate) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
