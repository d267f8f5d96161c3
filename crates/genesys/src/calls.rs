//! The calls that are needed after a conversation, and what they answer. Members that nobody here needs are left out;
//! those that may be missing may be missing, or null.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};

use crate::transcript::PresignedUrl;
use crate::{Client, GenesysError};

/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

impl Client {
    /// What the token is good for.
    ///
    /// # Errors
    /// As every call: [`GenesysError`] says what to do.
    pub async fn token_info(&self) -> Result<TokenInfo, GenesysError> {
        self.get("/api/v2/tokens/me").await
    }

    /// What speech analytics found out about a conversation.
    ///
    /// # Errors
    /// `NotFound` until it is analysed.
    pub async fn metrics(&self, conversation: &str) -> Result<Metrics, GenesysError> {
        self.get(&format!("/api/v2/speechandtextanalytics/conversations/{}", id(conversation)?)).await
    }

    /// Where the transcript of a communication is.
    ///
    /// # Errors
    /// `NotFound` until there is one.
    pub async fn transcript_url(&self, conversation: &str, communication: &str) -> Result<TranscriptUrl, GenesysError> {
        self.get(&format!("{}/transcripturl", leg(conversation, communication)?)).await
    }

    /// Where the transcripts of a communication are: one for each recording of it.
    ///
    /// # Errors
    /// `NotFound` until there is one.
    pub async fn transcript_urls(
        &self,
        conversation: &str,
        communication: &str,
    ) -> Result<TranscriptUrls, GenesysError> {
        self.get(&format!("{}/transcripturls", leg(conversation, communication)?)).await
    }

    /// A conversation as the platform keeps it while it lasts, and for some time after.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn conversation(&self, conversation: &str) -> Result<Conversation, GenesysError> {
        self.get(&format!("/api/v2/conversations/{}", id(conversation)?)).await
    }

    /// A conversation as analytics have it, which is some time after its end.
    ///
    /// # Errors
    /// `NotFound` until analytics have it.
    pub async fn analytics_details(&self, conversation: &str) -> Result<AnalyticsDetails, GenesysError> {
        self.get(&format!("/api/v2/analytics/conversations/{}/details", id(conversation)?)).await
    }

    /// The ids of the communications of a conversation that were recorded: those that can have a transcript. Analytics
    /// are asked, and the conversation itself if they do not have it yet.
    ///
    /// # Errors
    /// `NotFound` if neither knows it.
    pub async fn recorded_communications(&self, conversation: &str) -> Result<Vec<String>, GenesysError> {
        match self.analytics_details(conversation).await {
            Err(GenesysError::NotFound { .. }) => Ok(self.conversation(conversation).await?.recorded()),
            details => Ok(details?.recorded()),
        }
    }
}

fn leg(conversation: &str, communication: &str) -> Result<String, GenesysError> {
    let (conversation, communication) = (id(conversation)?, id(communication)?);
    Ok(format!("/api/v2/speechandtextanalytics/conversations/{conversation}/communications/{communication}"))
}

/// An id as it stands in a path. It comes from an event: whatever it is, it leads to no other call.
fn id(text: &str) -> Result<String, GenesysError> {
    if text.is_empty() {
        return Err(GenesysError::Refused {
            call: "GET".to_owned(),
            status: 400,
            code: String::new(),
            problem: "the id of the conversation or communication is empty".to_owned(),
            correlation: None,
        });
    }
    Ok(utf8_percent_encode(text, PLAIN).to_string())
}

/// `GET /api/v2/tokens/me`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenInfo {
    /// The organisation.
    #[serde(deserialize_with = "or_default")]
    pub organization: Named,
    /// What the OAuth client is authorised for; empty if its roles decide alone.
    #[serde(deserialize_with = "or_default")]
    pub authorized_scope: Vec<String>,
    /// The OAuth client.
    #[serde(rename = "OAuthClient", alias = "oAuthClient", deserialize_with = "or_default")]
    pub oauth_client: Named,
}

