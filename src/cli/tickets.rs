//! Tickets after a scan: filed, or shown as what would be sent.

use std::sync::Arc;
use std::time::Duration;

use console::Term;
use tokio_util::sync::CancellationToken;

use super::exit::{Failure, OrExit};
use crate::config::{JiraConfig, TicketMode};
use crate::report::plural;
use crate::scan::{Listener, ScanEvent};
use crate::site::SiteId;
use crate::store::Store;
use crate::tickets::{Event, Report, Worker, dry_run};

/// How long a scan waits at its end for tickets that cannot be filed at once.
const PATIENCE: Duration = Duration::from_mins(3);

/// Whether tickets are filed: the command line's word, else the settings'. Without a Jira there is only `off`.
pub fn mode(asked: Option<TicketMode>, jira: Option<&JiraConfig>) -> Result<TicketMode, Failure> {
    match (asked, jira) {
        (Some(TicketMode::Live | TicketMode::DryRun), None) => Err(anyhow::anyhow!(
            "--tickets needs a [jira] section in phantom.toml, which says where tickets go; see examples/phantom.toml"
        ))
        .or_usage(),
        (Some(mode), _) => Ok(mode),
        (None, Some(jira)) => Ok(jira.mode),
        (None, None) => Ok(TicketMode::Off),
    }
}

/// Files what waits in the outbox, of one site or of all.
pub async fn file(
    store: &Arc<dyn Store>,
    jira: &JiraConfig,
    site: Option<&SiteId>,
    listener: &Listener,
    stop: &CancellationToken,
) -> Result<Report, Failure> {
    let events = Arc::clone(listener);
    let worker = Worker::new(store.clone(), jira).or_usage()?.on_event(move |event| {
        if let Some(event) = shown(event) {
            events(event);
        }
    });
    let worker = match site {
        Some(site) => worker.for_site(site),
        None => worker,
    };
    let report = worker.run(PATIENCE, stop).await.or_incomplete()?;
    listener(ScanEvent::TicketsLeft(report.waiting));
    Ok(report)
}

/// What stands in the way of tickets at the end of a run, a sentence for each thing.
pub fn troubles(filed: &Report) -> Vec<String> {
    let mut troubles = Vec::new();
    if !filed.dead.is_empty() {
        let refused = plural(filed.dead.len() as u64, "ticket");
        troubles.push(format!(
            "Jira refused {refused} for good; to see why: phantom tickets dead"
        ));
    }
    if filed.waiting > 0 {
        let waiting = plural(filed.waiting, "finding");
        let why = filed.paused.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        troubles.push(format!(
            "{waiting} not brought into line with Jira yet, the next scan of the site goes on{why}"
        ));
    }
    troubles
}

fn shown(event: &Event) -> Option<ScanEvent> {
    Some(match event {
        Event::Created { key, fingerprint } => ScanEvent::TicketCreated {
            key: key.clone(),
            title: format!("finding {}", fingerprint.short()),
        },
        Event::Adopted { key, fingerprint } => ScanEvent::TicketAdopted {
            key: key.clone(),
            title: format!("finding {}", fingerprint.short()),
        },
        Event::Dead(letter) => ScanEvent::TicketProblem(format!(
            "Jira refused the ticket of finding {}: {}",
            letter.fingerprint.short(),
            letter.error
        )),
        Event::Gone { key, .. } => ScanEvent::TicketProblem(format!(
            "{key} was deleted in Jira or is hidden from us; it is left alone"
        )),
        Event::Holding { wait, why } => {
            ScanEvent::TicketProblem(format!("Jira: {why}; going on in {} s", wait.as_secs().max(1)))
        }
        Event::Paused { why } => ScanEvent::TicketProblem(why.clone()),
        Event::Orphan { key, fingerprint } => ScanEvent::TicketProblem(format!(
            "{key} is gone for good; to file finding {} anew: phantom tickets retry {key} --recreate",
            fingerprint.short()
        )),
        Event::Tripped(hold) => ScanEvent::TicketProblem(format!(
            "{} changes in {} at once, which has {} tickets: all are held; look, then: phantom tickets release {}",
            hold.changes, hold.project, hold.tickets, hold.project
        )),
        Event::Digest { project, waiting } => ScanEvent::TicketProblem(format!(
            "the day's tickets of {project} are used up; {waiting} findings wait for tomorrow"
        )),
        Event::Unchanged { .. } | Event::Changed { .. } | Event::Postponed { .. } => return None,
    })
}

/// Prints the requests that filing would send.
pub async fn show(store: &dyn Store, jira: &JiraConfig, site: &SiteId) -> Result<(), Failure> {
    let term = Term::stdout();
    let planned = dry_run(store, jira, Some(site)).await.or_incomplete()?;
    let mut lines = vec![format!(
        "Tickets, dry run: {} to file or look at. Nothing is sent.",
        planned.len()
    )];
    for plan in planned {
        lines.push(format!("\n# finding {}", plan.fingerprint));
        lines.extend(plan.problem.map(|problem| format!("cannot be filed: {problem}")));
        lines.extend(plan.calls.iter().map(ToString::to_string));
    }
    for line in lines {
        term.write_line(&crate::report::safe::visible(&line)).or_usage()?;
    }
    Ok(())
}
