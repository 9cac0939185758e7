//! How many pages that are alike are looked at, so that calendars, searches by facets and spaces of ids end.
//!
//! Alike are pages of one [`Template`] whose documents are alike, too. What a document looks like is known only
//! afterwards, so the budget of a template is that of one kind of document, and grows with each kind that is found.

use std::collections::{HashMap, HashSet};

use phantom_checks::evidence::Look;

use super::Template;
use super::budget::ENOUGH;
use super::sketch::likeness;

/// Documents at least this alike are of one kind.
const ALIKE: f64 = 0.6;
/// Kinds of documents for which a template's budget grows: a page that looks different each time is a trap, too.
const MOST_KINDS: usize = 8;
/// The budget of a family, in budgets of a template. Words in URLs are mostly written by hand, unlike ids.
const FAMILY: u64 = 10;
/// Pages of one template whose text is the same, one after the other, are one page under many addresses.
const SAME: u32 = 5;
/// Pages of a template that are tried, in its budget: what turns out to be no page does not count, but has an end.
const TRIES: u64 = 4;
/// Pages of a template that are kept although its budget is used up; the rest is only counted.
const MOST_CUT: u64 = 1_000;

/// What became of the budgets of pages that are alike.
#[derive(Debug)]
pub struct Alike {
    per_template: u64,
    patterns: HashMap<String, Group>,
    families: HashMap<String, Group>,
}

/// A budget that is used up: its name, and the reason for pages that are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedUp {
    /// The pattern or family of the pages.
    pub alike: String,
    /// Why they are skipped.
    pub reason: String,
}

/// Whether there is room for a page that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// It may wait for its turn.
    Free,
    /// It is skipped, for this reason.
    UsedUp(String),
    /// So many were skipped that this one is only counted.
    NotEvenKept,
}

#[derive(Debug, Default)]
struct Group {
    taken: u64,
    given_back: u64,
    kinds: Vec<Vec<u32>>,
    same: Option<(String, u32)>,
    used_up: Option<String>,
    /// Pages that were found when it was used up already.
    cut: u64,
    /// Pages that wait for their turn or had it, by a hash of their keys.
    kept: HashSet<u64>,
    /// How many pages were found while there was room.
    found: u64,
    /// Links to pages that were found and not kept.
    not_kept: u64,
}

impl Group {
    fn room(&self, budget: u64) -> u64 {
        budget.saturating_mul(self.kinds.len().clamp(1, MOST_KINDS) as u64)
    }

    /// Whether a page is kept that was found: as many are as could ever have their turn.
    fn keeps(&mut self, page: u64, budget: u64) -> bool {
        let most = budget.saturating_mul(MOST_KINDS as u64 * TRIES).max(MOST_CUT);
        self.kept.contains(&page) || (self.kept.len() as u64) < most
    }

    /// What becomes of a page that is found when the budget is used up.
    fn cut(&mut self) -> Option<Room> {
        let reason = self.used_up.clone()?;
        self.cut += 1;
        if self.cut <= MOST_CUT {
            return Some(Room::UsedUp(reason));
        }
        self.not_kept += 1;
        Some(Room::NotEvenKept)
    }

    /// Marks the budget as used up if it is.
    fn is_used_up(&mut self, name: &str, budget: u64) -> bool {
        if self.used_up.is_some() {
            return true;
        }
        let room = self.room(budget);
        let tried = self.taken + self.given_back;
        let reason = if self.taken >= room {
            format!("{} pages like {} were looked at{ENOUGH}", self.taken, short(name))
        } else if tried >= room.saturating_mul(TRIES) {
            format!("{tried} pages like {} were tried{ENOUGH}", short(name))
        } else if self.same.as_ref().is_some_and(|(_, times)| *times >= SAME) {
            format!("pages like {} are one page under many addresses", short(name))
        } else {
            return false;
        };
        self.used_up = Some(reason);
        true
    }

    fn saw(&mut self, look: &Look) {
        if self.kinds.len() < MOST_KINDS && !self.kinds.iter().any(|kind| likeness(kind, &look.structure) >= ALIKE) {
            self.kinds.push(look.structure.clone());
        }
    }

