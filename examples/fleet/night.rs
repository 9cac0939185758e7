//! One night: the sites, the workers, what happens to them, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use phantom_gang::browser;
use phantom_gang::config::BrowserConfig;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Microsite, Reply};
use phantom_gang::sandbox::{Sandbox, SandboxOptions};
use phantom_gang::scan::{ScanState, WhichScans};
use phantom_gang::store::{self, Store};

use crate::Result;
use crate::database::Database;
use crate::polite::{Hurry, hurry, worst};
use crate::rooms::{DATABASE, Room};

pub const SITES: u32 = 3;
pub const PAGES: u32 = 18;
/// Navigations and own fetches a second that each site allows.
pub const PACE: u32 = 4;
/// A round that lasts longer hangs.
const LONGEST: Duration = Duration::from_secs(400);
/// Between two looks at what goes on.
const GLANCE: Duration = Duration::from_millis(100);
/// Time between the death of a worker and the next one in its place.
const VACANT: Duration = Duration::from_millis(700);

/// The library that makes a process's clock wrong, where Debian has it.
pub fn faketime() -> Result<PathBuf> {
    let found = fs::read_dir("/usr/lib")?.flatten();
    let mut found = found.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let missing = "no clock can be made wrong; install it first: apt-get install libfaketime";
    found.find(|library| library.exists()).ok_or_else(|| missing.into())
}

/// What happens to the workers.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// One is killed, and another begun.
    Kill(usize),
    /// The database is shut down at once, and started again.
    Restart,
    /// The network to it is cut for so long, for one or for all.
    Cut(Option<usize>, Duration),
}

/// What happens to a round.
#[derive(Debug, Clone)]
pub struct Plan {
    pub workers: usize,
    pub events: Vec<(Duration, Event)>,
    /// The worker whose clock is wrong, and by how many seconds.
    pub wrong: Option<(usize, i64)>,
    /// Each worker is on a machine of its own.
    pub machines: bool,
}

impl Plan {
    pub fn calm() -> Self {
        Self {
            workers: 2,
            events: Vec::new(),
            wrong: None,
            machines: false,
        }
    }
}

/// What a night came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harvest {
    pub pages: BTreeMap<String, Vec<String>>,
    pub findings: BTreeSet<String>,
}

impl Harvest {
    fn differs(&self, other: &Self) -> String {
        let all = |of: &Self| -> BTreeSet<String> {
            let pages = of.pages.values().flatten().cloned();
            pages.chain(of.findings.iter().cloned()).collect()
        };
        let (here, there) = (all(self), all(other));
        let (more, less): (Vec<_>, Vec<_>) = (here.difference(&there).collect(), there.difference(&here).collect());
        format!("more {more:?}, less {less:?}")
    }
}

#[derive(Debug, Clone)]
pub struct Pass {
    pub took: Duration,
    pub kills: u32,
    pub restarts: u32,
    pub cuts: u32,
    pub hurry: Hurry,
    pub visits: usize,
    /// The labels of all tickets, which name their findings.
    pub tickets: Vec<Vec<String>>,
    pub harvest: Harvest,
}

impl Pass {
    /// What is not as it should be.
    pub fn trouble(&self, calm: &Self) -> Vec<String> {
        let mut trouble = Vec::new();
        if self.harvest != calm.harvest {
            trouble.push(format!(
                "other pages or findings: {}",
                self.harvest.differs(&calm.harvest)
            ));
        }
        if self.tickets != calm.tickets {
            trouble.push("other tickets, or some twice".to_owned());
        }
        if !self.hurry.is_polite(PACE as usize) {
            trouble.push("a host was hurried".to_owned());
        }
        trouble
    }
}

pub fn answer(ask: &Ask<'_>) -> Reply {
    let number: Option<u32> = match ask.path {
        "/" => Some(0),
        path => path.strip_prefix("/p/").and_then(|number| number.parse().ok()),
    };
    let Some(number) = number.filter(|number| *number < PAGES) else {
        return Reply::status(axum::http::StatusCode::NOT_FOUND);
    };
    let mut html = format!("<!doctype html><title>{number}</title><link rel=icon href=data:,><h1>Page {number}</h1>");
    if number % 4 == 1 {
        let _ = write!(
            html,
            "<form method=post action=http://{}/in{number}><input type=password name=p></form>",
            ask.host
        );
    }
    for child in (number * 3 + 1..=number * 3 + 3).filter(|child| *child < PAGES) {
        let _ = write!(html, "<a href=/p/{child}>{child}</a> ");
    }
    Reply::html(html).after(Duration::from_millis(u64::from(30 + number * 37 % 90)))
}

