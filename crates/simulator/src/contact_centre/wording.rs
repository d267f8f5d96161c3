//! What people and systems of the contact centre are called, and what agents write down.

/// Agents, with names from several scripts.
pub(super) const AGENTS: &[&str] = &[
    "Jürgen Weiß",
    "Zoë Ångström",
    "María-José Núñez",
    "Łukasz Żółć",
    "Nguyễn Thị Ánh",
    "田中 さくら",
    "김민준",
    "Олена Шевченко",
    "Ελένη Παππά",
    "أحمد منصور",
    "नेहा शर्मा",
    "Pat O'Neill",
];

/// Wrap-up notes as agents type them.
pub(super) const NOTES: &[&str] = &[
    "asked for a copy of the invoice",
    "Rückruf am Dienstag nach 17 Uhr vereinbart – Kündigung zurückgezogen",
    "cliente satisfecho ✅ envía el contrato mañana",
    "お客様は返金を希望しています。担当:田中",
    "said: \"never again\" \\ then laughed",
    "line one\nline two\tafter a tab",
    "שלום — forwarded to billing",
    "👩🏽‍💻 remote session, cafe\u{301} Wi-Fi",
    "",
];

/// The same text twice as raw JSON: with escapes where plain characters would do.
pub(super) const ESCAPED_NOTES: &[&str] = &[
    r#""R\u00fcckruf \u2013 bitte \u0022dringend\u0022""#,
    r#""smile \ud83d\ude42 and slash \/""#,
    r#""\u0000\u001f control""#,
];

pub(super) const INTENTS: &[&str] =
    &["billing_question", "cancel_contract", "change_address", "technical_fault", "order_status", "Beschwerde"];

pub(super) const KEYWORDS: &[&str] =
    &["invoice", "refund", "Kündigung", "router", "délai", "supervisor", "返金", "thank you"];

pub(super) const VIOLATIONS: &[&str] = &["missing_recording_notice", "card_number_spoken", "no_identity_check"];

pub(super) const SENTIMENTS: &[&str] = &["positive", "neutral", "negative", "mixed"];

/// Wrap-up codes that Genesys sets by itself.
pub(super) const RESERVED_CODES: &[&str] = &["ININ-WRAP-UP-TIMEOUT", "ININ-WRAP-UP-SKIPPED"];

/// Numbers as no one expects them, all valid JSON and all inside a 64-bit integer or float.
pub(super) const ODD_NUMBERS: &[&str] =
    &["0", "-0", "1.50", "6.02e+3", "9007199254740993", "1E-7", "-0.0", "100000000000000000"];

/// Media with their provider; the usual ones stand more than once.
pub(super) const MEDIA: &[&(&str, &str)] = &[
    &("VOICE", "Edge"),
    &("VOICE", "Edge"),
    &("VOICE", "Edge"),
    &("VOICE", "Edge"),
    &("CHAT", "PureCloud Webchat v2"),
    &("MESSAGE", "PureCloud Messaging"),
    &("EMAIL", "PureCloud Email"),
    &("CALLBACK", "PureCloud Callback"),
];
