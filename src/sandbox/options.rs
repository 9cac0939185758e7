use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::faults::Faults;

/// What a sandbox is like.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The keys of its projects.
    pub projects: Vec<String>,
    /// The names of its issue types.
    pub issue_types: Vec<String>,
    /// The names of its priorities.
    pub priorities: Vec<String>,
    /// Ids of custom fields that may be set.
    pub custom_fields: Vec<String>,
    /// Ids of fields that must be set beside those that always must.
    pub required_fields: Vec<String>,
    /// The e-mail address that is let in.
    pub user: String,
    /// The API token that is let in.
    pub token: String,
    /// How it misbehaves from the start.
    pub faults: Faults,
    /// Where issues are kept, so that the next sandbox has them; `None` forgets them.
    pub state_file: Option<PathBuf>,
    /// Its clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            projects: names(&["SEC"]),
            issue_types: names(&["Bug", "Task", "Story"]),
            priorities: names(&["Highest", "High", "Medium", "Low", "Lowest"]),
            custom_fields: Vec::new(),
            required_fields: Vec::new(),
            user: "phantom@sandbox.test".to_owned(),
            token: "sandbox".to_owned(),
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
    /// The key of a project; may be given several times.
    #[arg(long = "project", value_name = "KEY", default_value = "SEC")]
    pub projects: Vec<String>,
    /// The name of an issue type; may be given several times.
    #[arg(long = "issue-type", value_name = "NAME", default_values = ["Bug", "Task", "Story"])]
    pub issue_types: Vec<String>,
    /// The id of a custom field that may be set; may be given several times.
    #[arg(long = "custom-field", value_name = "ID")]
    pub custom_fields: Vec<String>,
    /// The id of a field that must be set; may be given several times.
    #[arg(long = "require", value_name = "ID")]
    pub required_fields: Vec<String>,
    /// The e-mail address that is let in.
    #[arg(long, value_name = "EMAIL", default_value = "phantom@sandbox.test")]
    pub user: String,
    /// The API token that is let in. It guards nothing but the rehearsal.
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
    /// Searches find an issue only this long after it was created.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub search_lag: u64,
}

impl From<SandboxArgs> for SandboxOptions {
    fn from(args: SandboxArgs) -> Self {
        Self {
            listen: args.listen,
            projects: args.projects,
            issue_types: args.issue_types,
            custom_fields: args.custom_fields,
            required_fields: args.required_fields,
            user: args.user,
            token: args.token,
            state_file: args.state,
            faults: Faults {
                rate_limited: args.rate_limit,
                retry_after_s: args.retry_after,
                unauthorized: args.unauthorized,
                server_errors: args.server_errors,
                drop_creates: args.drop_creates,
                search_lag: Duration::from_secs(args.search_lag),
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
        let line = "x --project A --project B --require customfield_1 --drop-creates 2 --search-lag 7 --state /s.json";
        let options = SandboxOptions::from(Cli::parse_from(line.split(' ')).args);
        assert_eq!(options.projects, ["A", "B"]);
        assert_eq!(options.issue_types, ["Bug", "Task", "Story"]);
        assert_eq!(options.required_fields, ["customfield_1"]);
        assert_eq!(options.faults.drop_creates, 2);
        assert_eq!(options.faults.search_lag, Duration::from_secs(7));
        assert_eq!(options.state_file, Some(PathBuf::from("/s.json")));
    }
}
