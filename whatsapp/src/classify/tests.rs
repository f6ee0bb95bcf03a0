//! The table of the reference, row by row.

use super::*;
use Class::{Blocked, Deferred, OptedOut, Permanent, Throttled, Transient};
use Scope::{Account, App, Marketing, Message, Number, Pair, Recipient, Template};

/// Every code of the reference's section 2.2.
const TABLE: &[(&[i64], Class, Scope)] = &[
    (&[0], Blocked, Number),
    (&[1, 2], Transient, Message),
    (&[3], Blocked, App),
    (&[4, 17, 32, 341, 613], Throttled, App),
    (&[5], Blocked, App),
    (&[10, 12], Blocked, Number),
    (&[33], Blocked, Number),
    (&[100], Permanent, Message),
    (&[101], Blocked, App),
    (&[102, 104, 190], Blocked, Number),
    (&[200, 210, 299], Blocked, Number),
    (&[368], Blocked, Account),
    (&[506], Permanent, Message),
    (&[803], Blocked, Number),
    (&[80000, 80002, 80007, 80008, 80014], Throttled, Account),
    (&[130403], Permanent, Recipient),
    (&[130429], Throttled, Number),
    (&[130472], Permanent, Marketing),
    (&[130497], Permanent, Recipient),
    (&[131000], Transient, Message),
    (&[131001, 131002, 131006, 131043], Permanent, Message),
    (&[131005], Blocked, Number),
    (&[131008, 131009], Permanent, Message),
    (&[131016], Transient, Message),
    (&[131020], Permanent, Recipient),
    (&[131021], Permanent, Message),
    (&[131026], Permanent, Recipient),
    (&[131030], Permanent, Recipient),
    (&[131031], Blocked, Account),
    (&[131037], Blocked, Number),
    (&[131041], Permanent, Recipient),
    (&[131042], Blocked, Account),
    (&[131044], Permanent, Message),
    (&[131045], Blocked, Number),
    (&[131047], Permanent, Message),
    (&[131048], Throttled, Number),
    (&[131049], Deferred, Marketing),
    (&[131050], OptedOut, Marketing),
    (&[131051, 131052, 131053, 131055], Permanent, Message),
    (&[131056], Throttled, Pair),
    (&[131057], Throttled, Number),
    (&[131059, 131062], Permanent, Message),
    (&[131063], Blocked, Template),
    (&[131064], Throttled, Account),
    (&[131201, 131202, 131204], Permanent, Message),
    (&[131207], Permanent, Recipient),
    (&[131208], Throttled, Pair),
    (&[131209, 131210, 131211, 131212, 131213, 131214, 131215], Permanent, Message),
    (&[132000], Permanent, Message),
    (&[132001], Permanent, Template),
    (&[132005], Permanent, Message),
    (&[132007], Permanent, Template),
    (&[132008, 132012], Permanent, Message),
    (&[132015], Blocked, Template),
    (&[132016], Permanent, Template),
    (&[132018], Permanent, Message),
    (&[132068], Permanent, Template),
    (&[132069], Throttled, Template),
    (&[133000, 133001, 133002, 133003], Permanent, Message),
    (&[133004], Transient, Message),
    (&[133005, 133006, 133007, 133008, 133009], Permanent, Message),
    (&[133010], Blocked, Number),
    (&[133015, 133016], Permanent, Message),
    (&[134011], Blocked, Account),
    (&[134100], Permanent, Message),
    (&[134101], Transient, Message),
    (&[134102], Blocked, Account),
    (&[135000], Permanent, Message),
    (&[136024, 136025], Permanent, Message),
    (&[137000], Permanent, Recipient),
    (&[138000, 138009, 138018], Permanent, Message),
    (&[139000, 139004, 139100, 139103], Permanent, Message),
    (&[141006, 141008, 141014], Blocked, Account),
    (&[147001, 147005], Permanent, Message),
    (&[1752041], Permanent, Message),
    (&[2500, 2635], Blocked, Number),
    (&[2388012, 2388019, 2388039, 2388040, 2388047, 2388072], Permanent, Message),
    (&[2388073, 2388091, 2388093, 2388103, 2388293, 2388299], Permanent, Message),
    (&[2494100], Throttled, Number),
    (&[2494164, 2494179], Permanent, Message),
    (&[200005, 200006, 200007, 2593107, 2593108], Permanent, Message),
];

fn signal(code: i64, origin: Origin) -> Signal<'static> {
    Signal { code, subcode: None, details: "", http_status: None, is_transient: false, origin }
}

#[test]
fn every_code_of_the_reference_means_the_same_in_answers_and_receipts_whatever_the_status() {
    for (codes, class, scope) in TABLE {
        for code in *codes {
            for origin in [Origin::Answer, Origin::Receipt] {
                for http_status in [None, Some(400), Some(429), Some(500)] {
                    let verdict = classify(&Signal { http_status, ..signal(*code, origin) });
                    assert_eq!(verdict, is(*class, *scope), "{code} {origin:?} {http_status:?}");
                }
            }
        }
    }
}

#[test]
fn a_code_100_about_the_sender_itself_stops_the_sender() {
    let meta = "Unsupported post request. Object with ID '1066' does not exist, cannot be loaded due to missing \
                permissions, or does not support this operation.";
    let plain = signal(100, Origin::Answer);
    for signal in [
        Signal { subcode: Some(33), ..plain },
        Signal { details: meta, ..plain },
        Signal { details: "Object does not exist", ..plain },
        Signal { details: "Cannot be loaded due to Missing Permissions", ..plain },
    ] {
        assert_eq!(classify(&signal), is(Blocked, Number), "{signal:?}");
    }
}

#[test]
fn a_code_100_about_the_message_ends_only_the_message() {
    let plain = signal(100, Origin::Answer);
    for signal in [
        Signal { subcode: Some(2494010), ..plain },
        Signal { details: "(#100) The parameter text is required.", ..plain },
        Signal { details: "The quoted message does not exist", ..plain },
    ] {
        assert_eq!(classify(&signal), is(Permanent, Message), "{signal:?}");
    }
}

#[test]
fn a_subcode_does_not_change_what_a_known_code_means() {
    let throttled = Signal { subcode: Some(2494055), ..signal(130429, Origin::Answer) };
    assert_eq!(classify(&throttled), is(Throttled, Number));
    for subcode in [458, 459, 460, 463, 464, 467] {
        assert_eq!(classify(&Signal { subcode: Some(subcode), ..signal(190, Origin::Answer) }), is(Blocked, Number));
    }
}

#[test]
fn an_undocumented_code_is_retried_only_after_a_server_error() {
    for (origin, http_status, class) in [
        (Origin::Answer, Some(500), Transient),
        (Origin::Answer, Some(503), Transient),
        (Origin::Answer, Some(400), Permanent),
        (Origin::Answer, Some(200), Permanent),
        (Origin::Answer, None, Permanent),
        (Origin::Receipt, None, Permanent),
        (Origin::Receipt, Some(500), Permanent),
    ] {
        for code in [-1, 999, 131_999, i64::MAX, i64::MIN] {
            let verdict = classify(&Signal { http_status, ..signal(code, origin) });
            assert_eq!(verdict, is(class, Message), "{code} {origin:?} {http_status:?}");
        }
    }
}
