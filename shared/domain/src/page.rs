//! Pages of a list: a limit, a direction, and positions that do not depend on the limit.

use crate::error::Invalid;
use crate::rule::Rule;

/// Default number of items on a page (contract section 1.1).
pub const DEFAULT_LIMIT: usize = 20;
/// Maximum number of items on a page (contract section 1.1).
pub const MAX_LIMIT: usize = 100;

/// Parses the `limit` parameter: 1 to 100, by default 20.
pub fn limit(text: Option<&str>) -> Result<usize, Invalid> {
    match text.map(str::parse) {
        None => Ok(DEFAULT_LIMIT),
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(Invalid::one("limit", Rule::WholeNumber { min: 1, max: MAX_LIMIT })),
    }
}

/// The sort order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest, or oldest, first.
    Ascending,
    /// Largest, or newest, first.
    Descending,
}

/// Parses a `sort` parameter: one of `fields`, optionally with `-` or `+` before it. An unescaped `+` arrives as a space.
pub fn sort(text: &str, fields: &[&'static str]) -> Result<(&'static str, Order), Invalid> {
    let (order, name) = match text.strip_prefix('-') {
        Some(name) => (Order::Descending, name),
        None => (Order::Ascending, text.strip_prefix(['+', ' ']).unwrap_or(text)),
    };
    let field = fields.iter().find(|field| **field == name);
    let values = || fields.iter().copied().into();
    field
        .map(|field| (*field, order))
        .ok_or_else(|| Invalid::one("sort", Rule::SortField { values: values() }))
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the requested order.
    pub items: Vec<T>,
    /// Whether there are items after the last one.
    pub has_next: bool,
    /// Whether there are items before the first one.
    pub has_prev: bool,
}

/// The position of a page relative to an item that the client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position<T> {
    /// The first page.
    Start,
    /// The page after this item.
    After(T),
    /// The page that ends before this item.
    Before(T),
}

/// Parses the parameters `next` and `prev`, which exclude each other. `open` decodes a cursor, or returns `None` if it is invalid.
pub fn position<T>(
    next: Option<&str>,
    prev: Option<&str>,
    open: impl Fn(&str) -> Option<T>,
) -> Result<Position<T>, Invalid> {
    let open = |field: &str, text: &str| open(text).ok_or_else(|| Invalid::one(field, Rule::InvalidCursor));
    match (next, prev) {
        (None, None) => Ok(Position::Start),
        (Some(text), None) => open("next", text).map(Position::After),
        (None, Some(text)) => open("prev", text).map(Position::Before),
        (Some(_), Some(_)) => Err(Invalid::one("next", Rule::NotWith { other: "prev" })),
    }
}

/// Returns a page of `items`, which are sorted by `key` in the given order. Keys are unique.
pub fn cut<T, K: PartialOrd>(
    items: Vec<T>,
    key: impl Fn(&T) -> K,
    order: Order,
    position: &Position<K>,
    limit: usize,
) -> Page<T> {
    let follows = |a: &K, b: &K| if order == Order::Ascending { a > b } else { a < b };
    let total = items.len();
    let start = match position {
        Position::Start => 0,
        Position::After(seen) => items.iter().position(|item| follows(&key(item), seen)).unwrap_or(total),
        Position::Before(seen) => {
            let end = items.iter().position(|item| !follows(seen, &key(item))).unwrap_or(total);
            return Page {
                has_next: end < total,
                has_prev: end > limit,
                items: items.into_iter().take(end).skip(end.saturating_sub(limit)).collect(),
            };
        }
    };
    Page {
        has_prev: start > 0,
        has_next: total > start + limit,
        items: items.into_iter().skip(start).take(limit).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limit_and_sort_are_parsed() {
        assert_eq!(limit(None).unwrap(), 20);
        assert_eq!(limit(Some("100")).unwrap(), 100);
        for bad in ["0", "101", "-1", "x", "", "1.5"] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
        let fields = ["name", "createdAt"];
        assert_eq!(sort("name", &fields).unwrap(), ("name", Order::Ascending));
        assert_eq!(sort("+name", &fields).unwrap(), ("name", Order::Ascending));
        assert_eq!(sort(" name", &fields).unwrap(), ("name", Order::Ascending));
        assert_eq!(sort("-createdAt", &fields).unwrap(), ("createdAt", Order::Descending));
        assert!(sort("secret", &fields).is_err());
    }

    #[test]
    fn position_is_after_or_before_a_cursor_not_both() {
        let position = |next, prev| position(next, prev, |text| text.parse::<u8>().ok());
        assert_eq!(position(None, None).unwrap(), Position::Start);
        assert_eq!(position(Some("7"), None).unwrap(), Position::After(7));
        assert_eq!(position(None, Some("7")).unwrap(), Position::Before(7));
        for (next, prev, field) in
            [(Some("x"), None, "next"), (None, Some("x"), "prev"), (Some("7"), Some("7"), "next")]
        {
            assert_eq!(position(next, prev).unwrap_err().0[0].field, field);
        }
    }

    proptest! {
        #[test]
        fn paging_forward_and_back_returns_every_item_once(count in 0..60_u32, limit in 1..13_usize, descending: bool) {
            let mut items: Vec<u32> = (0..count).collect();
            let order = if descending { items.reverse(); Order::Descending } else { Order::Ascending };
            let page = |position| cut(items.clone(), |item| *item, order, &position, limit);

            let (mut seen, mut position) = (Vec::<u32>::new(), Position::Start);
            loop {
                let page = page(position);
                prop_assert_eq!(page.has_prev, !seen.is_empty());
                seen.extend(&page.items);
                match page.items.last() {
                    Some(last) if page.has_next => position = Position::After(*last),
                    _ => break,
                }
            }
            prop_assert_eq!(&seen, &items);

            // Back from the last item to the first.
            let Some(last) = items.last().copied() else { return Ok(()) };
            let (mut back, mut before) = (vec![last], last);
            loop {
                let page = page(Position::Before(before));
                prop_assert!(page.has_next);
                back.extend(page.items.iter().rev());
                match page.items.first() {
                    Some(first) if page.has_prev => before = *first,
                    _ => break,
                }
            }
            back.reverse();
            prop_assert_eq!(&back, &items);
        }
    }
}
