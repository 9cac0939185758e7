use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::faults::Faults;
use crate::config::Deployment;

/// What a sandbox is like.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whose dialect it speaks.
    pub deployment: Deployment,
    /// The keys of its projects.
    pub projects: Vec<String>,
    /// The names of its issue types.
    pub issue_types: Vec<String>,
    /// The names of its priorities.
    pub priorities: Vec<String>,
    /// Ids of custom fields that may be set.
    pub custom_fields: Vec<String>,
    /// Ids of fields that must be set beside those that always must; `SHOP:customfield_1` in one project only.
    pub required_fields: Vec<String>,
    /// The names of its resolutions.
    pub resolutions: Vec<String>,
    /// The names of its types of links between issues, of those that Jira has out of the box.
    pub link_types: Vec<String>,
    /// What the screen of the transition into done asks for; `None` means as this deployment has it out of the box.
    pub resolution: Option<ResolutionScreen>,
    /// Permissions that the scanner's account does not have, by key: `ADD_COMMENTS`.
    pub denied: Vec<String>,
    /// The e-mail address (Cloud) or user name (Data Center) of the scanner's account.
    pub user: String,
    /// Its token or password; as a bearer it is let in too.
    pub token: String,
    /// The other accounts, which may do everything.
    pub people: Vec<SandboxAccount>,
    /// How it misbehaves from the start.
    pub faults: Faults,
    /// Where issues are kept, so that the next sandbox has them; `None` forgets them.
    pub state_file: Option<PathBuf>,
    /// Its clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// An account of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxAccount {
    /// The account id on Cloud; on Data Center users are told apart by the name with which they log in.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it logs in with: an e-mail address or a user name.
    pub user: String,
    /// Its token or password.
    pub token: String,
}

/// What the screen of the transition into done asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ResolutionScreen {
    /// There is no screen; the resolution is set by the workflow.
    None,
    /// A resolution may be given.
    Optional,
    /// A resolution must be given.
    Required,
}

impl SandboxOptions {
    /// The scanner's account.
    pub fn scanner(&self) -> SandboxAccount {
        SandboxAccount {
            id: "sandbox".to_owned(),
            name: "Phantom Gang (sandbox)".to_owned(),
            user: self.user.clone(),
            token: self.token.clone(),
        }
    }

    /// The account with this id.
    pub(super) fn account(&self, id: &str) -> Option<SandboxAccount> {
        let scanner = Some(self.scanner()).filter(|one| one.id == id);
        scanner.or_else(|| self.people.iter().find(|one| one.id == id).cloned())
    }

    /// The account that logs in with this user and secret, or with the secret alone.
    pub(super) fn login(&self, user: Option<&str>, token: &str) -> Option<SandboxAccount> {
        let fits = |one: &SandboxAccount| one.token == token && user.is_none_or(|user| one.user == user);
        let scanner = Some(self.scanner()).filter(fits);
        scanner.or_else(|| self.people.iter().find(|one| fits(one)).cloned())
    }

    /// The fields that must be set in a project.
    pub(super) fn required(&self, project: &str) -> Vec<&str> {
        let of = |one: &'_ str| one.split_once(':').is_none_or(|(key, _)| key == project);
        let here = self.required_fields.iter().filter(|one| of(one));
        here.map(|one| one.split_once(':').map_or(one.as_str(), |(_, id)| id))
            .collect()
    }

    pub(super) fn resolution_screen(&self) -> ResolutionScreen {
        self.resolution.unwrap_or(match self.deployment {
            Deployment::Cloud => ResolutionScreen::Optional,
            Deployment::DataCenter => ResolutionScreen::Required,
        })
    }
}

impl Default for SandboxOptions {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            deployment: Deployment::Cloud,
            projects: names(&["SEC"]),
            issue_types: names(&["Bug", "Task", "Story"]),
            priorities: names(&["Highest", "High", "Medium", "Low", "Lowest"]),
            custom_fields: Vec::new(),
            required_fields: Vec::new(),
            resolutions: names(&[
                "Done",
                "Fixed",
                "Won't Do",
                "Won't Fix",
                "Duplicate",
                "Cannot Reproduce",
                "False Positive",
            ]),
            link_types: names(&["Blocks", "Cloners", "Duplicate", "Relates"]),
            resolution: None,
            denied: Vec::new(),
            user: "phantom@sandbox.test".to_owned(),
            token: "sandbox".to_owned(),
            people: vec![SandboxAccount {
                id: "ann".to_owned(),
                name: "Ann Triager".to_owned(),
                user: "ann@sandbox.test".to_owned(),
                token: "ann".to_owned(),
            }],
            faults: Faults::default(),
            state_file: None,
            now: Arc::new(Timestamp::now),
        }
    }
}

