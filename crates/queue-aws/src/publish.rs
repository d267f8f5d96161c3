//! Publishing: the identities are claimed, then everything is committed in one transaction ([`crate::commit`]).
//!
//! | a crash | leaves | and then |
//! |---|---|---|
//! | before the commit | claims without a fate | the sender sends again; after [`crate::options::CLAIM_LEASE`] the claims are taken over |
//! | in the commit | all of it or nothing: DynamoDB's transactions are atomic | as before, or as after |
//! | behind the commit | the events | the sender sends again; they are duplicates |
//!
//! Claiming may have to wait for another publication, so it is done before the turn to commit: nobody waits for those who
//! wait.

use std::collections::HashMap;
use std::sync::Arc;

use audit::Digest;
use event::{Event, EventId, NewEvent};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::{ConsumerId, Content, Publication, Published, QueueError, Seq, body_hash, conflict_id};
use rand::RngExt;
use tokio::sync::oneshot;

use crate::claim::{Claim, Claimed, Known};
use crate::commit::Ready;
use crate::head::{Head, contended};
use crate::inner::Inner;
use crate::options::PARALLEL;
use crate::table::Stamp;
use crate::trail::Trail;

/// What is to become of the events of a publication, before they have places.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Those that are new, in their order; and what each conflicts with.
    new: Vec<(NewEvent, Option<EventId>)>,
    /// Where in `new` an id is.
    places: HashMap<EventId, usize>,
    /// One for each event of the publication; the places are those in `new`.
    answers: Vec<Published>,
    duplicates: u64,
    conflicts: u64,
}

impl Inner {
    pub(crate) async fn publish(&self, publication: Publication) -> Result<Vec<Published>, QueueError> {
        let largest = publication.events.iter().map(|event| event.body.len()).max();
        self.takes(largest.unwrap_or_default())?;
        let publication = Arc::new(publication);
        let mut tries = 0;
        loop {
            let by: Stamp = rand::rng().random();
            let done = match self.plan(&publication, by).await {
                Ok(plan) => self.commit(&publication, plan, by).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(Some(published)) => {
                    self.wired.read().tell_all();
                    return Ok(published);
                }
                // Somebody thought that it was over.
                Ok(None) => contended(tries).await?,
                Err(error) => {
                    // So that the sender need not wait for the claims when it sends again. If it fails, it has to.
                    let _ = self.prevent(&by, publication.received).await;
                    return Err(error);
                }
            }
            tries += 1;
        }
    }

    async fn plan(&self, publication: &Publication, by: Stamp) -> Result<Plan, QueueError> {
        let claim = |event: &NewEvent| Claim { received: publication.received, body_hash: body_hash(&event.body), by };
        let mut first = HashMap::new();
        for event in &publication.events {
            first.entry(event.id).or_insert_with(|| claim(event));
        }
        let claiming = first.iter().map(|(id, claim)| async { self.claim(*id, claim).await.map(|of| (*id, of)) });
        let claiming: Vec<_> = claiming.collect();
        let claimed: HashMap<EventId, Claimed> =
            stream::iter(claiming).buffer_unordered(PARALLEL).try_collect().await?;
        let mut plan = Plan::default();
        for event in publication.events.iter().cloned() {
            let (id, content) = (event.id, &publication.content);
            let same = match (plan.places.get(&id), claimed.get(&id)) {
                (Some(&at), _) => {
                    let before = &plan.new[at].0.body;
                    *before == event.body || content.of(before) == content.of(&event.body)
                }
                (None, Some(Claimed::Known(known))) => self.is_same(&event, *known, content).await?,
                _ => {
                    plan.accept(event, None);
                    continue;
                }
            };
            if same {
                plan.duplicate(id);
                continue;
            }
            let event = NewEvent { id: conflict_id(id, content.of(&event.body)), ..event };
            let known =
                plan.places.contains_key(&event.id) || self.claim(event.id, &claim(&event)).await? != Claimed::Ours;
            if known { plan.duplicate(event.id) } else { plan.accept(event, Some(id)) }
        }
        Ok(plan)
    }

