//! OAuth 2 with a refresh token that the server changes with every use: the last one survives runs, kill -9 and processes
//! that run at once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::oauth::{answer, form};
use super::{place, records};
use crate::support::Workplace;
use crate::support::command::finish;
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;

const FIRST: &str = "canary-refresh-0";

/// A token endpoint that changes its refresh token with every use. With `overlap` the one before the last is accepted until
/// the last has been used.
#[derive(Debug, Default)]
struct Rotating {
    issued: u64,
    /// Number of the last refresh token that was used.
    used: u64,
    /// The answer waits so long, after the token has been changed.
    pause: Duration,
}

fn issuer(overlap: bool) -> (Running, Arc<Mutex<Rotating>>) {
    let state = Arc::new(Mutex::new(Rotating::default()));
    let own = Arc::clone(&state);
    let server = Server::new()
        .script(move |request| {
            let form = form(request);
            let given = form["refresh_token"].strip_prefix("canary-refresh-");
            let given: u64 = given
                .and_then(|number| number.parse().ok())
                .unwrap_or(u64::MAX);
            let pause = {
                let mut state = own.lock().unwrap();
                let is_last = given == state.issued;
                let is_before = overlap && given + 1 == state.issued && state.used < state.issued;
                if form["grant_type"] != "refresh_token" || !(is_last || is_before) {
                    return Some(answer(400, &json!({ "error": "invalid_grant" })));
                }
                state.used = given;
                state.issued += 1;
                state.pause
            };
            std::thread::sleep(pause);
            let number = own.lock().unwrap().issued;
            Some(answer(
                200,
                &json!({ "access_token": format!("canary-access-{number}"),
                "refresh_token": format!("canary-refresh-{number}"), "expires_in": 3600 }),
            ))
        })
        .start();
    (server, state)
}

fn at(api: &Running, tokens: &Running) -> Workplace {
    let auth = format!(
        "{{ type: oauth2, grant: refresh_token, token_url: \"{}/token\", client_id: \"${{CLIENT}}\", client_secret: \"${{SECRET}}\", refresh_token: \"${{REFRESH}}\" }}",
        tokens.url()
    );
    let place = place(api, &auth)
        .env("CLIENT", "canary-client")
        .env("SECRET", "canary-secret")
        .env("REFRESH", FIRST);
    place.edit("mappings.yaml", "max_attempts: 3", "max_attempts: 0");
    place
}

fn api() -> Server {
    Server::new().records(records(3)).token(None)
}

/// The files of refresh tokens in the state directory.
fn kept(place: &Workplace) -> Vec<PathBuf> {
    std::fs::read_dir(place.state().join("oauth"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "token")
        })
        .collect()
}

#[test]
fn the_last_refresh_token_is_kept_for_the_next_run_and_for_its_owner_alone() {
    let (tokens, state) = issuer(false);
    let api = api().start();
    let database = Database::new();
    let place = at(&api, &tokens).with_database(&database);
    for run in 1..=3 {
        place.sync(&[]).0.expect(0);
        assert_eq!(state.lock().unwrap().issued, run);
    }
    let files = kept(&place);
    assert_eq!(files.len(), 1);
    assert_eq!(
        std::fs::read_to_string(&files[0]).unwrap(),
        "canary-refresh-3"
    );
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(mode(&place.state().join("oauth")), 0o700);
    // Another configured token: what was kept belongs to the old one.
    state.lock().unwrap().issued = 70;
    let place = place.env("REFRESH", "canary-refresh-70");
    place.sync(&[]).0.expect(0);
    assert_eq!(kept(&place).len(), 2);
}

#[test]
fn a_kill_in_mid_run_costs_no_refresh_token() {
    let (tokens, state) = issuer(false);
    let held = api().held_after(0).start();
    let database = Database::new();
    let place = at(&held, &tokens).with_database(&database);
    for _ in 0..3 {
        let before = held.requests().len();
        let mut run = place.start(&["sync", "--wait", "60s"]);
        // It has its token when it asks the API for the first page.
        wait_until(|| held.requests().len() > before);
        run.kill().unwrap();
        finish(run);
    }
    assert_eq!(state.lock().unwrap().issued, 3);
    held.let_go();
    place.sync(&["--wait", "60s"]).0.expect(0);
    assert_eq!(state.lock().unwrap().issued, 4);
}

#[test]
fn a_kill_between_the_change_and_its_answer_is_survived_where_the_server_allows_for_it() {
    let (tokens, state) = issuer(true);
    let api = api().start();
    let database = Database::new();
    let place = at(&api, &tokens).with_database(&database);
    place.sync(&[]).0.expect(0);
    state.lock().unwrap().pause = Duration::from_secs(30);
    let mut run = place.start(&["check-api"]);
    wait_until(|| state.lock().unwrap().issued == 2);
    run.kill().unwrap();
    finish(run);
    state.lock().unwrap().pause = Duration::ZERO;
    place.sync(&["--wait", "60s"]).0.expect(0);
}

#[test]
fn processes_that_run_at_once_take_turns() {
    let (tokens, state) = issuer(false);
    let api = api().start();
    let place = at(&api, &tokens);
    state.lock().unwrap().pause = Duration::from_millis(100);
    let runs: Vec<_> = (0..4).map(|_| place.start(&["check-api"])).collect();
    for run in runs {
        finish(run).expect(0);
    }
    assert_eq!(state.lock().unwrap().issued, 4);
}

#[test]
fn a_refresh_token_that_is_no_longer_accepted_is_for_a_person_and_is_not_shown() {
    let (tokens, _) = issuer(false);
    let api = api().start();
    let database = Database::new();
    let place = at(&api, &tokens)
        .with_database(&database)
        .env("REFRESH", "canary-refresh-9")
        .env("RUST_LOG", "trace");
    for arguments in [&["sync", "-vvv"][..], &["check-api"]] {
        let finished = place.run(arguments);
        finished
            .expect(3)
            .says("does not accept the refresh token (any more)")
            .says("get a new refresh token");
        assert!(!format!("{finished}").contains("canary"), "{finished}");
    }
    assert!(api.requests().is_empty());
}

#[test]
fn a_token_is_not_changed_where_the_new_one_could_not_be_kept() {
    let (tokens, state) = issuer(false);
    let api = api().start();
    let place = at(&api, &tokens);
    std::fs::write(place.path("file"), "").unwrap();
    let place = place.env("DATASYNC_STATE_DIR", "file/state");
    let finished = place.run(&["check-api"]);
    finished
        .expect(3)
        .says("the refresh token cannot be kept in");
    assert_eq!(state.lock().unwrap().issued, 0);
}

#[track_caller]
fn wait_until(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}