/// Something with an id and a name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// `GET /api/v2/speechandtextanalytics/conversations/ID`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// The conversation.
    #[serde(deserialize_with = "or_default")]
    pub conversation: Named,
    /// From -1 (bad) to 1; user interfaces show it from -100 to 100.
    pub sentiment_score: Option<f64>,
    /// How the sentiment changed, from -1 to 1.
    pub sentiment_trend: Option<f64>,
    /// The same in a word, such as `SlightlyImproving`.
    pub sentiment_trend_class: Option<String>,
    /// For each agent.
    #[serde(deserialize_with = "or_default")]
    pub empathy_scores: Vec<Empathy>,
    /// Who spoke for how long.
    pub participant_metrics: Option<ParticipantMetrics>,
}

/// How an agent did.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Empathy {
    /// The score.
    pub score: Option<f64>,
    /// The agent.
    pub user_id: Option<String>,
}

/// Shares of the conversation in percent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParticipantMetrics {
    /// The agent spoke.
    pub agent_duration_percentage: Option<f64>,
    /// The customer spoke.
    pub customer_duration_percentage: Option<f64>,
    /// Nobody spoke.
    pub silence_duration_percentage: Option<f64>,
    /// The menu spoke.
    pub ivr_duration_percentage: Option<f64>,
    /// The customer waited.
    pub acd_duration_percentage: Option<f64>,
    /// Both spoke.
    pub overtalk_duration_percentage: Option<f64>,
    /// All else.
    pub other_duration_percentage: Option<f64>,
    /// How often both spoke.
    pub overtalk_count: Option<u64>,
}

/// `GET …/transcripturl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TranscriptUrl {
    /// Where it is.
    pub url: PresignedUrl,
}

/// `GET …/transcripturls`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TranscriptUrls {
    /// The conversation.
    #[serde(default, deserialize_with = "or_default")]
    pub conversation: Named,
    /// The communication.
    pub communication_id: Option<String>,
    /// One for each recording. One without an address has no transcript yet.
    #[serde(default, deserialize_with = "with_address")]
    pub urls: Vec<Recording>,
}

/// One recording's transcript.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The recording.
    pub recording: Named,
    /// Where its transcript is.
    pub url: PresignedUrl,
}

/// `GET /api/v2/conversations/ID`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Conversation {
    /// Its id.
    pub id: Option<String>,
    /// Who took part.
    #[serde(deserialize_with = "or_default")]
    pub participants: Vec<Participant>,
}

/// One of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Participant {
    /// Its id.
    pub id: Option<String>,
    /// `agent`, `customer`, `acd`, …
    pub purpose: Option<String>,
    /// Its calls.
    #[serde(deserialize_with = "or_default")]
    pub calls: Vec<Call>,
}

/// One communication by telephone.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Call {
    /// The id of the communication.
    pub id: Option<String>,
    /// Whether it was recorded.
    #[serde(deserialize_with = "or_default")]
    pub recording: bool,
}

/// `GET /api/v2/analytics/conversations/ID/details`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsDetails {
    /// The conversation.
    pub conversation_id: Option<String>,
    /// Its begin, RFC 3339.
    pub conversation_start: Option<String>,
    /// Its end, RFC 3339; not there while it lasts.
    pub conversation_end: Option<String>,
    /// Who took part.
    #[serde(deserialize_with = "or_default")]
    pub participants: Vec<AnalyticsParticipant>,
}

/// One of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsParticipant {
    /// Its id.
    pub participant_id: Option<String>,
    /// The agent, if it is one.
    pub user_id: Option<String>,
    /// `agent`, `customer`, `acd`, …
    pub purpose: Option<String>,
    /// Its sessions.
    #[serde(deserialize_with = "or_default")]
    pub sessions: Vec<AnalyticsSession>,
}

/// One leg of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsSession {
    /// The id of the communication.
    pub session_id: Option<String>,
    /// `voice`, `chat`, …
    pub media_type: Option<String>,
    /// Whether it was recorded.
    pub recording: Option<bool>,
}

/// What is null is as if it were missing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn with_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Recording>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Told {
        #[serde(deserialize_with = "or_default")]
        recording: Named,
        url: Option<PresignedUrl>,
    }
    let told: Vec<Told> = or_default(deserializer)?;
    let with_address = |Told { recording, url }| Some(Recording { recording, url: url? });
    Ok(told.into_iter().filter_map(with_address).collect())
}

