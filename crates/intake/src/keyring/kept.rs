//! Secrets that a service keeps: the one in use, and the one before it while both are good.

use event::Timestamp;
use zeroize::Zeroizing;

use super::{Lines, Origin, Reason};
use crate::secret::{KeptSecret, Secret, SecretFormat};

impl Origin {
    /// Takes over what a service has given. That it cannot be asked is in the log of whoever asks it.
    pub(super) fn take_kept(&mut self, read: Result<Lines, Reason>, failing: Option<String>, now: Timestamp) -> bool {
        self.failing = failing;
        match read {
            Ok((lines, secrets)) => {
                if self.failing.is_none() {
                    self.read_at = Some(now);
                }
                self.lines = lines;
                let (fresh, changed) = self.fresh(&secrets);
                self.keys = fresh;
                changed
            }
            Err(reason) => {
                self.failing = Some(reason.to_string());
                false
            }
        }
    }
}

/// The secrets that a service gives, numbered from 1.
pub(super) fn kept(secret: &dyn KeptSecret, again: bool, format: SecretFormat) -> Result<Lines, Reason> {
    let texts = secret.texts(again).map_err(Reason::Service)?;
    let parse = |text: &Zeroizing<String>| Secret::parse(text.as_bytes(), format);
    // The one before may be of another form, and is then good for nothing.
    let secrets = texts.iter().enumerate().filter_map(|(at, text)| match parse(text) {
        Err(error) if at == 0 => Some(Err(Reason::Secret(error))),
        parsed => parsed.ok().map(Ok),
    });
    let secrets: Vec<_> = secrets.collect::<Result<_, _>>()?;
    Ok(((1..=secrets.len()).collect(), secrets))
}
