//! Signals that ask for progress, a low limit on open files, and a state directory of another user.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::{patient, place, rows, texts};
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::Database;
use crate::support::{Workplace, signal, until};

/// `sync` started by a shell that does something first.
fn through_shell(place: &Workplace, script: &str) -> std::process::Child {
    let inner = place.command(&["sync"]);
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg(script)
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(place.path(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn sigusr1_writes_to_the_log_how_far_the_run_is_and_changes_nothing() {
    let database = Database::new();
    let slow = Server::new().records(texts(300)).held_after(2).start();
    let place = patient(place(&slow, &database));
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let child = place.start(&["sync"]);
    until("a third request", || slow.requests().len() >= 3);
    until("two pages are written", || rows(&database) == "200");
    signal(Signal::USR1, child.id());
    std::thread::sleep(std::time::Duration::from_millis(500));
    slow.let_go();
    finish(child)
        .expect(0)
        .says("so far 200 fetched, 200 inserted");
    assert_eq!(rows(&database), "300");
}

#[test]
fn a_run_that_was_started_to_outlive_its_terminal_does() {
    let database = Database::new();
    let slow = Server::new().records(texts(300)).held_after(2).start();
    let place = patient(place(&slow, &database));
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    // As nohup does it.
    let child = through_shell(&place, "trap '' HUP; exec \"$0\" \"$@\"");
    until("a third request", || slow.requests().len() >= 3);
    signal(Signal::HUP, child.id());
    slow.let_go();
    finish(child).expect(0);
    assert_eq!(rows(&database), "300");
}

#[test]
fn a_low_limit_on_open_files_is_named() {
    let database = Database::new();
    let api = Server::new().records(texts(300)).start();
    let place = place(&api, &database);
    let finished = finish(through_shell(&place, "ulimit -n 40; exec \"$0\" \"$@\""));
    finished
        .says("the limit on open files is 40")
        .says("ulimit -n");
    assert!(
        !format!("{finished}").contains("correct mappings.yaml"),
        "{finished}"
    );
}

#[test]
fn a_state_directory_that_is_not_ours_is_refused_before_anything_is_fetched() {
    let database = Database::new();
    let api = Server::new().records(texts(10)).start();
    let place = place(&api, &database);
    std::fs::create_dir(place.state()).unwrap();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(place.state(), mode(0o777)).unwrap();
    place.run(&["sync"]).expect(2).says("chmod 700");
    std::fs::rename(place.state(), place.path("elsewhere")).unwrap();
    std::fs::set_permissions(place.path("elsewhere"), mode(0o700)).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), place.state()).unwrap();
    place.run(&["sync"]).expect(2).says("is a link");
    std::fs::remove_file(place.state()).unwrap();
    if rustix::process::geteuid().is_root() {
        std::fs::rename(place.path("elsewhere"), place.state()).unwrap();
        std::os::unix::fs::chown(place.state(), Some(54_399), None).unwrap();
        place
            .run(&["sync"])
            .expect(2)
            .says("belongs to another user");
        std::fs::remove_dir_all(place.state()).unwrap();
    }
    assert!(api.requests().is_empty(), "nothing was fetched");
    place.run(&["sync"]).expect(0);
}
