//! What is done next on a page. Pure: what a browser says can be done goes in, and what to do comes out.
//!
//! A page is explored from the state that it settled in. An action may lead to another state, a dialog or an opened menu,
//! in which other things can be done; these come first, while they are there. What looks alike is tried a few times and
//! then only while it brings something new, on the page and in the whole scan. When nothing is left that is there, the
//! page is brought back to a state in which something is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use phantom_checks::evidence::{Step, StepKind};

use super::destructive::reads_destructive;

/// Alike elements that are tried on one page, whatever comes of it.
const ALIKE: u32 = 2;
/// … and while each brings something new.
const ALIKE_FRUITFUL: u32 = 8;
/// So often an action is done on one page, as long as it leads to what was not there before: "more", "next".
const REPEATS: u32 = 6;
/// Alike actions in a whole scan that may bring nothing new before they are left alone.
const BARREN: u32 = 3;
/// Hidden elements that are tried on one page.
const HIDDEN: u32 = 8;
/// Things that are remembered of a page to be done in another state of it.
const MOST_PENDING: usize = 1_000;
/// Steps of a path.
const LONGEST_PATH: usize = 10;
/// How often one page is brought back to an earlier state by loading it again.
const MOST_RELOADS: u32 = 3;
/// Kinds of action that a scan remembers, and addresses that it has seen.
const MOST_REMEMBERED: usize = 100_000;

/// Something that can be done on a page now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    /// What would be done, and to what. It is its identity within the page.
    pub step: Step,
    /// Which frame it is in, told apart from others of the same URL.
    pub frame: String,
    /// What alike candidates of the whole site share.
    pub group: u64,
    /// What is written on it, as a person reads it.
    pub text: String,
    /// Its names and attributes, as a program reads them.
    pub names: Vec<String>,
    /// A person can see it.
    pub visible: bool,
}

impl Candidate {
    /// It says that it ends, removes or leaves something.
    pub fn is_forbidden(&self) -> bool {
        let read = |text: &str, names: &[String]| reads_destructive(text, names);
        read(&self.text, &self.names) || read(&self.step.label, &[]) || read(&self.step.value, &[])
    }

    fn key(&self) -> u64 {
        hash_of(&(&self.frame, &self.step.element, self.step.kind, &self.step.value))
    }
}

/// A hash that is the same within one process.
pub fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What a whole scan has learnt of its actions. Shared by its workers.
#[derive(Debug, Default)]
pub struct Experience {
    groups: HashMap<u64, Tally>,
    seen: HashSet<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    tried: u32,
    fruitful: u32,
}

impl Experience {
    /// Notes what there is on some page: an address, a form. True if the scan did not know it.
    pub fn meet(&mut self, what: &impl Hash) -> bool {
        self.seen.len() < MOST_REMEMBERED && self.seen.insert(hash_of(what))
    }

    /// Notes what came of an action.
    pub fn learn(&mut self, group: u64, fruitful: bool) {
        if self.groups.len() >= MOST_REMEMBERED && !self.groups.contains_key(&group) {
            return;
        }
        let tally = self.groups.entry(group).or_default();
        tally.tried = tally.tried.saturating_add(1);
        tally.fruitful = tally.fruitful.saturating_add(u32::from(fruitful));
    }

    fn tally(&self, group: u64) -> Tally {
        self.groups.get(&group).copied().unwrap_or_default()
    }

    /// Whether an action of this kind is worth trying on one more page.
    fn promises(&self, group: u64) -> bool {
        let tally = self.tally(group);
        tally.tried < BARREN + 3 * tally.fruitful
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The candidate with this index.
    Act(usize),
    /// Close what is open.
    Close,
    /// Load the page again, then take these steps.
    Reload(Vec<Step>),
    /// Nothing.
    Over,
}

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The state of the page after it.
    pub state: u64,
    /// Addresses, forms and endpoints that the page did not have before.
    pub news: u32,
    /// Those of them that the whole scan did not know.
    pub news_to_scan: u32,
}

/// What was tried on one page.
#[derive(Debug)]
pub struct Explorer {
    budget: u32,
    done: u32,
    reloads: u32,
    hidden: u32,
    closed: bool,
    state: u64,
    paths: HashMap<u64, Vec<Step>>,
    tries: HashMap<u64, Tries>,
    groups: HashMap<u64, Tally>,
    known: HashSet<u64>,
    pending: VecDeque<Pending>,
    forbidden: HashSet<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    count: u32,
    /// It did not lead to a state, or to anything else, that was new.
    spent: bool,
}

#[derive(Debug)]
struct Pending {
    key: u64,
    group: u64,
    path: Vec<Step>,
}