/// The outside world of all rounds.
pub struct Night {
    pub database: Database,
    pub microsite: Microsite,
    pub queue: Sandbox,
}

impl Night {
    pub async fn pass(&self, name: &str, plan: &Plan) -> Result<Pass> {
        let url = self.database.make(name)?;
        let folder = self.settle().await?;
        self.microsite.log.clear();
        for issue in self.queue.issues() {
            self.queue.delete(&issue.key);
        }
        let store = store::open(Some(&url)).await?;
        let mut gang = Gang::begin(self, folder.path(), name, plan)?;
        let came = gang.until_done(&self.database, &*store).await;
        let counted = (gang.kills, gang.restarts, gang.cuts);
        gang.end()?;
        let came = match came {
            Ok(took) => harvest(&*store).await.map(|harvest| (took, harvest)),
            Err(error) => Err(error),
        };
        let (took, harvest) = match came {
            Ok(came) => {
                drop(store);
                self.database.remove(name)?;
                came
            }
            Err(error) => return Err(format!("{error}; see {}", folder.keep().display()).into()),
        };
        let log = self.microsite.log.entries();
        let mut tickets: Vec<_> = self.queue.issues().into_iter().map(|issue| issue.labels).collect();
        tickets.sort_unstable();
        Ok(Pass {
            took,
            kills: counted.0,
            restarts: counted.1,
            cuts: counted.2,
            hurry: worst(&hurry(&log)),
            visits: log.len(),
            tickets,
            harvest,
        })
    }

    /// A folder with settings and sites.
    async fn settle(&self) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        let resolve = &self.microsite.resolve;
        let resolve: Vec<_> = resolve.iter().map(|(name, to)| format!("{name:?} = {to:?}")).collect();
        let options = SandboxOptions::default();
        fs::write(folder.path().join("token"), &options.token)?;
        // What makes a clock wrong is not for the browser.
        let found = browser::find(&BrowserConfig::default()).await?;
        let browser = folder.path().join("browser");
        let script = format!(
            "#!/bin/sh\nunset LD_PRELOAD FAKETIME\nexec '{}' \"$@\"\n",
            found.path.display()
        );
        fs::write(&browser, script)?;
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
        let settings = format!(
            "[browser]\npath = \"{}\"\nprocesses = 1\nresolve = {{ {} }}\ntrust_spki = [{:?}]\n\
             [jira]\ndeployment = \"cloud\"\nbase_url = {:?}\nmode = \"live\"\nrequests_per_s = 100\n\
             auth = {{ kind = \"basic\", email = {:?}, token_file = \"token\" }}\n[jira.defaults]\nproject = \"SEC\"\n",
            browser.display(),
            resolve.join(", "),
            self.microsite.spki,
            self.queue.base_url(),
            options.user,
        );
        fs::write(folder.path().join("phantom.toml"), settings)?;
        fs::create_dir(folder.path().join("sitemaps"))?;
        for site in 0..SITES {
            let text = format!(
                "id = \"site-{site}\"\nstart = [\"https://site-{site}.test/\"]\n\
                 schedule = {{ cron = \"0 0 1 1 *\" }}\n\
                 [limits]\npages_per_template = 1000\npages_per_s = {PACE}\nconcurrency = 2\n"
            );
            fs::write(folder.path().join(format!("sitemaps/site-{site}.toml")), text)?;
        }
        Ok(folder)
    }
}

/// The workers of a round.
struct Gang {
    folder: PathBuf,
    store: String,
    rooms: Vec<Room>,
    workers: Vec<Option<Child>>,
    plan: Plan,
    kills: u32,
    restarts: u32,
    cuts: u32,
}

impl Gang {
    fn begin(night: &Night, folder: &Path, database: &str, plan: &Plan) -> Result<Self> {
        let outside: [SocketAddr; 3] = [night.microsite.https, night.microsite.http, night.queue.address()];
        let make = |number: usize| {
            Room::make(
                &folder.join(format!("room-{number}")),
                &outside,
                &night.database.socket(),
                plan.machines.then(|| format!("machine-{number}")).as_deref(),
            )
        };
        let rooms: Vec<Room> = (0..plan.workers).map(make).collect::<Result<_>>()?;
        let mut gang = Self {
            folder: folder.to_owned(),
            store: format!("postgres://postgres@{DATABASE}/{database}?sslmode=disable"),
            workers: rooms.iter().map(|_| None).collect(),
            rooms,
            plan: plan.clone(),
            kills: 0,
            restarts: 0,
            cuts: 0,
        };
        for number in 0..plan.workers {
            gang.hire(number)?;
        }
        Ok(gang)
    }

