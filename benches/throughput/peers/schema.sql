-- What the peers load: the mapped columns and the key, nothing else.
CREATE TABLE customers (
    customer_id text PRIMARY KEY,
    customer_name text,
    email text,
    created_at timestamptz,
    quality_score numeric,
    record_type text
);
