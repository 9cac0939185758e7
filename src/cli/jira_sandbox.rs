//! `phantom jira-sandbox`

use clap::Args;
use console::Term;

use super::exit::{Ended, Exit, OrExit};
use super::interrupt;
use crate::config::Deployment;
use crate::sandbox::{Sandbox, SandboxArgs};

/// The arguments of `phantom jira-sandbox`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phantom jira-sandbox --state queue.json\n  phantom jira-sandbox --project SHOP \
                        --require customfield_10010\n  phantom jira-sandbox --deployment datacenter\n  phantom jira-sandbox --rate-limit 3 --search-lag 10"
)]
pub struct JiraSandboxArgs {
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// Runs the stand-in until it is interrupted.
pub async fn run(args: JiraSandboxArgs) -> Ended {
    let (user, token, projects) = (
        args.sandbox.user.clone(),
        args.sandbox.token.clone(),
        args.sandbox.projects.join(", "),
    );
    let (what, deployment, auth) = match args.sandbox.deployment {
        Deployment::Cloud => ("Jira Cloud", "cloud", format!("kind = \"basic\", email = \"{user}\", ")),
        Deployment::DataCenter => ("Jira Data Center", "datacenter", "kind = \"pat\", ".to_owned()),
    };
    let sandbox = Sandbox::start(args.sandbox.into()).await.or_usage()?;
    let lines = [
        format!(
            "A stand-in for {what}, with project {projects}. Look at its queue: {}",
            sandbox.queue_url()
        ),
        "In phantom.toml:".to_owned(),
        "  [jira]".to_owned(),
        format!("  deployment = \"{deployment}\""),
        format!("  base_url = \"{}\"", sandbox.base_url()),
        format!("  auth = {{ {auth}token_env = \"JIRA_TOKEN\" }}   # JIRA_TOKEN={token}"),
        "To act as a person beside the scanner: ann@sandbox.test with the token ann.".to_owned(),
        "Ctrl-C ends it.".to_owned(),
    ];
    for line in lines {
        Term::stdout().write_line(&line).or_usage()?;
    }
    interrupt::token().cancelled().await;
    sandbox.stop();
    Ok(Exit::Clean)
}
