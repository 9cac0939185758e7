//! The bare client: browsers that open pages and wait for them, as fast as they can.

use std::io::{self, BufRead, BufReader, PipeWriter, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use phantom_gang::demo::BenchSite;
use phantom_gang::egress::{Egress, EgressRules};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{HOST, Task};

/// Pages after which the bare client replaces a tab, as the scanner does: it is faster so.
const RECYCLE: usize = 50;
/// A browser that says nothing for this long is broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// Opens all pages, and ends.
pub fn run(task: &Task) {
    let runtime = Runtime::new().unwrap();
    let rules = EgressRules {
        resolve: task.resolve.clone(),
        ..EgressRules::default()
    };
    let egress = task.egress.then(|| runtime.block_on(Egress::start(rules)).unwrap());
    let proxy = egress.as_ref().map(|egress| format!("http://{}", egress.address()));
    let browsers: Vec<_> = (0..task.processes.min(task.tabs))
        .map(|_| Browser::start(task, proxy.as_deref()))
        .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for tab in 0..task.tabs {
            let (browser, next) = (&browsers[tab % browsers.len()], &next);
            scope.spawn(move || browser.load_pages(next, task.pages));
        }
    });
}

/// A browser on a pipe, and its one context.
struct Browser {
    child: Child,
    context: String,
    least: bool,
    link: Link,
    _profile: tempfile::TempDir,
}

struct Link {
    to: Mutex<PipeWriter>,
    calls: AtomicU64,
    /// Where the messages of a session go; those of the browser itself have the empty name.
    from: Arc<Mutex<Listeners>>,
}

type Listeners = Vec<(String, Sender<Message>)>;

/// Of a message only what is needed is kept, the rest is read over.
#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    #[serde(default)]
    method: String,
    #[serde(default, rename = "sessionId")]
    session: String,
    #[serde(default)]
    result: Answer,
    #[serde(default)]
    params: Answer,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    browser_context_id: String,
    target_id: String,
    session_id: String,
    request_id: String,
    error_text: Option<String>,
}

