//! The names that public APIs give to paging information, in the body and in headers.
//!
//! Names are compared without case, hyphens, underscores and prefixes such as `@odata.`.

pub(super) const NEXT_LINK: [&str; 11] = [
    "nexturl",
    "nextlink",
    "nextpageurl",
    "nextpagelink",
    "nextpageuri",
    "nexthref",
    "nexturi",
    "nextpath",
    "nextrecordsurl",
    "nextpagepath",
    "nextrecords",
];
pub(super) const NEXT_PAGE: [&str; 3] = ["nextpage", "nextpagenumber", "nextpageno"];
pub(super) const NEXT_OFFSET: [&str; 3] = ["nextoffset", "nextstart", "nextskip"];
pub(super) const NEXT_CURSOR: [&str; 20] = [
    "nextcursor",
    "nextpagetoken",
    "nexttoken",
    "nextpagecursor",
    "nextkey",
    "nextmarker",
    "nextid",
    "nextpageid",
    "nextcursormark",
    "nextcontinuationtoken",
    "continuationtoken",
    "continuation",
    "aftercursor",
    "endcursor",
    "startingafter",
    "scrollid",
    "bookmark",
    "nextbookmark",
    "nextsearchafter",
    "nextoffset",
];
/// Objects in which `after` means the next cursor.
pub(super) const CURSOR_CONTAINERS: [&str; 6] =
    ["next", "cursors", "cursor", "paging", "pages", "pagination"];
pub(super) const HAS_MORE: [&str; 12] = [
    "hasmore",
    "hasnext",
    "hasnextpage",
    "more",
    "morerecords",
    "moreresults",
    "moreresult",
    "moreitemsincollection",
    "hasmoreitems",
    "hasmorerows",
    "hasmorepages",
    "next",
];
pub(super) const DONE: [&str; 7] = [
    "islast",
    "islastpage",
    "lastpage",
    "last",
    "done",
    "endofstream",
    "isdone",
];
pub(super) const TOTAL: [&str; 20] = [
    "total",
    "totalcount",
    "totalrecords",
    "totalelements",
    "totalitems",
    "totalresults",
    "totalrows",
    "totalsize",
    "totalhits",
    "totalentries",
    "totalobjects",
    "totaldocs",
    "totalrecordcount",
    "recordstotal",
    "fullcount",
    "numfound",
    "nbhits",
    // Before `total_count` of Directus, which counts what the filter leaves out as well.
    "filtercount",
    "odatacount",
    "itemstotal",
];
pub(super) const TOTAL_PAGES: [&str; 11] = [
    "totalpages",
    "totalpage",
    "numpages",
    "pagecount",
    "pages",
    "lastpage",
    "pagestotal",
    "totalpagecount",
    "numberofpages",
    "maxpage",
    "nbpages",
];
pub(super) const PAGE: [&str; 9] = [
    "page",
    "currentpage",
    "pagenumber",
    "pageno",
    "pagenum",
    "pageindex",
    "curpage",
    "current",
    "thispage",
];
pub(super) const SIZE: [&str; 9] = [
    "perpage",
    "pagesize",
    "pagelen",
    "itemsperpage",
    "maxresults",
    "pageitems",
    "limit",
    "size",
    "take",
];
pub(super) const OFFSET: [&str; 5] = ["offset", "skip", "start", "startat", "startindex"];
