# Sourced by the peers that take CSV: `all_pages` writes all records to stdout as CSV without a header. Curl reads the pages,
# eight at once, and jq turns them into lines. `$folder` is theirs, and gone at the end.
for tool in curl jq; do
    command -v $tool >/dev/null || exit 69
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

page() {
    echo "$API_BASE_URL/api/v1/data?page_size=$PAGE_SIZE&page=$1"
}

all_pages() {
    token="Authorization: Bearer $API_TOKEN"
    pages=$(curl -fsS -H "$token" "$(page 1)" | jq .total_pages)
    curl -fsS --no-progress-meter -Z --parallel-max 8 --parallel-immediate -H "$token" -o "$folder/#1" "$(page "[1-$pages]")"
    seq 1 "$pages" | sed "s|^|$folder/|" | xargs cat | jq -r \
        '.data[] | [.external_id, .full_name, .contact_email, .created_date, .quality_score, .record_type] | @csv'
}