    fn saw_text(&mut self, look: &Look) {
        self.same = Some(match self.same.take() {
            Some((text, times)) if text == look.text_hash => (text, times.saturating_add(1)),
            _ => (look.text_hash.clone(), 1),
        });
    }
}

/// A template's name, short enough for a sentence.
fn short(name: &str) -> String {
    if name.chars().count() <= 120 {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(119).collect();
    short.push('…');
    short
}

impl Alike {
    /// Budgets of `per_template` pages of each kind.
    pub fn new(per_template: u64) -> Self {
        Self {
            per_template,
            patterns: HashMap::new(),
            families: HashMap::new(),
        }
    }

    /// Takes a page from its budgets.
    ///
    /// # Errors
    /// If one of them is used up: then no page of that kind is to be looked at any more.
    pub fn take(&mut self, template: &Template) -> Result<(), UsedUp> {
        let used_up = |alike: &str, group: &Group| UsedUp {
            alike: alike.to_owned(),
            reason: group.used_up.clone().unwrap_or_default(),
        };
        let pattern = self.patterns.entry(template.pattern.clone()).or_default();
        if pattern.is_used_up(&template.pattern, self.per_template) {
            return Err(used_up(&template.pattern, pattern));
        }
        let wider = self.per_template.saturating_mul(FAMILY);
        let new_path = self.is_new_path(template);
        let names = [Some(&template.family), Some(&template.wide).filter(|_| new_path)];
        for name in names.into_iter().flatten() {
            let group = self.families.entry(name.clone()).or_default();
            if group.is_used_up(name, wider) {
                return Err(used_up(name, group));
            }
        }
        self.change(template, new_path, |group| group.taken += 1);
        Ok(())
    }

    /// With parameters, only the first page of a path counts among the paths that are alike. Without, the two are one.
    fn is_new_path(&self, template: &Template) -> bool {
        let known = self.families.get(&template.family);
        template.wide != template.family && known.is_none_or(|group| group.taken == 0)
    }

    /// Changes the groups that a page is of; `wide` the paths that are alike, too.
    fn change(&mut self, template: &Template, wide: bool, change: impl Fn(&mut Group)) {
        self.patterns.get_mut(&template.pattern).map(&change);
        self.families.get_mut(&template.family).map(&change);
        if wide && template.wide != template.family {
            self.families.get_mut(&template.wide).map(&change);
        }
    }

    /// Gives a page back that turned out to be none.
    pub fn give_back(&mut self, template: &Template) {
        self.change(template, false, |group| {
            group.taken = group.taken.saturating_sub(1);
            group.given_back += 1;
        });
    }

    /// Takes in what a page looks like that was taken.
    pub fn saw(&mut self, template: &Template, look: &Look) {
        self.change(template, true, |group| group.saw(look));
        // The same text on pages with different words in their URLs is an empty page, not one page.
        if let Some(pattern) = self.patterns.get_mut(&template.pattern) {
            pattern.saw_text(look);
        }
    }

    /// What becomes of a page that was found; `page` is a hash of its key.
    pub fn found(&mut self, template: &Template, page: u64) -> Room {
        let budget = self.per_template.saturating_mul(FAMILY);
        let family = self.families.entry(template.family.clone()).or_default();
        if family.kept.contains(&page) {
            // It is known, and stays what it is.
            return Room::Free;
        }
        if let Some(room) = self.patterns.get_mut(&template.pattern).and_then(Group::cut) {
            if room != Room::NotEvenKept {
                family.kept.insert(page);
            }
            return room;
        }
        self.patterns.entry(template.pattern.clone()).or_default().found += 1;
        let new_path = self.is_new_path(template);
        let names = [Some(&template.family), Some(&template.wide).filter(|_| new_path)];
        for name in names.into_iter().flatten() {
            let group = self.families.entry(name.clone()).or_default();
            group.found += 1;
            if let Some(room) = group.cut() {
                if room != Room::NotEvenKept {
                    group.kept.insert(page);
                }
                return room;
            }
            if !group.keeps(page, budget) {
                group.not_kept += 1;
                return Room::NotEvenKept;
            }
            group.kept.insert(page);
        }
        Room::Free
    }

    /// Whether it is likely that more pages like this one are found than there is room for. Then those that have their
    /// turn are to be chosen once all are known that could be chosen, or time decides.
    pub fn is_contended(&self, template: &Template) -> bool {
        let crowded = |group: Option<&Group>, budget: u64| {
            group.is_some_and(|group| group.found.saturating_mul(2) > group.room(budget))
        };
        crowded(self.patterns.get(&template.pattern), self.per_template)
            || crowded(
                self.families.get(&template.family),
                self.per_template.saturating_mul(FAMILY),
            )
    }

    /// What was found and not even kept, as sentences.
    pub fn remarks(&self) -> Vec<String> {
        let all = self.patterns.iter().chain(&self.families);
        let mut remarks: Vec<String> = all
            .filter(|(_, group)| group.not_kept > 0)
            .map(|(name, group)| {
                format!(
                    "{} more links to pages like {} were found and not kept",
                    group.not_kept,
                    short(name)
                )
            })
            .collect();
        remarks.sort_unstable();
        remarks.truncate(20);
        remarks
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::super::sketch::sketch;
    use super::*;

    fn template(path: &str) -> Template {
        Template::of(&Url::parse("https://shop.test").unwrap().join(path).unwrap())
    }

    fn look(kind: &str, text: &str) -> Look {
        let parts: Vec<_> = (0..20).map(|part| format!("{kind}{part}")).collect();
        Look {
            structure: sketch(parts.iter().map(String::as_str)),
            text_hash: text.to_owned(),
            ..Look::default()
        }
    }

    /// Looks at pages until none is left or a budget is used up; how many, and why it ended.
    fn crawl(
        alike: &mut Alike,
        paths: impl Iterator<Item = String>,
        kind: impl Fn(usize) -> String,
    ) -> (usize, String) {
        for (number, path) in paths.enumerate().take(10_000) {
            let template = template(&path);
            if let Err(used_up) = alike.take(&template) {
                return (number, used_up.reason);
            }
            alike.saw(&template, &look(&kind(number), &path));
        }
        panic!("it never ended")
    }

    #[test]
    fn id_spaces_end_at_the_budget() {
        let mut alike = Alike::new(30);
        let days = (1..).map(|day| format!("/calendar/2026/{day}"));
        let (seen, why) = crawl(&mut alike, days, |_| "day".to_owned());
        assert_eq!(
            (seen, why.as_str()),
            (
                30,
                "30 pages like shop.test/calendar/{n}/{n} were looked at, which is enough"
            )
        );
        assert_eq!(
            alike.take(&template("/calendar/about")),
            Ok(()),
            "an honest page beside it"
        );
        assert_eq!(alike.found(&template("/calendar/2027/1"), 0), Room::UsedUp(why));
        assert_eq!(alike.found(&template("/calendar/help"), 1), Room::Free);
    }

    #[test]
    fn kinds_of_documents_have_budgets_of_their_own_up_to_a_bound() {
        let ids = || (0..).map(|id| format!("/p/{id}"));
        let three = crawl(&mut Alike::new(10), ids(), |number| format!("kind{}-", number % 3));
        assert_eq!(three.0, 30);
        let ever_new = crawl(&mut Alike::new(10), ids(), |number| format!("kind{number}-"));
        assert_eq!(ever_new.0, 80);
    }

    #[test]
    fn words_without_end_are_a_family() {
        let words = (0..).map(|number: u32| {
            let word: String = number.to_string().bytes().map(|b| char::from(b + 49)).collect();
            format!("/tag/some-{word}")
        });
        let (seen, why) = crawl(&mut Alike::new(5), words, |_| "tag".to_owned());
        assert_eq!(
            (seen, why.as_str()),
            (50, "50 pages like shop.test/tag/* were looked at, which is enough")
        );
    }

    #[test]
    fn parameters_in_all_combinations_are_a_family_and_starve_no_other() {
        let mut alike = Alike::new(5);
        let facets = (0_u32..).map(|number| {
            let chosen = (0..20).filter(|bit| number >> bit & 1 == 1);
            let names: Vec<_> = chosen.map(|bit| format!("{}=x", char::from(b'a' + bit))).collect();
            format!("/list?{}", names.join("&"))
        });
        let (seen, why) = crawl(&mut alike, facets.skip(1), |_| "list".to_owned());
        assert_eq!(
            (seen, why.as_str()),
            (50, "50 pages like shop.test/list?* were looked at, which is enough")
        );
        for other in ["/search?q=1", "/about", "/other?a=x"] {
            assert_eq!(alike.take(&template(other)), Ok(()), "{other}");
        }
        let words = (0..).map(|number: u32| {
            let word: String = number.to_string().bytes().map(|b| char::from(b + 49)).collect();
            format!("/tag/{word}?q=1")
        });
        let (seen, why) = crawl(&mut alike, words, |_| "tag".to_owned());
        assert_eq!(
            (seen, why.as_str()),
            (50, "50 pages like shop.test/tag/* were looked at, which is enough")
        );
    }

    #[test]
    fn one_page_under_many_addresses_is_looked_at_a_few_times() {
        let mut alike = Alike::new(30);
        for session in 0..5 {
            let template = template(&format!("/s/{session}/about"));
            assert_eq!(alike.take(&template), Ok(()));
            alike.saw(&template, &look("page", "About us"));
        }
        let why = alike.take(&template("/s/99/about")).unwrap_err().reason;
        assert_eq!(
            why,
            "pages like shop.test/s/{n}/about are one page under many addresses"
        );
        assert_eq!(alike.take(&template("/s/99/contact")), Ok(()));
    }

    #[test]
    fn what_is_no_page_costs_nothing_but_has_an_end() {
        let mut alike = Alike::new(3);
        for id in 0..12 {
            let template = template(&format!("/gone/{id}"));
            assert_eq!(alike.take(&template), Ok(()), "{id}");
            alike.give_back(&template);
        }
        assert!(
            alike
                .take(&template("/gone/99"))
                .unwrap_err()
                .reason
                .contains("12 pages like")
        );
    }

    #[test]
    fn templates_of_which_much_is_found_are_contended() {
        let mut alike = Alike::new(4);
        let one = template("/p/1");
        assert!(!alike.is_contended(&one));
        for (id, contended) in [(1, false), (2, false), (3, true)] {
            alike.found(&template(&format!("/p/{id}")), id);
            assert_eq!(alike.is_contended(&one), contended, "{id}");
        }
        alike.found(&template("/p/3"), 3);
        assert!(!alike.is_contended(&template("/p/about")), "an honest page beside it");
    }

    #[test]
    fn no_more_wait_than_could_have_their_turn() {
        let mut alike = Alike::new(1);
        let word = |number: u64| -> String { number.to_string().bytes().map(|b| char::from(b + 49)).collect() };
        let found = |alike: &mut Alike, id: u64| alike.found(&template(&format!("/p/{}", word(id))), id);
        for id in 0..MOST_CUT {
            assert_eq!(found(&mut alike, id), Room::Free);
            assert_eq!(found(&mut alike, 0), Room::Free, "it is known");
        }
        assert_eq!(found(&mut alike, MOST_CUT), Room::NotEvenKept);
        assert_eq!(
            alike.found(&template("/about/us"), 7),
            Room::Free,
            "an honest page beside it"
        );
        assert_eq!(
            alike.remarks(),
            ["1 more links to pages like shop.test/p/* were found and not kept"]
        );
    }

    #[test]
    fn what_is_cut_off_is_kept_to_a_bound_and_counted_beyond() {
        let mut alike = Alike::new(1);
        alike.take(&template("/p/1")).unwrap();
        alike.take(&template("/p/2")).unwrap_err();
        for id in 0..MOST_CUT {
            assert!(matches!(
                alike.found(&template(&format!("/p/{id}")), id),
                Room::UsedUp(_)
            ));
        }
        // Pages link to the same ones again and again.
        assert_eq!(alike.found(&template("/p/0"), 0), Room::Free, "it is known");
        assert_eq!(alike.found(&template("/p/9999"), 9_999), Room::NotEvenKept);
        assert_eq!(
            alike.remarks(),
            ["1 more links to pages like shop.test/p/{n} were found and not kept"]
        );
    }
}