impl Browser {
    fn start(task: &Task, proxy: Option<&str>) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (child_reads, we_write) = io::pipe().unwrap();
        let (we_read, child_writes) = io::pipe().unwrap();
        let mapping = |fd: std::os::fd::OwnedFd, child_fd| FdMapping {
            parent_fd: fd,
            child_fd,
        };
        let mut command = Command::new("/usr/lib/chromium/chromium-headless-shell");
        command
            .args(flags(task, profile.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .fd_mappings(vec![mapping(child_reads.into(), 3), mapping(child_writes.into(), 4)])
            .unwrap();
        let child = command.spawn().unwrap();
        drop(command);
        let from = Arc::default();
        let listeners = Arc::clone(&from);
        std::thread::spawn(move || deliver(we_read, &listeners));
        let link = Link {
            to: Mutex::new(we_write),
            calls: AtomicU64::new(1),
            from,
        };
        let events = link.listen("");
        let context = match proxy {
            Some(proxy) => json!({ "proxyServer": proxy, "proxyBypassList": "<-loopback>" }),
            None => json!({}),
        };
        let context = link.call(&events, "", "Target.createBrowserContext", &context);
        let context = context.result.browser_context_id;
        Self {
            child,
            context,
            least: task.least,
            link,
            _profile: profile,
        }
    }

    /// Loads pages until there are none left.
    fn load_pages(&self, next: &AtomicUsize, pages: usize) {
        let mut tab: Option<Tab> = None;
        loop {
            let page = next.fetch_add(1, Ordering::Relaxed);
            if page >= pages {
                return;
            }
            let open = match tab.take() {
                Some(open) if open.loaded < RECYCLE => open,
                old => {
                    if let Some(old) = old {
                        self.link
                            .tell("", "Target.closeTarget", &json!({ "targetId": old.target }));
                    }
                    self.open()
                }
            };
            let path = BenchSite::path(u32::try_from(page).unwrap());
            tab = Some(self.load(open, &format!("{HOST}{path}")));
        }
    }

    fn open(&self) -> Tab {
        // Answers of the browser's own session go to whoever asked last, so one asks at a time.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let asking = ONE_AT_A_TIME.lock().unwrap();
        let events = self.link.listen("");
        let create = json!({ "url": "about:blank", "browserContextId": self.context });
        let target = self
            .link
            .call(&events, "", "Target.createTarget", &create)
            .result
            .target_id;
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self
            .link
            .call(&events, "", "Target.attachToTarget", &attach)
            .result
            .session_id;
        drop(asking);
        let events = self.link.listen(&session);
        for domain in ["Inspector", "Page", "Network", "Audits", "Runtime"] {
            self.link.tell(&session, &format!("{domain}.enable"), &json!({}));
        }
        if !self.least {
            let documents = json!({ "patterns": [{ "resourceType": "Document" }] });
            self.link.tell(&session, "Fetch.enable", &documents);
        }
        let attach = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true });
        self.link.call(&events, &session, "Target.setAutoAttach", &attach);
        Tab {
            target,
            session,
            events,
            loaded: 0,
        }
    }

    fn load(&self, mut tab: Tab, url: &str) -> Tab {
        while tab.events.try_recv().is_ok() {}
        let id = self.link.tell(&tab.session, "Page.navigate", &json!({ "url": url }));
        let (mut answered, mut loaded) = (false, false);
        while !(answered && loaded) {
            let message = tab.events.recv_timeout(PATIENCE).expect("a browser that speaks");
            if message.id == Some(id) {
                assert!(
                    message.error.is_none() && message.result.error_text.is_none(),
                    "{url} does not load"
                );
                answered = true;
            }
            match message.method.as_str() {
                "Page.loadEventFired" => loaded = true,
                "Fetch.requestPaused" => {
                    let paused = json!({ "requestId": message.params.request_id });
                    self.link.tell(&tab.session, "Fetch.continueRequest", &paused);
                }
                "Target.attachedToTarget" => {
                    self.link.tell(
                        &message.params.session_id,
                        "Runtime.runIfWaitingForDebugger",
                        &json!({}),
                    );
                }
                _ => {}
            }
        }
        tab.loaded += 1;
        tab
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(i32::try_from(self.child.id()).unwrap()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

struct Tab {
    target: String,
    session: String,
    events: Receiver<Message>,
    loaded: usize,
}

impl Link {
    fn listen(&self, session: &str) -> Receiver<Message> {
        let (sender, events) = mpsc::channel();
        let mut from = self.from.lock().unwrap();
        from.retain(|(name, _)| name != session);
        from.push((session.to_owned(), sender));
        events
    }

    fn tell(&self, session: &str, method: &str, params: &Value) -> u64 {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.lock().unwrap().write_all(&bytes).unwrap();
        id
    }

    fn call(&self, events: &Receiver<Message>, session: &str, method: &str, params: &Value) -> Message {
        let id = self.tell(session, method, params);
        loop {
            let message = events.recv_timeout(PATIENCE).expect("a browser that speaks");
            if message.id == Some(id) {
                assert!(message.error.is_none(), "{method}: {:?}", message.error);
                return message;
            }
        }
    }
}

/// Reads messages, each ended by a zero byte, and hands them on.
fn deliver(pipe: io::PipeReader, listeners: &Mutex<Listeners>) {
    let mut pipe = BufReader::with_capacity(256 << 10, pipe);
    let mut bytes = Vec::new();
    while pipe.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
        let message: Message = serde_json::from_slice(&bytes[..bytes.len() - 1]).unwrap();
        bytes.clear();
        let listeners = listeners.lock().unwrap();
        if let Some((_, to)) = listeners.iter().find(|(name, _)| *name == message.session) {
            let _ = to.send(message);
        }
    }
}

/// The scanner's own flags, as far as they could make a difference.
fn flags(task: &Task, profile: &Path) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--headless",
        "--remote-debugging-pipe",
        "--max-connections-per-proxy=64",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-extensions",
        "--disable-sync",
        "--disable-breakpad",
        "--no-first-run",
        "--mute-audio",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        "--disable-hang-monitor",
        "--window-size=1280,800",
    ]
    .map(str::to_owned)
    .into();
    flags.push(format!("--user-data-dir={}", profile.display()));
    flags.push(format!("--ignore-certificate-errors-spki-list={}", task.spki));
    if !task.egress {
        let rules: Vec<_> = task
            .resolve
            .iter()
            .map(|(name, to)| format!("MAP {name} {to}"))
            .collect();
        flags.push(format!("--host-resolver-rules={}", rules.join(",")));
    }
    if rustix::process::geteuid().is_root() {
        flags.push("--no-sandbox".to_owned());
    }
    flags.push("about:blank".to_owned());
    flags
}
