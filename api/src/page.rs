//! Pages of lists.

use serde::{Deserialize, Serialize};

/// One page of a list that may have more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// A list that is given whole.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// All of it.
    pub items: Vec<T>,
}

/// One page of a list with numbered pages.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbered<T> {
    /// What is on this page.
    pub content: Vec<T>,
    /// Its number, from 0.
    pub page: usize,
    /// How many a page has at most.
    pub size: usize,
    /// How many there are on all pages.
    pub total_elements: u64,
    /// How many pages there are.
    pub total_pages: u64,
}
