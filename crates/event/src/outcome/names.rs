//! The names that an outcome knows, and telling them from others quickly: an event has some thirty members.

/// A member's name that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Id,
    Data,
    Time,
    Agents,
    Detail,
    Region,
    Source,
    Topics,
    UserId,
    Account,
    AgentId,
    Intents,
    QueueId,
    Version,
    Keywords,
    Metadata,
    Direction,
    EventBody,
    EventTime,
    EventType,
    MediaType,
    Resources,
    Sentiment,
    SessionId,
    Timestamp,
    PublishedTopic,
    DivisionId,
    WrapupCode,
    WrapUpCode,
    WrapUpNote,
    CategoryIds,
    DetailType,
    WrapupNotes,
    Conversation,
    EmpathyScores,
    ParticipantId,
    TranscriptUri,
    ConversationId,
    DisconnectType,
    SentimentScore,
    SentimentTrend,
    HeldDurationMs,
    WrapupDurationMs,
    WrapupDurationms,
    DialingDurationMs,
    AlertingDurationMs,
    CallbackDurationMs,
    ParticipantMetrics,
    SentimentTrendScore,
    SentimentTrendClass,
    ConnectedDurationMs,
    ComplianceViolations,
    ContactingDurationMs,
    InteractingDurationMs,
    SentimentOverallScore,
}

/// In the order of [`Name`], which is that of their lengths.
const NAMES: [(&str, Name); Name::COUNT] = [
    ("id", Name::Id),
    ("data", Name::Data),
    ("time", Name::Time),
    ("agents", Name::Agents),
    ("detail", Name::Detail),
    ("region", Name::Region),
    ("source", Name::Source),
    ("topics", Name::Topics),
    ("userId", Name::UserId),
    ("account", Name::Account),
    ("agentId", Name::AgentId),
    ("intents", Name::Intents),
    ("queueId", Name::QueueId),
    ("version", Name::Version),
    ("keywords", Name::Keywords),
    ("metadata", Name::Metadata),
    ("direction", Name::Direction),
    ("eventBody", Name::EventBody),
    ("eventTime", Name::EventTime),
    ("eventType", Name::EventType),
    ("mediaType", Name::MediaType),
    ("resources", Name::Resources),
    ("sentiment", Name::Sentiment),
    ("sessionId", Name::SessionId),
    ("timestamp", Name::Timestamp),
    ("topicName", Name::PublishedTopic),
    ("divisionId", Name::DivisionId),
    ("wrapupCode", Name::WrapupCode),
    ("wrapUpCode", Name::WrapUpCode),
    ("wrapUpNote", Name::WrapUpNote),
    ("categoryIds", Name::CategoryIds),
    ("detail-type", Name::DetailType),
    ("wrapupNotes", Name::WrapupNotes),
    ("conversation", Name::Conversation),
    ("empathyScores", Name::EmpathyScores),
    ("participantId", Name::ParticipantId),
    ("transcriptUri", Name::TranscriptUri),
    ("conversationId", Name::ConversationId),
    ("disconnectType", Name::DisconnectType),
    ("sentimentScore", Name::SentimentScore),
    ("sentimentTrend", Name::SentimentTrend),
    ("heldDurationMs", Name::HeldDurationMs),
    ("wrapupDurationMs", Name::WrapupDurationMs),
    ("wrapupDurationms", Name::WrapupDurationms),
    ("dialingDurationMs", Name::DialingDurationMs),
    ("alertingDurationMs", Name::AlertingDurationMs),
    ("callbackDurationMs", Name::CallbackDurationMs),
    ("participantMetrics", Name::ParticipantMetrics),
    ("sentimentTrendScore", Name::SentimentTrendScore),
    ("sentimentTrendClass", Name::SentimentTrendClass),
    ("connectedDurationMs", Name::ConnectedDurationMs),
    ("complianceViolations", Name::ComplianceViolations),
    ("contactingDurationMs", Name::ContactingDurationMs),
    ("interactingDurationMs", Name::InteractingDurationMs),
    ("sentimentOverallScore", Name::SentimentOverallScore),
];

/// The longest name.
const LONGEST: usize = 21;

/// Where the names of each length begin in [`NAMES`]; those of a length end where those of the next begin.
const STARTS: [usize; LONGEST + 2] = {
    let mut starts = [0; LONGEST + 2];
    let (mut length, mut at) = (0, 0);
    while length < LONGEST + 2 {
        while at < NAMES.len() && NAMES[at].0.len() < length {
            at += 1;
        }
        starts[length] = at;
        length += 1;
    }
    starts
};

impl Name {
    pub(super) const COUNT: usize = 55;

    /// That something was not in order is seen wherever it stands, and whatever else says that there was nothing.
    pub(super) fn is_never_overlooked(self) -> bool {
        self == Self::ComplianceViolations
    }

    /// The name that these bytes are, if it is one of these.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let same_length = STARTS.get(bytes.len()).zip(STARTS.get(bytes.len() + 1));
        let (start, end) = same_length?;
        // Most names of the same length already differ in their first bytes.
        let same = |name: &str| name.as_bytes().first() == bytes.first() && name.as_bytes() == bytes;
        NAMES[*start..*end].iter().find(|(name, _)| same(name)).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_lengths() {
        assert!(NAMES.iter().map(|(name, _)| name.len()).is_sorted());
        assert_eq!(NAMES.iter().map(|(name, _)| name.len()).max(), Some(LONGEST));
        for (at, (text, name)) in NAMES.iter().enumerate() {
            assert_eq!((Name::of(text.as_bytes()), *name as usize), (Some(*name), at), "{text}");
        }
        for other in ["", "Id", "identity", "sentimentoverallscore", &"x".repeat(LONGEST + 1), &"x".repeat(1_000)] {
            assert_eq!(Name::of(other.as_bytes()), None, "{other}");
        }
    }
}
