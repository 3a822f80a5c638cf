//! Cuts points into requests, and finds the point in a request that the server does not take.

use std::future::Future;

use super::classify::Failure;
use super::point::Point;
use crate::error::Error;

/// Points of one request. From 64 on, more bring little; fewer are told apart faster when one of them is bad.
pub(super) const MAX_POINTS: usize = 128;

/// Bytes of one request, roughly; one point may exceed it.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Cuts points into requests, in order. None is empty.
pub(super) fn cut(points: Vec<Point>) -> Vec<Vec<Point>> {
    let mut batches: Vec<Vec<Point>> = Vec::new();
    let mut bytes = 0;
    for point in points {
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_POINTS && bytes + point.bytes <= MAX_BYTES => {
                bytes += point.bytes;
                batch.push(point);
            }
            _ => {
                bytes = point.bytes;
                batches.push(vec![point]);
            }
        }
    }
    batches
}

/// Sends a batch; halves it when the server refuses something in it, or takes fewer points at once, until everything is
/// stored but the points that are refused alone. Those are answered with the reason.
///
/// Of a request that is refused, any part may be stored already: whatever is not proved stored is sent again.
///
/// # Errors
/// What fails otherwise, and when not even one point at once is taken.
pub(super) async fn store<P, F>(batch: Vec<P>, send: impl Fn(&[P]) -> F) -> Result<Vec<(P, Error)>, Error>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut refused = Vec::new();
    let mut pending = vec![batch];
    while let Some(mut part) = pending.pop() {
        match (send(&part).await, part.len()) {
            (Ok(()), _) => {}
            (Err(Failure::Refused(_) | Failure::TooMany(_)), 2..) => {
                let rest = part.split_off(part.len() / 2);
                pending.extend([rest, part]);
            }
            (Err(Failure::Refused(reason)), _) => refused.extend(part.pop().map(|point| (point, reason))),
            (Err(failure), _) => return Err(failure.into()),
        }
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use qdrant_client::qdrant::PointStruct;

    use super::*;
    use crate::error::ErrorKind;

    fn point(bytes: usize) -> Point {
        Point { entity: 0, index: 0, bytes, wire: PointStruct::default() }
    }

    proptest! {
        #[test]
        fn requests_hold_every_point_in_order_and_keep_to_the_limits(
            sizes in prop::collection::vec(prop_oneof![Just(100_usize), 0..MAX_BYTES, Just(2 * MAX_BYTES)], 0..400),
        ) {
            let batches = cut(sizes.iter().copied().map(point).collect());
            let sent: Vec<usize> = batches.iter().flatten().map(|point| point.bytes).collect();
            prop_assert_eq!(sent, sizes);
            for batch in &batches {
                let bytes: usize = batch.iter().map(|point| point.bytes).sum();
                prop_assert!((1..=MAX_POINTS).contains(&batch.len()));
                prop_assert!(bytes <= MAX_BYTES || batch.len() == 1);
            }
            for pair in batches.windows(2) {
                let bytes: usize = pair[0].iter().map(|point| point.bytes).sum();
                prop_assert!(pair[0].len() == MAX_POINTS || bytes + pair[1][0].bytes > MAX_BYTES, "cut too early");
            }
        }

        /// A server that takes `most` points at once and stores some points of a batch with a bad one.
        #[test]
        fn whatever_is_bad_the_rest_is_stored(
            count in 0..200_u32,
            bad in prop::collection::btree_set(0..200_u32, 0..10),
            most in 1..300_usize,
        ) {
            let stored = RefCell::new(BTreeSet::new());
            let requests = Cell::new(0_usize);
            let send = |part: &[u32]| {
                requests.set(requests.get() + 1);
                let error = Error::new(ErrorKind::Internal, "no");
                let answer = if part.len() > most {
                    Err(Failure::TooMany(error))
                } else if part.iter().any(|point| bad.contains(point)) {
                    stored.borrow_mut().extend(part.iter().filter(|point| !bad.contains(point) && **point % 3 == 0));
                    Err(Failure::Refused(error))
                } else {
                    stored.borrow_mut().extend(part);
                    Ok(())
                };
                std::future::ready(answer)
            };
            let refused = futures::executor::block_on(store((0..count).collect(), send)).expect("nothing else failed");
            let refused: BTreeSet<u32> = refused.into_iter().map(|(point, _)| point).collect();
            let bad: BTreeSet<u32> = bad.into_iter().filter(|point| *point < count).collect();
            let good: BTreeSet<u32> = (0..count).filter(|point| !bad.contains(point)).collect();
            prop_assert_eq!(&refused, &bad);
            prop_assert_eq!(stored.into_inner(), good);
            if most >= 200 {
                prop_assert!(requests.get() <= 1 + 2 * 8 * bad.len(), "halving, not one by one");
            }
        }
    }

    #[test]
    fn other_failures_end_it() {
        for failure in [Failure::Failed, Failure::TooMany] {
            let sent = Cell::new(0);
            let send = |_: &[u32]| {
                sent.set(sent.get() + 1);
                std::future::ready(Err(failure(Error::new(ErrorKind::TooLarge, "no"))))
            };
            let error = futures::executor::block_on(store(vec![1], send)).expect_err("handed on");
            assert_eq!((error.kind(), sent.get()), (ErrorKind::TooLarge, 1));
        }
    }
}