impl Explorer {
    /// An exploration of a page that is in this state, with so many actions.
    pub fn new(state: u64, budget: u32) -> Self {
        Self {
            budget,
            done: 0,
            reloads: 0,
            hidden: 0,
            closed: false,
            state,
            paths: HashMap::from([(state, Vec::new())]),
            tries: HashMap::new(),
            groups: HashMap::new(),
            known: HashSet::new(),
            pending: VecDeque::new(),
            forbidden: HashSet::new(),
        }
    }

    /// Actions done.
    pub fn done(&self) -> u32 {
        self.done
    }

    /// How often the page was loaded again.
    pub fn reloads(&self) -> u32 {
        self.reloads
    }

    /// Candidates that were left alone because of what is written on them.
    pub fn forbidden(&self) -> u32 {
        u32::try_from(self.forbidden.len()).unwrap_or(u32::MAX)
    }

    /// The steps that lead from the page as it had settled to where it is now.
    pub fn path(&self) -> &[Step] {
        self.paths.get(&self.state).map_or(&[], Vec::as_slice)
    }

    /// What would still be done if there were more of the budget.
    pub fn left(&self, candidates: &[Candidate], experience: &Experience) -> u32 {
        let mut keys: HashSet<u64> = HashSet::new();
        for candidate in candidates {
            if !candidate.is_forbidden() && self.wants(candidate, experience) {
                keys.insert(candidate.key());
            }
        }
        let pending = self.pending.iter().filter(|pending| self.is_open(pending, experience));
        keys.extend(pending.map(|pending| pending.key));
        u32::try_from(keys.len()).unwrap_or(u32::MAX)
    }

    /// Chooses among what can be done now.
    pub fn next(&mut self, candidates: &[Candidate], experience: &Experience) -> Next {
        if self.done >= self.budget {
            return Next::Over;
        }
        let mut best: Option<(Rank, usize)> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            if candidate.is_forbidden() {
                self.forbidden.insert(candidate.key());
                continue;
            }
            if !self.wants(candidate, experience) {
                continue;
            }
            let rank = self.rank(candidate, index, experience);
            if best.as_ref().is_none_or(|(best, _)| rank < *best) {
                best = Some((rank, index));
            }
        }
        self.remember(candidates);
        if let Some((_, index)) = best {
            self.closed = false;
            return Next::Act(index);
        }
        self.way_back(candidates, experience)
    }

    /// Notes what came of an action that was done.
    pub fn learn(&mut self, candidate: &Candidate, outcome: Outcome, experience: &mut Experience) {
        self.done += 1;
        self.hidden += u32::from(!candidate.visible);
        let before = self.path().to_vec();
        let is_new = !self.paths.contains_key(&outcome.state);
        let fruitful = outcome.news > 0;
        let tries = self.tries.entry(candidate.key()).or_default();
        tries.count += 1;
        tries.spent = !fruitful && !is_new;
        let first = tries.count == 1;
        let tally = self.groups.entry(candidate.group).or_default();
        tally.tried += 1;
        tally.fruitful += u32::from(fruitful);
        let new_to_scan = outcome.news_to_scan > 0;
        // What is done once more and leads on no further says nothing of other pages.
        if first || new_to_scan {
            experience.learn(candidate.group, new_to_scan);
        }
        if is_new && before.len() < LONGEST_PATH {
            let path = before.into_iter().chain([candidate.step.clone()]).collect();
            self.paths.insert(outcome.state, path);
        }
        self.state = outcome.state;
    }

    /// Notes that the page was brought to a state, by closing what was open or by loading it again.
    pub fn arrive(&mut self, state: u64) {
        self.paths.entry(state).or_default();
        self.state = state;
    }

    /// Notes that a step of a way back was taken, which costs what any action does.
    pub fn step_taken(&mut self) {
        self.done += 1;
    }

    fn wants(&self, candidate: &Candidate, experience: &Experience) -> bool {
        let tries = self.tries.get(&candidate.key()).copied().unwrap_or_default();
        if tries.count > 0 {
            return !tries.spent && tries.count < REPEATS && repeats(candidate.step.kind);
        }
        if !candidate.visible && self.hidden >= HIDDEN {
            return false;
        }
        self.group_is_open(candidate.group, experience)
    }

    fn group_is_open(&self, group: u64, experience: &Experience) -> bool {
        let here = self.groups.get(&group).copied().unwrap_or_default();
        let most = if here.fruitful == here.tried {
            ALIKE_FRUITFUL
        } else {
            ALIKE
        };
        here.tried < most && experience.promises(group)
    }

    fn rank(&self, candidate: &Candidate, index: usize, experience: &Experience) -> Rank {
        let key = candidate.key();
        Rank {
            hidden: !candidate.visible,
            again: self.tries.contains_key(&key),
            known: self.known.contains(&key) && !self.path().is_empty(),
            cost: cost(candidate.step.kind),
            alike: self.groups.get(&candidate.group).map_or(0, |tally| tally.tried),
            tried: experience.tally(candidate.group).tried,
            index,
        }
    }

    /// Remembers what can be done in this state, for when it is left.
    fn remember(&mut self, candidates: &[Candidate]) {
        let path = self.path().to_vec();
        for candidate in candidates {
            let key = candidate.key();
            let fresh = self.known.len() < MOST_PENDING && self.known.insert(key);
            if fresh && candidate.visible && !candidate.is_forbidden() {
                let group = candidate.group;
                let path = path.clone();
                self.pending.push_back(Pending { key, group, path });
            }
        }
    }

    fn is_open(&self, pending: &Pending, experience: &Experience) -> bool {
        !self.tries.contains_key(&pending.key) && self.group_is_open(pending.group, experience)
    }

    /// Back to a state in which something is left to do that cannot be done here.
    fn way_back(&mut self, candidates: &[Candidate], experience: &Experience) -> Next {
        let here: HashSet<u64> = candidates.iter().map(Candidate::key).collect();
        while let Some(pending) = self.pending.front() {
            if !self.is_open(pending, experience) || here.contains(&pending.key) {
                self.pending.pop_front();
                continue;
            }
            if !self.closed {
                self.closed = true;
                return Next::Close;
            }
            let left = self.budget - self.done;
            let steps = u32::try_from(pending.path.len()).unwrap_or(u32::MAX);
            if self.reloads >= MOST_RELOADS {
                return Next::Over;
            }
            let path = pending.path.clone();
            self.pending.pop_front();
            if steps < left {
                self.reloads += 1;
                return Next::Reload(path);
            }
        }
        Next::Over
    }
}