impl Conversation {
    /// The communications that were recorded.
    pub fn recorded(&self) -> Vec<String> {
        let calls = self.participants.iter().flat_map(|participant| &participant.calls);
        unique(calls.filter(|call| call.recording).filter_map(|call| call.id.clone()))
    }
}

impl AnalyticsDetails {
    /// The communications that were recorded.
    pub fn recorded(&self) -> Vec<String> {
        let sessions = self.participants.iter().flat_map(|participant| &participant.sessions);
        let recorded = sessions.filter(|session| session.recording == Some(true));
        unique(recorded.filter_map(|session| session.session_id.clone()))
    }
}

fn unique(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = Vec::new();
    for id in ids {
        if !known.contains(&id) {
            known.push(id);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recorded_legs_are_told_once_each() {
        let details = r#"{"conversationId":"c","participants":[{"purpose":"customer","sessions":[
            {"sessionId":"a","recording":true},{"sessionId":"b","recording":false},{"sessionId":"d"}]},
            {"purpose":"agent","sessions":[{"sessionId":"a","recording":true},{"recording":true},
            {"sessionId":"e","mediaType":"voice","recording":true,"unknown":[1]}]}]}"#;
        assert_eq!(serde_json::from_str::<AnalyticsDetails>(details).unwrap().recorded(), ["a", "e"]);
        let conversation = r#"{"id":"c","participants":[{"calls":[{"id":"a","recording":true},{"id":"b"}]},{}]}"#;
        assert_eq!(serde_json::from_str::<Conversation>(conversation).unwrap().recorded(), ["a"]);
        assert!(serde_json::from_str::<AnalyticsDetails>("{}").unwrap().recorded().is_empty());
    }

    #[test]
    fn what_is_null_is_as_if_it_were_missing() {
        let details = r#"{"conversationId":null,"participants":[{"userId":null,"sessions":null},
            {"sessions":[{"sessionId":null,"recording":true},{"sessionId":"a","mediaType":null,"recording":true}]}]}"#;
        assert_eq!(serde_json::from_str::<AnalyticsDetails>(details).unwrap().recorded(), ["a"]);
        assert!(serde_json::from_str::<AnalyticsDetails>(r#"{"participants":null}"#).unwrap().recorded().is_empty());
        let conversation = r#"{"participants":[{"calls":null},{"calls":[{"id":"a","recording":null},{"id":null,"recording":true},{"id":"b","recording":true}]}]}"#;
        assert_eq!(serde_json::from_str::<Conversation>(conversation).unwrap().recorded(), ["b"]);
        let urls = |text: &str| serde_json::from_str::<TranscriptUrls>(text).unwrap().urls;
        assert!(urls(r#"{"conversation":null,"communicationId":null,"urls":null}"#).is_empty());
        let some = urls(
            r#"{"urls":[{"recording":{"id":"r"},"url":null},{"recording":null,"url":"https://a"},{"url":"https://b"}]}"#,
        );
        assert_eq!(some.iter().map(|recording| recording.url.expose()).collect::<Vec<_>>(), ["https://a", "https://b"]);
        let metrics = r#"{"conversation":null,"sentimentScore":null,"empathyScores":null,"participantMetrics":null}"#;
        assert_eq!(serde_json::from_str::<Metrics>(metrics).unwrap(), Metrics::default());
        assert_eq!(
            serde_json::from_str::<TokenInfo>(r#"{"organization":null,"authorizedScope":null,"OAuthClient":null}"#)
                .unwrap(),
            TokenInfo::default()
        );
    }

    #[test]
    fn addresses_of_transcripts_are_not_shown() {
        let urls =
            r#"{"communicationId":"a","urls":[{"recording":{"id":"r"},"url":"https://s.example.com/?sig=hidden"}]}"#;
        let urls: TranscriptUrls = serde_json::from_str(urls).unwrap();
        assert!(urls.urls[0].url.expose().ends_with("hidden"));
        assert!(!format!("{urls:?}").contains("hidden"), "{urls:?}");
    }

    proptest! {
        #[test]
        fn an_id_stays_in_its_place(text in ".+") {
            let path = leg(&text, &text).unwrap();
            prop_assert_eq!(path.split('/').count(), 8);
            prop_assert!(!path.contains(['?', '#', ' ', '.']), "{}", path);
        }
    }
}
