//! Where the business fields of an event stand.

use super::names::Name;

/// A place of business fields. Genesys' events have them in an EventBridge envelope under `detail.eventBody`, or flat
/// under `detail`; in a bare notification under `eventBody`; a webhook has them at the top and under `data`, also when it
/// was relayed over EventBridge; an item of a split batch, and what the platform's API answers, at the top.
///
/// In the order in which they count: those further down stand further inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seat {
    Body,
    Detail,
    Notification,
    Data,
    EventBody,
    DetailData,
    NotificationData,
    EventBodyData,
}

/// In the order of [`Seat`].
const POINTERS: [&str; Seat::COUNT] = [
    "",
    "/detail",
    "/eventBody",
    "/data",
    "/detail/eventBody",
    "/detail/data",
    "/eventBody/data",
    "/detail/eventBody/data",
];

impl Seat {
    pub(super) const COUNT: usize = 8;

    /// Where it stands, as a JSON pointer.
    pub(super) const fn pointer(self) -> &'static str {
        POINTERS[self as usize]
    }

    /// The seat that a member of this name, in this seat, is.
    pub(super) const fn inside(self, name: Name) -> Option<Self> {
        Some(match (self, name) {
            (Self::Body, Name::Detail) => Self::Detail,
            (Self::Body, Name::EventBody) => Self::Notification,
            (Self::Body, Name::Data) => Self::Data,
            (Self::Detail, Name::EventBody) => Self::EventBody,
            (Self::Detail, Name::Data) => Self::DetailData,
            (Self::Notification, Name::Data) => Self::NotificationData,
            (Self::EventBody, Name::Data) => Self::EventBodyData,
            _ => return None,
        })
    }

    /// Itself and all seats inside of it.
    pub(super) const fn with_those_inside(self) -> &'static [Self] {
        match self {
            Self::Body => &[
                Self::Body,
                Self::Detail,
                Self::Notification,
                Self::Data,
                Self::EventBody,
                Self::DetailData,
                Self::NotificationData,
                Self::EventBodyData,
            ],
            Self::Detail => &[Self::Detail, Self::EventBody, Self::DetailData, Self::EventBodyData],
            Self::Notification => &[Self::Notification, Self::NotificationData],
            Self::Data => &[Self::Data],
            Self::EventBody => &[Self::EventBody, Self::EventBodyData],
            Self::DetailData => &[Self::DetailData],
            Self::NotificationData => &[Self::NotificationData],
            Self::EventBodyData => &[Self::EventBodyData],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_says_where_it_is_and_what_is_inside() {
        for &seat in Seat::Body.with_those_inside() {
            for (name, part) in [(Name::Detail, "detail"), (Name::EventBody, "eventBody"), (Name::Data, "data")] {
                let Some(inside) = seat.inside(name) else { continue };
                assert_eq!(inside.pointer(), format!("{}/{part}", seat.pointer()));
                assert!(inside > seat, "{inside:?} counts before {seat:?}");
                assert!(seat.with_those_inside().contains(&inside));
            }
            let inside = |other: &&Seat| {
                let rest = other.pointer().strip_prefix(seat.pointer());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let expected: Vec<_> = Seat::Body.with_those_inside().iter().filter(inside).collect();
            assert_eq!(seat.with_those_inside().iter().collect::<Vec<_>>(), expected, "{seat:?}");
        }
        assert_eq!(Seat::Body.with_those_inside().len(), Seat::COUNT);
    }
}
