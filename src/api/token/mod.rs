//! The access token of OAuth 2. All threads of a run share one, which is requested when it is first needed, and renewed
//! before it expires and once after the API has refused it. It is never stored.
//!
//! One thread requests it while the others wait, or go on with the old token while that is valid. Lifetimes are counted on
//! the monotonic clock from the request on, so neither the clock of this machine nor that of the server matters.

mod answer;
mod endpoint;
mod rotation;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;

use super::control::Control;
use super::error::ApiError;
use super::pace::Pace;
use crate::config::plan::{Api, ApiTls, OAuth2, Retry};

use answer::Issued;

/// A token is renewed at most this long before it expires, so that it is still valid when its request ends.
const EARLY: Duration = Duration::from_mins(1);
/// A shorter lifetime is ignored: the token is used until the API refuses it.
const SHORTEST: Duration = Duration::from_secs(10);
/// After a failed early renewal, the next one waits this long.
const PAUSE: Duration = Duration::from_secs(5);

/// The token of a run; see the file's head.
#[derive(Debug)]
pub(super) struct Tokens {
    oauth: OAuth2,
    /// The files of TLS; none if the token endpoint has another origin than the API.
    tls: ApiTls,
    timeout: Duration,
    retry: Retry,
    /// Deadline and stop of the run. Its pace is its own, since the limits of the API do not hold for the token endpoint.
    control: Control,
    state: Mutex<State>,
    /// Held by the thread that asks for a token.
    renewal: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// How many tokens there have been.
    number: u64,
    /// Why there will be no token: later callers get this error at once.
    failed: Option<ApiError>,
}

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

/// The token as a request carries it.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    pub header: HeaderValue,
    /// Which of the run's tokens it is.
    number: u64,
}

impl Tokens {
    /// None if `auth` is not OAuth 2.
    pub fn new(api: &Api, deadline: Option<Instant>) -> Option<Self> {
        let oauth = api.auth.oauth2()?.clone();
        let is_own = oauth.token_url.origin() == api.base_url.origin();
        Some(Self {
            tls: if is_own {
                api.tls.clone()
            } else {
                ApiTls::default()
            },
            oauth,
            timeout: api.fetch.timeout,
            retry: api.fetch.retry.clone(),
            control: Control::new(deadline, Pace::new(None, 1)),
            state: Mutex::default(),
            renewal: Mutex::default(),
        })
    }

    /// Ends every wait and every exchange at once.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// The token for a request that begins now.
    pub fn current(&self) -> Result<Bearer, ApiError> {
        match self.look(Instant::now())? {
            TokenState::Fresh(bearer) => Ok(bearer),
            TokenState::Old(bearer) => {
                // If another thread is renewing it, go on with the old token.
                let Ok(_renewal) = self.renewal.try_lock() else {
                    return Ok(bearer);
                };
                match self.look(Instant::now())? {
                    TokenState::Fresh(bearer) => Ok(bearer),
                    _ => self.renew_early(bearer),
                }
            }
            TokenState::None => {
                let _renewal = self.wait_for_renewal();
                match self.look(Instant::now())? {
                    TokenState::Fresh(bearer) | TokenState::Old(bearer) => Ok(bearer),
                    TokenState::None => self.renew().inspect_err(|error| self.give_up(error)),
                }
            }
        }
    }

    /// A token other than the one that the API has refused.
    pub fn after_refusal(&self, refused: &Bearer) -> Result<Bearer, ApiError> {
        let _renewal = self.wait_for_renewal();
        {
            let mut state = self.lock();
            if state.number == refused.number {
                state.held = None;
            }
        }
        match self.look(Instant::now())? {
            TokenState::Fresh(bearer) | TokenState::Old(bearer) => Ok(bearer),
            TokenState::None => {
                log::info!("the API refused the access token: asking for another one");
                self.renew().inspect_err(|error| self.give_up(error))
            }
        }
    }

    /// How long the current token is valid, as its server said.
    pub fn valid_for(&self) -> Option<Duration> {
        let expires_at = self.lock().held.as_ref()?.expires_at?;
        Some(expires_at.saturating_duration_since(Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_renewal(&self) -> MutexGuard<'_, ()> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Instant) -> Result<TokenState, ApiError> {
        let state = self.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        Ok(match &state.held {
            Some(held) if !is_over(held.expires_at) => {
                let bearer = Bearer {
                    header: held.header.clone(),
                    number: state.number,
                };
                if is_over(held.renew_at) {
                    TokenState::Old(bearer)
                } else {
                    TokenState::Fresh(bearer)
                }
            }
            _ => TokenState::None,
        })
    }

    /// Renews a token that is still valid; if that fails, the old one is used on.
    fn renew_early(&self, at_hand: Bearer) -> Result<Bearer, ApiError> {
        let error = match self.renew() {
            Ok(bearer) => return Ok(bearer),
            Err(error) => error,
        };
        let mut state = self.lock();
        let now = Instant::now();
        match &mut state.held {
            Some(held) if held.expires_at.is_none_or(|at| at > now) => {
                held.renew_at = Some(now + PAUSE);
                log::warn!("{error}; the token at hand is still valid");
                Ok(at_hand)
            }
            _ => {
                state.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    fn renew(&self) -> Result<Bearer, ApiError> {
        let asked = Instant::now();
        let issued = self.ask()?;
        let held = Held::new(&self.oauth, &issued, asked)?;
        let mut state = self.lock();
        state.number += 1;
        let bearer = Bearer {
            header: held.header.clone(),
            number: state.number,
        };
        state.held = Some(held);
        Ok(bearer)
    }

    fn give_up(&self, error: &ApiError) {
        self.lock().failed = Some(error.clone());
    }
}

/// The token at hand, and whether it has to be renewed.
enum TokenState {
    Fresh(Bearer),
    /// Valid, and due for renewal.
    Old(Bearer),
    None,
}

impl Held {
    fn new(oauth: &OAuth2, issued: &Issued, asked: Instant) -> Result<Self, ApiError> {
        let text = format!("{} {}", oauth.scheme, issued.access_token.expose());
        let mut header = HeaderValue::from_str(&text).map_err(|_| answer::no_token())?;
        header.set_sensitive(true);
        // A lifetime shorter than a few requests is a mistake of the server: use the token until the API refuses it.
        let life = issued.expires_in.filter(|life| *life > SHORTEST);
        Ok(Self {
            header,
            renew_at: life.map(|life| asked + life.saturating_sub(EARLY.min(life / 10))),
            expires_at: life.map(|life| asked + life),
        })
    }
}