    /// Whether the event that has the identity has the same content. One that is erased or dropped is taken to have it.
    async fn is_same(&self, event: &NewEvent, known: Known, content: &Content) -> Result<bool, QueueError> {
        if known.body_hash == body_hash(&event.body) {
            return Ok(true);
        }
        let (head, _) = self.head().await?;
        let before = self.known(&head, event.id, known).await?.filter(|stored| !stored.event.is_erased());
        Ok(before.is_none_or(|stored| content.of(&stored.event.body) == content.of(&event.body)))
    }

    /// Commits what is planned, with what others want to be committed; `None` if the publication was prevented.
    async fn commit(
        &self,
        publication: &Arc<Publication>,
        plan: Plan,
        by: Stamp,
    ) -> Result<Option<Vec<Published>>, QueueError> {
        let new = self.routed_new(publication, &plan);
        let (tell, mut told) = oneshot::channel();
        self.ready.lock().push_back(Ready { publication: Arc::clone(publication), plan, by, new, tell });
        loop {
            // Who has the turn commits for those who wait for it.
            let _turn = self.publishing.lock().await;
            match told.try_recv() {
                Ok(done) => return done,
                Err(oneshot::error::TryRecvError::Empty) => self.commit_ready().await,
                Err(oneshot::error::TryRecvError::Closed) => {
                    return Err(QueueError::Transient { detail: "a publication was broken off".to_owned() });
                }
            }
        }
    }

    /// The new events, and where their routes lead.
    fn routed_new(&self, publication: &Publication, plan: &Plan) -> Vec<New> {
        let wired = self.wired.read();
        let new = plan.new.iter().map(|(new, conflict_of)| {
            let event = Event {
                id: new.id,
                source: Arc::clone(&publication.source),
                topic: Arc::clone(&new.topic),
                conversation: new.conversation.clone(),
                received: publication.received,
                conflict_of: *conflict_of,
                body: new.body.clone(),
            };
            let routes = wired.routes_of_new(&event);
            let placed: Vec<_> = routes.iter().filter_map(|target| wired.placed(target.consumer)).collect();
            let destinations = placed.iter().map(|destination| Arc::clone(&destination.name)).collect();
            let ids = placed.iter().map(|destination| destination.id).collect();
            New { body: Digest::of(&event.body), event, destinations, ids }
        });
        new.collect()
    }
}

/// An event that is new.
pub(crate) struct New {
    pub(crate) event: Event,
    pub(crate) destinations: Vec<Arc<str>>,
    pub(crate) ids: Vec<ConsumerId>,
    body: Digest,
}

impl Plan {
    fn accept(&mut self, event: NewEvent, conflict_of: Option<EventId>) {
        let (id, place) = (event.id, Seq(self.new.len() as u64));
        self.places.insert(id, self.new.len());
        self.new.push((event, conflict_of));
        self.conflicts += u64::from(conflict_of.is_some());
        self.answers.push(match conflict_of {
            Some(of) => Published::Conflict { id, of, seq: place },
            None => Published::Accepted { id, seq: place },
        });
    }

    fn duplicate(&mut self, id: EventId) {
        self.duplicates += 1;
        self.answers.push(Published::Duplicate { id });
    }

    pub(crate) fn counted(&self, head: Head) -> Head {
        Head { duplicates: head.duplicates + self.duplicates, conflicts: head.conflicts + self.conflicts, ..head }
    }

    /// What the trail says of it, when the first new event has this place.
    pub(crate) fn tell(&self, publication: &Publication, new: &[New], first: u64, trail: &mut Trail) {
        let Publication { source, proof, received, .. } = publication;
        for answer in &self.answers {
            let entry = match answer {
                Published::Accepted { seq, .. } | Published::Conflict { seq, .. } => {
                    let Some(new) = usize::try_from(seq.0).ok().and_then(|at| new.get(at)) else { continue };
                    queue::trail::received(Seq(first + seq.0), &new.event, new.body, proof, new.destinations.clone())
                }
                Published::Duplicate { id } => queue::trail::duplicate(*id, source, proof, *received),
            };
            trail.push(entry);
        }
    }

    /// The answers, when the first new event has this place.
    pub(crate) fn answer(self, first: u64) -> Vec<Published> {
        let placed = |answer| match answer {
            Published::Accepted { id, seq } => Published::Accepted { id, seq: Seq(first + seq.0) },
            Published::Conflict { id, of, seq } => Published::Conflict { id, of, seq: Seq(first + seq.0) },
            duplicate => duplicate,
        };
        self.answers.into_iter().map(placed).collect()
    }
}