/// The arguments of `phantom jira-sandbox`.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxArgs {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8687")]
    pub listen: SocketAddr,
    /// Whose dialect it speaks.
    #[arg(long, value_name = "DEPLOYMENT", value_enum, default_value = "cloud")]
    pub deployment: Deployment,
    /// The key of a project; may be given several times.
    #[arg(long = "project", value_name = "KEY", default_value = "SEC")]
    pub projects: Vec<String>,
    /// The name of an issue type; may be given several times.
    #[arg(long = "issue-type", value_name = "NAME", default_values = ["Bug", "Task", "Story"])]
    pub issue_types: Vec<String>,
    /// The name of a type of link between issues; may be given several times.
    #[arg(long = "link-type", value_name = "NAME", default_values = ["Blocks", "Cloners", "Duplicate", "Relates"])]
    pub link_types: Vec<String>,
    /// The id of a custom field that may be set; may be given several times.
    #[arg(long = "custom-field", value_name = "ID")]
    pub custom_fields: Vec<String>,
    /// The id of a field that must be set, or PROJECT:ID for one project only; may be given several times.
    #[arg(long = "require", value_name = "ID")]
    pub required_fields: Vec<String>,
    /// What the screen of the transition into done asks for [default: optional on Cloud, required on Data Center]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub resolution: Option<ResolutionScreen>,
    /// A permission that the account does not have, such as `ADD_COMMENTS`; may be given several times.
    #[arg(long = "deny", value_name = "PERMISSION")]
    pub denied: Vec<String>,
    /// The e-mail address or user name that is let in.
    #[arg(long, value_name = "USER", default_value = "phantom@sandbox.test")]
    pub user: String,
    /// The token or password that is let in. It guards nothing but the rehearsal.
    #[arg(long, value_name = "TOKEN", default_value = "sandbox")]
    pub token: String,
    /// A file that keeps the issues from one run to the next.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Answers the next N requests with 429 and Retry-After.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rate_limit: u32,
    /// The Retry-After of those answers, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub retry_after: u64,
    /// Answers the next N requests with 401.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub unauthorized: u32,
    /// Answers the next N requests with 503.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub server_errors: u32,
    /// Does the next N creates, then closes the connection without an answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drop_creates: u32,
    /// Does the next N changes of any kind, then closes the connection without an answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drop_changes: u32,
    /// Searches find an issue only this long after it was created.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub search_lag: u64,
}

impl From<SandboxArgs> for SandboxOptions {
    fn from(args: SandboxArgs) -> Self {
        Self {
            listen: args.listen,
            deployment: args.deployment,
            projects: args.projects,
            issue_types: args.issue_types,
            link_types: args.link_types,
            custom_fields: args.custom_fields,
            required_fields: args.required_fields,
            resolution: args.resolution,
            denied: args.denied,
            user: args.user,
            token: args.token,
            state_file: args.state,
            faults: Faults {
                rate_limited: args.rate_limit,
                retry_after_s: args.retry_after,
                unauthorized: args.unauthorized,
                server_errors: args.server_errors,
                drop_creates: args.drop_creates,
                drop_changes: args.drop_changes,
                search_lag: Duration::from_secs(args.search_lag),
                slow_changes: Duration::ZERO,
            },
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SandboxArgs,
    }

    #[test]
    fn arguments_become_options() {
        let line = "x --project A --project B --require customfield_1 --drop-creates 2 --search-lag 7 --state /s.json \
                    --deployment datacenter --resolution none --deny LINK_ISSUES";
        let options = SandboxOptions::from(Cli::parse_from(line.split(' ')).args);
        assert_eq!(options.projects, ["A", "B"]);
        assert_eq!(options.issue_types, ["Bug", "Task", "Story"]);
        assert_eq!(options.required_fields, ["customfield_1"]);
        assert_eq!(options.deployment, Deployment::DataCenter);
        assert_eq!(options.resolution_screen(), ResolutionScreen::None);
        assert_eq!(options.denied, ["LINK_ISSUES"]);
        assert_eq!(options.faults.drop_creates, 2);
        assert_eq!(options.faults.search_lag, Duration::from_secs(7));
        assert_eq!(options.state_file, Some(PathBuf::from("/s.json")));
    }

    #[test]
    fn a_field_may_be_required_in_one_project_only() {
        let options = SandboxOptions {
            required_fields: vec!["customfield_1".to_owned(), "SHOP:customfield_2".to_owned()],
            ..SandboxOptions::default()
        };
        assert_eq!(options.required("SEC"), ["customfield_1"]);
        assert_eq!(options.required("SHOP"), ["customfield_1", "customfield_2"]);
    }
}
