//! A disk that is full, and one that cannot be written to.

use std::fs;
use std::path::{Path, PathBuf};

use phantom_gang::demo::BenchSite;

use crate::support::Bench;

/// A small file system of its own. Only root may mount one.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let small = Self(at);
        if small.call("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]) {
            return Some(small);
        }
        eprintln!("skipped: only root may mount the small file system that this test fills");
        None
    }

    fn remount(&self, options: &str) {
        assert!(self.call("mount", &["-o", &format!("remount,{options}")]));
    }

    fn call(&self, program: &str, arguments: &[&str]) -> bool {
        let status = std::process::Command::new(program)
            .args(arguments)
            .arg(Path::new(&self.0))
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.call("umount", &["--lazy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_breaks_a_scan_off_and_room_lets_it_go_on() {
    let bench = Bench::of(BenchSite { pages: 30 }, "processes = 1").await;
    let Some(small) = Small::mount(bench.path("small"), "1536k") else {
        return;
    };
    let site = "id = \"full\"\nstart = [\"https://full.test/\"]\n[scope]\ninclude = [\"https://full.test/**\"]\n\
                [limits]\npages_per_s = 100\n";
    bench.write("sitemaps/full.toml", site);
    let store = ["--store", "sqlite:small/scans.db"];
    let ran = bench.run(&[&["scan", "full"], &store[..]].concat()).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert!(
        ran.stderr
            .contains("broke off: the disk that holds the store is full; free some space"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("To go on: phantom scan --resume 2"), "{ran:#?}");
    assert_eq!(ran.stderr.matches("error:").count(), 1, "{ran:#?}");

    small.remount("size=64m");
    let arguments = ["scan", "--resume", "--report", "json=report.json"];
    let resumed = bench.run(&[&arguments, &store[..]].concat()).await;
    assert_eq!(resumed.code, Some(0), "{resumed:#?}");
    let pages = &bench.report()["scan"]["pages"];
    assert_eq!(
        (&pages["done"], &pages["known"]),
        (&30.into(), &30.into()),
        "{resumed:#?}"
    );
    let twice = bench
        .microsite
        .log
        .entries()
        .iter()
        .filter(|one| one.path.starts_with("/page/"))
        .count();
    assert!(twice < 29 + 8, "pages that were kept are not looked at again: {twice}");

    small.remount("ro");
    let ran = bench.run(&[&["scan", "full"], &store[..]].concat()).await;
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(ran.stderr.to_lowercase().contains("read-only"), "{ran:#?}");
}