    /// Begins a worker.
    fn hire(&mut self, number: usize) -> Result<()> {
        let program = std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .map(|target| target.join("phantom"))
            .filter(|program| program.exists())
            .ok_or("build the program first: cargo build --bin phantom")?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("worker-{number}.log")))?;
        let temp = self.folder.join("tmp");
        fs::create_dir_all(&temp)?;
        let mut command = self.rooms[number].command(&program);
        command.args(["serve", "--tabs", "3", "--store", &self.store]);
        if let Some((_, seconds)) = self.plan.wrong.filter(|(who, _)| *who == number) {
            command
                .env("LD_PRELOAD", faketime()?)
                .env("FAKETIME", format!("{seconds:+}"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let child = command
            .current_dir(&self.folder)
            .env("TMPDIR", temp)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.workers[number] = Some(child);
        Ok(())
    }

    /// Lets happen what is planned, until all scans and their tickets are done.
    async fn until_done(&mut self, database: &Database, store: &dyn Store) -> Result<Duration> {
        let began = Instant::now();
        let mut due: Vec<(Duration, Step)> = Vec::new();
        for (at, event) in self.plan.events.clone().into_iter().rev() {
            due.push((at, Step::Event(event)));
        }
        loop {
            while let Some(index) = due.iter().position(|(at, _)| *at <= began.elapsed()) {
                let (_, step) = due.remove(index);
                let later = self.take(step, database)?;
                due.extend(later.map(|(after, step)| (began.elapsed() + after, step)));
            }
            let lines = store.scan_lines(WhichScans::All, 1000).await?;
            let open = lines.iter().any(|line| line.state == ScanState::Running);
            if lines.len() >= SITES as usize && !open && store.intent_count(None).await? == 0 {
                return Ok(began.elapsed());
            }
            if began.elapsed() > LONGEST {
                return Err(format!("it hangs: {lines:#?}").into());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Does one thing. Returns what is to be done later, and how much.
    fn take(&mut self, step: Step, database: &Database) -> Result<Option<(Duration, Step)>> {
        Ok(match step {
            Step::Event(Event::Kill(number)) => {
                let Some(mut victim) = self.workers[number].take() else {
                    return Ok(None);
                };
                victim.kill()?;
                victim.wait()?;
                self.kills += 1;
                Some((VACANT, Step::Hire(number)))
            }
            Step::Hire(number) => {
                self.hire(number)?;
                None
            }
            Step::Event(Event::Restart) => {
                database.control("restart")?;
                self.restarts += 1;
                None
            }
            Step::Event(Event::Cut(who, time)) => {
                self.cut(who, true);
                self.cuts += 1;
                Some((time, Step::Mend(who)))
            }
            Step::Mend(who) => {
                self.cut(who, false);
                None
            }
        })
    }

    fn cut(&self, who: Option<usize>, cut: bool) {
        for (number, room) in self.rooms.iter().enumerate() {
            if who.is_none_or(|who| who == number) {
                room.cut(cut);
            }
        }
    }

    fn end(mut self) -> Result<()> {
        self.cut(None, false);
        for mut child in self.workers.drain(..).flatten() {
            let pid = i32::try_from(child.id())?;
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Gang {
    fn drop(&mut self) {
        for mut child in self.workers.drain(..).flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Event(Event),
    Hire(usize),
    Mend(Option<usize>),
}

async fn harvest(store: &dyn Store) -> Result<Harvest> {
    let mut pages = BTreeMap::new();
    let mut findings = BTreeSet::new();
    let lines = store.scan_lines(WhichScans::All, 1000).await?;
    if lines.len() != SITES as usize {
        return Err(format!("{} scans of {SITES} sites", lines.len()).into());
    }
    for line in lines {
        if line.state != ScanState::Complete {
            let failed = store.pages(&line.id, PageState::Failed, 9).await?;
            let failed: Vec<_> = failed.into_iter().map(|row| (row.url, row.reason)).collect();
            return Err(format!("scan {} of {} is {:?}: {failed:?}", line.id, line.site, line.state).into());
        }
        let done = store.pages(&line.id, PageState::Done, u32::MAX).await?;
        for row in &done {
            if store.evidence(&line.id, &row.key).await?.is_none() {
                return Err(format!("no evidence of {}", row.url).into());
            }
        }
        for finding in store.findings(&line.id).await? {
            let (seen, count) = store.finding_pages(&line.id, &finding.fingerprint, 1000).await?;
            let seen: Vec<_> = seen.into_iter().map(|page| page.url).collect();
            findings.insert(format!("{} {} {count} {seen:?}", finding.fingerprint, finding.check));
        }
        pages.insert(line.site.0, done.into_iter().map(|row| row.url).collect());
    }
    Ok(Harvest { pages, findings })
}
