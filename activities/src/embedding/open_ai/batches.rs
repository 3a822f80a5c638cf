//! Groups texts into requests.

use crate::chunking::count_tokens;
use crate::error::{Error, ErrorKind, Result};

/// The positions of the texts of each request, in order. Blank texts are in none: servers refuse them.
///
/// Counting tokens takes processor time, so it happens on a thread of its own, and only when the bytes alone do not
/// show already that everything is within the limit.
pub(super) async fn plan(texts: &[String], max_texts: usize, max_tokens: usize) -> Result<Vec<Vec<usize>>> {
    let visible: Vec<usize> = (0..texts.len()).filter(|position| !texts[*position].trim().is_empty()).collect();
    // A token is at least one byte.
    let upper_bounds: Vec<usize> = visible.iter().map(|position| texts[*position].len()).collect();
    let within_limit = upper_bounds.chunks(max_texts).all(|batch| batch.iter().sum::<usize>() <= max_tokens);
    let costs = if within_limit {
        upper_bounds
    } else {
        let copies: Vec<String> = visible.iter().map(|position| texts[*position].clone()).collect();
        tokio::task::spawn_blocking(move || copies.iter().map(|text| count_tokens(text)).collect())
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "counting tokens broke off").with_source(error))?
    };
    Ok(group(&visible, &costs, max_texts, max_tokens))
}

fn group(positions: &[usize], costs: &[usize], max_texts: usize, max_tokens: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for (position, cost) in positions.iter().zip(costs) {
        match batches.last_mut() {
            Some(batch) if batch.len() < max_texts && tokens + cost <= max_tokens => {
                batch.push(*position);
                tokens += cost;
            }
            _ => {
                batches.push(vec![*position]);
                tokens = *cost;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(&[], &[])]
    #[case::by_number(&[1, 1, 1, 1], &[3, 1])]
    #[case::by_tokens(&[6, 4, 1, 10], &[2, 1, 1])]
    #[case::one_too_large(&[1, 99, 1], &[1, 1, 1])]
    fn groups_keep_both_limits(#[case] costs: &[usize], #[case] sizes: &[usize]) {
        let positions: Vec<usize> = (0..costs.len()).collect();
        let batches = group(&positions, costs, 3, 10);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        assert_eq!(batches.concat(), positions);
    }

    #[tokio::test]
    async fn blank_texts_are_left_out() {
        let texts = ["a", "", "b", " \n"].map(str::to_owned);
        assert_eq!(plan(&texts, 100, 100).await.expect("planned"), [[0, 2]]);
    }

    #[tokio::test]
    async fn tokens_count_and_not_bytes() {
        // 10 words of 5 tokens-or-less each: more bytes than the limit, fewer tokens.
        let texts: Vec<String> = (0..10).map(|_| "hello world".to_owned()).collect();
        assert_eq!(plan(&texts, 100, 20).await.expect("planned").len(), 1);
        assert_eq!(plan(&texts, 100, 19).await.expect("planned").len(), 2);
    }
}
