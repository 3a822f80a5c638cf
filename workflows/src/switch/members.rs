//! The syncs of a switch, and doing something about all of them.

use std::future::Future;

use proto::v1::{SlotRef, SwitchMember};

use crate::catch_up::Settings;
use crate::stop::Stop;
use crate::window::Window;

/// Syncs worked on at a time.
const AT_A_TIME: usize = 4;

/// Dead letters that the last rounds may add to those which the slot had when the switch was asked for.
const MORE_DEAD_LETTERS: u64 = 10;

/// The slot of a member.
pub(super) fn slot(member: &SwitchMember) -> SlotRef {
    member.slot.clone().unwrap_or_default()
}

/// The slots of all members.
pub(super) fn slots(members: &[SwitchMember]) -> Vec<SlotRef> {
    members.iter().map(slot).collect()
}

/// How the slot of a member is caught up: as a follower would, at most `rounds` times.
pub(super) fn settings(member: &SwitchMember, rounds: u32) -> Result<Settings, Stop> {
    let accepted = u32::try_from(member.dead_letters + MORE_DEAD_LETTERS).unwrap_or(u32::MAX);
    let settings = Settings::of(&proto::v1::ForkOptions::default())?;
    Ok(Settings { dead_letter_budget: Some(accepted), rounds, follow: true, ..settings })
}

/// Runs `work` for every member, a few at a time; the answers come in the order of the members.
///
/// # Errors
///
/// The first failure; what is still in flight then is dropped, for the caller to cancel.
pub(super) async fn each<'m, T, F>(
    members: &'m [SwitchMember],
    mut work: impl FnMut(&'m SwitchMember) -> F,
) -> Result<Vec<T>, Stop>
where
    F: Future<Output = Result<T, Stop>> + 'm,
    T: 'm,
{
    let mut window: Window<'m, usize, Result<T, Stop>> = Window::new();
    let mut answers: Vec<Option<T>> = members.iter().map(|_| None).collect();
    let mut waiting = members.iter().enumerate();
    loop {
        while window.len() < AT_A_TIME
            && let Some((position, member)) = waiting.next()
        {
            window.push(position, work(member));
        }
        if window.is_empty() {
            return Ok(answers.into_iter().flatten().collect());
        }
        let (position, answer) = window.next().await;
        answers[position] = Some(answer?);
    }
}
