use super::*;

#[test]
fn due_keys_sort_by_lane_then_time() {
    let at = |lane, millis, id| {
        due(OrgNo(1), SenderNo(1), lane, Timestamp::from_millis(millis), MessageId::from_bytes([id; 16]))
    };
    let keys = [
        at(Lane::Settle, 900, 1),
        at(Lane::High, 500, 1),
        at(Lane::Normal, 100, 2),
        at(Lane::Normal, 300, 1),
        at(Lane::Low, 1, 1),
    ];
    assert!(keys.is_sorted());
    assert_eq!(due_at(&keys[1]), Some(Timestamp::from_millis(500)));
    assert_eq!(message_at_end(&keys[2]), Some(MessageId::from_bytes([2; 16])));
}

#[test]
fn a_range_is_read_in_parts_that_are_all_hashes_or_none() {
    for (order, start, end, expected) in [
        (Order::Ascending, "", "z", ("", "A", false)),
        (Order::Ascending, "f1", "z", ("f1", "h", true)),
        (Order::Ascending, "f1", "f2", ("f1", "f2", true)),
        (Order::Ascending, "z", "z3", ("z", "z3", false)),
        (Order::Descending, "", "z", ("t", "z", true)),
        (Order::Descending, "", "z1", ("z", "z1", false)),
        (Order::Descending, "s2", "t", ("s2", "t", false)),
        (Order::Descending, "", "A", ("", "A", false)),
    ] {
        let (part, is_hashed) = alike(&(start.into()..end.into()), order);
        assert_eq!((&*part.start, &*part.end, is_hashed), (expected.0.as_bytes(), expected.1.as_bytes(), expected.2));
    }
}

#[test]
fn a_range_holds_its_prefix_and_nothing_else() {
    let range = within(vec![b'm', 0, 0, 0, 255]);
    assert_eq!(range.end, vec![b'm', 0, 0, 1]);
    assert!(range.contains(&vec![b'm', 0, 0, 0, 255, 7]));
}
