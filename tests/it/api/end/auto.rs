//! Style `auto`: what it sends, what it reads, and where it says that it cannot know.

use super::*;

#[test]
fn auto_sends_no_parameter_of_paging_that_is_not_named() {
    let server = bodies(|request| {
        let page = number(request, "page").max(1);
        format!(
            "{{\"items\":{},\"page\":{page},\"pages\":4,\"size\":10}}",
            array(35, (page - 1) * 10, 10)
        )
    });
    let fetched = style(&server, PageStyle::Auto, |api| {
        api.pagination.size_param = Param::Usual("page_size");
    });
    whole(&fetched, 35, Proof::Announced);
    assert!(server.requests()[0].query.is_empty());
    assert_eq!(server.requests().len(), 4, "no request in vain");
}

#[test]
fn auto_reads_plain_arrays_by_page_from_0_or_1_and_by_offset() {
    let shapes: [fn(&Request) -> usize; 3] = [
        |request| (number(request, "page").max(1) - 1) * 10,
        |request| number(request, "page") * 10,
        |request| number(request, "offset"),
    ];
    for from in shapes {
        for all in [10, 35] {
            let server = bodies(move |request| array(all, from(request), 10));
            let fetched = style(&server, PageStyle::Auto, |api| {
                api.pagination.size_param = Param::Usual("page_size");
            });
            if all == 35 {
                whole(&fetched, all, Proof::Empty);
            } else {
                // One page: proven, or said to be unproven, but never short.
                assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
                assert_eq!(fetched.records(), records(all));
            }
        }
    }
}

#[test]
fn auto_reads_has_more_with_the_last_id() {
    let server = bodies(|request| {
        let from: usize = request
            .param("starting_after")
            .map_or(0, |id| id.trim_start_matches("cus_").parse().unwrap());
        let to = (from + 10).min(25);
        let records: Vec<String> = (from + 1..=to)
            .map(|n| format!("{{\"id\":\"cus_{n}\",\"name\":\"N {n}\"}}"))
            .collect();
        format!(
            "{{\"object\":\"list\",\"data\":[{}],\"has_more\":{}}}",
            records.join(","),
            to < 25
        )
    });
    let fetched = style(&server, PageStyle::Auto, |api| {
        api.pagination.size_param = Param::Usual("page_size");
    });
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    assert_eq!(fetched.records().len(), 25);
    assert_eq!(fetched.stats.end, End::Proven(Proof::Marked));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn auto_fails_where_more_is_announced_and_no_way_leads_to_it() {
    let server = bodies(|_| format!("{{\"data\":{},\"total\":99}}", array(10, 0, 10)));
    let fetched = style(&server, PageStyle::Auto, |_| {});
    assert_eq!(fetched.error().kind(), "no_next");
    assert_eq!(fetched.records(), records(10), "what came is kept");
    assert!(!fetched.stats.is_complete());
    assert!(server.requests().len() < 20);
}
