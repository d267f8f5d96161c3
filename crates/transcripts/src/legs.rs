//! Which communications of a conversation can have a transcript: those that were recorded.

use genesys::{Client, GenesysError};

/// A communication that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) communication: String,
    /// `voice`, `chat`, …; analytics know it.
    pub(crate) media_type: Option<String>,
}

/// The recorded communications of a conversation, each once. Analytics are asked; and the conversation itself if they do not
/// have it, or nothing recorded in it: they learn of recordings some time after the call.
///
/// # Errors
/// `NotFound` if neither knows the conversation.
pub(crate) async fn of(client: &Client, conversation: &str) -> Result<Vec<Leg>, GenesysError> {
    let details = match client.analytics_details(conversation).await {
        Ok(details) => Some(details),
        Err(GenesysError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    if let Some(details) = &details {
        let recorded = details.recorded();
        if !recorded.is_empty() {
            let media_type = |communication: &String| {
                let sessions = details.participants.iter().flat_map(|participant| &participant.sessions);
                let mut of_it = sessions.filter(|session| session.session_id.as_ref() == Some(communication));
                of_it.find_map(|session| session.media_type.clone())
            };
            let leg = |communication| Leg { media_type: media_type(&communication), communication };
            return Ok(recorded.into_iter().map(leg).collect());
        }
    }
    let leg = |communication| Leg { communication, media_type: None };
    match client.conversation(conversation).await {
        Ok(conversation) => Ok(conversation.recorded().into_iter().map(leg).collect()),
        Err(GenesysError::NotFound { .. }) if details.is_some() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