/// What is done first: what can be seen before what cannot, what was not tried before what was, what has just appeared
/// before what will still be there later, and what costs little before what takes long.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    hidden: bool,
    again: bool,
    known: bool,
    cost: u8,
    alike: u32,
    tried: u32,
    index: usize,
}

/// Actions that may lead on when they are done once more.
fn repeats(kind: StepKind) -> bool {
    matches!(
        kind,
        StepKind::Click | StepKind::Scroll | StepKind::Keys | StepKind::Hover | StepKind::Submit | StepKind::Drop
    )
}

/// What an action costs in time, and in what it may spoil for the others.
fn cost(kind: StepKind) -> u8 {
    match kind {
        StepKind::Finish | StepKind::Hover | StepKind::Click | StepKind::Focus => 0,
        StepKind::Fill | StepKind::Choose | StepKind::Keys | StepKind::Scroll => 1,
        StepKind::LongPress | StepKind::Play | StepKind::Slide => 3,
        StepKind::Resize | StepKind::Unknown => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(element: &str, kind: StepKind, group: u64) -> Candidate {
        Candidate {
            step: Step {
                kind,
                element: element.to_owned(),
                ..Step::default()
            },
            group,
            visible: true,
            ..Candidate::default()
        }
    }

    fn click(element: &str, group: u64) -> Candidate {
        candidate(element, StepKind::Click, group)
    }

    fn nothing(state: u64) -> Outcome {
        Outcome {
            state,
            news: 0,
            news_to_scan: 0,
        }
    }

    /// Explores a page that always looks the same, and says what was done.
    fn explore(candidates: &[Candidate], budget: u32, experience: &mut Experience, outcome: Outcome) -> Vec<String> {
        let mut explorer = Explorer::new(0, budget);
        let mut done = Vec::new();
        while let Next::Act(index) = explorer.next(candidates, experience) {
            done.push(candidates[index].step.element.clone());
            explorer.learn(&candidates[index], outcome, experience);
        }
        done
    }

    #[test]
    fn a_long_list_gets_few_actions_and_still_fewer_on_the_next_page() {
        let list: Vec<_> = (0..200).map(|n| click(&format!("li:nth-of-type({n})"), 7)).collect();
        let mut experience = Experience::default();
        assert_eq!(explore(&list, 60, &mut experience, nothing(0)).len(), 2);
        assert_eq!(explore(&list, 60, &mut experience, nothing(0)).len(), 1);
        assert_eq!(
            explore(&list, 60, &mut experience, nothing(0)).len(),
            0,
            "it is known to lead nowhere"
        );
    }

    #[test]
    fn what_brings_something_new_is_tried_more_often() {
        let list: Vec<_> = (0..200).map(|n| click(&format!("li:nth-of-type({n})"), 7)).collect();
        let fruitful = Outcome {
            state: 0,
            news: 1,
            news_to_scan: 1,
        };
        let mut experience = Experience::default();
        let done = explore(&list, 60, &mut experience, fruitful);
        let different: HashSet<_> = done.iter().collect();
        assert_eq!(different.len(), 8);
        assert!(done.len() <= 60);
    }

    #[test]
    fn more_is_pressed_while_it_brings_more() {
        let more = [click("#more", 1)];
        let mut experience = Experience::default();
        let mut explorer = Explorer::new(0, 60);
        for state in 1..=3 {
            assert_eq!(explorer.next(&more, &experience), Next::Act(0));
            explorer.learn(&more[0], nothing(state), &mut experience);
        }
        assert_eq!(explorer.path().len(), 3);
        assert_eq!(explorer.next(&more, &experience), Next::Act(0));
        explorer.learn(&more[0], nothing(2), &mut experience);
        assert_eq!(explorer.next(&more, &experience), Next::Over, "this state is known");
        assert_eq!(explorer.path().len(), 2);
    }

    #[test]
    fn more_that_ends_does_not_speak_against_more_elsewhere() {
        let more = [click("#more", 1)];
        let mut experience = Experience::default();
        let mut explorer = Explorer::new(0, 60);
        for (state, news_to_scan) in [(1, 1), (2, 0), (3, 0), (4, 0), (5, 0), (5, 0)] {
            assert_eq!(explorer.next(&more, &experience), Next::Act(0));
            let outcome = Outcome {
                state,
                news: news_to_scan,
                news_to_scan,
            };
            explorer.learn(&more[0], outcome, &mut experience);
        }
        let mut next_page = Explorer::new(0, 60);
        assert_eq!(next_page.next(&more, &experience), Next::Act(0));
    }

    #[test]
    fn what_has_just_appeared_comes_first_and_its_path_is_known() {
        let base = [click("#menu", 1), click("#other", 2)];
        let mut experience = Experience::default();
        let mut explorer = Explorer::new(0, 60);
        assert_eq!(explorer.next(&base, &experience), Next::Act(0));
        explorer.learn(&base[0], nothing(1), &mut experience);
        let open = [base[0].clone(), base[1].clone(), click("#item", 3)];
        assert_eq!(explorer.next(&open, &experience), Next::Act(2));
        assert_eq!(explorer.path(), [base[0].step.clone()]);
    }

    #[test]
    fn what_an_action_took_away_is_brought_back() {
        let base = [click("#away", 1), click("#other", 2)];
        let mut experience = Experience::default();
        let mut explorer = Explorer::new(0, 60);
        assert_eq!(explorer.next(&base, &experience), Next::Act(0));
        explorer.learn(&base[0], nothing(1), &mut experience);
        assert_eq!(explorer.next(&[], &experience), Next::Close);
        assert_eq!(explorer.next(&[], &experience), Next::Reload(Vec::new()));
        explorer.arrive(0);
        assert_eq!(explorer.next(&base, &experience), Next::Act(1));
    }

    proptest! {
        /// On any page, however it answers: it ends, keeps to its budget, and never touches what is forbidden.
        #[test]
        fn it_ends_within_its_budget_and_keeps_its_hands_off(
            budget in 0_u32..80,
            moves in prop::collection::vec((0_u64..12, 0_u32..3, any::<bool>()), 1..60),
            elements in prop::collection::vec((0_u64..6, 0_usize..6, any::<bool>()), 0..30),
        ) {
            let labels = ["Delete", "Log out", "More", "Löschen", "Next", "Tab"];
            let kinds = [StepKind::Click, StepKind::Hover, StepKind::Keys, StepKind::Submit, StepKind::LongPress, StepKind::Fill];
            let all: Vec<_> = elements.iter().enumerate().map(|(n, (group, label, visible))| Candidate {
                text: labels[*label].to_owned(),
                visible: *visible,
                ..candidate(&n.to_string(), kinds[*label], *group)
            }).collect();
            let mut experience = Experience::default();
            let mut explorer = Explorer::new(0, budget);
            let mut acted = 0;
            let mut turns = 0;
            let mut shown = all.len();
            loop {
                turns += 1;
                prop_assert!(turns < 1_000, "it does not end");
                let view = &all[..shown.min(all.len())];
                let (state, news, gone) = moves[turns % moves.len()];
                match explorer.next(view, &experience) {
                    Next::Act(index) => {
                        acted += 1;
                        prop_assert!(!labels[..2].contains(&view[index].text.as_str()) && view[index].text != "Löschen");
                        explorer.learn(&view[index], Outcome { state, news, news_to_scan: news }, &mut experience);
                        shown = if gone { all.len() / 2 } else { all.len() };
                    }
                    Next::Close => {}
                    Next::Reload(steps) => {
                        for _ in steps { acted += 1; explorer.step_taken(); }
                        explorer.arrive(0);
                        shown = all.len();
                    }
                    Next::Over => break,
                }
                prop_assert!(explorer.path().len() <= LONGEST_PATH);
            }
            prop_assert!(acted <= budget, "{acted} of {budget}");
            prop_assert_eq!(acted, explorer.done());
            prop_assert!(explorer.reloads() <= MOST_RELOADS);
        }
    }
}
